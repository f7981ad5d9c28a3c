//! Aliases as modprobe looks for them.

/// Longer ones are nobody's: modprobe's own limit is a path's length, real ones have at most some 200 bytes.
const ALIAS_MAX_BYTES: usize = 1024;

/// An alias with underscores for hyphens, but in sets (`[a-z]`): the kernel does not tell one from the other. `None` for
/// one whose set has no end, which modprobe refuses too.
pub(super) fn normalised(alias: &str) -> Option<String> {
    if alias.is_empty() || alias.len() > ALIAS_MAX_BYTES {
        return None;
    }
    let mut in_set = false;
    let mut normal = String::with_capacity(alias.len());
    for letter in alias.chars() {
        match letter {
            '[' => in_set = true,
            ']' if in_set => in_set = false,
            ']' => return None,
            _ => {}
        }
        normal.push(if letter == '-' && !in_set {
            '_'
        } else {
            letter
        });
    }
    (!in_set).then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_are_kept_in_sets_only() {
        assert_eq!(normalised("fs-a[0-9]-*").as_deref(), Some("fs_a[0-9]_*"));
        assert_eq!(normalised("a]"), None);
        assert_eq!(normalised("a[b"), None);
        assert_eq!(normalised(&"a".repeat(1025)), None);
    }
}
