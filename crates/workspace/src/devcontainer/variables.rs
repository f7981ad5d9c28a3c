//! `${variables}` in texts of the file.

/// Limit of a text that grows by its variables, in bytes: far above the limit of every property.
const MAX_REPLACED: usize = 1 << 20;

/// The text with each `${name}` or `${name:argument:argument}` replaced by its `value`; unknown ones stay as they are
/// written. Values are not expanded again. A text that grows beyond the limit is cut, for the caller to refuse.
pub(super) fn replace(
    text: &str,
    value: &mut dyn FnMut(&str, &[&str]) -> Option<String>,
) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, next)) = after.split_once('}') else {
            break;
        };
        replaced.push_str(before);
        let mut parts = inner.split(':');
        let name = parts.next().unwrap_or_default();
        match value(name, &parts.collect::<Vec<_>>()) {
            Some(value) => replaced.push_str(&value),
            None => replaced.push_str(&format!("${{{inner}}}")),
        }
        rest = next;
        if replaced.len() > MAX_REPLACED {
            return replaced;
        }
    }
    replaced.push_str(rest);
    replaced
}

/// A name that a variable of a process may have, and that a shell can read (POSIX, 3.216 Name).
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.len() <= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_replaced_and_others_stay() {
        let mut value = |name: &str, args: &[&str]| match name {
            "a" => Some("${a}".to_owned()),
            "with" => Some(args.join("+")),
            _ => None,
        };
        for (text, expected) in [
            ("plain $HOME", "plain $HOME"),
            ("${a}/${a}", "${a}/${a}"),
            ("${with:x:y}", "x+y"),
            ("${other:z} ${", "${other:z} ${"),
            ("${unfinished", "${unfinished"),
            ("${}", "${}"),
            ("ä${a}ö", "ä${a}ö"),
        ] {
            assert_eq!(replace(text, &mut value), expected);
        }
    }

    #[test]
    fn a_text_that_grows_without_end_is_cut() {
        let value = "x".repeat(100_000);
        let grown = replace(&"${a}".repeat(16_000), &mut |_, _| Some(value.clone()));
        assert!(grown.len() < 2 * MAX_REPLACED);
    }

    #[test]
    fn names_are_those_of_shells() {
        assert!(is_name("PATH") && is_name("_x1"));
        for bad in ["", "1a", "a b", "a=b", "a-b", "ä", &"x".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
