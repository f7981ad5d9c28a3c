//! Every limit of the protocol, in one place. Both sides enforce them; neither relies on the other doing so.

use std::time::Duration;

/// Version of everything after the handshake record. Raised when an old peer could misread a message.
pub const PROTOCOL_VERSION: u16 = 1;

/// Name of the virtio-serial port, as the host's engine sets it and the guest finds it in `/sys/class/virtio-ports`.
pub const CHANNEL_NAME: &str = "banger.channel";

/// Largest JSON request, in bytes.
pub const MAX_REQUEST: usize = 1024 * 1024;
/// Largest `Configure` request, in bytes: it carries whole files.
pub const MAX_CONFIGURE: usize = 4 * 1024 * 1024;
/// Certificates of authorities in one list of a `Configure`.
pub const MAX_AUTHORITIES: usize = 1000;
/// Bytes of their texts together.
pub const MAX_AUTHORITIES_BYTES: usize = 2 * 1024 * 1024;
/// Largest JSON answer that the host accepts, in bytes.
pub const MAX_ANSWER: usize = 1024 * 1024;
/// Largest payload of one frame, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Bytes that the host skips while it looks for the answer to its hello: a guest may still have had them queued.
pub const MAX_HANDSHAKE_SKIP: usize = 8 * 1024 * 1024;
/// Time between two hellos to a guest that does not answer.
pub const HELLO_INTERVAL: Duration = Duration::from_millis(250);
/// The same for a guest that boots.
pub const BOOTING_HELLO_INTERVAL: Duration = Duration::from_secs(5);
/// Largest piece of one call that either side hands to yamux at once, in bytes (yamux' own default).
pub const SPLIT_SEND: usize = 16 * 1024;

/// Calls open at once over one channel.
pub const MAX_CALLS: usize = 64;
/// Receive window of one call, in bytes. yamux fixes the initial value; we do not let it grow, because the growth is
/// steered by round-trip times that a hostile guest can fake.
pub const CALL_WINDOW: usize = 256 * 1024;

/// Default deadline of one call that has no longer one by nature.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// Longest guest path, in bytes (`PATH_MAX` of Linux, with its NUL).
pub const MAX_GUEST_PATH: usize = 4095;
/// Longest single name in a path, in bytes (`NAME_MAX` of Linux).
pub const MAX_NAME: usize = 255;
/// Longest free text of a guest that goes into an error message, in characters. The rest is cut.
pub const MAX_GUEST_TEXT: usize = 500;

/// Bytes of standard input that a host sends beyond what the agent has reported as taken (`ExecRequest::reports`).
pub const STDIN_WINDOW: usize = 256 * 1024;
/// Time between `SIGTERM` and `SIGKILL` for a command that has had its time (`ExecRequest::timeout_ms`).
pub const TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// Bytes of a detached command's arguments that a list shows. The answer with all commands fits [`MAX_ANSWER`] with
/// them.
pub const MAX_SHOWN_ARGV: usize = 4096;
/// Commands in a guest's statistics.
pub const MAX_COMMAND_STATS: usize = 64;
/// Detached commands that a guest keeps: the running ones, and the newest of the ended ones.
pub const MAX_DETACHED: usize = 64;

/// Longest time in which a guest neither takes nor gives a byte of a file transfer before the host gives up.
pub const TRANSFER_STALL: Duration = Duration::from_secs(60);
/// Entries of one file transfer that the host accepts from a guest by default.
pub const MAX_TRANSFER_ENTRIES: u64 = 5_000_000;
/// Size of one extended tar header (long names), in bytes.
pub const MAX_TAR_EXTENSION: u64 = 64 * 1024;
/// Deepest directory nesting of one file transfer.
pub const MAX_TRANSFER_DEPTH: usize = 512;

/// Size of the manifest at the begin of `get_changes`, in bytes: two million files.
pub const MAX_MANIFEST: usize = 64 * 1024 * 1024;

/// Files of one `digest_files` or `remove_files`.
pub const MAX_TREE_FILES: usize = 2000;
/// Bytes of their names together: with every byte written as three characters they fit a request.
pub const MAX_TREE_NAMES: usize = 256 * 1024;
