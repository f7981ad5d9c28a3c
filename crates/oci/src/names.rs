//! Names of entries as parts, cleaned as an extractor in a chroot would take them.

use crate::assembly::EntryError;

/// Longest path of an entry in bytes (`PATH_MAX`).
pub(crate) const MAX_PATH: usize = 4096;

/// The parts of an entry's path. A leading slash means the root, which the path is below anyway; `..` takes the part before
/// it back.
///
/// # Errors
/// The path is too long, or leads out of the archive.
pub(crate) fn parts(path: &[u8]) -> Result<Vec<&[u8]>, EntryError> {
    if path.len() > MAX_PATH {
        return Err(EntryError::TooLong { len: path.len() });
    }
    let absolute = path.starts_with(b"/");
    let mut parts = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            // `..` at the root is the root; above the archive's top it would leave the archive.
            b".." if parts.pop().is_none() && !absolute => return Err(EntryError::Outside),
            b".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(path: &str) -> Option<String> {
        let parts = parts(path.as_bytes()).ok()?;
        Some(String::from_utf8(parts.join(&b'/')).unwrap())
    }

    #[test]
    fn names_are_cleaned_as_container_engines_clean_them() {
        for (path, expected) in [
            ("/", ""),
            ("./", ""),
            ("/usr//bin/./python", "usr/bin/python"),
            ("usr/lib/../share/x", "usr/share/x"),
            ("a/..", ""),
            ("/../x", "x"),
            ("/a/../../../x", "x"),
        ] {
            assert_eq!(cleaned(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn names_that_lead_out_of_the_archive_are_refused() {
        for path in ["..", "../x", "a/../../x", "./../x"] {
            assert_eq!(parts(path.as_bytes()), Err(EntryError::Outside), "{path}");
        }
        let long = vec![b'a'; MAX_PATH + 1];
        assert_eq!(parts(&long), Err(EntryError::TooLong { len: long.len() }));
    }
}
