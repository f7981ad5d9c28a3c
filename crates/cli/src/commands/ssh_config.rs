//! `banger ssh-config`

use std::path::PathBuf;

use banger_api::{ApiError, ErrorCode};
use banger_ssh::{UserConfig, include_line};

use crate::context::Context;
use crate::failure::Outcome;
use crate::guest_ssh::{GuestSsh, ssh_error};
use crate::view::ssh::SshConfig;

/// Arguments of `banger ssh-config`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
With it `ssh NAME.vm`, scp, sftp, rsync, git and editors reach VMs by their names: through banger's channel, \
without an address in the guest, with banger's own key, and with host keys that are known before the first \
connection. Editors and other programs that list hosts show one for each VM, as VMs come and go; a VM \
that is stopped is started by a connection ([ssh] start_stopped = false in config.toml forbids it). Without \
an option the configuration is printed and your own files are left alone. --uninstall \
gives ~/.ssh/config back to the byte.

Examples:
  banger ssh-config --install
  ssh web.vm uptime
  scp notes.txt web.vm:
  banger ssh-config > vms.conf; ssh -F vms.conf web.vm
  banger ssh-config --uninstall")]
pub struct Args {
    /// Put a fenced `Include` at the top of ~/.ssh/config
    #[arg(long, conflicts_with = "uninstall")]
    install: bool,
    /// Take it away again
    #[arg(long)]
    uninstall: bool,
}

/// Prints the configuration, or changes the user's own.
///
/// # Errors
/// The configuration cannot be written, or the user's does not want to be changed.
pub fn run(args: Args, context: &Context) -> Outcome {
    let ssh = GuestSsh::new(&context.session.endpoint().paths);
    let text = ssh.write_config()?;
    let line = include_line(&ssh.config()).map_err(|error| ssh_error(&error))?;
    let user = UserConfig::of_home(&home()?);
    if args.install {
        let changed = user.install(&line).map_err(|error| ssh_error(&error))?;
        context.output.note(&match changed {
            true => format!(
                "{} includes banger's VMs: try ssh NAME.vm",
                user.path().display()
            ),
            false => format!("{} includes banger's VMs already", user.path().display()),
        });
    } else if args.uninstall {
        let changed = user.uninstall().map_err(|error| ssh_error(&error))?;
        context.output.note(&match changed {
            true => format!("{} is as it was", user.path().display()),
            false => format!("{} has nothing of banger", user.path().display()),
        });
    }
    if context.output.json() {
        let installed = user.has(&line).map_err(|error| ssh_error(&error))?;
        return context.output.print(&SshConfig {
            path: ssh.config(),
            include_line: line,
            installed,
        });
    }
    if !args.install && !args.uninstall {
        context.output.data(text.as_bytes())?;
    }
    Ok(0)
}

fn home() -> Result<PathBuf, ApiError> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
        .ok_or_else(|| {
            ApiError::new(
                ErrorCode::HostNotReady,
                "HOME is not set to an absolute path",
            )
        })
}
