//! The commands: one file each, its arguments beside what it does.

pub mod completion;
pub mod daemon;
pub mod doctor;
pub mod events;
pub mod image;
pub mod internal;
pub mod kernel;
pub mod mcp;
pub mod metrics;
pub mod prove;
pub mod schema;
pub mod secret;
pub mod skill;
pub mod ssh_config;
pub mod system;
pub mod template;
pub mod version;
pub mod vm;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Commands of banger.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, start and enter a VM; short for `vm run`
    Run(Box<vm::run::Args>),
    /// List VMs; short for `vm list`
    Ps(vm::list::Args),
    /// Run a command in a running VM; short for `vm exec`
    Exec(vm::exec::Args),
    /// SSH to a running VM; short for `vm ssh`
    Ssh(vm::ssh::Args),
    /// Copy files into or out of a VM; short for `vm cp`
    Cp(vm::cp::Args),
    /// Show a VM's console log; short for `vm logs`
    Logs(vm::logs::Args),
    /// Start VMs; short for `vm start`
    Start(vm::start::Args),
    /// Stop VMs; short for `vm stop`
    Stop(vm::stop::Args),
    /// Delete VMs; short for `vm delete`
    Rm(vm::delete::Args),
    /// Make an image of a container image; short for `image pull`
    Pull(image::pull::Args),
    /// List images; short for `image list`
    Images(image::list::Args),
    /// Everything about VMs
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger vm create --name web --publish 8080:80
  banger vm show web
  banger vm stats"
    )]
    Vm(vm::Command),
    /// Images: what VMs are made from
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger image list
  banger image pull debian:12
  banger image build debian-minimal"
    )]
    Image(image::Command),
    /// Kernels: what VMs boot
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger kernel list
  banger kernel import --default"
    )]
    Kernel(kernel::Command),
    /// Templates: booted machines that VMs wake from
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger template list
  banger template prune --yes"
    )]
    Template(template::Command),
    /// Secrets that stay on this host: VMs use them without having them
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger secret set openai
  banger run --secret openai=api.openai.com
  banger secret list"
    )]
    Secret(secret::Command),
    /// Say what this host lacks, and what to do about it
    Doctor(doctor::Args),
    /// Show what banger owns on this host, and what it did
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger system status
  banger system sweep --dry-run"
    )]
    System(system::Command),
    /// Show what happens to VMs, images, kernels and operations
    Events(events::Args),
    /// Print the state and use of VMs for Prometheus
    Metrics(metrics::Args),
    /// Give a coding agent VMs of its own (Model Context Protocol)
    Mcp(mcp::Args),
    /// Print what a coding agent should know of banger, as a SKILL.md
    Skill(skill::Args),
    /// Let ssh, scp, rsync, git and editors reach VMs by name
    SshConfig(ssh_config::Args),
    /// The daemon, which starts by itself
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger daemon status
  banger daemon stop"
    )]
    Daemon(daemon::Command),
    /// Prove on a simulated machine that no crash loses or leaks anything
    Prove(prove::Args),
    /// Commands for other programs
    #[command(
        subcommand,
        hide = true,
        after_long_help = "\
Examples:
  banger internal man ~/.local/share/man/man1"
    )]
    Internal(internal::Command),
    /// Completion for bash, zsh and fish
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger completion install
  banger completion bash > banger.bash"
    )]
    Completion(completion::Command),
    /// Print commands, options, output and error codes as JSON
    Schema(schema::Args),
    /// Print the version
    Version(version::Args),
}

impl Command {
    /// It is a daemon that another banger has started.
    pub fn runs_in_background(&self) -> bool {
        matches!(self, Self::Daemon(daemon::Command::Run(args)) if args.background)
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Its failure, with its exit code.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Run(args) => vm::run::run(*args, context).await,
            Self::Ps(args) => vm::list::run(args, context).await,
            Self::Exec(args) => vm::exec::run(args, context).await,
            Self::Ssh(args) => vm::ssh::run(args, context).await,
            Self::Cp(args) => vm::cp::run(args, context).await,
            Self::Logs(args) => vm::logs::run(args, context).await,
            Self::Start(args) => vm::start::run(args, context).await,
            Self::Stop(args) => vm::stop::run(args, context).await,
            Self::Rm(args) => vm::delete::run(args, context).await,
            Self::Pull(args) => image::pull::run(args, context).await,
            Self::Images(args) => image::list::run(args, context).await,
            Self::Vm(command) => command.run(context).await,
            Self::Image(command) => command.run(context).await,
            Self::Kernel(command) => command.run(context).await,
            Self::Template(command) => command.run(context).await,
            Self::Secret(command) => command.run(context).await,
            Self::Doctor(args) => doctor::run(args, context).await,
            Self::System(command) => command.run(context).await,
            Self::Events(args) => events::run(args, context).await,
            Self::Metrics(args) => metrics::run(args, context).await,
            Self::Mcp(args) => mcp::run(args, context).await,
            Self::Skill(args) => skill::run(args, context),
            Self::SshConfig(args) => ssh_config::run(args, context),
            Self::Daemon(command) => command.run(context).await,
            Self::Prove(args) => prove::run(args, context).await,
            Self::Internal(command) => command.run(context).await,
            Self::Completion(command) => command.run(context),
            Self::Schema(args) => schema::run(args, context),
            Self::Version(args) => version::run(args, context),
        }
    }
}
