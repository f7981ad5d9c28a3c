//! Values of secrets on their way to a network process: memory without a name, which goes along as a descriptor.
//!
//! ```text
//! "banger secrets 1\n"   count   length bytes   …      values, in the order of the uses; a length of 0: there is none
//!                        count   length bytes   …      certificates of the authorities that the host trusts, in DER
//! ```
//!
//! Numbers are 32 bits, little-endian. So no value is ever a part of a message, which others keep, print or cut into pieces.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;

use banger_secret::SecretValue;
use rustix::fs::MemfdFlags;
use zeroize::Zeroizing;

use crate::ControlError;

/// Longest handover, bytes: all authorities of a host fit many times.
pub const HANDOVER_MAX_BYTES: usize = 4 << 20;
const BEGIN: &[u8] = b"banger secrets 1\n";
/// Most values, and most authorities.
const COUNT_MAX: usize = 10_000;

/// Values of secrets, and the authorities by which their hosts are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handover {
    /// The values, in the order of the uses that they are for; `None` where there is none.
    pub values: Vec<Option<SecretValue>>,
    /// Certificates of authorities, in DER.
    pub authorities: Vec<Vec<u8>>,
}

impl Handover {
    /// Writes it into memory that only the holders of the descriptor see.
    ///
    /// # Errors
    /// The kernel's, or [`ControlError::TooLong`].
    pub fn to_memory(&self) -> Result<OwnedFd, ControlError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.length()));
        bytes.extend_from_slice(BEGIN);
        let values = self.values.iter();
        let values = values.map(|one| one.as_ref().map_or(&[][..], SecretValue::expose));
        put(&mut bytes, self.values.len(), values);
        let authorities = self.authorities.iter().map(Vec::as_slice);
        put(&mut bytes, self.authorities.len(), authorities);
        if bytes.len() > HANDOVER_MAX_BYTES {
            return Err(ControlError::TooLong {
                max: HANDOVER_MAX_BYTES,
            });
        }
        let memory = rustix::fs::memfd_create("banger", MemfdFlags::CLOEXEC)
            .map_err(std::io::Error::from)?;
        let mut file = File::from(memory);
        file.write_all(&bytes)?;
        Ok(file.into())
    }

    /// Bytes of it, so that no copy of a part is left behind by growing.
    fn length(&self) -> usize {
        let values = self.values.iter().flatten().map(|one| one.expose().len());
        let authorities = self.authorities.iter().map(Vec::len);
        let content: usize = values.chain(authorities).sum();
        BEGIN.len() + content + 4 * (2 + self.values.len() + self.authorities.len())
    }

    /// Reads what [`Self::to_memory`] has written.
    ///
    /// # Errors
    /// [`ControlError::Handover`]: it is none; the kernel's.
    pub fn of_memory(memory: OwnedFd) -> Result<Self, ControlError> {
        let mut file = File::from(memory);
        file.seek(SeekFrom::Start(0))?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if length > HANDOVER_MAX_BYTES {
            return Err(ControlError::TooLong {
                max: HANDOVER_MAX_BYTES,
            });
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        file.read_exact(&mut bytes)?;
        let mut left = bytes.strip_prefix(BEGIN).ok_or(ControlError::Handover)?;
        let values = take(&mut left).ok_or(ControlError::Handover)?;
        let authorities = take(&mut left).ok_or(ControlError::Handover)?;
        let value = |bytes: &&[u8]| match bytes.is_empty() {
            true => Ok(None),
            false => {
                let value = SecretValue::new(Zeroizing::new(bytes.to_vec()));
                value.map(Some).map_err(|_told| ControlError::Handover)
            }
        };
        Ok(Self {
            values: values.iter().map(value).collect::<Result<_, _>>()?,
            authorities: authorities.iter().map(|bytes| bytes.to_vec()).collect(),
        })
    }
}

fn put<'a>(to: &mut Vec<u8>, count: usize, parts: impl Iterator<Item = &'a [u8]>) {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    to.extend_from_slice(&number(count));
    for part in parts {
        to.extend_from_slice(&number(part.len()));
        to.extend_from_slice(part);
    }
}

fn take<'a>(left: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let count = number(left).filter(|count| *count <= COUNT_MAX)?;
    let parts = (0..count).map(|_| {
        let length = number(left)?;
        let (part, rest) = left.split_at_checked(length)?;
        *left = rest;
        Some(part)
    });
    parts.collect()
}

fn number(left: &mut &[u8]) -> Option<usize> {
    let (digits, rest) = left.split_first_chunk::<4>()?;
    *left = rest;
    usize::try_from(u32::from_le_bytes(*digits)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn memory(bytes: &[u8]) -> OwnedFd {
        let memory = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(memory);
        file.write_all(bytes).unwrap();
        file.into()
    }

    #[test]
    fn what_is_handed_over_arrives_and_damage_is_seen() {
        let value = SecretValue::new(Zeroizing::new(b"sk-123".to_vec())).unwrap();
        let given = Handover {
            values: vec![Some(value), None],
            authorities: vec![vec![0x30, 0], vec![1; 2000]],
        };
        let written = given.to_memory().unwrap();
        assert_eq!(Handover::of_memory(written).unwrap(), given);
        let mut whole = Vec::new();
        let mut file = File::from(given.to_memory().unwrap());
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut whole).unwrap();
        assert_eq!(whole.len(), given.length());
        for end in (0..whole.len()).step_by(7) {
            let cut = Handover::of_memory(memory(&whole[..end]));
            assert!(cut.is_err(), "{end}");
        }
        let mut many = BEGIN.to_vec();
        many.extend([0xff; 4]);
        assert!(Handover::of_memory(memory(&many)).is_err());
        assert!(Handover::of_memory(memory(b"")).is_err());
    }
}
