//! One output stream of a command, read by a thread, so that a full pipe never stops the command.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    closed: bool,
}

/// Output of a stream so far, and its state.
#[derive(Debug)]
pub(crate) struct Capture {
    shared: Arc<(Mutex<Text>, Condvar)>,
}

impl Capture {
    /// Reads `stream` to its end in a thread of its own.
    pub(crate) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Text::default()), Condvar::new()));
        let filled = Arc::clone(&shared);
        thread::spawn(move || {
            let mut chunk = [0_u8; 16 * 1024];
            // An error means that there is no more to read; a pseudo-terminal ends with EIO.
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                locked(&filled.0).bytes.extend_from_slice(&chunk[..count]);
                filled.1.notify_all();
            }
            locked(&filled.0).closed = true;
            filled.1.notify_all();
        });
        Self { shared }
    }

    /// All output so far.
    pub(crate) fn so_far(&self) -> Vec<u8> {
        locked(&self.shared.0).bytes.clone()
    }

    /// Waits until `wanted` appears after the first `from` bytes, and returns the position of its end; `None` if the
    /// deadline passes or the stream ends first.
    pub(crate) fn wait_for(&self, wanted: &str, from: usize, due: Instant) -> Option<usize> {
        let wanted = wanted.as_bytes();
        let mut text = locked(&self.shared.0);
        loop {
            let unread = text.bytes.get(from..).unwrap_or_default();
            if let Some(at) = unread
                .windows(wanted.len().max(1))
                .position(|window| window == wanted)
            {
                return Some(from + at + wanted.len());
            }
            if text.closed {
                return None;
            }
            text = self.wait(text, due)?;
        }
    }

    /// Waits for the end of the stream; returns false after the deadline.
    pub(crate) fn closes_before(&self, due: Instant) -> bool {
        let mut text = locked(&self.shared.0);
        while !text.closed {
            text = match self.wait(text, due) {
                Some(text) => text,
                None => return false,
            };
        }
        true
    }

    fn wait<'a>(&self, text: MutexGuard<'a, Text>, due: Instant) -> Option<MutexGuard<'a, Text>> {
        let left = due.checked_duration_since(Instant::now())?;
        Some(
            self.shared
                .1
                .wait_timeout(text, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0,
        )
    }
}

/// A reader thread that panicked has still left valid bytes.
fn locked(text: &Mutex<Text>) -> MutexGuard<'_, Text> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}
