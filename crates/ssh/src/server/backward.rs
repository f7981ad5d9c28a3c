//! Connections that begin in the guest: forwarded ports (`ssh -R`) and the client's agent (`ssh -A`).
//!
//! ```text
//!  guest: connection ─► agent's `listen` program, run as the user ═ yamux over its exec call ═► here ─► a channel to the client
//! ```
//!
//! Streams are opened from here alone, each as a place for one connection: a guest gets no more than there is room for.

use std::sync::Arc;
use std::time::Duration;

use banger_guest::limits::{MAX_ANSWER, MAX_FRAME, MAX_REQUEST};
use banger_guest::wire::frame::{self, Frame, FrameReader};
use banger_guest::wire::{message, session};
use banger_guest::{Answer, Caller, LISTEN, Listening};
use bytes::Bytes;
use russh::Channel;
use russh::server::{Handle, Msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Connection, Mode};

use super::guest::{Command, Guest, GuestStream};
use super::session::AGENT;

/// Time for the guest to begin to listen.
const LISTEN_WITHIN: Duration = Duration::from_secs(20);
/// Connections of one forward at once; the others wait in the guest.
const MAX_CONNECTIONS: usize = 32;

/// Target of the connections on the client's side.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The client's service for this address and port, both in the client's spelling.
    Port(String, u32),
    /// The client's agent.
    Agent,
}

/// A guest that listens.
pub(super) struct Listener {
    /// The address on which the guest listens.
    pub(super) at: Listening,
    bytes: DuplexStream,
}

/// Makes the guest listen; `what` holds the arguments of the agent's listener.
///
/// # Errors
/// The cause, in one line.
pub(super) async fn listen<G: Guest>(
    guest: &G,
    user: &str,
    what: &[&str],
) -> Result<Listener, String> {
    let argv = [AGENT, LISTEN].into_iter().chain(what.iter().copied());
    let command = Command {
        argv: argv.map(str::to_owned).collect(),
        user: user.to_owned(),
        ..Command::default()
    };
    let mut bytes = bytes_of(guest.exec(command).await?);
    let answer = message::read(&mut bytes, MAX_ANSWER);
    match tokio::time::timeout(LISTEN_WITHIN, answer).await {
        Ok(Ok(Answer::Ok(at))) => Ok(Listener { at, bytes }),
        Ok(Ok(Answer::Failed(failure))) => Err(failure.message),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("the guest does not answer".to_owned()),
    }
}

/// Passes on connections until the guest no longer listens. Dropped, it ends with all its connections.
pub(super) async fn pass_on(listener: Listener, handle: Handle, target: Target) {
    let socket = session::buffered(listener.bytes.compat());
    let mut connection = Connection::new(socket, session::config(), Mode::Client);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (taken, mut next) = mpsc::channel::<OwnedSemaphorePermit>(1);
    // Held by the place that waits.
    let mut permit = Arc::clone(&room).try_acquire_owned().ok();
    loop {
        let opened = std::future::poll_fn(|cx| {
            use std::task::Poll;
            if permit.is_none()
                && let Poll::Ready(freed) = next.poll_recv(cx)
            {
                permit = freed;
            }
            if permit.is_some()
                && let Poll::Ready(opened) = connection.poll_new_outbound(cx)
            {
                return Poll::Ready(opened.ok());
            }
            // A stream that the guest opens ends it, as its end does.
            connection.poll_next_inbound(cx).map(|_over| None)
        });
        let (Some(place), Some(held)) = (opened.await, permit.take()) else {
            return;
        };
        let (handle, target) = (handle.clone(), target.clone());
        let (taken, room) = (taken.clone(), Arc::clone(&room));
        tokio::spawn(async move {
            let mut place = place.compat();
            let Some(caller) = wait(&mut place).await else {
                return;
            };
            // Only now is there a need for another place, and only when there is room.
            tokio::spawn(async move {
                if let Ok(permit) = room.acquire_owned().await {
                    let _ = taken.send(permit).await;
                }
            });
            if let Ok(channel) = open(&handle, &target, caller).await {
                // Either side may break off at any time; that is how connections end.
                let _ = tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut place).await;
            }
            drop(held);
        });
    }
}

/// Waits at a place for the next caller.
async fn wait(place: &mut Compat<yamux::Stream>) -> Option<Caller> {
    // A stream is not known to the other side before something is sent on it.
    place.write_all(b"\n").await.ok()?;
    place.flush().await.ok()?;
    message::read(place, MAX_REQUEST).await.ok()
}

async fn open(
    handle: &Handle,
    target: &Target,
    caller: Caller,
) -> Result<Channel<Msg>, russh::Error> {
    match target {
        Target::Port(address, port) => {
            let (from, from_port) = match caller.address {
                Some(caller) => (caller.ip().to_string(), caller.port()),
                None => (String::new(), 0),
            };
            handle
                .channel_open_forwarded_tcpip(address, *port, from, u32::from(from_port))
                .await
        }
        Target::Agent => handle.channel_open_agent().await,
    }
}

/// A command's input and output as one stream; when that is dropped, the command is over.
fn bytes_of(stream: Box<dyn GuestStream>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(MAX_FRAME);
    tokio::spawn(async move {
        let (from, mut to) = tokio::io::split(stream);
        let (mut input, mut output) = tokio::io::split(theirs);
        let mut frames = FrameReader::new(from);
        let outward = async {
            loop {
                match frames.next().await {
                    Ok(Some(Frame::Stdout(bytes))) if output.write_all(&bytes).await.is_ok() => {}
                    Ok(Some(Frame::Started { .. } | Frame::Stderr(_))) => {}
                    _ => return,
                }
            }
        };
        let inward = async {
            let mut piece = vec![0; MAX_FRAME];
            while let Ok(read @ 1..) = input.read(&mut piece).await {
                let frame = Frame::Stdin(Bytes::copy_from_slice(&piece[..read]));
                if frame::write(&mut to, &frame).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = outward => {}
            () = inward => {}
        }
    });
    ours
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A guest whose program says these frames, and ends.
    struct Says(Vec<Frame>);

    impl Guest for Says {
        async fn exec(&self, command: Command) -> Result<Box<dyn GuestStream>, String> {
            assert_eq!(command.argv[..2], [AGENT, LISTEN]);
            let (mut ours, theirs) = tokio::io::duplex(1 << 20);
            for frame in &self.0 {
                frame::write(&mut ours, frame).await.unwrap();
            }
            Ok(Box::new(theirs))
        }
        async fn connect_port(&self, _port: u16) -> Result<Box<dyn GuestStream>, String> {
            Err(io::ErrorKind::Unsupported.to_string())
        }
        async fn connect_socket(&self, _path: &str) -> Result<Box<dyn GuestStream>, String> {
            Err(io::ErrorKind::Unsupported.to_string())
        }
    }

    async fn listened(frames: Vec<Frame>) -> Result<Listening, String> {
        let listening = listen(&Says(frames), "root", &["tcp", "127.0.0.1:0"]).await;
        listening.map(|listener| listener.at)
    }

    fn said(bytes: &[u8]) -> Frame {
        Frame::Stdout(Bytes::copy_from_slice(bytes))
    }

    #[tokio::test]
    async fn a_guest_says_where_it_listens_or_why_not() {
        let mut port = Vec::new();
        let answer = Answer::Ok(Listening::Port(7778));
        message::write(&mut port, &answer, MAX_ANSWER)
            .await
            .unwrap();
        let pieces = port.chunks(3).map(said).collect();
        assert_eq!(listened(pieces).await, Ok(Listening::Port(7778)));
        let mut taken = Vec::new();
        let answer = Answer::<Listening>::Failed(banger_guest::Failure {
            part: "tcp".to_owned(),
            check: "listen".to_owned(),
            message: "address in use".to_owned(),
            kind: banger_guest::FailureKind::Other,
        });
        message::write(&mut taken, &answer, MAX_ANSWER)
            .await
            .unwrap();
        assert_eq!(
            listened(vec![said(&taken)]).await,
            Err("address in use".to_owned())
        );
    }

    #[tokio::test]
    async fn a_guest_that_says_anything_else_listens_nowhere() {
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            b"\0\0\0\x02{}",
            b"\0\0\0\x09no",
            b"",
        ] {
            assert!(listened(vec![said(bytes)]).await.is_err(), "{bytes:?}");
        }
        assert!(listened(vec![Frame::End]).await.is_err());
        assert!(listened(Vec::new()).await.is_err());
    }
}
