//! `banger vm port`

pub mod add;
pub mod list;
pub mod remove;

use banger_api::vm::{ChangePorts, Publish};
use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::port::Ports;

/// Ports of this host that lead into a VM.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish ports of a VM
    Add(add::Args),
    /// Publish ports no more
    Remove(remove::Args),
    /// List the ports of this host that lead into a VM
    List(list::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Add(args) => add::run(args, context).await,
            Self::Remove(args) => remove::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
        }
    }
}

/// A port of the guest, at the same port of this host or another one.
fn port(text: &str) -> Result<Publish, String> {
    match text.contains(':') {
        true => text.parse(),
        false => format!("{text}:{text}").parse().map_err(|_twice: String| {
            format!(
                "port \"{text}\" is not valid: write GUEST, HOST:GUEST or ADDRESS:HOST:GUEST, ports 1 to 65535"
            )
        }),
    }
}

/// Changes a VM's ports and prints those that it has then.
async fn change(vm: &str, change: &ChangePorts, context: &Context) -> Outcome {
    let vm = context
        .session
        .change(|client| async move { client.change_ports(vm, change).await })
        .await?;
    context.output.print(&Ports::of(&vm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_the_same_port_of_this_host() {
        let read = |text: &str| port(text).map(|port| port.to_string()).ok();
        assert_eq!(read("3000").as_deref(), Some("127.0.0.1:3000:3000"));
        assert_eq!(read("8080:80").as_deref(), Some("127.0.0.1:8080:80"));
        assert_eq!(read("[::1]:8080:80").as_deref(), Some("[::1]:8080:80"));
        for bad in ["", "0", "http", "1:2:3:4", "70000"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
