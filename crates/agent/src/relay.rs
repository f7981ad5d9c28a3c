//! Published ports: what the host forwards to an address of the guest is passed on to servers that listen anywhere in it.
//!
//! ```text
//! host port ─ the host's forward ─► the guest's address, port 65535 (here) ─┬─► the same address, PORT   the first that takes it
//!                                                                           ├─► 127.0.0.1:PORT
//!                                                                           └─► [::1]:PORT
//! ```
//!
//! On a thread and a runtime of their own: neither the start of a guest nor its calls wait for a busy port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use banger_guest::Relay;
use rustix::net::sockopt::set_socket_linger;
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
/// Before another try, when a port cannot be listened at or connections cannot be taken.
const PAUSE: Duration = Duration::from_millis(500);

/// Relays at work; they end when it is dropped.
pub struct Relays {
    relays: Vec<Relay>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relays {
    /// Starts to listen, and does not wait for it.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(relays: Vec<Relay>) -> io::Result<Self> {
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

fn run(relays: &[Relay], stopped: oneshot::Receiver<()>) -> io::Result<()> {
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

async fn listen(relay: Relay, room: Arc<Semaphore>) {
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
async fn bind(relay: Relay) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(relay.listen).await {
            Ok(listener) => return listener,
            Err(error) if !told => {
                let Relay { listen, port, .. } = relay;
                say(format_args!(
                    "published port {port}: cannot listen at {listen}: {error}"
                ));
                told = true;
            }
            Err(_the_same) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn pass_on(mut peer: TcpStream, relay: Relay, _room: OwnedSemaphorePermit) {
    let Some(mut server) = connect(relay).await else {
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

/// The first server that takes the connection.
async fn connect(relay: Relay) -> Option<TcpStream> {
    let addresses: [IpAddr; 3] = [
        relay.listen.ip(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for address in addresses {
        let connecting = TcpStream::connect((address, relay.port));
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
