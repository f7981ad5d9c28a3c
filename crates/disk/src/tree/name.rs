//! Names and link targets: the bytes that a file system can hold, and their form in messages.

use super::error::TreeError;

/// Longest name of a directory entry, in bytes (`EXT4_NAME_LEN`).
pub const MAX_NAME_LEN: usize = 255;
/// Longest target of a symbolic link, in bytes (`PATH_MAX` without the NUL).
pub const MAX_TARGET_LEN: usize = 4095;

/// `bytes` as text for messages: control bytes and invalid UTF-8 are escaped, nothing is lost.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Checks that `name` can be one entry of a directory.
pub(super) fn check_name(name: &[u8]) -> Result<(), TreeError> {
    let why = match name {
        b"" => "it is empty",
        b"." | b".." => "it stands for a directory",
        _ if name.len() > MAX_NAME_LEN => "it is longer than 255 bytes",
        _ if name.contains(&b'/') => "it holds a slash",
        _ if name.contains(&0) => "it holds a NUL byte",
        _ => return Ok(()),
    };
    Err(TreeError::BadName {
        name: printable(name),
        why,
    })
}

/// Checks that `target` can be the target of a symbolic link.
pub(super) fn check_target(target: &[u8]) -> Result<(), TreeError> {
    let why = match target {
        b"" => "it is empty",
        _ if target.len() > MAX_TARGET_LEN => "it is longer than 4095 bytes",
        _ if target.contains(&0) => "it holds a NUL byte",
        _ => return Ok(()),
    };
    Err(TreeError::BadTarget {
        target: printable(target),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_text_is_shown_escaped() {
        assert_eq!(printable("caf\u{e9}\n".as_bytes()), "caf\u{e9}\\n");
        assert_eq!(printable(b"caf\xe9"), "caf\\xe9");
    }

    #[test]
    fn names_that_a_directory_cannot_hold_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
            assert!(check_name(bad).is_err(), "{}", printable(bad));
        }
        for good in [&b"..."[..], b"caf\xe9", b".wh.x", &[b'x'; 255]] {
            assert!(check_name(good).is_ok(), "{}", printable(good));
        }
    }
}
