//! `/etc/fstab`: the image's own, less `/home` and `/var`, plus what banger mounts.

use banger_api::ApiError;
use banger_guest::{GuestFile, TmpMode};

use super::configure::Context;

pub(super) fn files(cx: &Context<'_>) -> Result<Vec<GuestFile>, ApiError> {
    let tmpfs =
        |at: &str, mode: &str| format!("tmpfs {at} tmpfs defaults,nodev,nosuid,mode={mode} 0 0");
    let mut add = vec![
        tmpfs("/run", "0755"),
        // Mounted before init starts: systemd finds it so and leaves it alone.
        "/dev/disk/by-label/banger-work /root ext4 defaults,discard,noauto 0 0".to_owned(),
    ];
    let mut drop = vec!["/home".to_owned(), "/var".to_owned(), "/".to_owned()];
    match cx.tmp {
        TmpMode::Memory => add.push(tmpfs("/tmp", "1777")),
        // An init that mounted something there would hide what the first commands have written.
        TmpMode::Disk => drop.push("/tmp".to_owned()),
    }
    Ok(vec![GuestFile::Fstab {
        drop_mountpoints: drop,
        add,
    }])
}
