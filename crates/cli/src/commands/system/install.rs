//! `banger system install` and `banger system uninstall`

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;

use crate::context::Context;
use crate::failure::{Outcome, host_error};
use crate::output::Render;
use crate::output::page::Page;
use crate::service::{self, Manager, UNIT, WRITTEN};
use crate::takeover;

/// Arguments of `banger system install`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The daemon starts by itself with the first command, so this is for VMs that are to run without one: those with --restart \
always start when the host has started (root), at your login, or with the host when --linger lets your systemd start with it. \
A daemon that runs already makes room for the unit's; VMs run on. One file is written: in ~/.config/systemd/user, or as root in \
/etc/systemd/system.

Examples:
  banger system install
  banger system install --linger   VMs start with the host, before you log in
  banger system install --print    only show the unit")]
pub struct Install {
    /// Start with the host, and stay after your last logout; root's unit does so anyway
    #[arg(long)]
    linger: bool,
    /// Print the unit, and change nothing
    #[arg(long, conflicts_with = "linger")]
    print: bool,
}

/// Arguments of `banger system uninstall`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The unit is stopped and its file removed. VMs run on; the next command starts a daemon that takes them over.

Examples:
  banger system uninstall")]
pub struct Uninstall {}

/// The unit that was written or removed.
#[derive(Debug, Serialize)]
struct Unit {
    path: PathBuf,
    installed: bool,
}

impl Render for Unit {
    fn text(&self, page: &mut Page) {
        page.line(self.path.to_string_lossy());
    }
}

/// Makes the daemon a unit of systemd, and starts it as one.
///
/// # Errors
/// `host_not_ready` without systemd; something is under way in the daemon that runs.
pub async fn install(args: Install, context: &Context) -> Outcome {
    let manager = Manager::own();
    let program = std::env::current_exe()
        .map_err(|source| host_error("cannot find this program", &source))?;
    let unit = service::unit(manager, &program, &var);
    let text = format!("{WRITTEN}{unit}");
    if args.print {
        context.output.data(text.as_bytes())?;
        return Ok(0);
    }
    let path = manager.file(&var)?;
    // Asked before anything is written: without a manager there is nothing to install into.
    manager.systemctl(&["daemon-reload"])?;
    service::write(&path, &text)
        .map_err(|source| host_error(format_args!("cannot write {}", path.display()), &source))?;
    manager.systemctl(&["daemon-reload"])?;
    let session = &context.session;
    takeover::stop(session.endpoint(), session.client(), false, &context.output).await?;
    manager.systemctl(&["enable", UNIT])?;
    // Also where an older unit of it runs.
    manager.systemctl(&["restart", UNIT])?;
    if args.linger && manager == Manager::User {
        service::linger()?;
    }
    context.output.print(&Unit {
        path,
        installed: true,
    })
}

/// Takes the unit away again.
///
/// # Errors
/// `host_not_ready` without systemd; the file cannot be removed.
pub fn uninstall(_args: Uninstall, context: &Context) -> Outcome {
    let manager = Manager::own();
    let path = manager.file(&var)?;
    let there = path.symlink_metadata().is_ok();
    if there {
        manager.systemctl(&["disable", "--now", UNIT])?;
        std::fs::remove_file(&path).map_err(|source| {
            host_error(format_args!("cannot remove {}", path.display()), &source)
        })?;
        manager.systemctl(&["daemon-reload"])?;
    } else {
        context.output.note("the unit is not installed");
    }
    context.output.print(&Unit {
        path,
        installed: false,
    })
}

fn var(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
