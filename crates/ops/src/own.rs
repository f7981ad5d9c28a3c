//! Things that banger may remove: directories of its own with all in them, and files in these.
//!
//! ```text
//! Places, an inventory ──make──► OwnDir ──► OwnFile
//! a stored plan, a claim ──read──► the same, when it has the shape of one: absolute, below a named directory
//!                                   └─► Plan::checked, Recovery: also below this host's own directories (Host::owns)
//! ```
//! This host's directories are not known while JSON is read, so the two halves of the check are two; the host
//! itself is the third, and refuses at the moment of removing.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use banger_store::{Claim, ClaimKind};
use serde::{Deserialize, Serialize};

/// Prefix of the bytes of a path that is no text, as two hexadecimal digits each. No absolute path begins so.
const BYTES: &str = "bytes:";

/// A directory in one of the directories in which every entry is banger's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnDir(PathBuf);

/// A file in such a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnFile(PathBuf);

/// A path that cannot be one of banger's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" {why}")]
pub struct NotOwn {
    text: String,
    why: &'static str,
}

impl OwnDir {
    /// The entry `name` of a directory in which every entry is banger's.
    ///
    /// # Errors
    /// The name is no single name, or the directory is the root of the file system.
    pub(crate) fn entry(parent: &Path, name: impl AsRef<OsStr>) -> Result<Self, NotOwn> {
        let path = parent.join(name.as_ref());
        match path.parent() == Some(parent) {
            true => Self::of_path(path),
            false => Err(not_own(&path, "is not directly in its directory")),
        }
    }

    /// The directory of an id or a digest, which is a single name, in one of the [`Places`](crate::Places).
    pub(crate) fn named(parent: &Path, name: impl std::fmt::Display) -> Self {
        Self(parent.join(name.to_string()))
    }

    fn of_path(path: PathBuf) -> Result<Self, NotOwn> {
        check(&path, 2)?;
        Ok(Self(path))
    }

    /// The directory that a claim is on.
    ///
    /// # Errors
    /// It is a claim on something else, or on no directory of banger's own.
    pub fn of_claim(claim: &Claim) -> Result<Self, NotOwn> {
        match claim.kind {
            ClaimKind::Directory => claim.resource.clone().try_into(),
            _ => Err(NotOwn {
                text: claim.resource.clone(),
                why: "is no directory",
            }),
        }
    }

    /// The claim on it, with all that is in it.
    pub fn claim(&self) -> Claim {
        Claim::new(ClaimKind::Directory, stored(&self.0))
    }

    /// A file in it. The name is one of banger's own, a single one.
    pub fn file(&self, name: &'static str) -> OwnFile {
        OwnFile(self.0.join(name))
    }
}

/// A path as it is stored: text as it is, anything else byte by byte. Two paths are never stored as one.
pub(crate) fn stored(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let digits = hexadecimal(path.as_os_str().as_bytes());
            format!("{BYTES}{digits}")
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(text: &str) -> Result<PathBuf, NotOwn> {
    let Some(digits) = text.strip_prefix(BYTES) else {
        return Ok(PathBuf::from(text));
    };
    let bad = || NotOwn {
        text: text.to_owned(),
        why: "is not written in hexadecimal digits",
    };
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    let bytes = bytes.filter(|_| digits.len().is_multiple_of(2) && digits.is_ascii());
    Ok(OsString::from_vec(bytes.ok_or_else(bad)?).into())
}

/// Absolute, and its last names, so many, are names: none of them leads back.
fn check(path: &Path, depth: usize) -> Result<(), NotOwn> {
    if !path.is_absolute() {
        return Err(not_own(path, "is not an absolute path"));
    }
    let mut last = path.components().rev();
    let named = |component| matches!(component, Some(Component::Normal(_)));
    match (0..depth).all(|_| named(last.next())) {
        true => Ok(()),
        false => Err(not_own(path, "is not below a directory of banger's")),
    }
}

fn not_own(path: &Path, why: &'static str) -> NotOwn {
    NotOwn {
        text: path.display().to_string(),
        why,
    }
}

impl TryFrom<String> for OwnDir {
    type Error = NotOwn;
    fn try_from(text: String) -> Result<Self, NotOwn> {
        Self::of_path(read(&text)?)
    }
}

impl TryFrom<String> for OwnFile {
    type Error = NotOwn;
    fn try_from(text: String) -> Result<Self, NotOwn> {
        let path = read(&text)?;
        check(&path, 3)?;
        Ok(Self(path))
    }
}

impl From<OwnDir> for String {
    fn from(dir: OwnDir) -> Self {
        stored(&dir.0)
    }
}

impl From<OwnFile> for String {
    fn from(file: OwnFile) -> Self {
        stored(&file.0)
    }
}

impl Deref for OwnDir {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for OwnDir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Deref for OwnFile {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for OwnFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
mod tests {
    use super::*;

    fn dir(text: &str) -> Result<OwnDir, NotOwn> {
        text.to_owned().try_into()
    }

    #[test]
    fn what_is_read_back_has_the_shape_of_something_of_ours_or_is_refused() {
        for text in ["/b/state/vms/1", "/r/1", "/b/state/images/ab"] {
            assert_eq!(String::from(dir(text).unwrap()), text);
        }
        for text in [
            "",
            "/",
            "/home",
            "vms/1",
            "/b/state/vms/..",
            "/b/state/../1",
            "../state/vms/1",
            "bytes:",
            "bytes:2",
            "bytes:2fzz",
            "bytes:2f62",
            "bytes:é",
        ] {
            assert!(dir(text).is_err(), "{text}");
            assert!(serde_json::from_value::<OwnDir>(text.into()).is_err());
        }
        assert!(OwnFile::try_from("/b/vms".to_owned()).is_err());
        assert!(OwnFile::try_from("/b/vms/1".to_owned()).is_ok());
    }

    #[test]
    fn odd_bytes_of_a_path_come_back_as_they_were_and_two_paths_have_two_claims() {
        let odd = |byte: u8| OsString::from_vec(vec![b'a', byte, b'b']);
        let parent = Path::new("/b/state/vms");
        let one = OwnDir::entry(parent, odd(0xfe)).unwrap();
        let two = OwnDir::entry(parent, odd(0xff)).unwrap();
        assert_ne!(one.claim().resource, two.claim().resource);
        assert_eq!(OwnDir::of_claim(&one.claim()).unwrap(), one);
        let json = serde_json::to_string(&two).unwrap();
        assert_eq!(serde_json::from_str::<OwnDir>(&json).unwrap(), two);
        let text = OwnDir::entry(parent, "bytes:00").unwrap();
        assert_eq!(OwnDir::of_claim(&text.claim()).unwrap(), text);
    }

    #[test]
    fn an_entry_is_one_name_in_its_directory() {
        let parent = Path::new("/b/state/vms");
        for name in ["", ".", "..", "a/b", "/etc", "../ssh"] {
            assert!(OwnDir::entry(parent, name).is_err(), "{name}");
        }
        assert!(OwnDir::entry(Path::new("/"), "home").is_err());
        assert_eq!(
            &*OwnDir::entry(parent, "1").unwrap(),
            Path::new("/b/state/vms/1")
        );
    }

    #[test]
    fn a_claim_on_something_else_is_no_directory() {
        let claim = Claim::new(ClaimKind::HostPort, "/b/state/vms/1");
        assert!(OwnDir::of_claim(&claim).is_err());
    }
}
