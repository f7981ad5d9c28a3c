//! `/etc/fstab`: the image's own, less `/home` and `/var`, plus what banger mounts.

use banger_api::ApiError;
use banger_guest::GuestFile;

pub(super) fn files() -> Result<Vec<GuestFile>, ApiError> {
    let tmpfs =
        |at: &str, mode: &str| format!("tmpfs {at} tmpfs defaults,nodev,nosuid,mode={mode} 0 0");
    Ok(vec![GuestFile::Fstab {
        drop_mountpoints: vec!["/home".to_owned(), "/var".to_owned(), "/".to_owned()],
        add: vec![
            tmpfs("/run", "0755"),
            tmpfs("/tmp", "1777"),
            // Mounted before init starts: systemd finds it so and leaves it alone.
            "/dev/disk/by-label/banger-work /root ext4 defaults,discard,noauto 0 0".to_owned(),
        ],
    }])
}
