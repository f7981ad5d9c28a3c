//! Examples of every variant.

/// Checks that a list of examples has one of every variant of an enum. A variant that is not named does not compile.
///
/// ```
/// enum Hat { Top, Bowler(u32) }
/// banger_formats::every_variant!(&[Hat::Top, Hat::Bowler(3)], Hat { Top, Bowler });
/// ```
///
/// ```compile_fail
/// enum Hat { Top, Bowler(u32) }
/// banger_formats::every_variant!(&[Hat::Top], Hat { Top });
/// ```
///
/// ```should_panic
/// enum Hat { Top, Bowler(u32) }
/// banger_formats::every_variant!(&[Hat::Top], Hat { Top, Bowler });
/// ```
#[macro_export]
macro_rules! every_variant {
    ($examples:expr, $kind:ident { $($variant:ident),+ $(,)? }) => {{
        fn name(example: &$kind) -> &'static str {
            match example {
                $($kind::$variant { .. } => stringify!($variant),)+
            }
        }
        let seen: ::std::vec::Vec<&'static str> = ::std::iter::IntoIterator::into_iter($examples).map(name).collect();
        $(assert!(
            seen.contains(&stringify!($variant)),
            "there is no example of {}::{}", stringify!($kind), stringify!($variant)
        );)+
    }};
}
