//! Memory that a Zstandard stream needs (RFC 8878, section 3.1.1.1), and its shares among several streams.
//!
//! Decoders keep a window. The usual ones take 8 MiB at most; a stream may ask for 128 MiB, and several at once would take
//! more memory than an image may: of those with large windows, one is unpacked at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// log2 of the largest window that any number of streams may have at once: RFC 8878 asks decoders to support it.
const USUAL: u32 = 23;
/// log2 of the largest window that is accepted: `zstd --ultra -22` needs it.
const LARGEST: u32 = 27;
/// The same in bytes.
pub(crate) const LARGEST_WINDOW: u64 = 1 << LARGEST;

static LARGE: Mutex<()> = Mutex::new(());

/// The window that a stream may have, as long as this lives.
#[derive(Debug)]
pub(crate) struct Window {
    /// log2 of its size in bytes.
    pub(crate) log: u32,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Window {
    /// For a stream that begins with `start`. Waits when it wants a large one and another stream has one.
    ///
    /// # Errors
    /// It wants a larger one than any stream gets: so many bytes.
    pub(crate) fn of(start: &[u8]) -> Result<Self, u64> {
        match wanted(start) {
            Some(bytes) if bytes > LARGEST_WINDOW => Err(bytes),
            Some(bytes) if bytes <= 1 << USUAL => Ok(Self {
                log: USUAL,
                _alone: None,
            }),
            _ => Ok(Self::largest()),
        }
    }

    /// The largest window, for a stream that may need it. Waits until no other stream has a large one.
    pub(crate) fn largest() -> Self {
        Self {
            log: LARGEST,
            _alone: Some(LARGE.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// The window that the first frame asks for, in bytes; `None` when that does not show.
fn wanted(start: &[u8]) -> Option<u64> {
    let frame = start.strip_prefix(&[0x28, 0xB5, 0x2F, 0xFD])?;
    let (&descriptor, rest) = frame.split_first()?;
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let &window = rest.first()?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let field = rest.get(dictionary..dictionary + size)?;
    let mut bytes = [0; 8];
    bytes[..size].copy_from_slice(field);
    // A field of two bytes counts from 256.
    Some(u64::from_le_bytes(bytes).saturating_add(if size == 2 { 256 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(bytes: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_window_of_a_stream_shows_in_its_first_bytes() {
        for log in [10, 17, 23, 25, 27] {
            assert_eq!(wanted(&packed(b"x", log)), Some(1 << log));
        }
        let whole = zstd::bulk::compress(&[7; 3000], 1).unwrap();
        assert_eq!(wanted(&whole), Some(3000));
        assert_eq!(wanted(b"\x28\xB5\x2F\xFD"), None);
        assert_eq!(wanted(b"no frame"), None);
    }

    #[test]
    fn only_one_large_window_is_given_at_a_time() {
        let large = Window::of(&packed(b"x", 25)).unwrap();
        assert_eq!(large.log, LARGEST);
        assert!(LARGE.try_lock().is_err());
        assert_eq!(Window::of(&packed(b"x", 23)).unwrap().log, USUAL);
        drop(large);
        assert_eq!(Window::of(b"").unwrap().log, LARGEST);
    }
}
