//! Standard input, read by a thread that nothing waits for.

use std::io;
use std::thread;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::failure::{Failure, host_error};

/// Largest chunk, in bytes. It must fit one frame of the guest protocol.
const CHUNK: usize = 32 * 1024;
/// Chunks that may wait to be sent.
const QUEUE: usize = 4;

const _: () = assert!(CHUNK <= banger_guest::limits::MAX_FRAME);

/// Chunks of standard input; the channel ends where the input does.
///
/// # Errors
/// The thread cannot be started.
pub fn start() -> Result<mpsc::Receiver<Bytes>, Failure> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read(&sender))
        .map_err(|source| host_error("cannot start a thread", &source))?;
    Ok(receiver)
}

fn read(sender: &mpsc::Sender<Bytes>) {
    // Not through `Stdin`: we want what is there, without its buffer.
    let stdin = io::stdin();
    let mut chunk = vec![0; CHUNK];
    loop {
        match rustix::io::read(&stdin, &mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                let bytes = Bytes::copy_from_slice(&chunk[..count]);
                if sender.blocking_send(bytes).is_err() {
                    return;
                }
            }
            Err(Errno::INTR) => {}
            // Whoever shares this file with us has made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
                // A failed wait shows in the next read.
                let _ = poll(&mut ready, None);
            }
            // Input that cannot be read has ended: a terminal that is gone, a background job.
            Err(_ended) => return,
        }
    }
}
