//! One session channel: the client's requests before the command, then the command's bytes both ways.
//!
//! ```text
//!  env* pty? ─► shell │ exec │ sftp ─► exec call
//!      Data, Eof, WindowChange, Signal ──► Stdin, StdinEof, Resize, Signal
//!      Data, ExtendedData             ◄── Stdout, Stderr
//!      ExitStatus │ ExitSignal, Close ◄── Exit │ Failed
//! ```

use std::sync::Arc;

use banger_guest::limits::MAX_FRAME;
use banger_guest::wire::frame::{self, Frame, FrameReader};
use banger_guest::{ExecFailureKind, ExitStatus, LISTEN_SOCKET, Listening};
use bytes::Bytes;
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{ReadHalf, WriteHalf};

use super::backward::{self, Target};
use super::guest::{Command, Guest, GuestStream, Terminal};
use super::handler::SFTP;

/// Variables that a client may set.
const MAX_VARIABLES: usize = 128;
/// The code of error output (RFC 4254, 5.2).
const STDERR: u32 = 1;
/// Exit codes of commands that did not start (POSIX, Shell Command Language), and of other failures of ours.
const NOT_FOUND: u32 = 127;
const NOT_EXECUTABLE: u32 = 126;
const FAILED: u32 = 255;

/// The guest's agent, as a program. The agent starts the command, so this is its own name for itself (proc(5)).
pub(super) const AGENT: &str = "/proc/self/exe";
/// It speaks SFTP.
const SFTP_SERVER: [&str; 2] = [AGENT, "sftp-server"];
/// Variable that names the socket of the agent that holds keys (ssh(1)).
const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// Commands are read by the user's own shell, as sshd has it (sshd(8), "LOGIN PROCESS").
const IN_SHELL: [&str; 3] = ["/bin/sh", "-c", "exec \"${SHELL:-/bin/sh}\" -c \"$0\""];

/// Serves one channel until either side closes it.
pub(super) async fn run<G: Guest>(
    channel: Channel<Msg>,
    handle: Handle,
    guest: Arc<G>,
    user: String,
) {
    let id = channel.id();
    let (mut from, to) = channel.split();
    let Some((command, wants_agent)) = asked(&mut from, user).await else {
        let _ = to.close().await;
        return;
    };
    let (command, _agent) = match command {
        Ok(command) if wants_agent => with_agent(command, &*guest, &handle).await,
        command => (command, None),
    };
    let ended = match command {
        Ok(command) => match guest.exec(command).await {
            Ok(stream) => carry(stream, from, &to).await,
            Err(why) => Some(failed(&to, &why, FAILED).await),
        },
        Err(why) => Some(failed(&to, &why, FAILED).await),
    };
    // A client that is gone takes no notice.
    match ended {
        Some(Ended::Code(code)) => drop(to.exit_status(code).await),
        Some(Ended::Signal(signal)) => drop(
            handle
                .exit_signal_request(id, signal, false, String::new(), String::new())
                .await,
        ),
        None => {}
    }
    let _ = to.eof().await;
    let _ = to.close().await;
}

/// End of a command.
enum Ended {
    Code(u32),
    Signal(Sig),
}

/// A task that ends when this is dropped.
struct Ending(tokio::task::AbortHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives a command the client's agent, for as long as the returned guard lives.
async fn with_agent<G: Guest>(
    mut command: Command,
    guest: &G,
    handle: &Handle,
) -> (Result<Command, String>, Option<Ending>) {
    match backward::listen(guest, &command.user, &[LISTEN_SOCKET]).await {
        Ok(listener) => {
            if let Listening::Socket(path) = &listener.at {
                command.env.insert(SSH_AUTH_SOCK.to_owned(), path.clone());
            }
            let passing = backward::pass_on(listener, handle.clone(), Target::Agent);
            let ending = Ending(tokio::spawn(passing).abort_handle());
            (Ok(command), Some(ending))
        }
        Err(why) => (Err(format!("agent forwarding: {why}")), None),
    }
}

/// Reads the client's requests up to its command. The flag tells whether it forwards its agent; `None` when it goes
/// away before.
async fn asked(
    from: &mut ChannelReadHalf,
    user: String,
) -> Option<(Result<Command, String>, bool)> {
    let mut wants_agent = false;
    let command = command(from, user, &mut wants_agent).await?;
    Some((command, wants_agent))
}

async fn command(
    from: &mut ChannelReadHalf,
    user: String,
    wants_agent: &mut bool,
) -> Option<Result<Command, String>> {
    let mut command = Command {
        user,
        ..Command::default()
    };
    loop {
        match from.wait().await? {
            ChannelMsg::SetEnv {
                variable_name,
                variable_value,
                ..
            } if command.env.len() < MAX_VARIABLES => {
                command.env.insert(variable_name, variable_value);
            }
            ChannelMsg::RequestPty {
                term,
                col_width,
                row_height,
                ..
            } => {
                command.terminal = Some(Terminal {
                    term,
                    rows: size(row_height),
                    cols: size(col_width),
                });
            }
            ChannelMsg::AgentForward { .. } => *wants_agent = true,
            ChannelMsg::RequestShell { .. } => return Some(Ok(command)),
            ChannelMsg::Exec { command: text, .. } => {
                return Some(match String::from_utf8(text) {
                    Ok(text) => {
                        command.argv = IN_SHELL.map(str::to_owned).to_vec();
                        command.argv.push(text);
                        Ok(command)
                    }
                    Err(_) => Err("the command is not UTF-8".to_owned()),
                });
            }
            ChannelMsg::RequestSubsystem { name, .. } if name == SFTP => {
                command.argv = SFTP_SERVER.map(str::to_owned).to_vec();
                command.terminal = None;
                return Some(Ok(command));
            }
            ChannelMsg::Close => return None,
            _ => {}
        }
    }
}

/// A size of a terminal; a client that knows none says 0.
fn size(characters: u32) -> u16 {
    u16::try_from(characters).unwrap_or(u16::MAX)
}

/// Moves bytes until the command has ended or the client is gone (`None`), which ends the command.
async fn carry(
    stream: Box<dyn GuestStream>,
    from: ChannelReadHalf,
    to: &ChannelWriteHalf<Msg>,
) -> Option<Ended> {
    let (from_guest, to_guest) = tokio::io::split(stream);
    tokio::select! {
        ended = outward(FrameReader::new(from_guest), to) => ended,
        () = inward(from, to_guest) => None,
    }
}

/// The client's bytes to the guest. Ends when the client closes the channel.
async fn inward(mut from: ChannelReadHalf, mut to: WriteHalf<Box<dyn GuestStream>>) {
    let mut open = true;
    while let Some(message) = from.wait().await {
        let frames = match message {
            ChannelMsg::Data { data } => pieces(data),
            ChannelMsg::Eof => vec![Frame::StdinEof],
            ChannelMsg::WindowChange {
                col_width,
                row_height,
                ..
            } => vec![Frame::Resize {
                rows: size(row_height),
                cols: size(col_width),
            }],
            ChannelMsg::Signal { signal } => {
                number_of(&signal).map(Frame::Signal).into_iter().collect()
            }
            ChannelMsg::Close => return,
            _ => continue,
        };
        for frame in frames {
            // A failed write is reported by the other direction; the client's close is awaited here.
            open = open && frame::write(&mut to, &frame).await.is_ok();
        }
    }
}

fn pieces(mut data: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !data.is_empty() {
        frames.push(Frame::Stdin(data.split_to(data.len().min(MAX_FRAME))));
    }
    frames
}

/// The guest's bytes to the client, until the command has ended.
async fn outward(
    mut frames: FrameReader<ReadHalf<Box<dyn GuestStream>>>,
    to: &ChannelWriteHalf<Msg>,
) -> Option<Ended> {
    loop {
        let sent = match frames.next().await {
            Ok(Some(Frame::Stdout(bytes))) => to.data_bytes(bytes).await,
            Ok(Some(Frame::Stderr(bytes))) => to.extended_data_bytes(STDERR, bytes).await,
            Ok(Some(Frame::Started { .. })) => Ok(()),
            Ok(Some(Frame::Exit(ExitStatus::Code(code)))) => {
                return Some(Ended::Code(u32::from(code.to_le_bytes()[0])));
            }
            Ok(Some(Frame::Exit(ExitStatus::Signal(signal)))) => {
                return Some(match signal_of(signal) {
                    Some(signal) => Ended::Signal(signal),
                    None => Ended::Code(u32::from(128 | signal.to_le_bytes()[0])),
                });
            }
            Ok(Some(Frame::Failed(failure))) => {
                let code = match failure.kind {
                    ExecFailureKind::NotFound => NOT_FOUND,
                    ExecFailureKind::Permission => NOT_EXECUTABLE,
                    _ => FAILED,
                };
                return Some(failed(to, &failure.message, code).await);
            }
            Ok(Some(_)) | Ok(None) | Err(_) => {
                return Some(failed(to, "lost the guest command", FAILED).await);
            }
        };
        if sent.is_err() {
            return None;
        }
    }
}

async fn failed(to: &ChannelWriteHalf<Msg>, why: &str, code: u32) -> Ended {
    // The line goes to a terminal and may hold a guest's words.
    let line: String = why.chars().filter(|c| !c.is_control()).collect();
    let _ = to
        .extended_data_bytes(STDERR, Bytes::from(format!("banger: {line}\r\n")))
        .await;
    Ended::Code(code)
}

/// Signals by their names in the protocol (RFC 4254, 6.10) and numbers on Linux (signal(7)).
const SIGNALS: [(Sig, i32); 12] = [
    (Sig::HUP, 1),
    (Sig::INT, 2),
    (Sig::QUIT, 3),
    (Sig::ILL, 4),
    (Sig::ABRT, 6),
    (Sig::FPE, 8),
    (Sig::KILL, 9),
    (Sig::USR1, 10),
    (Sig::SEGV, 11),
    (Sig::PIPE, 13),
    (Sig::ALRM, 14),
    (Sig::TERM, 15),
];

fn number_of(signal: &Sig) -> Option<u8> {
    let (_, number) = SIGNALS.iter().find(|(known, _)| same(known, signal))?;
    u8::try_from(*number).ok()
}

fn signal_of(number: i32) -> Option<Sig> {
    let found = SIGNALS.iter().find(|(_, known)| *known == number);
    found.map(|(signal, _)| signal.clone())
}

fn same(a: &Sig, b: &Sig) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && !matches!(a, Sig::Custom(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_numbers_both_ways() {
        assert_eq!(number_of(&Sig::TERM), Some(15));
        assert_eq!(number_of(&Sig::Custom("WINCH".to_owned())), None);
        assert!(matches!(signal_of(9), Some(Sig::KILL)));
        assert!(signal_of(64).is_none());
    }

    #[test]
    fn data_larger_than_a_frame_is_cut() {
        let frames = pieces(Bytes::from(vec![0; MAX_FRAME * 2 + 1]));
        assert_eq!(frames.len(), 3);
        assert!(pieces(Bytes::new()).is_empty());
    }
}
