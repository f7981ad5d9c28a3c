//! Requests in, replies out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, ReadDir};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::attributes::{Attributes, long_name};
use super::packet::{self, MAX_PACKET, PacketError, Reply};
use super::request::Request;

/// Handles open at once: files and directories.
const MAX_HANDLES: usize = 512;
/// Bytes read or written by one request.
const MAX_PIECE: u32 = 255 * 1024;
/// Names in one answer, and the bytes after which no more are added.
const MAX_NAMES: usize = 100;
const NAMES_BYTES: usize = 64 * 1024;

const VERSION: u32 = 3;
const EXTENSIONS: [(&[u8], &[u8]); 6] = [
    (b"posix-rename@openssh.com", b"1"),
    (b"hardlink@openssh.com", b"1"),
    (b"lsetstat@openssh.com", b"1"),
    (b"fsync@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"limits@openssh.com", b"1"),
];

mod kind {
    pub const VERSION: u8 = 2;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED_REPLY: u8 = 201;
}

mod status {
    pub const OK: u32 = 0;
    pub const EOF: u32 = 1;
    pub const NO_SUCH_FILE: u32 = 2;
    pub const PERMISSION_DENIED: u32 = 3;
    pub const FAILURE: u32 = 4;
    pub const BAD_MESSAGE: u32 = 5;
    pub const UNSUPPORTED: u32 = 8;
}

/// Cause of a refusal.
enum Refusal {
    Io(io::Error),
    Eof,
    BadHandle,
    Unsupported,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Serves one client until it is gone.
///
/// # Errors
/// The client sends what is no packet, or the streams fail.
pub fn serve(from: impl Read, to: impl Write) -> io::Result<()> {
    let mut from = BufReader::with_capacity(MAX_PACKET, from);
    let mut to = BufWriter::with_capacity(MAX_PACKET, to);
    let mut server = Server::default();
    while let Some(packet) = packet::read(&mut from)? {
        to.write_all(&server.answer(&packet).into_bytes())?;
        // A client that has sent more already waits for all of it.
        if from.buffer().is_empty() {
            to.flush()?;
        }
    }
    to.flush()
}

enum Open {
    File(File),
    Dir {
        path: PathBuf,
        /// `.` and `..` come first.
        dots: bool,
        entries: ReadDir,
        /// One that did not fit.
        left: Option<Vec<u8>>,
    },
}

#[derive(Default)]
struct Server {
    open: HashMap<u32, Open>,
    next: u32,
}

impl Server {
    fn answer(&mut self, packet: &[u8]) -> Reply {
        match Request::parse(packet) {
            Ok((_version, Request::Init)) => {
                let mut reply = Reply::new(kind::VERSION).u32(VERSION);
                for (name, version) in EXTENSIONS {
                    reply = reply.string(name).string(version);
                }
                reply
            }
            Ok((id, request)) => match self.serve(id, request) {
                Ok(reply) => reply,
                Err(refusal) => refused(id, &refusal),
            },
            Err(error @ (PacketError::Truncated | PacketError::Nul)) => {
                let id = packet.get(1..5).and_then(|id| id.try_into().ok());
                let id = id.map_or(0, u32::from_be_bytes);
                told(id, status::BAD_MESSAGE, &error.to_string())
            }
        }
    }

    fn serve(&mut self, id: u32, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Open {
                path,
                flags,
                attributes,
            } => {
                let file = open(&path, flags, &attributes)?;
                self.keep(id, Open::File(file))
            }
            Request::OpenDir(path) => {
                let entries = fs::read_dir(&path)?;
                let dir = Open::Dir {
                    path,
                    dots: true,
                    entries,
                    left: None,
                };
                self.keep(id, dir)
            }
            Request::Close(handle) => {
                let number = number(&handle)?;
                self.open.remove(&number).ok_or(Refusal::BadHandle)?;
                Ok(done(id))
            }
            Request::Read {
                handle,
                offset,
                len,
            } => {
                let mut bytes = vec![0; usize::try_from(len.min(MAX_PIECE)).unwrap_or(0)];
                let read = read_at(self.file(&handle)?, &mut bytes, offset)?;
                if read == 0 {
                    return Err(Refusal::Eof);
                }
                Ok(Reply::new(kind::DATA).u32(id).string(&bytes[..read]))
            }
            Request::Write {
                handle,
                offset,
                bytes,
            } => {
                self.file(&handle)?.write_all_at(&bytes, offset)?;
                Ok(done(id))
            }
            Request::FStat(handle) => {
                let meta = self.file(&handle)?.metadata()?;
                Ok(Attributes::of(&meta).append(Reply::new(kind::ATTRS).u32(id)))
            }
            Request::FSetStat(handle, attributes) => {
                set_open(self.file(&handle)?, &attributes)?;
                Ok(done(id))
            }
            Request::FSync(handle) => {
                self.file(&handle)?.sync_all()?;
                Ok(done(id))
            }
            Request::ReadDir(handle) => self.names(id, &handle),
            other => on_path(id, other),
        }
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Reply, Refusal> {
        if self.open.len() >= MAX_HANDLES {
            return Err(Errno::MFILE.into());
        }
        self.next = self.next.wrapping_add(1);
        self.open.insert(self.next, open);
        let handle = self.next.to_be_bytes();
        Ok(Reply::new(kind::HANDLE).u32(id).string(&handle))
    }

    fn file(&self, handle: &[u8]) -> Result<&File, Refusal> {
        match self.open.get(&number(handle)?) {
            Some(Open::File(file)) => Ok(file),
            _ => Err(Refusal::BadHandle),
        }
    }

    fn names(&mut self, id: u32, handle: &[u8]) -> Result<Reply, Refusal> {
        let number = number(handle)?;
        let Some(Open::Dir {
            path,
            dots,
            entries,
            left,
        }) = self.open.get_mut(&number)
        else {
            return Err(Refusal::BadHandle);
        };
        let mut names: Vec<Vec<u8>> = left.take().into_iter().collect();
        if std::mem::take(dots) {
            names.extend([b".".to_vec(), b"..".to_vec()]);
        }
        let mut reply = Reply::new(kind::NAME).u32(id).u32(0);
        let mut count = 0;
        loop {
            let name = match names.pop() {
                Some(name) => name,
                None => match entries.next() {
                    Some(entry) => entry?.file_name().as_bytes().to_vec(),
                    None => break,
                },
            };
            // What is gone by now is not listed.
            let Ok(meta) = fs::symlink_metadata(path.join(OsStr::from_bytes(&name))) else {
                continue;
            };
            reply = reply.string(&name).string(&long_name(&name, &meta));
            reply = Attributes::of(&meta).append(reply);
            count += 1;
            if names.is_empty() && (count as usize >= MAX_NAMES || reply.len() >= NAMES_BYTES) {
                break;
            }
        }
        if count == 0 {
            return Err(Refusal::Eof);
        }
        reply.patch_u32(4, count);
        Ok(reply)
    }
}

/// Requests that name a path and need no handle.
fn on_path(id: u32, request: Request) -> Result<Reply, Refusal> {
    match request {
        Request::Stat { path, follow } => {
            let meta = if follow {
                fs::metadata(path)?
            } else {
                fs::symlink_metadata(path)?
            };
            return Ok(Attributes::of(&meta).append(Reply::new(kind::ATTRS).u32(id)));
        }
        Request::RealPath(path) => return Ok(one_name(id, &real_path(&path)?)),
        Request::ReadLink(path) => return Ok(one_name(id, &fs::read_link(path)?)),
        Request::StatVfs(path) => return stat_vfs(id, &path),
        Request::Limits => {
            let packet = MAX_PACKET as u64;
            let reply = Reply::new(kind::EXTENDED_REPLY).u32(id).u64(packet);
            let reply = reply.u64(MAX_PIECE.into()).u64(MAX_PIECE.into());
            return Ok(reply.u64(MAX_HANDLES as u64));
        }
        Request::SetStat {
            path,
            attributes,
            follow,
        } => set(&path, &attributes, follow)?,
        Request::Remove(path) => fs::remove_file(path)?,
        Request::RmDir(path) => fs::remove_dir(path)?,
        Request::MkDir(path, attributes) => {
            let mode = attributes.permissions.unwrap_or(0o777) & 0o7777;
            fs::DirBuilder::new().mode(mode).create(path)?;
        }
        Request::Rename { from, to, replace } => {
            let flags = if replace {
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            rustix::fs::renameat_with(CWD, &from, CWD, &to, flags)?;
        }
        Request::SymLink { target, path } => std::os::unix::fs::symlink(target, path)?,
        Request::HardLink { from, to } => fs::hard_link(from, to)?,
        _ => return Err(Refusal::Unsupported),
    }
    Ok(done(id))
}

/// `SSH_FXF_*` to open(2).
fn open(path: &Path, flags: u32, attributes: &Attributes) -> Result<File, Refusal> {
    let mut how = match flags & 3 {
        1 => OFlags::RDONLY,
        2 => OFlags::WRONLY,
        3 => OFlags::RDWR,
        _ => return Err(Errno::INVAL.into()),
    };
    for (bit, flag) in [
        (4, OFlags::APPEND),
        (8, OFlags::CREATE),
        (16, OFlags::TRUNC),
        (32, OFlags::EXCL),
    ] {
        if flags & bit != 0 {
            how |= flag;
        }
    }
    let mode = Mode::from_raw_mode(attributes.permissions.unwrap_or(0o666) & 0o7777);
    let file = rustix::fs::open(path, how | OFlags::CLOEXEC | OFlags::NOCTTY, mode)?;
    Ok(File::from(file))
}

/// As much as there is, which a fifo gives in pieces.
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if read > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn times((accessed, changed): (u32, u32)) -> Timestamps {
    let at = |seconds: u32| Timespec {
        tv_sec: seconds.into(),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: at(accessed),
        last_modification: at(changed),
    }
}

/// In the order of OpenSSH's server.
fn set(path: &Path, attributes: &Attributes, follow: bool) -> Result<(), Refusal> {
    let at = if follow {
        AtFlags::empty()
    } else {
        AtFlags::SYMLINK_NOFOLLOW
    };
    let is_link = || fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    if let Some(size) = attributes.size {
        File::options().write(true).open(path)?.set_len(size)?;
    }
    if let Some(mode) = attributes.permissions
        // Links have no permissions on Linux.
        && (follow || !is_link())
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(both) = attributes.times {
        rustix::fs::utimensat(CWD, path, &times(both), at)?;
    }
    if let Some((uid, gid)) = attributes.owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), at)?;
    }
    Ok(())
}

fn set_open(file: &File, attributes: &Attributes) -> Result<(), Refusal> {
    if let Some(size) = attributes.size {
        file.set_len(size)?;
    }
    if let Some(mode) = attributes.permissions {
        file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(both) = attributes.times {
        rustix::fs::futimens(file, &times(both))?;
    }
    if let Some((uid, gid)) = attributes.owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// The last name need not exist: clients ask before they make it.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            Ok(fs::canonicalize(folder)?.join(name))
        }
        other => other,
    }
}

fn stat_vfs(id: u32, path: &Path) -> Result<Reply, Refusal> {
    let stat = rustix::fs::statvfs(path)?;
    let read_only = stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    let no_suid = stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID);
    let flags = u64::from(read_only) | u64::from(no_suid) << 1;
    let fields = [
        stat.f_bsize,
        stat.f_frsize,
        stat.f_blocks,
        stat.f_bfree,
        stat.f_bavail,
        stat.f_files,
        stat.f_ffree,
        stat.f_favail,
        stat.f_fsid,
        flags,
        stat.f_namemax,
    ];
    Ok(fields
        .into_iter()
        .fold(Reply::new(kind::EXTENDED_REPLY).u32(id), Reply::u64))
}

fn one_name(id: u32, path: &Path) -> Reply {
    let name = path.as_os_str().as_bytes();
    let reply = Reply::new(kind::NAME).u32(id).u32(1);
    Attributes::default().append(reply.string(name).string(name))
}

fn number(handle: &[u8]) -> Result<u32, Refusal> {
    let number = handle.try_into().map(u32::from_be_bytes);
    number.or(Err(Refusal::BadHandle))
}

fn done(id: u32) -> Reply {
    told(id, status::OK, "done")
}

fn told(id: u32, code: u32, text: &str) -> Reply {
    let reply = Reply::new(kind::STATUS).u32(id).u32(code);
    reply.string(text.as_bytes()).string(b"en")
}

fn refused(id: u32, refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Eof => told(id, status::EOF, "end of file"),
        Refusal::BadHandle => told(id, status::FAILURE, "no such handle"),
        Refusal::Unsupported => told(id, status::UNSUPPORTED, "not supported"),
        Refusal::Io(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => status::NO_SUCH_FILE,
                io::ErrorKind::PermissionDenied => status::PERMISSION_DENIED,
                _ => status::FAILURE,
            };
            told(id, code, &error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
