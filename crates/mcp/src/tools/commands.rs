//! Commands in a VM.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use banger_api::vm::Exec;
use banger_client::{ExecEvent, ExecInput};
use banger_guest::ExitStatus;
use bytes::Bytes;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Ends, ToolError, json};
use crate::host::Host;
use crate::server::Server;

/// Time limit of a command that is given none, and the largest, in seconds.
const TIMEOUT_S: u64 = 120;
const MAX_TIMEOUT_S: u64 = 24 * 3_600;
/// Largest piece of input in a frame, in bytes.
const PIECE: usize = 32 * 1024;

/// A command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    /// The VM: its name or its id.
    vm: String,
    /// A line for the shell (sh -c). Either this or "argv".
    command: Option<String>,
    /// A program and its arguments, without a shell.
    #[serde(default)]
    argv: Vec<String>,
    /// Working directory. Absent: the image's own, or /root.
    cwd: Option<String>,
    /// Variables besides the VM's own.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// User in the VM. Absent: the image's own, or root.
    user: Option<String>,
    /// Text for its standard input.
    stdin: Option<String>,
    /// Seconds after which it is ended with all its children. Absent: 120.
    timeout_s: Option<u64>,
}

/// The end of a command.
#[derive(Debug, Default, Serialize)]
struct Ran {
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    timed_out: bool,
    stdout: String,
    stderr: String,
    /// The middle of an output is missing.
    truncated: bool,
    duration_ms: u64,
}

#[tool_router(router = commands, vis = "pub(crate)")]
impl<H: Host + 'static> Server<H> {
    #[tool(
        name = "vm_exec",
        description = "Run a command in a VM and return its exit code and output. Of a long output the beginning and the end \
                       are kept. What is to go on running needs nohup and &, with its output in a file."
    )]
    async fn exec(
        &self,
        Parameters(command): Parameters<Command>,
        context: RequestContext<RoleServer>,
    ) -> Answer {
        let (_permit, client, vm) = self.begin_with(&command.vm).await?;
        let began = Instant::now();
        let (exec, input) = wanted(command)?;
        let mut session = client.exec(&vm.id.to_string(), &exec).await?;
        session.started().await?;
        let (mut events, to) = session.split();
        // The command lives as long as its input is held.
        let mut feeding = std::pin::pin!(feed(to, input));
        let mut held = None;
        let (mut out, mut err) = (Ends::default(), Ends::default());
        let mut ran = Ran::default();
        let status = loop {
            let event = tokio::select! {
                event = events.next() => event?,
                to = &mut feeding, if held.is_none() => {
                    held = Some(to);
                    continue;
                }
                // Dropping the session ends the command.
                () = context.ct.cancelled() => return Err(ToolError::Argument("cancelled".to_owned())),
            };
            match event {
                ExecEvent::Stdout(bytes) => out.push(&bytes),
                ExecEvent::Stderr(bytes) => err.push(&bytes),
                ExecEvent::TimedOut => ran.timed_out = true,
                ExecEvent::StdinTaken(_) | ExecEvent::SignalTaken(_) => {}
                ExecEvent::Ended(status) => break status,
            }
        };
        match status {
            ExitStatus::Code(code) => ran.exit_code = Some(code),
            ExitStatus::Signal(signal) => ran.signal = Some(signal),
        }
        ran.truncated = out.is_cut() || err.is_cut();
        (ran.stdout, ran.stderr) = (out.text(), err.text());
        ran.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        json(&ran)
    }
}

fn wanted(command: Command) -> Result<(Exec, Option<Bytes>), ToolError> {
    let argv = match (command.command, command.argv) {
        (Some(line), argv) if argv.is_empty() => vec!["sh".to_owned(), "-c".to_owned(), line],
        (None, argv) if !argv.is_empty() => argv,
        _ => {
            let message =
                "give \"command\", a line for the shell, or \"argv\", a program and its arguments";
            return Err(ToolError::Argument(message.to_owned()));
        }
    };
    let timeout_s = command
        .timeout_s
        .unwrap_or(TIMEOUT_S)
        .clamp(1, MAX_TIMEOUT_S);
    let exec = Exec {
        argv,
        env: command.env,
        cwd: command.cwd,
        user: command.user,
        stdin: command.stdin.is_some(),
        timeout_ms: u64::try_from(Duration::from_secs(timeout_s).as_millis()).ok(),
        ..Exec::default()
    };
    Ok((exec, command.stdin.map(Bytes::from)))
}

/// Sends a command its input and returns the other end, which is to be held.
async fn feed(mut to: ExecInput, input: Option<Bytes>) -> ExecInput {
    if let Some(mut rest) = input {
        while !rest.is_empty() {
            let piece = rest.split_to(PIECE.min(rest.len()));
            // A command that reads no more, or is gone, says so in the other direction.
            if to.stdin(piece).await.is_err() {
                return to;
            }
        }
        let _ = to.stdin_end().await;
    }
    to
}
