//! The loopback server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use banger_api::vm::{Publish, VmState};
use banger_control::find_vm;
use banger_net::peek::{HEAD_MAX_BYTES, Peeked, peek};
use banger_ops::plans;
use banger_store::VmRecord;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::page;
use super::target::{Asked, only, ports};
use crate::context::Daemon;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// Time for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Time for a server to take the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Before a port that somebody else had is tried again, and after a failed accept.
const TRY_AGAIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// The port at which the server listens. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Front(Arc<AtomicU16>);

impl Front {
    /// The address of a VM for browsers, when the server listens.
    pub(crate) fn url(&self, vm: &str) -> Option<String> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            port => Some(format!("http://{vm}.localhost:{port}/")),
        }
    }
}

/// Serves from the first server of a guest's on, for as long as the daemon runs.
pub(crate) async fn serve(daemon: Daemon) {
    let port = daemon.config.network.http_port;
    if port == 0 {
        return;
    }
    daemon.ports.first().await;
    let users = match banger_net::diagnosis() {
        Ok(users) => Arc::new(users),
        Err(error) => {
            tracing::warn!(%error, "NAME.localhost: the users of connections cannot be seen");
            return;
        }
    };
    let mut told = false;
    let (v4, v6) = loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            // A host without IPv6 has no such address.
            Ok(v4) => {
                break (
                    v4,
                    TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok(),
                );
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!(port, %error, "NAME.localhost: cannot listen; http_port below [network] in config.toml names another port");
            }
            Err(_the_same) => {}
        }
        tokio::time::sleep(TRY_AGAIN).await;
    };
    daemon.front.0.store(port, Ordering::Relaxed);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let accept = |listener| {
        accept(
            listener,
            daemon.clone(),
            Arc::clone(&users),
            Arc::clone(&room),
        )
    };
    match v6 {
        Some(v6) => drop(tokio::join!(accept(v4), accept(v6))),
        None => accept(v4).await,
    }
}

async fn accept(listener: TcpListener, daemon: Daemon, users: Arc<OwnedFd>, room: Arc<Semaphore>) {
    let me = rustix::process::geteuid().as_raw();
    loop {
        // First room, then a connection: the others wait in the kernel's queue. Nobody closes the semaphore.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_momentary) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let here = stream.local_addr();
        let user = here
            .ok()
            .and_then(|here| banger_net::user_of(&users, peer, here));
        if user != Some(me) {
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            continue;
        }
        let daemon = daemon.clone();
        tokio::spawn(async move {
            // Either side may break off at any time; that is how connections end.
            let _ = one(stream, &daemon).await;
            drop(permit);
        });
    }
}

async fn one(mut stream: TcpStream, daemon: &Daemon) -> io::Result<()> {
    let mut head = Vec::new();
    let read = tokio::time::timeout(HEAD_WITHIN, read_head(&mut stream, &mut head));
    let Ok(named) = read.await else {
        return Ok(());
    };
    let asked = match named? {
        Peeked::Host(name) => Asked::of(&name),
        _ => None,
    };
    let Some(asked) = asked else {
        let words =
            "this is for names like web.localhost and 3000.web.localhost, by the names of VMs";
        return say(stream, "421 Misdirected Request", words).await;
    };
    let found = {
        let (daemon, vm) = (daemon.clone(), asked.vm.clone());
        tokio::task::spawn_blocking(move || find_vm(&daemon.control, &vm)).await
    };
    let record = match found {
        Ok(Ok(record)) if record.name.as_str() == asked.vm => record,
        Ok(Ok(_) | Err(_)) | Err(_) => {
            let words = format!("there is no VM \"{}\"", asked.vm);
            return say(stream, "404 Not Found", &words).await;
        }
    };
    if record.state != VmState::Running {
        let (name, state) = (&record.name, record.state);
        let words = format!("VM \"{name}\" is {state}: banger vm start {name}");
        return say(stream, "503 Service Unavailable", &words).await;
    }
    let servers = daemon.ports.of(record.id);
    let published = record.published();
    let Some(port) = asked.port.or_else(|| only(&servers, published)) else {
        let ports = ports(&servers, published);
        if ports.is_empty() {
            let words = format!("nothing listens in VM \"{}\"", record.name);
            return say(stream, "503 Service Unavailable", &words).await;
        }
        let at = daemon.config.network.http_port;
        let page = page::choice(record.name.as_str(), &ports, at);
        stream.write_all(&page).await?;
        return stream.shutdown().await;
    };
    let at = servers.iter().find(|one| one.guest_port == port);
    let at = at.and_then(|one| one.at.as_ref()?.parse::<SocketAddr>().ok());
    match at.or_else(|| published_at(published, port)) {
        Some(at) => match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(at)).await {
            Ok(Ok(server)) => pass_on(stream, server, &head).await,
            Ok(Err(_)) | Err(_) => nothing(stream, &record, port).await,
        },
        // A server that is not open on this host is reached through the guest's agent.
        None => match through_agent(daemon, &record, port).await {
            Some(server) => pass_on(stream, server, &head).await,
            None => nothing(stream, &record, port).await,
        },
    }
}

/// Reads until the first bytes name a host, or cannot.
async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Peeked> {
    let mut more = [0; 4096];
    loop {
        let peeked = peek(head);
        if peeked != Peeked::More || head.len() >= HEAD_MAX_BYTES {
            return Ok(peeked);
        }
        match stream.read(&mut more).await? {
            0 => return Ok(Peeked::Nothing),
            count => head.extend_from_slice(&more[..count]),
        }
    }
}

fn published_at(published: &[Publish], port: u16) -> Option<SocketAddr> {
    let leads = |one: &&Publish| one.guest_port == port && one.host_ip.is_loopback();
    let found = published.iter().find(leads)?;
    Some(SocketAddr::new(found.host_ip, found.host_port))
}

async fn through_agent(
    daemon: &Daemon,
    record: &VmRecord,
    port: u16,
) -> Option<impl AsyncRead + AsyncWrite + Unpin> {
    let vmm = plans::identity(record)?;
    let client = daemon.channels.client(record.id, &vmm.channel_socket).await;
    client.ok()?.connect_tcp(port).await.ok()
}

async fn pass_on(
    mut stream: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    head: &[u8],
) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    server.write_all(head).await?;
    server.flush().await?;
    tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

async fn nothing(stream: TcpStream, record: &VmRecord, port: u16) -> io::Result<()> {
    let name = &record.name;
    let words = format!(
        "nothing answers at port {port} of VM \"{name}\": banger vm ports {name} shows what listens"
    );
    say(stream, "502 Bad Gateway", &words).await
}

async fn say(mut stream: TcpStream, status: &str, words: &str) -> io::Result<()> {
    stream.write_all(&page::text(status, words)).await?;
    stream.shutdown().await
}
