//! Bytes to a standard stream, all of them, without a buffer.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Writes all bytes, also where whoever shares the file with us has made it non-blocking.
///
/// # Errors
/// Those of write(2).
pub fn write_fully(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn a_pipe_that_does_not_block_still_gets_every_byte() {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let reader = std::thread::spawn(move || {
            rustix::io::ioctl_fionbio(&from, false).unwrap();
            let mut bytes = Vec::new();
            std::fs::File::from(from).read_to_end(&mut bytes).unwrap();
            bytes
        });
        let sent = vec![7; 1024 * 1024];
        write_fully(&to, &sent).unwrap();
        drop(to);
        assert_eq!(reader.join().unwrap(), sent);
    }

    #[test]
    fn a_reader_that_is_gone_is_a_broken_pipe() {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(from);
        let error = write_fully(&to, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
