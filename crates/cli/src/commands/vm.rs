//! `banger vm`

pub mod addr;
pub mod change;
pub mod checkpoint;
pub mod chosen;
pub mod cp;
pub mod create;
pub mod delete;
pub mod detached;
pub mod exec;
mod following;
pub mod fork;
pub mod health;
mod image;
pub mod kill;
pub mod list;
pub mod logs;
pub mod net;
pub mod pause;
pub mod port;
pub mod ports;
pub mod prune;
mod replacing;
pub mod restart;
pub mod resume;
pub mod run;
pub mod save;
pub mod set;
pub mod show;
pub mod spec;
pub mod ssh;
pub mod start;
pub mod stats;
pub mod stop;
pub mod suspend;
mod target;
pub mod workspace;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// VMs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, start and enter a VM
    Run(Box<run::Args>),
    /// Create a VM, and start it
    Create(Box<create::Args>),
    /// Start VMs
    Start(start::Args),
    /// Stop VMs: their guests write out their disks and power off
    Stop(stop::Args),
    /// Stop VMs and start them again
    Restart(restart::Args),
    /// Suspend VMs: their memory goes to the disk, and a start lets them go on
    Suspend(suspend::Args),
    /// Let VMs stand still, with their memory
    Pause(pause::Args),
    /// Let VMs go on that stand still
    Resume(resume::Args),
    /// End VMs at once, as a power cut does
    Kill(kill::Args),
    /// Delete VMs with their disks
    #[command(alias = "rm")]
    Delete(delete::Args),
    /// List VMs
    #[command(alias = "ls", alias = "ps")]
    List(list::Args),
    /// Show all about VMs
    Show(show::Args),
    /// Show what VMs use
    Stats(stats::Args),
    /// Ask guests whether they are well
    Health(health::Args),
    /// List what listens in a guest, and where to reach it
    Ports(ports::Args),
    /// Ports of this host that lead into a VM, at once
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger vm port add web 8080:80
  banger vm port list web"
    )]
    Port(port::Command),
    /// Print the address of this host at which a VM's servers are
    Addr(addr::Args),
    /// What a VM may reach: rules that hold at once, and what they judged
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger vm net allow web host:5432
  banger vm net watch web"
    )]
    Net(net::Command),
    /// Show a VM's console log
    Logs(logs::Args),
    /// Change a VM's settings
    Set(Box<set::Args>),
    /// Run a command in a running VM
    Exec(exec::Args),
    /// SSH to a running VM
    Ssh(ssh::Args),
    /// Copy files into or out of a VM
    Cp(cp::Args),
    /// A git repository in a VM
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger vm workspace prepare web ~/src/api
  banger vm workspace export web | git apply"
    )]
    Workspace(workspace::Command),
    /// Keep a VM's disks as they are, and go back to them
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger vm checkpoint create web before-upgrade
  banger vm checkpoint restore web before-upgrade"
    )]
    Checkpoint(checkpoint::Command),
    /// Make VMs of a VM: each goes on from its disks in its own way
    Fork(fork::Args),
    /// Make an image of a VM that does not run
    Save(save::Args),
    /// Delete all VMs that do not run
    Prune(prune::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Run(args) => run::run(*args, context).await,
            Self::Create(args) => create::run(*args, context).await,
            Self::Start(args) => start::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
            Self::Restart(args) => restart::run(args, context).await,
            Self::Suspend(args) => suspend::run(args, context).await,
            Self::Pause(args) => pause::run(args, context).await,
            Self::Resume(args) => resume::run(args, context).await,
            Self::Kill(args) => kill::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Show(args) => show::run(args, context).await,
            Self::Stats(args) => stats::run(args, context).await,
            Self::Health(args) => health::run(args, context).await,
            Self::Ports(args) => ports::run(args, context).await,
            Self::Port(command) => command.run(context).await,
            Self::Addr(args) => addr::run(args, context).await,
            Self::Net(command) => command.run(context).await,
            Self::Logs(args) => logs::run(args, context).await,
            Self::Set(args) => set::run(*args, context).await,
            Self::Exec(args) => exec::run(args, context).await,
            Self::Ssh(args) => ssh::run(args, context).await,
            Self::Cp(args) => cp::run(args, context).await,
            Self::Workspace(command) => command.run(context).await,
            Self::Checkpoint(command) => command.run(context).await,
            Self::Fork(args) => fork::run(args, context).await,
            Self::Save(args) => save::run(args, context).await,
            Self::Prune(args) => prune::run(args, context).await,
        }
    }
}
