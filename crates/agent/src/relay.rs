//! Published ports: what the host forwards to an address of the guest is passed on to servers that listen anywhere in it.
//!
//! ```text
//! host port ─ the host's forward ─► the guest's address, port 65535 (here) ─┬─► the same address, PORT   the first that takes it
//!                                                                           ├─► 127.0.0.1:PORT
//!                                                                           └─► [::1]:PORT
//! ```
//!
//! A door is the same for all ports: whoever comes says first, in two bytes, which one it is for.
//!
//! On a thread and a runtime of their own: neither the start of a guest nor its calls wait for a busy port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use banger_guest::{Door, Relay};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::console::say;

/// Connections at once, over all ports: two descriptors each, of the 1024 that a process may have. The others wait in
/// the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// Bytes held for each direction of a connection; whoever sends more waits.
const BUFFER: usize = 32 * 1024;
/// A server's address is on this machine: it answers at once, or something keeps it from answering at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Time for whoever comes to a door to say the port: it does so with its first packet.
const PORT_WITHIN: Duration = Duration::from_secs(10);
/// Before another try, when a port cannot be listened at or connections cannot be taken.
const PAUSE: Duration = Duration::from_millis(500);

/// Place at which connections of the host arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entrance {
    listen: SocketAddr,
    from: IpAddr,
    /// The server's port; each connection says its own where this is `None`.
    port: Option<u16>,
}

impl From<Relay> for Entrance {
    fn from(relay: Relay) -> Self {
        Self {
            listen: relay.listen,
            from: relay.from,
            port: Some(relay.port),
        }
    }
}

impl From<Door> for Entrance {
    fn from(door: Door) -> Self {
        Self {
            listen: door.listen,
            from: door.from,
            port: None,
        }
    }
}

/// Relays at work; they end when it is dropped.
pub struct Relays {
    relays: Vec<Entrance>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relays {
    /// Starts to listen, and does not wait for it.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(relays: Vec<Entrance>) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let work = relays.clone();
        let thread = std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                if let Err(error) = run(&work, stopped) {
                    say(format_args!("published ports: {error}"));
                }
            })?;
        Ok(Self {
            relays,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Addresses at which they listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.relays.iter().map(|relay| relay.listen).collect()
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What ended it, if not this, was told when it did.
            let _ = thread.join();
        }
    }
}

fn run(relays: &[Entrance], stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut listening = JoinSet::new();
        for relay in relays {
            listening.spawn(listen(*relay, Arc::clone(&room)));
        }
        // Dropped, never sent.
        let _ = stopped.await;
    });
    Ok(())
}

async fn listen(relay: Entrance, room: Arc<Semaphore>) {
    let listener = bind(relay).await;
    loop {
        // First room, then a connection: those that have none stay in the kernel's queue. Nobody closes the semaphore.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((peer, address)) if address.ip() == relay.from => {
                tokio::spawn(pass_on(peer, relay, permit));
            }
            Ok(_stranger) => {}
            Err(_momentary) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Listens, as soon as that is possible: the address may still be coming, or another program be at the port.
async fn bind(relay: Entrance) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(relay.listen).await {
            Ok(listener) => return listener,
            Err(error) if !told => {
                let Entrance { listen, port, .. } = relay;
                match port {
                    Some(port) => say(format_args!(
                        "published port {port}: cannot listen at {listen}: {error}"
                    )),
                    None => say(format_args!(
                        "ports for the host: cannot listen at {listen}: {error}"
                    )),
                }
                told = true;
            }
            Err(_the_same) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn pass_on(mut peer: TcpStream, relay: Entrance, _room: OwnedSemaphorePermit) {
    let port = match relay.port {
        Some(port) => Some(port),
        None => asked_for(&mut peer, relay.listen.port()).await,
    };
    let server = match port {
        Some(port) => connect(relay.listen.ip(), port).await,
        None => None,
    };
    let Some(mut server) = server else {
        reset(&peer);
        return;
    };
    for stream in [&peer, &server] {
        let _ = stream.set_nodelay(true);
    }
    let copied =
        tokio::io::copy_bidirectional_with_sizes(&mut peer, &mut server, BUFFER, BUFFER).await;
    if copied.is_err() {
        // Whoever is still there must not take a broken transfer for a whole one.
        reset(&peer);
        reset(&server);
    }
}

/// The port that a connection through a door is for; `None` when it says none, or that of the door, which would never end.
async fn asked_for(peer: &mut TcpStream, door: u16) -> Option<u16> {
    let port = tokio::time::timeout(PORT_WITHIN, peer.read_u16()).await;
    port.ok()?.ok().filter(|port| *port != 0 && *port != door)
}

/// The first server that takes the connection.
async fn connect(own: IpAddr, port: u16) -> Option<TcpStream> {
    let addresses: [IpAddr; 3] = [own, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for address in addresses {
        let connecting = TcpStream::connect((address, port));
        if let Ok(Ok(server)) = tokio::time::timeout(CONNECT_WITHIN, connecting).await {
            return Some(server);
        }
    }
    None
}

/// Has the connection end with a reset when it is closed (socket(7), `SO_LINGER`).
fn reset(stream: &TcpStream) {
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
