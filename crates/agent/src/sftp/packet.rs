//! The fields of packets: numbers are big-endian, strings have a length before them.

use std::io::{self, Read};

/// Largest packet, in bytes: what OpenSSH's own server takes.
pub const MAX_PACKET: usize = 256 * 1024;

/// A packet that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It ends inside a field.
    #[error("packet ends inside a field")]
    Truncated,
    /// A path has a NUL byte, which the kernel would take for its end.
    #[error("path contains a NUL byte")]
    Nul,
}

/// The fields of one packet, front to back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(PacketError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PacketError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, PacketError> {
        let bytes = self.take(4)?.try_into();
        bytes
            .map(u32::from_be_bytes)
            .or(Err(PacketError::Truncated))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PacketError> {
        let bytes = self.take(8)?.try_into();
        bytes
            .map(u64::from_be_bytes)
            .or(Err(PacketError::Truncated))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], PacketError> {
        let len = self.u32()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }
}

/// A packet that is being put together.
#[derive(Debug)]
pub(super) struct Reply(Vec<u8>);

impl Reply {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn string(mut self, bytes: &[u8]) -> Self {
        // What is sent here is bounded by what was read: a packet, a name, a piece of a file.
        self = self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// Length of the content so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts `number` where [`Reply::u32`] wrote one, `at` bytes behind the kind.
    pub(super) fn patch_u32(&mut self, at: usize, number: u32) {
        if let Some(place) = self.0.get_mut(5 + at..9 + at) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&len.to_be_bytes());
        self.0
    }
}

/// Reads one packet without its length; `None` where the input ends between two.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head[..1]) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    from.read_exact(&mut head[1..])?;
    let len = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if len == 0 || len > MAX_PACKET {
        return Err(io::Error::other(format!("packet of {len} bytes")));
    }
    let mut packet = vec![0; len];
    from.read_exact(&mut packet)?;
    Ok(Some(packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_not_there_is_refused_before_memory_is_taken() {
        let huge = u32::MAX.to_be_bytes();
        assert!(read(&mut &huge[..]).is_err());
        assert!(read(&mut &[0, 0, 0, 0][..]).is_err());
        assert!(read(&mut &[0, 0, 0, 2, 1][..]).is_err());
        assert_eq!(read(&mut &[][..]).unwrap(), None);
        assert_eq!(
            Fields(&[0, 0, 0, 9, 1]).string(),
            Err(PacketError::Truncated)
        );
    }
}
