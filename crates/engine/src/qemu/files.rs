//! The names of QEMU's files in a VM's folder. Sockets are passed to QEMU relative to that folder, so that its path may be long.

use std::ffi::OsStr;

use crate::LaunchToken;

pub(super) const CONTROL_SOCKET: &str = "control.sock";
pub(super) const CHANNEL_SOCKET: &str = "channel.sock";
pub(super) const PID_FILE: &str = "vmm.pid";
pub(super) const LOG: &str = "vmm.log";
/// QEMU adds `.in` and `.out`.
pub(super) const EVENTS: &str = "events";
pub(super) const EVENTS_IN: &str = "events.in";
pub(super) const EVENTS_OUT: &str = "events.out";
/// File with the token of the launch that the other files belong to.
pub(super) const LAUNCH: &str = "launch";

/// The id of the channel's character device.
pub(super) const CHANNEL_ID: &str = "channel";

/// Begin of the id of the monitor's character device.
const CONTROL_CHARDEV: &str = "control-";

/// File with the directory of the VMM's control group, which lies outside of the folder and goes with it.
pub(super) const GROUP: &str = "group";

/// Every file that a launch leaves in its folder.
pub(super) const ALL: [&str; 7] = [
    CONTROL_SOCKET,
    CHANNEL_SOCKET,
    PID_FILE,
    LOG,
    EVENTS_IN,
    EVENTS_OUT,
    LAUNCH,
];

/// Id of the monitor's character device: it brings the launch token onto the command line.
pub(super) fn control_chardev_id(launch_token: &LaunchToken) -> String {
    format!("{CONTROL_CHARDEV}{launch_token}")
}

/// The launch token in this argument of a QEMU command line, if it has one.
pub(super) fn token_of(arg: &OsStr) -> Option<&str> {
    let id = arg
        .to_str()?
        .strip_prefix("socket,id=")?
        .split(',')
        .next()?;
    id.strip_prefix(CONTROL_CHARDEV)
        .filter(|token| !token.is_empty())
}
