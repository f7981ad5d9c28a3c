//! `banger mcp`

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;

use banger_api::vm::{Egress, NetMode};
use banger_api::{ApiError, ByteSize, ErrorCode, ImageName};
use banger_egress::Rule;
use banger_mcp::{Policy, Server, serve};
use tokio::fs::File;
use tokio::task::LocalSet;

use crate::context::Context;
use crate::failure::{Failure, Outcome, chain, host_error};
use crate::mcp_host::McpHost;
use crate::output::{Detail, Output};

/// Arguments of `banger mcp`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Speaks the Model Context Protocol on standard input and output, for a coding agent that starts it. The agent makes, uses and deletes VMs \
of its own; it neither sees nor touches others. What it may have is fixed here: it can ask for less, never for more. Its VMs carry the \
label banger.mcp=NAME, and stay when it goes, unless --rm is given.

Examples:
  claude mcp add banger -- banger mcp --workspace .
  codex mcp add banger -- banger mcp --image debian --memory 4G
  banger mcp --egress list --allow @pypi --folder ./data --rm
  banger ps --label banger.mcp=default")]
pub struct Args {
    /// Name of this set of rules: agents under one name share their VMs
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// An image that VMs may be made from, the first one by default [default: all that are there]; repeatable
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<ImageName>,
    /// Most virtual CPUs of a VM
    #[arg(long, alias = "cpus", value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..))]
    vcpu: u32,
    /// Most memory of a VM
    #[arg(long, value_name = "SIZE", default_value = "4G")]
    memory: ByteSize,
    /// Largest work disk of a VM
    #[arg(long, value_name = "SIZE", default_value = "16G")]
    disk_size: ByteSize,
    /// Most VMs at a time
    #[arg(long, value_name = "N", default_value_t = 8)]
    vms: usize,
    /// Network of VMs: user or none
    #[arg(long, value_name = "MODE", default_value = "user")]
    net: NetMode,
    /// Destinations that VMs reach without a rule: public (the internet, and neither this host nor its networks), all, none or list
    #[arg(long, value_name = "WHAT", default_value = "public")]
    egress: Egress,
    /// A rule of what VMs may reach besides; repeatable
    #[arg(long, value_name = "RULE")]
    allow: Vec<Rule>,
    /// A folder of this host from and to which the agent may copy files
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A repository that the agent may send to its VMs, and whose changes there it may read
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Let the agent apply those changes to the repository here, but for programs, links, and files that others obey
    #[arg(long, requires = "workspace")]
    apply: bool,
    /// Delete the VMs when the agent goes
    #[arg(long)]
    rm: bool,
}

/// Serves one agent until it goes.
///
/// # Errors
/// A folder is not there, or the agent does not speak the protocol.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let policy = args.policy()?;
    let mut interrupts = context.interrupts()?;
    let (from, to) =
        own_streams().map_err(|source| host_error("cannot keep standard output", &source))?;
    // Nothing but the protocol may be on standard output, and notes for people are of no use to an agent.
    let quiet = Output::new(true, Detail::Little);
    let host = McpHost::new(Context::new(quiet, context.session.endpoint().clone()));
    let server = Server::new(host, policy);
    let serving = async {
        tokio::select! {
            served = serve(server.clone(), from, to) => served
                .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, chain(&error))
                    .hint("banger mcp is started by an agent: see banger mcp --help")
                    .into()),
            by = interrupts.next() => Err(Failure::interrupted_by(by, "interrupted")),
        }
    };
    let local = LocalSet::new();
    let ended = local.run_until(serving).await;
    local.run_until(server.end()).await;
    ended.map(|()| 0)
}

/// Standard input and output for this command alone: what else is written there goes to standard error from now on.
fn own_streams() -> io::Result<(File, File)> {
    let own = |stream: BorrowedFd<'_>| -> io::Result<File> {
        let own = rustix::io::fcntl_dupfd_cloexec(stream, 3)?;
        Ok(File::from_std(own.into()))
    };
    let streams = (own(io::stdin().as_fd())?, own(io::stdout().as_fd())?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(streams)
}

impl Args {
    fn policy(self) -> Result<Policy, Failure> {
        let policy = Policy {
            name: self.name,
            images: self.images,
            cpus: self.vcpu,
            memory: self.memory,
            disk: self.disk_size,
            vms: self.vms,
            net: self.net,
            egress: self.egress,
            allow: self.allow.iter().map(ToString::to_string).collect(),
            folder: self.folder.map(existing).transpose()?,
            workspace: self.workspace.map(existing).transpose()?,
            apply: self.apply,
            remove: self.rm,
        };
        policy
            .labels()
            .map_err(|error| Failure::usage(format!("--name: {error}")))?;
        Ok(policy)
    }
}

/// A folder as it is now, wherever the agent goes.
fn existing(folder: PathBuf) -> Result<PathBuf, Failure> {
    let whole = folder.canonicalize().map_err(|source| {
        let message = format!("{}: {source}", folder.display());
        ApiError::new(ErrorCode::NotFound, message)
    })?;
    match whole.is_dir() {
        true => Ok(whole),
        false => Err(Failure::usage(format!("{} is no folder", folder.display()))),
    }
}
