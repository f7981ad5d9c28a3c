//! `banger internal connect`: what ssh runs as its `ProxyCommand`.
//!
//! ```text
//! a VM that is stopped ──► started          where the configuration allows it
//! host key of the VM ──► known_hosts       before the first byte: ssh asks for it after the other side's greeting
//! then the first that there is:
//!   port 22 of the guest                   its sshd
//!   `sshd -i` in the guest                 an sshd that is not started, not yet, or listens elsewhere
//!   a server in this process               a guest without sshd: its agent runs the commands
//! ```

use std::io::Write as _;

use banger_api::ErrorCode;
use banger_api::vm::{Exec, Vm};
use banger_client::{ClientError, ExecError, ExecEvent, ExecInput, ExecSession, Upgraded};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::attach::{failure, input, output};
use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};
use crate::guest_ssh::{GuestSsh, ReachedGuest, ssh_error};
use crate::lost_guest;
use crate::waking;

/// Address of sshd.
const SSH_PORT: u16 = 22;
/// Bytes that are moved at once.
const CHUNK: usize = 32 * 1024;
/// Text of an sshd that does not come up, in bytes.
const MAX_COMPLAINT: usize = 2 * 1024;

/// One sshd for one connection (sshd(8), `-i`). It wants the folder of its privilege separation, which its service
/// makes.
const INETD: &str =
    "d=/usr/sbin/sshd; [ -x $d ] || exit 127; mkdir -p -m 755 /run/sshd; exec $d -i";

/// Arguments of `banger internal connect`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ssh -o ProxyCommand='banger internal connect %h' root@web.vm")]
pub struct Args {
    /// The VM: its name, its id or the start of its id, with or without .vm
    vm: String,
}

/// Moves bytes until either side ends.
///
/// # Errors
/// There is no such VM, or its guest does not answer.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = args.vm.strip_suffix(banger_ssh::DOMAIN).unwrap_or(&args.vm);
    let vm = context
        .session
        .read(|client| async move { client.vm(reference).await })
        .await?;
    waking::running(&vm, context).await?;
    note_host_key(&vm, reference, context)?;
    let id = &vm.id.to_string();
    let at_port = context
        .session
        .read(|client| async move {
            match client.vm_connect(id, SSH_PORT).await {
                Ok(stream) => Ok(Some(stream)),
                // The guest answers, and nothing listens there.
                Err(ClientError::Api(error)) if error.code == ErrorCode::GuestFailed => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await?;
    let exit = carried(&vm, at_port, context).await?;
    lost_guest::refuse(id, context).await?;
    Ok(exit)
}

/// Moves bytes over the stream to its sshd at the port, or to the first server that there is otherwise.
async fn carried(vm: &Vm, at_port: Option<Upgraded>, context: &Context) -> Outcome {
    if let Some(stream) = at_port {
        return carry(stream).await;
    }
    let id = &vm.id.to_string();
    let exec = &Exec {
        argv: ["sh", "-c", INETD].map(str::to_owned).to_vec(),
        // Whatever user the image names for its commands.
        user: Some("root".to_owned()),
        stdin: true,
        ..Exec::default()
    };
    let stream = context
        .session
        .change(|client| async move { client.vm_exec(id, exec).await })
        .await?;
    // What ssh sends is for this sshd alone: nobody counts it.
    match Inetd::begin(ExecSession::over(stream)).await? {
        Ok(inetd) => inetd.carry().await,
        Err(complaint) => {
            if !complaint.is_empty() && context.output.verbose() {
                context
                    .output
                    .note(&format!("its sshd does not start: {complaint}"));
            }
            serve(vm, context).await
        }
    }
}

fn note_host_key(vm: &Vm, reference: &str, context: &Context) -> Result<(), Failure> {
    let ssh = GuestSsh::new(&context.session.endpoint().paths);
    let path = ssh.host_key(vm.id);
    let key = std::fs::read_to_string(&path).map_err(|source| {
        host_error(
            format!("cannot read the host key {}", path.display()),
            &source,
        )
    })?;
    let names = [vm.name.as_str(), reference];
    ssh.known_hosts()
        .note(&vm.id.to_string(), &names, &key, |id| ssh.exists(id))
        .map_err(|error| ssh_error(&error).into())
}

/// Is the server that the guest has not.
async fn serve(vm: &Vm, context: &Context) -> Outcome {
    let ssh = GuestSsh::new(&context.session.endpoint().paths);
    let path = ssh.host_key(vm.id).with_extension("");
    let key = std::fs::read_to_string(&path).map_err(|source| {
        host_error(
            format!("cannot read the host key {}", path.display()),
            &source,
        )
    })?;
    let guest = ReachedGuest {
        client: context.session.client().clone(),
        id: vm.id.to_string(),
    };
    let (ours, theirs) = tokio::io::duplex(2 * CHUNK);
    let (carried, served) =
        tokio::join!(carry(ours), banger_ssh::server::serve(theirs, &key, guest));
    served.map_err(|error| ssh_error(&error))?;
    carried
}

/// Moves bytes as they are.
async fn carry(stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut input = input::start()?;
    let mut writer = output::Writer::start()?;
    let sending = async {
        while let Some(chunk) = input.recv().await {
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        // What cannot be sent any more is told by the other direction.
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    let receiving = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    writer
                        .stdout(Bytes::copy_from_slice(&chunk[..count]))
                        .await?
                }
            }
        }
        Ok::<(), Failure>(())
    };
    tokio::select! {
        received = receiving => received?,
        () = sending => {}
    }
    writer.finish().await?;
    Ok(0)
}

/// An sshd that runs for this connection, and has spoken.
struct Inetd {
    session: ExecSession,
    first: Bytes,
}

impl Inetd {
    /// Waits for its first word. Standard input is not touched before: without an sshd it belongs to somebody else.
    async fn begin(mut session: ExecSession) -> Result<Result<Self, String>, Failure> {
        let mut complaint = Vec::new();
        match session.started().await {
            Ok(_) => {}
            Err(ExecError::NotStarted(_)) => return Ok(Err(String::new())),
            Err(error) => return Err(failure(&error)),
        }
        loop {
            match session.next().await {
                Ok(ExecEvent::Stdout(first)) if !first.is_empty() => {
                    return Ok(Ok(Self { session, first }));
                }
                Ok(ExecEvent::Stderr(text)) => {
                    complaint.extend_from_slice(&text);
                    complaint.truncate(MAX_COMPLAINT);
                }
                Ok(ExecEvent::Ended(_)) | Err(ExecError::NotStarted(_) | ExecError::Cut) => {
                    let text = String::from_utf8_lossy(&complaint);
                    return Ok(Err(text.trim().to_owned()));
                }
                Ok(_) => {}
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    async fn carry(self) -> Outcome {
        let (mut events, to) = self.session.split();
        let input = input::start()?;
        let mut writer = output::Writer::start()?;
        writer.stdout(self.first).await?;
        let receiving = async {
            loop {
                match events.next().await {
                    Ok(ExecEvent::Stdout(bytes)) => writer.stdout(bytes).await?,
                    // Beside ssh's own messages, where the user sees it.
                    Ok(ExecEvent::Stderr(bytes)) => drop(std::io::stderr().write_all(&bytes)),
                    Ok(ExecEvent::Ended(_)) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            Ok::<(), Failure>(())
        };
        tokio::select! {
            received = receiving => received?,
            never = send(input, to) => match never {},
        }
        writer.finish().await?;
        Ok(0)
    }
}

/// Never ends: what cannot be sent any more is told by the other direction.
async fn send(mut input: mpsc::Receiver<Bytes>, mut to: ExecInput) -> std::convert::Infallible {
    loop {
        let (sent, last) = match input.recv().await {
            Some(chunk) => (to.stdin(chunk).await, false),
            None => (to.stdin_end().await, true),
        };
        if sent.is_err() || last {
            return std::future::pending().await;
        }
    }
}
