//! `banger vm ssh`

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use banger_api::{ApiError, ErrorCode};

use crate::context::Context;
use crate::failure::{Outcome, host_error};
use crate::guest_ssh::GuestSsh;
use crate::{terminal, waking, workspace};

/// Arguments of `banger vm ssh`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
This is your OpenSSH client with a configuration of banger's own: it goes through banger's channel and needs \
no address in the guest, no key of yours and no question about host keys. As with ssh, the words of a \
command are joined and read by the guest's shell, and the exit code is the command's own, 255 when the \
connection failed. A VM that is stopped is started first. A shell starts in the workspace, if there is one; a command, and plain `ssh web.vm`, in \
the user's home. Where no SSH client is installed, `banger exec` does the same and needs none.

Examples:
  banger ssh web                          a shell
  banger ssh web -- 'cd /srv && make test'
  banger ssh -N -L 8080:localhost:80 web  forwards a port, until Ctrl-C")]
pub struct Args {
    /// Forward a port of this host into the guest: [ADDRESS:]PORT:HOST:PORT
    #[arg(short = 'L', value_name = "FORWARD")]
    local: Vec<String>,
    /// Forward a port of the guest to this host: [ADDRESS:]PORT:HOST:PORT
    #[arg(short = 'R', value_name = "FORWARD")]
    remote: Vec<String>,
    /// A SOCKS proxy on this host that connects from the guest: [ADDRESS:]PORT
    #[arg(short = 'D', value_name = "PORT")]
    dynamic: Vec<String>,
    /// Let the guest use your SSH agent while you are connected: anybody who is root there can, too
    #[arg(short = 'A')]
    agent: bool,
    /// Run no command; for forwards
    #[arg(short = 'N', conflicts_with = "command")]
    no_command: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Command in place of a login shell: the same shell, in this folder of the guest if it is there.
fn shell_in(folder: &str) -> String {
    let quoted = folder.replace('\'', "'\\''");
    format!("cd '{quoted}' 2>/dev/null; exec \"$SHELL\" -l")
}

/// Becomes OpenSSH's client.
///
/// # Errors
/// There is no such VM, it does not run and is not started, or there is no client.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let vm = context
        .session
        .read(|client| async move { client.vm(reference).await })
        .await?;
    waking::running(&vm, context).await?;
    let ssh = GuestSsh::new(&context.session.endpoint().paths);
    ssh.write_config()?;
    let mut command = Command::new("ssh");
    command.arg("-F").arg(ssh.config());
    for (flag, values) in [
        ("-L", &args.local),
        ("-R", &args.remote),
        ("-D", &args.dynamic),
    ] {
        for value in values {
            command.arg(flag).arg(value);
        }
    }
    if args.agent {
        command.arg("-A");
    }
    if args.no_command {
        command.arg("-N");
    }
    let is_shell = args.command.is_empty() && !args.no_command;
    let there = match is_shell {
        true => workspace::folder(&vm.id.to_string(), context).await,
        false => None,
    };
    // ssh gives a terminal to a shell of its own accord, and to no command.
    if args.tty || there.is_some() && terminal::is_interactive() {
        command.arg("-t");
    }
    command.arg(format!("{}{}", vm.name, banger_ssh::DOMAIN));
    // Behind the host everything belongs to the command, words with a dash as well.
    command.args(&args.command);
    command.args(there.map(|folder| shell_in(&folder)));
    let error = command.exec();
    if error.kind() == io::ErrorKind::NotFound {
        let message = "there is no SSH client on this host: no program \"ssh\" on PATH";
        return Err(ApiError::new(ErrorCode::HostNotReady, message)
            .hint(format!(
                "install openssh-client, or use banger exec {}, which needs none",
                vm.name
            ))
            .into());
    }
    Err(host_error("cannot run ssh", &error).into())
}
