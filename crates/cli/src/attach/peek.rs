//! Standard input that is looked at before it is read.
//!
//! Input that a guest command does not read stays for the next reader: so `while read line; do banger exec …`
//! has all its lines. A pipe is copied without being read (tee(2)), a socket is peeked at, of a file the place is
//! moved.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, SeekFrom};
use rustix::net::{RecvFlags, SocketType};
use rustix::pipe::{PipeFlags, SpliceFlags};

/// Most bytes that are looked at in one go, at a socket or file.
const PIECE: usize = 64 * 1024;

/// Bytes behind those that have been seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
}

/// An input that can be looked at.
#[derive(Debug)]
pub struct Peek<F> {
    input: F,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// With a pipe of our own, which its content is copied to.
    Pipe {
        from: OwnedFd,
        to: OwnedFd,
    },
    Socket,
    File,
}

impl<F: AsFd> Peek<F> {
    /// Of what can be looked at; gives back what cannot: a terminal, a device.
    pub fn new(input: F) -> Result<Self, F> {
        match kind_of(&input) {
            Some(kind) => Ok(Self { input, kind }),
            None => Err(input),
        }
    }

    /// Descriptor to wait at for more; a file has all that it will have.
    pub fn waits(&self) -> Option<&F> {
        (!matches!(self.kind, Kind::File)).then_some(&self.input)
    }

    /// Returns at most `limit` of the bytes behind the first `seen` that are not read yet.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn behind(&mut self, seen: usize, limit: usize) -> io::Result<Look> {
        let bytes = match &self.kind {
            Kind::Pipe { .. } => self.behind_in_pipe(seen, limit)?,
            Kind::Socket => {
                let mut bytes = vec![0; seen + limit.min(PIECE)];
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                let count = match rustix::net::recv(&self.input, &mut bytes[..], flags) {
                    Ok((count, _)) => count,
                    Err(rustix::io::Errno::AGAIN) => return Ok(Look::Nothing),
                    Err(error) => return Err(error.into()),
                };
                bytes.truncate(count);
                bytes.split_off(seen.min(count))
            }
            Kind::File => {
                let place = rustix::fs::tell(&self.input)?;
                let mut bytes = vec![0; limit.min(PIECE)];
                let count = rustix::io::pread(&self.input, &mut bytes, place + seen as u64)?;
                bytes.truncate(count);
                bytes
            }
        };
        if !bytes.is_empty() {
            return Ok(Look::Bytes(bytes));
        }
        match self.is_over(seen)? {
            true => Ok(Look::End),
            false => Ok(Look::Nothing),
        }
    }

    /// The pipe's content is copied from its beginning, as that is what tee(2) does.
    fn behind_in_pipe(&self, seen: usize, limit: usize) -> io::Result<Vec<u8>> {
        let Kind::Pipe { from, to } = &self.kind else {
            return Ok(Vec::new());
        };
        if self.unread()? <= seen as u64 {
            return Ok(Vec::new());
        }
        if let (Ok(theirs), Ok(ours)) = (
            rustix::pipe::fcntl_getpipe_size(&self.input),
            rustix::pipe::fcntl_getpipe_size(to),
        ) && theirs > ours
        {
            // Where ours may not grow, less is seen at once.
            let _ = rustix::pipe::fcntl_setpipe_size(to, theirs);
        }
        let copied = match rustix::pipe::tee(&self.input, to, seen + limit, SpliceFlags::NONBLOCK) {
            Ok(copied) => copied,
            Err(rustix::io::Errno::AGAIN) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = vec![0; copied];
        let mut filled = 0;
        while filled < copied {
            filled += rustix::io::read(from, &mut bytes[filled..])?;
        }
        Ok(bytes.split_off(seen.min(copied)))
    }

    /// Nothing comes behind the first `seen` bytes any more.
    fn is_over(&self, seen: usize) -> io::Result<bool> {
        if matches!(self.kind, Kind::File) {
            return Ok(true);
        }
        let mut ready = [PollFd::new(&self.input, PollFlags::IN | PollFlags::RDHUP)];
        poll(&mut ready, Some(&Timespec::default()))?;
        let ended = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
        // Looked at behind that: the last bytes may have come in between.
        Ok(ready[0].revents().intersects(ended) && self.unread()? <= seen as u64)
    }

    fn unread(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.input)?)
    }

    /// Reads so many bytes that were seen.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn read(&mut self, mut count: u64) -> io::Result<()> {
        if matches!(self.kind, Kind::File) {
            let count = i64::try_from(count).map_err(io::Error::other)?;
            rustix::fs::seek(&self.input, SeekFrom::Current(count))?;
            return Ok(());
        }
        let mut bytes = vec![0; PIECE];
        while count > 0 {
            // Somebody else who reads here may have taken them: then nothing is waited for.
            let there = self.unread()?.min(count).min(PIECE as u64);
            let there = usize::try_from(there).unwrap_or(PIECE);
            if there == 0 {
                return Ok(());
            }
            count -= rustix::io::read(&self.input, &mut bytes[..there])? as u64;
        }
        Ok(())
    }
}

fn kind_of(input: impl AsFd) -> Option<Kind> {
    let stat = rustix::fs::fstat(&input).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => {
            let (from, to) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
            Some(Kind::Pipe { from, to })
        }
        FileType::Socket => {
            let stream = rustix::net::sockopt::socket_type(&input) == Ok(SocketType::STREAM);
            stream.then_some(Kind::Socket)
        }
        FileType::RegularFile => rustix::fs::tell(&input).ok().map(|_| Kind::File),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    fn bytes(text: &str) -> Look {
        Look::Bytes(text.as_bytes().to_vec())
    }

    /// The same of each kind: what was seen and not read is there for the next reader.
    fn sees_and_leaves<F: AsFd>(mut peek: Peek<F>, write: &mut dyn FnMut(&str)) -> Peek<F> {
        write("one\n");
        assert_eq!(peek.behind(0, 100).unwrap(), bytes("one\n"));
        write("two\n");
        assert_eq!(peek.behind(4, 100).unwrap(), bytes("two\n"));
        assert_eq!(peek.behind(4, 2).unwrap(), bytes("tw"));
        peek.read(4).unwrap();
        assert_eq!(peek.behind(0, 100).unwrap(), bytes("two\n"));
        peek
    }

    #[test]
    fn a_pipe_is_seen_without_being_read() {
        let (mut from, mut to) = std::io::pipe().unwrap();
        let peek = Peek::new(from.try_clone().unwrap()).unwrap();
        let mut peek = sees_and_leaves(peek, &mut |text| to.write_all(text.as_bytes()).unwrap());
        assert_eq!(peek.behind(4, 100).unwrap(), Look::Nothing);
        drop(to);
        assert_eq!(peek.behind(4, 100).unwrap(), Look::End);
        let mut left = String::new();
        from.read_to_string(&mut left).unwrap();
        assert_eq!(left, "two\n");
    }

    #[test]
    fn a_socket_is_seen_without_being_read() {
        let (mut from, mut to) = std::os::unix::net::UnixStream::pair().unwrap();
        let peek = Peek::new(from.try_clone().unwrap()).unwrap();
        let mut peek = sees_and_leaves(peek, &mut |text| to.write_all(text.as_bytes()).unwrap());
        assert_eq!(peek.behind(4, 100).unwrap(), Look::Nothing);
        to.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(peek.behind(4, 100).unwrap(), Look::End);
        let mut left = String::new();
        from.read_to_string(&mut left).unwrap();
        assert_eq!(left, "two\n");
    }

    #[test]
    fn a_file_is_read_from_where_it_stands_to_where_it_was_taken() {
        let mut file = tempfile::tempfile().unwrap();
        let mut to = file.try_clone().unwrap();
        to.write_all(b"before").unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let mut writer = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        let peek = Peek::new(file.try_clone().unwrap()).unwrap();
        let mut peek =
            sees_and_leaves(peek, &mut |text| writer.write_all(text.as_bytes()).unwrap());
        assert_eq!(peek.behind(4, 100).unwrap(), Look::End);
        assert_eq!(file.stream_position().unwrap(), 10);
        let mut left = String::new();
        file.read_to_string(&mut left).unwrap();
        assert_eq!(left, "two\n");
    }

    #[test]
    fn a_full_pipe_is_seen_whole_whatever_its_size() {
        for size in [4096, 65_536, 1 << 20] {
            let (from, mut to) = std::io::pipe().unwrap();
            let size = rustix::pipe::fcntl_setpipe_size(&to, size).unwrap();
            let sent: Vec<u8> = (0..=255).cycle().take(size).collect();
            to.write_all(&sent).unwrap();
            let mut peek = Peek::new(from).unwrap();
            let Look::Bytes(seen) = peek.behind(0, size).unwrap() else {
                panic!("nothing of {size}");
            };
            assert!(seen == sent, "{} of {size}", seen.len());
        }
    }

    #[test]
    fn bytes_that_somebody_else_has_taken_are_not_waited_for() {
        let (mut from, mut to) = std::io::pipe().unwrap();
        to.write_all(b"one").unwrap();
        let mut peek = Peek::new(from.try_clone().unwrap()).unwrap();
        assert_eq!(peek.behind(0, 10).unwrap(), bytes("one"));
        from.read_exact(&mut [0; 2]).unwrap();
        peek.read(3).unwrap();
        assert_eq!(peek.behind(0, 10).unwrap(), Look::Nothing);
    }

    #[test]
    fn a_device_cannot_be_looked_at() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(Peek::new(null).is_err());
    }
}
