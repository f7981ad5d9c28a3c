//! A file system's volume label: at most 16 bytes, no NUL.

use std::fmt;

/// Longest label that an ext4 superblock holds, in bytes (`s_volume_name`).
pub const MAX_LABEL_BYTES: usize = 16;

/// A volume label that fits a superblock. The default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    bytes: [u8; MAX_LABEL_BYTES],
}

/// Reason why a text is not a volume label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// More than [`MAX_LABEL_BYTES`] bytes.
    #[error("volume label \"{label}\" has {len} bytes, at most {MAX_LABEL_BYTES} fit")]
    TooLong {
        /// The label as given.
        label: String,
        /// Its length in bytes.
        len: usize,
    },
    /// A NUL byte ends a label on disk, so none may be inside.
    #[error("volume label {label:?} holds a NUL byte")]
    Nul {
        /// The label as given.
        label: String,
    },
}

impl Label {
    /// Checks `label`.
    ///
    /// # Errors
    /// Fails when it is longer than 16 bytes or holds a NUL byte.
    pub fn new(label: &str) -> Result<Self, LabelError> {
        if label.len() > MAX_LABEL_BYTES {
            return Err(LabelError::TooLong {
                label: label.to_owned(),
                len: label.len(),
            });
        }
        if label.contains('\0') {
            return Err(LabelError::Nul {
                label: label.to_owned(),
            });
        }
        let mut bytes = [0; MAX_LABEL_BYTES];
        bytes[..label.len()].copy_from_slice(label.as_bytes());
        Ok(Self { bytes })
    }

    /// The label padded with NUL, as the superblock holds it.
    pub(crate) fn padded(&self) -> [u8; MAX_LABEL_BYTES] {
        self.bytes
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.bytes.iter().position(|&b| b == 0);
        let text = &self.bytes[..end.unwrap_or(MAX_LABEL_BYTES)];
        f.write_str(&String::from_utf8_lossy(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_fit_and_seventeen_do_not() {
        assert_eq!(
            Label::new("banger-work-disk").unwrap().to_string(),
            "banger-work-disk"
        );
        let refused = Label::new("banger-work-disks").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "volume label \"banger-work-disks\" has 17 bytes, at most 16 fit"
        );
    }

    #[test]
    fn a_nul_byte_is_refused() {
        assert!(matches!(Label::new("a\0b"), Err(LabelError::Nul { .. })));
    }
}
