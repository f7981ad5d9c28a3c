//! Names of modules and aliases as the files have them: the kernel does not tell `-` from `_`.

use crate::KEY_MAX_BYTES;

/// The key of an alias: with underscores for hyphens, but in sets (`[a-z]`). `None` for one that is empty, longer than a key may
/// be, or whose set has no end, which modprobe refuses too.
pub fn alias_key(alias: &str) -> Option<String> {
    if alias.is_empty() || alias.len() > KEY_MAX_BYTES {
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

/// The name of the module in a file: `kernel/drivers/char/hw_random/virtio-rng.ko.xz` → `virtio_rng`.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.trim().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_are_kept_in_sets_only() {
        assert_eq!(alias_key("fs-a[0-9]-*").as_deref(), Some("fs_a[0-9]_*"));
        assert_eq!(alias_key("a]"), None);
        assert_eq!(alias_key("a[b"), None);
        assert_eq!(alias_key(&"a".repeat(1025)), None);
    }

    #[test]
    fn a_module_is_called_as_its_file_without_what_packs_it() {
        for (path, name) in [
            ("kernel/lib/raid6-pq.ko", "raid6_pq"),
            ("virtio-rng.ko.xz", "virtio_rng"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(module_name(path), name);
        }
    }
}
