//! Paths of this host that are sent to the daemon, which has another working directory.

use std::path::Path;

use crate::failure::Failure;

/// `path` as an absolute one. Links in it stay as they are.
///
/// # Errors
/// It is not UTF-8, which the API needs, or there is no working directory.
pub fn absolute(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("path \"{}\": {error}", path.display())))?;
    match absolute.into_os_string().into_string() {
        Ok(text) => Ok(text),
        Err(text) => Err(Failure::usage(format!(
            "path \"{}\" is not UTF-8",
            text.to_string_lossy()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_relative_path_becomes_absolute_and_keeps_no_dots() {
        let path = absolute(Path::new("./x/./y")).unwrap();
        assert!(path.starts_with('/') && path.ends_with("/x/y"), "{path}");
    }

    #[test]
    fn a_path_that_json_cannot_carry_is_refused() {
        let failure = absolute(Path::new(OsStr::from_bytes(b"/\xff"))).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}
