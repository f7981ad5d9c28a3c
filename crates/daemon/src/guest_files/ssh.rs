//! sshd's settings, the VM's own host key, and the key that may log in.

use banger_api::ApiError;
use banger_guest::GuestFile;

use super::configure::{Context, file, path};

const SSHD: &str = "PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile /root/.ssh/authorized_keys
";

pub(super) fn files(cx: &Context<'_>) -> Result<Vec<GuestFile>, ApiError> {
    let dir = |at: &str, mode| {
        Ok::<_, ApiError>(GuestFile::Dir {
            path: path(at)?,
            mode,
            uid: 0,
            gid: 0,
        })
    };
    Ok(vec![
        file(
            "/etc/ssh/sshd_config.d/99-banger.conf",
            0o644,
            SSHD.to_owned(),
        )?,
        file(
            "/etc/ssh/ssh_host_ed25519_key",
            0o600,
            cx.host_key.to_owned(),
        )?,
        file(
            "/etc/ssh/ssh_host_ed25519_key.pub",
            0o644,
            format!("{}\n", cx.host_key_public),
        )?,
        // sshd's StrictModes accepts keys only below directories that nobody else may write.
        GuestFile::Guard {
            path: path("/root")?,
        },
        dir("/root/.ssh", 0o700)?,
        GuestFile::AddLineOnce {
            path: path("/root/.ssh/authorized_keys")?,
            line: cx.authorized_key.trim().to_owned(),
            mode: 0o600,
            uid: 0,
            gid: 0,
        },
    ])
}
