//! Requests as types.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::attributes::Attributes;
use super::packet::{Fields, PacketError};

/// A path of a client; an empty one means the working directory.
pub type Path = PathBuf;

/// Request of a client, behind the number by which it knows the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The client's version.
    Init,
    /// Open a file.
    Open {
        /// The path.
        path: Path,
        /// `SSH_FXF_*`.
        flags: u32,
        /// Of a file that is made.
        attributes: Attributes,
    },
    /// Forget a handle.
    Close(Vec<u8>),
    /// Read a piece of a file.
    Read {
        /// The file.
        handle: Vec<u8>,
        /// From this byte.
        offset: u64,
        /// At most so many bytes.
        len: u32,
    },
    /// Write a piece of a file.
    Write {
        /// The file.
        handle: Vec<u8>,
        /// From this byte.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Attributes of a path.
    Stat {
        /// The path.
        path: Path,
        /// True for the target of a link, false for the link itself.
        follow: bool,
    },
    /// Attributes of an open file.
    FStat(Vec<u8>),
    /// Change what is there.
    SetStat {
        /// The path.
        path: Path,
        /// To this.
        attributes: Attributes,
        /// True for the target of a link, false for the link itself.
        follow: bool,
    },
    /// Change what is open there.
    FSetStat(Vec<u8>, Attributes),
    /// Open a directory.
    OpenDir(Path),
    /// The next names of a directory.
    ReadDir(Vec<u8>),
    /// Remove a file.
    Remove(Path),
    /// Make a directory.
    MkDir(Path, Attributes),
    /// Remove an empty directory.
    RmDir(Path),
    /// The absolute path.
    RealPath(Path),
    /// Give another name.
    Rename {
        /// The old one.
        from: Path,
        /// The new one.
        to: Path,
        /// True to replace what has the new name.
        replace: bool,
    },
    /// Target of a link.
    ReadLink(Path),
    /// Make a link.
    SymLink {
        /// Its target.
        target: Path,
        /// Its path.
        path: Path,
    },
    /// Make a second name.
    HardLink {
        /// Of this.
        from: Path,
        /// This one.
        to: Path,
    },
    /// Write a file to the disk.
    FSync(Vec<u8>),
    /// Space of the file system.
    StatVfs(Path),
    /// Limits of the server.
    Limits,
    /// Something else.
    Unknown,
}

impl Request {
    /// Reads a packet: the client's number, and what it wants.
    ///
    /// # Errors
    /// It is no packet.
    pub fn parse(packet: &[u8]) -> Result<(u32, Self), PacketError> {
        let mut fields = Fields(packet);
        let kind = fields.u8()?;
        let id = fields.u32()?;
        let fields = &mut fields;
        let request = match kind {
            1 => Self::Init,
            3 => Self::Open {
                path: path(fields)?,
                flags: fields.u32()?,
                attributes: Attributes::parse(fields)?,
            },
            4 => Self::Close(bytes(fields)?),
            5 => Self::Read {
                handle: bytes(fields)?,
                offset: fields.u64()?,
                len: fields.u32()?,
            },
            6 => Self::Write {
                handle: bytes(fields)?,
                offset: fields.u64()?,
                bytes: bytes(fields)?,
            },
            7 | 17 => Self::Stat {
                path: path(fields)?,
                follow: kind == 17,
            },
            8 => Self::FStat(bytes(fields)?),
            9 => Self::SetStat {
                path: path(fields)?,
                attributes: Attributes::parse(fields)?,
                follow: true,
            },
            10 => Self::FSetStat(bytes(fields)?, Attributes::parse(fields)?),
            11 => Self::OpenDir(path(fields)?),
            12 => Self::ReadDir(bytes(fields)?),
            13 => Self::Remove(path(fields)?),
            14 => Self::MkDir(path(fields)?, Attributes::parse(fields)?),
            15 => Self::RmDir(path(fields)?),
            16 => Self::RealPath(path(fields)?),
            18 => Self::Rename {
                from: path(fields)?,
                to: path(fields)?,
                replace: false,
            },
            19 => Self::ReadLink(path(fields)?),
            20 => Self::SymLink {
                target: path(fields)?,
                path: path(fields)?,
            },
            200 => extended(fields)?,
            _ => Self::Unknown,
        };
        Ok((id, request))
    }
}

/// OpenSSH's extensions that [`super::server`] offers.
fn extended(fields: &mut Fields<'_>) -> Result<Request, PacketError> {
    Ok(match fields.string()? {
        b"posix-rename@openssh.com" => Request::Rename {
            from: path(fields)?,
            to: path(fields)?,
            replace: true,
        },
        b"hardlink@openssh.com" => Request::HardLink {
            from: path(fields)?,
            to: path(fields)?,
        },
        b"lsetstat@openssh.com" => Request::SetStat {
            path: path(fields)?,
            attributes: Attributes::parse(fields)?,
            follow: false,
        },
        b"fsync@openssh.com" => Request::FSync(bytes(fields)?),
        b"statvfs@openssh.com" => Request::StatVfs(path(fields)?),
        b"limits@openssh.com" => Request::Limits,
        _ => Request::Unknown,
    })
}

fn bytes(fields: &mut Fields<'_>) -> Result<Vec<u8>, PacketError> {
    fields.string().map(<[u8]>::to_vec)
}

fn path(fields: &mut Fields<'_>) -> Result<Path, PacketError> {
    let bytes = fields.string()?;
    if bytes.contains(&0) {
        return Err(PacketError::Nul);
    }
    let bytes = if bytes.is_empty() { b"." } else { bytes };
    Ok(OsString::from_vec(bytes.to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_ends_early_is_refused_at_every_byte() {
        let mut packet = vec![6, 0, 0, 0, 7, 0, 0, 0, 1, b'h'];
        packet.extend_from_slice(&5_u64.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 2, 1, 2]);
        let whole = Request::Write {
            handle: b"h".to_vec(),
            offset: 5,
            bytes: vec![1, 2],
        };
        assert_eq!(Request::parse(&packet), Ok((7, whole)));
        for end in 0..packet.len() {
            let parsed = Request::parse(&packet[..end]);
            assert_eq!(parsed, Err(PacketError::Truncated), "{end}");
        }
    }

    #[test]
    fn a_path_cannot_end_early_by_a_nul() {
        let packet = [13, 0, 0, 0, 1, 0, 0, 0, 3, b'a', 0, b'b'];
        assert_eq!(Request::parse(&packet), Err(PacketError::Nul));
    }
}
