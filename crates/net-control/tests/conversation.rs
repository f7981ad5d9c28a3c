//! Lines and descriptors over a socket.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use banger_net_control::{
    Client, ControlError, FailureCode, Hello, LINE_MAX_BYTES, LineReader, Reply, Request,
    write_line,
};

fn hello(protocol: u32) -> Reply {
    Reply::Hello(Hello {
        protocol,
        token: "t".to_owned(),
        pid: 1,
        generation: 1,
        build: "x".to_owned(),
    })
}

#[test]
fn lines_come_whole_however_they_were_cut_and_a_descriptor_comes_with_its_message() {
    let (mut a, b) = UnixStream::pair().unwrap();
    a.write_all(b"{\"op\":\"hello\",").unwrap();
    let mut reader = LineReader::default();
    reader.fill(&b).unwrap();
    assert_eq!(reader.message::<Request>().unwrap(), None);
    a.write_all(b"\"protocol\":1}\n{\"op\":\"status\"}\n")
        .unwrap();
    reader.fill(&b).unwrap();
    assert_eq!(
        reader.message().unwrap(),
        Some(Request::Hello { protocol: 1 })
    );
    assert_eq!(reader.message().unwrap(), Some(Request::Status));
    assert!(reader.descriptor().is_none());
    let (sent, other) = UnixStream::pair().unwrap();
    write_line(&a, &Request::Watch, Some(sent.as_fd())).unwrap();
    reader.fill(&b).unwrap();
    assert_eq!(reader.message().unwrap(), Some(Request::Watch));
    let got = UnixStream::from(reader.descriptor().unwrap());
    (&got).write_all(b"x").unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(&mut &other, &mut byte).unwrap();
    assert_eq!(&byte, b"x");
    drop(a);
    assert!(!reader.fill(&b).unwrap());
}

#[test]
fn a_line_without_an_end_and_one_that_is_no_message_are_errors() {
    let (mut a, b) = UnixStream::pair().unwrap();
    a.write_all(b"nothing\n{\"op\":\"status\"}\n").unwrap();
    let mut reader = LineReader::default();
    reader.fill(&b).unwrap();
    assert!(matches!(
        reader.message::<Request>(),
        Err(ControlError::Json(_))
    ));
    assert_eq!(reader.message().unwrap(), Some(Request::Status));
    let writer = std::thread::spawn(move || {
        let block = vec![b'a'; 64 * 1024];
        while a.write_all(&block).is_ok() {}
    });
    let failed = loop {
        reader.fill(&b).unwrap();
        match reader.message::<Request>() {
            Ok(None) => {}
            other => break other,
        }
    };
    assert!(matches!(
        failed,
        Err(ControlError::TooLong {
            max: LINE_MAX_BYTES
        })
    ));
    drop(b);
    writer.join().unwrap();
}

#[test]
fn a_process_that_is_silent_speaks_another_protocol_or_refuses_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = banger_socket::bind(&path).unwrap();
    let within = Duration::from_millis(200);
    let began = Instant::now();
    assert!(matches!(
        Client::connect(&path, within),
        Err(ControlError::Io(_))
    ));
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(listener.accept().unwrap());
    let server = std::thread::spawn(move || {
        // Closed with something unread, a socket gives an error in place of what was written.
        let read = |stream: &UnixStream| LineReader::default().fill(stream).unwrap();
        let (stream, _) = listener.accept().unwrap();
        read(&stream);
        write_line(&stream, &hello(99), None).unwrap();
        let (stream, _) = listener.accept().unwrap();
        read(&stream);
        write_line(&stream, &hello(1), None).unwrap();
        read(&stream);
        let refused = Reply::Failed {
            code: FailureCode::Policy,
            message: "older".to_owned(),
        };
        write_line(&stream, &refused, None).unwrap();
    });
    let within = Duration::from_secs(5);
    let other = Client::connect(&path, within);
    assert!(matches!(
        other,
        Err(ControlError::Protocol { found: 99, .. })
    ));
    let mut client = Client::connect(&path, within).unwrap();
    assert_eq!(client.peer_pid().unwrap(), std::process::id());
    let refused = client.status();
    assert!(matches!(
        refused,
        Err(ControlError::Refused {
            code: FailureCode::Policy,
            ..
        })
    ));
    server.join().unwrap();
    assert!(matches!(
        client.status(),
        Err(ControlError::Ended | ControlError::Io(_))
    ));
    assert!(matches!(
        Client::connect(&dir.path().join("none"), within),
        Err(ControlError::Unreachable { .. })
    ));
}
