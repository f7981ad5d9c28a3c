//! Users that a daemon of root can give away.

use std::ops::Range;
use std::path::Path;

use rustix::thread::CapabilitySet;

/// Tells whether this process may become each of these users and groups, and give them files: it has root's capabilities
/// for that, and its user namespace knows the numbers (user_namespaces(7)). In a container both are often missing.
#[must_use]
pub fn gives_users(wanted: &Range<u32>) -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
    let capable =
        rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
    capable
        && ["/proc/self/uid_map", "/proc/self/gid_map"]
            .iter()
            .all(|map| is_mapped(Path::new(map), wanted))
}

fn is_mapped(map: &Path, wanted: &Range<u32>) -> bool {
    std::fs::read_to_string(map).is_ok_and(|text| covers(&text, wanted))
}

/// Tells whether one line `INSIDE OUTSIDE COUNT` of a map has all of the numbers.
fn covers(map: &str, wanted: &Range<u32>) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        inside <= u64::from(wanted.start) && u64::from(wanted.end) <= inside.saturating_add(count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_namespace_does_not_know_are_not_given() {
        let wanted = 0x7000_0000..0x7100_0000;
        for (map, known) in [
            ("         0          0 4294967295\n", true),
            ("0 100000 65536\n", false),
            ("0 1000 1\n1 100000 65536\n", false),
            ("0 0 1000\n1879048192 1879048192 16777216\n", true),
            ("0 0 1879048193\n", false),
            ("", false),
            ("x y z\n0 0\n", false),
            ("18446744073709551615 0 18446744073709551615\n", false),
        ] {
            assert_eq!(covers(map, &wanted), known, "{map:?}");
        }
    }
}
