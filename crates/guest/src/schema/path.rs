//! Paths inside the guest, as a type of their own: they cannot be joined to a path of the host by accident.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_GUEST_PATH, MAX_NAME};

/// An absolute, normal path inside a guest: no `.`, no `..`, no empty component, no NUL, no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath(String);

/// Reason why a text is not a [`GuestPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestPathError {
    /// It does not begin with `/`.
    #[error("guest path {0:?} is not absolute")]
    Relative(String),
    /// It has a `..` component.
    #[error("guest path {0:?} contains '..'")]
    Parent(String),
    /// It holds a NUL byte.
    #[error("guest path {0:?} contains a NUL byte")]
    Nul(String),
    /// The path or one of its names is too long for Linux.
    #[error("guest path of {0} bytes, or one of its names, is too long")]
    TooLong(usize),
}

impl GuestPath {
    /// Checks and normalises: `//a/./b/` becomes `/a/b`.
    ///
    /// # Errors
    /// Fails when the path is relative, has a `..` component or a NUL byte, or is longer than Linux allows.
    pub fn new(path: &str) -> Result<Self, GuestPathError> {
        if !path.starts_with('/') {
            return Err(GuestPathError::Relative(path.chars().take(80).collect()));
        }
        if path.contains('\0') {
            return Err(GuestPathError::Nul(path.chars().take(80).collect()));
        }
        if path.len() > MAX_GUEST_PATH || path.split('/').any(|name| name.len() > MAX_NAME) {
            return Err(GuestPathError::TooLong(path.len()));
        }
        let mut normal = String::with_capacity(path.len());
        for name in path
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
        {
            if name == ".." {
                return Err(GuestPathError::Parent(path.to_owned()));
            }
            normal.push('/');
            normal.push_str(name);
        }
        if normal.is_empty() {
            normal.push('/');
        }
        Ok(Self(normal))
    }

    /// The path as text; begins with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path relative to the root, for `*at` calls: `etc/fstab`, and `.` for the root itself.
    #[must_use]
    pub fn relative(&self) -> &str {
        let relative = self.0.trim_start_matches('/');
        if relative.is_empty() { "." } else { relative }
    }

    /// The directory that holds it, or `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0 == "/" {
            return None;
        }
        match self.0.rfind('/') {
            Some(0) | None => Some(Self("/".to_owned())),
            Some(cut) => Some(Self(self.0[..cut].to_owned())),
        }
    }

    /// The last name, or `None` for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

impl std::fmt::Display for GuestPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for GuestPath {
    type Err = GuestPathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        Self::new(path)
    }
}

impl TryFrom<String> for GuestPath {
    type Error = GuestPathError;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::new(&path)
    }
}

impl From<GuestPath> for String {
    fn from(path: GuestPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_path_is_normalised() {
        assert_eq!(GuestPath::new("//etc/./ssh/").unwrap().as_str(), "/etc/ssh");
        assert_eq!(GuestPath::new("/").unwrap().relative(), ".");
        assert_eq!(
            GuestPath::new("/root/.ssh")
                .unwrap()
                .parent()
                .unwrap()
                .as_str(),
            "/root"
        );
        assert_eq!(
            GuestPath::new("/root").unwrap().parent().unwrap().as_str(),
            "/"
        );
        assert_eq!(GuestPath::new("/").unwrap().parent(), None);
    }

    #[test]
    fn a_path_that_could_leave_its_root_is_refused() {
        assert!(matches!(
            GuestPath::new("etc"),
            Err(GuestPathError::Relative(_))
        ));
        assert!(matches!(
            GuestPath::new("/a/../b"),
            Err(GuestPathError::Parent(_))
        ));
        assert!(matches!(
            GuestPath::new("/a\0b"),
            Err(GuestPathError::Nul(_))
        ));
        assert!(matches!(
            GuestPath::new(&format!("/{}", "x".repeat(256))),
            Err(GuestPathError::TooLong(257))
        ));
        assert!(serde_json::from_str::<GuestPath>("\"/a/../../etc\"").is_err());
    }
}
