//! Settings of yamux, the same on both sides.

use futures::io::{AsyncRead, AsyncWrite, BufReader, BufWriter};
use yamux::Config;

use crate::limits::{CALL_WINDOW, MAX_CALLS, SPLIT_SEND};

/// Calls that yamux counts: the open ones, and dropped ones whose end could not be sent yet. A peer that has stopped
/// reading for so many calls is given up.
const KNOWN_CALLS: usize = MAX_CALLS * 2;

/// The settings of both sides. Windows do not grow, see [`CALL_WINDOW`].
#[must_use]
pub fn config() -> Config {
    let mut config = Config::default();
    // In this order: the setters check that the windows of all streams fit.
    config.set_max_num_streams(KNOWN_CALLS);
    config.set_max_connection_receive_window(Some(KNOWN_CALLS * CALL_WINDOW));
    config.set_split_send_size(SPLIT_SEND);
    config
}

/// Buffers both directions. yamux writes headers and bodies apart and reads headers alone; on a virtio-serial port
/// each write waits for the host to take it, so a frame has to be one write.
pub fn buffered<S: AsyncRead + AsyncWrite>(socket: S) -> BufReader<BufWriter<S>> {
    BufReader::with_capacity(
        4 * SPLIT_SEND,
        BufWriter::with_capacity(2 * SPLIT_SEND, socket),
    )
}
