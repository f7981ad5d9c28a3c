//! fnmatch(3) without flags, over bytes: `*`, `?`, `[a-z]`, `[!a-z]`, `\x`.

/// True when `text` is of `pattern`. Time is bounded by the product of both lengths.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: it takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() || p < pattern.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if let Some((&byte, length)) = text.get(t).zip(pattern.get(p..).and_then(unit_length))
            && unit_matches(&pattern[p..p + length], byte)
        {
            p += length;
            t += 1;
            continue;
        }
        match retry {
            Some((after, from)) if from < text.len() => {
                p = after;
                t = from + 1;
                retry = Some((after, t));
            }
            _ => return false,
        }
    }
    true
}

/// Bytes of the pattern's first unit: a set, an escaped byte, or a byte.
fn unit_length(pattern: &[u8]) -> Option<usize> {
    match pattern {
        [] => None,
        [b'\\', _, ..] => Some(2),
        [b'[', rest @ ..] => {
            // A `]` in front is one of the set; a set without an end is a plain `[`.
            let skip = 1 + usize::from(matches!(rest, [b'!' | b'^', ..]));
            let end = rest.iter().skip(skip).position(|byte| *byte == b']');
            Some(end.map_or(1, |end| 1 + skip + end + 1))
        }
        _ => Some(1),
    }
}

fn unit_matches(unit: &[u8], byte: u8) -> bool {
    match unit {
        [b'\\', escaped] => *escaped == byte,
        [b'[', set @ .., b']'] if !set.is_empty() => in_set(set, byte),
        [b'?'] => true,
        [plain] => *plain == byte,
        _ => false,
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, mut set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let Some((&low, rest)) = set.split_first() {
        let (high, rest) = match rest {
            [b'-', high, rest @ ..] => (*high, rest),
            _ => (low, rest),
        };
        found |= (low..=high).contains(&byte);
        set = rest;
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_fnmatch_says() {
        for (pattern, text, expected) in [
            ("fs-xfs", "fs-xfs", true),
            ("fs-xfs", "fs-xf", false),
            (
                "pci:v00001AF4d*sv*sd*bc*sc*i*",
                "pci:v00001AF4d00001042sv00001AF4sd1bc01sc00i00",
                true,
            ),
            ("pci:v*d00001043sv*", "pci:v00001AF4d00001042sv1", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("usb:v[0-9]p", "usb:v7p", true),
            ("usb:v[!0-9]p", "usb:v7p", false),
            ("usb:v[^0-9]p", "usb:vxp", true),
            ("a[]]b", "a]b", true),
            ("a[b", "a[b", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ] {
            let found = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern = "*a".repeat(500);
        let text = "a".repeat(1000) + "b";
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }
}
