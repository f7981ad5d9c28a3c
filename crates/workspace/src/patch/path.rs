//! Rules for a patch's paths: below the repository, and not in its `.git` by any spelling.
//!
//! Other file systems fold names that differ here: HFS+ ignores case and some invisible characters, NTFS ignores case,
//! dots and spaces at the end, has short names (`git~1`) and streams (`name:stream`), and takes `\` for `/`. A patch
//! that is fine on this host may be carried to such a place, so all of it is refused here (git's own rules are in
//! `verify_path`, read-cache.c).

use super::PatchError;
use super::obeyed::{folded, stem};

/// Longest path and name, in bytes (PATH_MAX with its NUL, NAME_MAX).
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// Tells whether some file system takes a name for `.git`.
fn is_git(name: &[u8]) -> bool {
    let folded = folded(name);
    let stem = stem(&folded);
    let short = stem.strip_prefix("git~").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    stem == ".git" || short
}

/// Checks a path that a patch touches.
///
/// # Errors
/// Names the path and its fault.
pub fn check_path(path: &[u8]) -> Result<(), PatchError> {
    let refuse = |why| Err(PatchError::path(path, why));
    if path.is_empty() {
        return refuse("it is empty");
    }
    if path.len() > MAX_PATH {
        return refuse("it is too long");
    }
    if path.contains(&0) {
        return refuse("it has a NUL byte");
    }
    if path.starts_with(b"/") || path.starts_with(b"\\") {
        return refuse("it is absolute");
    }
    for name in path.split(|byte| *byte == b'/') {
        if name.len() > MAX_NAME {
            return refuse("a name in it is too long");
        }
        if matches!(name, b"" | b".") {
            return refuse("it is not a plain path");
        }
        for part in name.split(|byte| *byte == b'\\') {
            if is_parent(part) {
                return refuse("it leads out of the repository");
            }
            if is_git(part) {
                return refuse("it is inside .git");
            }
        }
    }
    Ok(())
}

/// `..`, also with trailing characters that Windows ignores.
fn is_parent(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    text.starts_with("..") && text.chars().all(|c| c == '.' || c == ' ')
}

/// Checks the target of a link at `path`: it must stay inside the repository.
///
/// # Errors
/// Names the link and its fault.
pub fn check_link(path: &[u8], target: &[u8]) -> Result<(), PatchError> {
    let refuse = |why| Err(PatchError::path(path, why));
    if target.is_empty() || target.contains(&0) || target.len() > MAX_PATH {
        return refuse("it is a link to nowhere");
    }
    if target.starts_with(b"/") || target.starts_with(b"\\") {
        return refuse("it is a link to an absolute path");
    }
    let mut up = path.iter().filter(|byte| **byte == b'/').count();
    let mut down = false;
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if down => {
                // The name before it may be a link itself: the text does not tell where this leads.
                return refuse("it is a link with .. in its middle");
            }
            b".." => match up.checked_sub(1) {
                Some(left) => up = left,
                None => return refuse("it is a link that leads out of the repository"),
            },
            name => {
                down = true;
                for part in name.split(|byte| *byte == b'\\') {
                    if is_parent(part) {
                        return refuse("it is a link that leads out of the repository");
                    }
                    if is_git(part) {
                        return refuse("it is a link into .git");
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_or_into_git_are_refused_by_any_spelling() {
        let refused: &[&[u8]] = &[
            b"",
            b"/etc/passwd",
            b"../x",
            b"a/../../x",
            b"a/..",
            b"a//b",
            b"./a",
            b"a/",
            b"a\0b",
            b".git/hooks/post-checkout",
            b".git",
            b"a/.git/config",
            b".GIT/config",
            b".Git./x",
            b".git /x",
            b".git  .. /x",
            b"git~1/config",
            b"GIT~1/config",
            b"GIT~12",
            b".git:stream/x",
            b".git::$INDEX_ALLOCATION/config",
            b"a\\..\\..\\x",
            b"..\\x",
            b"a\\.git\\config",
            b"\\x",
            b".. /x",
            b"../",
            b"...",
            ".g\u{200c}it/config".as_bytes(),
            "\u{feff}.git/x".as_bytes(),
            ".gi\u{206f}t".as_bytes(),
        ];
        for path in refused {
            assert!(
                check_path(path).is_err(),
                "{}",
                String::from_utf8_lossy(path)
            );
        }
        let long = [b"a".repeat(256)].concat();
        assert!(check_path(&long).is_err());
        assert!(check_path(&b"a/".repeat(3000)).is_err());
    }

    #[test]
    fn ordinary_paths_pass_however_odd() {
        let fine: &[&[u8]] = &[
            b"a",
            b"a/b c/d",
            b".gitignore",
            b".gitmodules",
            b".github/workflows/x.yml",
            b"git",
            b"a.git",
            b"x/y.git/z",
            b"git~x",
            b"..a/b",
            b"a..b",
            b"new\nline",
            b"\xff\xfe",
            b"back\\slash",
            "\u{e4}".as_bytes(),
            b".gitx",
        ];
        for path in fine {
            assert_eq!(
                check_path(path),
                Ok(()),
                "{}",
                String::from_utf8_lossy(path)
            );
        }
    }

    #[test]
    fn links_stay_inside() {
        for (path, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("a/b/c", "../../d/e"),
            ("a", "./b/c"),
            ("x/y", "z"),
        ] {
            assert_eq!(
                check_link(path.as_bytes(), target.as_bytes()),
                Ok(()),
                "{path} -> {target}"
            );
        }
        for (path, target) in [
            ("a", "/etc"),
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a", ""),
            ("a", "b/../c"),
            ("a", "b/../../c"),
            ("a", ".git/config"),
            ("a/b", "../.GIT"),
            ("a", "x\\..\\.."),
            ("a", "..\\x"),
            ("a", "\\x"),
            ("a/b", "../.. /x"),
        ] {
            assert!(
                check_link(path.as_bytes(), target.as_bytes()).is_err(),
                "{path} -> {target}"
            );
        }
    }
}
