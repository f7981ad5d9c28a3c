//! `banger internal net`: the network process of one VM, as the daemon starts it.
//!
//! It runs before anything else of the program does: it has one thread, no runtime, and reads no environment.

use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `banger internal net`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger internal net --config /run/banger/vms/ID/net.json --token=TOKEN")]
pub struct Args {
    /// File with the links, addresses and policy of the VM
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Token of this launch, as the file has it
    #[arg(long)]
    token: String,
    /// Number of an inherited descriptor: the VMM with which it ends
    #[arg(long, value_name = "FD")]
    vmm_pidfd: Option<i32>,
}

/// Serves until the VMM ends or the daemon says so.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    banger_net::run(&banger_net::StartArgs {
        config: args.config,
        token: args.token,
        vmm_pidfd: args.vmm_pidfd,
    })
}
