//! A connection inside the guest, joined to a call.

use std::net::{Ipv4Addr, Ipv6Addr};

use banger_guest::ConnectTarget;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::reply::CallIo;
use super::reply::reply;
use crate::failure::failure;

/// Connects, says whether it did, and carries bytes both ways until both sides have ended.
pub(super) async fn join(mut io: CallIo, target: ConnectTarget) {
    match target {
        ConnectTarget::Tcp { port } => {
            let connected = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port))
                    .await
                    .or(Err(error)),
                connected => connected,
            };
            match connected {
                Ok(stream) => {
                    // Small packets of ssh must not wait for each other.
                    let _ = stream.set_nodelay(true);
                    carry(io, stream).await;
                }
                Err(error) => {
                    reply::<()>(
                        &mut io,
                        Err(failure(format!("port {port}"), "connect", error)),
                    )
                    .await
                }
            }
        }
        ConnectTarget::Unix { path } => match UnixStream::connect(path.as_str()).await {
            Ok(stream) => carry(io, stream).await,
            Err(error) => {
                reply::<()>(
                    &mut io,
                    Err(failure(format!("socket {path}"), "connect", error)),
                )
                .await
            }
        },
    }
}

async fn carry(mut io: CallIo, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let accepted = banger_guest::Answer::Ok(());
    let written =
        banger_guest::wire::message::write(&mut io, &accepted, banger_guest::limits::MAX_ANSWER)
            .await;
    if written.is_ok() {
        // Either side may break off at any time; that is how connections end.
        let _ =
            tokio::io::copy_bidirectional_with_sizes(&mut io, &mut stream, 32 * 1024, 32 * 1024)
                .await;
    }
}
