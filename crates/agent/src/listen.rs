//! Listening in the guest for an SSH client (`ssh -R`, `ssh -A`), as a process with the rights of the user.
//!
//! ```text
//!  stdout ─► where it listens, or why not
//!  stdin, stdout ═ yamux ═► a stream is a place for one connection; without one, connections wait in the kernel
//! ```
//!
//! It ends with its standard input, and takes its socket along.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use banger_guest::limits::{MAX_ANSWER, MAX_CALLS};
use banger_guest::wire::{message, session};
use banger_guest::{Answer, Caller, LISTEN_SOCKET, LISTEN_TCP, Listening};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Connection, Mode};

use crate::failure::failure;
use crate::serve::CallIo;

/// Bytes held for each direction of a connection.
const BUFFER: usize = 32 * 1024;
/// Before another try, when a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens as the words say, until standard input ends.
///
/// # Errors
/// Standard input and output are no pipes, or there is no runtime.
pub fn serve(words: &[&str]) -> io::Result<()> {
    // In lists of processes and listeners.
    rustix::thread::set_name(c"ssh-forward")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let from = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        let to = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
        let mut host = tokio::io::join(from, to);
        let opened = Listener::open(words);
        let answer = match &opened {
            Ok((_, listening)) => Answer::Ok(listening.clone()),
            Err(error) => Answer::Failed(failure(words.join(" "), "listen", error)),
        };
        message::write(&mut host, &answer, MAX_ANSWER)
            .await
            .map_err(io::Error::other)?;
        let Ok((listener, _)) = opened else {
            return Ok(());
        };
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            () = take(host, &listener) => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    })
}

trait Connected: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connected for T {}

enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        _folder: Folder,
    },
}

impl Listener {
    fn open(words: &[&str]) -> io::Result<(Self, Listening)> {
        match *words {
            [LISTEN_TCP, address] => {
                let address: SocketAddr = address.parse().map_err(io::Error::other)?;
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let listening = Listening::Port(listener.local_addr()?.port());
                Ok((Self::Tcp(TcpListener::from_std(listener)?), listening))
            }
            [LISTEN_SOCKET] => {
                let folder = Folder::make()?;
                let path = folder.0.join("socket");
                let listening = Listening::Socket(path.display().to_string());
                let listener = Self::Unix {
                    listener: UnixListener::bind(path)?,
                    _folder: folder,
                };
                Ok((listener, listening))
            }
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn Connected>, Caller)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Small packets must not wait for each other.
                let _ = stream.set_nodelay(true);
                let address = Some(address);
                Ok((Box::new(stream), Caller { address }))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), Caller { address: None }))
            }
        }
    }
}

/// A folder of the user's alone; gone with its content when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("banger-{}", std::process::id()));
        // Somebody else's folder of that name is an error, not a place.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Takes connections for as long as there is somebody who gives places for them.
async fn take(host: impl AsyncRead + AsyncWrite + Unpin, listener: &Listener) {
    let socket = session::buffered(host.compat());
    let mut connection = Connection::new(socket, session::config(), Mode::Server);
    let (places, mut free) = mpsc::channel::<CallIo>(MAX_CALLS);
    let conversation = async {
        while let Some(Ok(stream)) =
            std::future::poll_fn(|cx| connection.poll_next_inbound(cx)).await
        {
            // More than that are not wanted at once: dropped, and so reset.
            let _ = places.try_send(stream.compat());
        }
    };
    let taking = async {
        while let Some(place) = free.recv().await {
            let (stream, caller) = loop {
                match listener.accept().await {
                    Ok(connected) => break connected,
                    Err(_momentary) => tokio::time::sleep(PAUSE).await,
                }
            };
            tokio::spawn(join(place, stream, caller));
        }
    };
    tokio::select! {
        () = conversation => {}
        () = taking => {}
    }
}

async fn join(mut place: CallIo, mut stream: Box<dyn Connected>, caller: Caller) {
    // The byte that made the place known.
    if place.read_u8().await.is_ok()
        && message::write(&mut place, &caller, MAX_ANSWER)
            .await
            .is_ok()
    {
        // Either side may break off at any time; that is how connections end.
        let _ =
            tokio::io::copy_bidirectional_with_sizes(&mut place, &mut stream, BUFFER, BUFFER).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn it_listens_where_it_is_told_to_and_nowhere_else() {
        let (_listener, at) = Listener::open(&[LISTEN_TCP, "127.0.0.1:0"]).unwrap();
        let Listening::Port(port) = at else {
            panic!("{at:?}")
        };
        let taken = format!("127.0.0.1:{port}");
        for words in [
            &[LISTEN_TCP, &taken][..],
            &[LISTEN_TCP, "localhost:0"],
            &[LISTEN_TCP],
            &["udp", "127.0.0.1:0"],
            &[],
        ] {
            assert!(Listener::open(words).is_err(), "{words:?}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_its_users_alone_and_goes_with_the_listener() {
        let (listener, at) = Listener::open(&[LISTEN_SOCKET]).unwrap();
        let Listening::Socket(path) = at else {
            panic!("{at:?}")
        };
        let folder = PathBuf::from(path).parent().unwrap().to_owned();
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(Listener::open(&[LISTEN_SOCKET]).is_err(), "the same folder");
        drop(listener);
        assert!(!folder.exists());
    }
}
