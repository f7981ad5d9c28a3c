//! Over the loopback of this machine, where 127.0.0.3 stands for the guest's own address.

use std::net::Shutdown;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::*;

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A relay between two ports that were free a moment ago, for connections from 127.0.0.1.
fn relay() -> Relay {
    let free = |address| {
        let listener = std::net::TcpListener::bind((address, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    Relay {
        listen: (OWN, free(OWN)).into(),
        from: V4,
        port: free(V4),
    }
}

/// A connection through the relay, as soon as that listens.
async fn through(relay: Relay) -> TcpStream {
    loop {
        match TcpStream::connect(relay.listen).await {
            Ok(stream) => return stream,
            Err(_not_yet) => tokio::task::yield_now().await,
        }
    }
}

/// Bytes that come through the relay until it ends.
async fn told(relay: Relay) -> io::Result<String> {
    let mut told = String::new();
    through(relay).await.read_to_string(&mut told).await?;
    Ok(told)
}

/// A server that tells its name to whoever comes.
async fn server(at: IpAddr, port: u16, name: &'static str) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind((at, port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            peer.write_all(name.as_bytes()).await.unwrap();
        }
    })
}

async fn gone(server: tokio::task::JoinHandle<()>) {
    server.abort();
    let _ = server.await;
}

#[tokio::test]
async fn a_server_is_reached_at_whichever_address_it_listens_and_whenever_it_comes() {
    let relay = relay();
    let _relays = Relays::start(vec![relay.into()]).unwrap();
    let nobody = told(relay).await.unwrap_err();
    assert_eq!(nobody.kind(), io::ErrorKind::ConnectionReset);
    let sixth = server(V6, relay.port, "::1").await;
    assert_eq!(told(relay).await.unwrap(), "::1");
    let fourth = server(V4, relay.port, "127.0.0.1").await;
    assert_eq!(told(relay).await.unwrap(), "127.0.0.1");
    let own = server(OWN, relay.port, "own").await;
    assert_eq!(told(relay).await.unwrap(), "own");
    for server in [own, fourth, sixth] {
        gone(server).await;
    }
    assert!(told(relay).await.is_err());
}

#[tokio::test]
async fn each_direction_ends_by_itself_and_nothing_is_lost() {
    let relay = relay();
    let _relays = Relays::start(vec![relay.into()]).unwrap();
    let listener = TcpListener::bind((V4, relay.port)).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let server = tokio::spawn(async move {
        // Answers only after the other side has said that it has ended.
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        all.reverse();
        peer.write_all(&all).await.unwrap();
    });
    let (mut reading, mut writing) = through(relay).await.into_split();
    writing.write_all(&sent).await.unwrap();
    writing.shutdown().await.unwrap();
    let mut back = Vec::new();
    reading.read_to_end(&mut back).await.unwrap();
    back.reverse();
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_that_breaks_off_does_not_look_like_one_that_has_ended() {
    let relay = relay();
    let _relays = Relays::start(vec![relay.into()]).unwrap();
    let listener = TcpListener::bind((V4, relay.port)).await.unwrap();
    tokio::spawn(async move {
        let (peer, _) = listener.accept().await.unwrap();
        reset(&peer);
    });
    let broken = told(relay).await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn connections_of_others_are_not_passed_on() {
    let relay = relay();
    let _relays = Relays::start(vec![relay.into()]).unwrap();
    let _server = server(V4, relay.port, "secret").await;
    assert_eq!(told(relay).await.unwrap(), "secret");
    let stranger = TcpSocket::new_v4().unwrap();
    stranger
        .bind((Ipv4Addr::new(127, 0, 0, 9), 0).into())
        .unwrap();
    let mut stranger = stranger.connect(relay.listen).await.unwrap();
    let mut told = String::new();
    // Closed, with or without a reset.
    let _ = stranger.read_to_string(&mut told).await;
    assert_eq!(told, "");
}

#[tokio::test]
async fn who_comes_when_there_is_no_room_waits() {
    let relay = relay();
    let listening = tokio::spawn(listen(relay.into(), Arc::new(Semaphore::new(1))));
    let listener = TcpListener::bind((V4, relay.port)).await.unwrap();
    let first = through(relay).await;
    let (_first_served, _) = listener.accept().await.unwrap();
    let mut second = through(relay).await;
    second.write_all(b"second").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(early.is_err(), "two connections in the room of one");
    first.into_std().unwrap().shutdown(Shutdown::Both).unwrap();
    drop(_first_served);
    let (mut served, _) = listener.accept().await.unwrap();
    let mut told = [0; 6];
    served.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"second");
    listening.abort();
}

#[tokio::test]
async fn a_port_is_free_again_when_its_relay_has_ended_and_one_that_is_taken_is_waited_for() {
    let relay = relay();
    let taken = TcpListener::bind(relay.listen).await.unwrap();
    let relays = Relays::start(vec![relay.into()]).unwrap();
    assert_eq!(relays.addresses(), [relay.listen]);
    let _server = server(V4, relay.port, "here").await;
    drop(taken);
    assert_eq!(told(relay).await.unwrap(), "here");
    drop(relays);
    assert!(TcpStream::connect(relay.listen).await.is_err());
    let _again = Relays::start(vec![relay.into()]).unwrap();
    assert_eq!(told(relay).await.unwrap(), "here");
}

#[tokio::test]
async fn a_door_leads_to_the_port_that_is_asked_for_and_to_itself_never() {
    let relay = relay();
    let door = Door {
        listen: relay.listen,
        from: relay.from,
    };
    let _relays = Relays::start(vec![door.into()]).unwrap();
    let _server = server(V4, relay.port, "secret").await;
    let asked = async |port: u16| {
        let mut stream = through(relay).await;
        stream.write_u16(port).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.map(|_| told)
    };
    assert_eq!(asked(relay.port).await.unwrap(), "secret");
    assert!(asked(0).await.is_err());
    assert!(asked(relay.listen.port()).await.is_err());
    let stranger = TcpSocket::new_v4().unwrap();
    stranger.bind((OWN, 0).into()).unwrap();
    let mut stranger = stranger.connect(relay.listen).await.unwrap();
    let _ = stranger.write_u16(relay.port).await;
    let mut told = String::new();
    let _ = stranger.read_to_string(&mut told).await;
    assert_eq!(told, "");
}
