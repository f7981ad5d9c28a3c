//! Guests that lie, flood and keep silent, from the view of a host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use banger_guest::wire::handshake::{self, Greeting};
use banger_guest::wire::session;
use banger_guest::{Client, ClientError, SessionEnd};
use futures::AsyncWriteExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::compat::TokioAsyncReadCompatExt;
use yamux::{Connection, Mode};

const DEADLINE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

/// A host and the bare socket of a guest that has just said go.
async fn met() -> (Client, UnixStream) {
    let (host, mut guest) = UnixStream::pair().unwrap();
    let (client, answered) = tokio::join!(
        Client::connect(host, Greeting::Running, DEADLINE),
        handshake::answer(&mut guest)
    );
    answered.unwrap();
    (client.unwrap().with_deadline(DEADLINE), guest)
}

async fn end_of(client: &Client) -> std::sync::Arc<SessionEnd> {
    tokio::time::timeout(DEADLINE, client.closed())
        .await
        .expect("an end in time")
}

/// Answers each call with these bytes.
fn answer_with(guest: UnixStream, bytes: Vec<u8>) {
    let mut connection = Connection::new(guest.compat(), session::config(), Mode::Server);
    tokio::spawn(async move {
        while let Some(Ok(mut stream)) =
            std::future::poll_fn(|cx| connection.poll_next_inbound(cx)).await
        {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.close().await;
            });
        }
    });
}

#[tokio::test]
async fn garbage_instead_of_frames_ends_the_conversation() {
    let (client, mut guest) = met().await;
    guest.write_all(&[0x5a; 4096]).await.unwrap();
    assert!(matches!(*end_of(&client).await, SessionEnd::Protocol(_)));
    let error = client.ping().await.unwrap_err();
    assert!(matches!(error, ClientError::Session { .. }), "{error}");
}

#[tokio::test]
async fn a_guest_that_is_started_again_ends_the_old_conversation() {
    let (client, mut guest) = met().await;
    handshake::end_old_conversation(&mut guest).await.unwrap();
    assert!(matches!(*end_of(&client).await, SessionEnd::Protocol(_)));
}

#[tokio::test]
async fn a_guest_may_not_open_calls() {
    let (client, guest) = met().await;
    let mut connection = Connection::new(guest.compat(), session::config(), Mode::Server);
    let mut stream = std::future::poll_fn(|cx| connection.poll_new_outbound(cx))
        .await
        .unwrap();
    tokio::spawn(async move {
        stream.write_all(b"let me in").await.unwrap();
        let _ended = std::future::poll_fn(|cx| connection.poll_next_inbound(cx)).await;
    });
    assert!(matches!(
        *end_of(&client).await,
        SessionEnd::GuestOpenedCall
    ));
}

#[tokio::test]
async fn silence_ends_in_a_deadline_and_the_conversation_goes_on() {
    let (client, _guest) = met().await;
    let error = client.with_deadline(SHORT).ping().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Deadline { call: "ping", .. }),
        "{error}"
    );
    assert!(tokio::time::timeout(SHORT, client.closed()).await.is_err());
}

#[tokio::test]
async fn calls_that_nobody_takes_are_limited() {
    let (client, _guest) = met().await;
    let mut open = Vec::new();
    let error = loop {
        match client.exec(&banger_guest::ExecRequest::default()).await {
            Ok(call) => open.push(call),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ClientError::TooManyCalls { .. }), "{error}");
    assert_eq!(open.len(), banger_guest::limits::MAX_CALLS);
}

#[tokio::test]
async fn a_guest_that_stops_reading_is_given_up_after_many_calls() {
    let (client, _guest) = met().await;
    let client = client.with_deadline(Duration::from_millis(2));
    let request = banger_guest::ExecRequest {
        argv: vec!["x".repeat(60_000)],
        ..Default::default()
    };
    let error = loop {
        match client.exec(&request).await {
            Err(error @ ClientError::Session { .. }) => break error,
            Ok(_) | Err(ClientError::Deadline { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    };
    assert!(error.to_string().contains("stopped reading"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_refused_by_its_length() {
    let (client, guest) = met().await;
    answer_with(guest, vec![0xff; 100_000]);
    let error = client.ping().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Message { call: "ping", .. }),
        "{error}"
    );
    client.stats().await.unwrap_err();
    assert!(
        tokio::time::timeout(SHORT, client.closed()).await.is_err(),
        "a bad answer ends its call only"
    );
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_an_error() {
    let (client, guest) = met().await;
    answer_with(guest, b"\0\0\0\x07{\"ok\":1".to_vec());
    let error = client.ping().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Message { call: "ping", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn words_of_a_guest_are_cut_and_cleaned_before_they_are_shown() {
    let (client, guest) = met().await;
    let text = format!("\\u001b[2J{}", "x".repeat(10_000));
    let json = format!(r#"{{"failed":{{"part":"p","check":"c","message":"{text}"}}}}"#);
    let mut bytes = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    answer_with(guest, bytes);
    let shown = client.ping().await.unwrap_err().to_string();
    assert!(
        shown.len() < 600 && !shown.contains('\x1b'),
        "{} bytes",
        shown.len()
    );
}

#[tokio::test]
async fn a_flood_that_belongs_to_no_call_is_cut_off() {
    let (client, mut guest) = met().await;
    // Data for a stream that was never opened: the multiplexer takes and drops it.
    let mut frame = vec![0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0x40, 0];
    frame.resize(12 + 0x4000, 7);
    let flooding = tokio::spawn(async move { while guest.write_all(&frame).await.is_ok() {} });
    assert!(matches!(*end_of(&client).await, SessionEnd::Flood { .. }));
    flooding.await.unwrap();
}

/// A data frame of the multiplexer.
fn data(id: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

#[tokio::test]
async fn empty_frames_of_an_open_call_are_cut_off() {
    let (client, mut guest) = met().await;
    let _call = client
        .exec(&banger_guest::ExecRequest::default())
        .await
        .unwrap();
    let frames = data(1, b"").repeat(1000);
    let flooding = tokio::spawn(async move { while guest.write_all(&frames).await.is_ok() {} });
    assert!(matches!(*end_of(&client).await, SessionEnd::Flood { .. }));
    flooding.await.unwrap();
}

#[tokio::test]
async fn calls_that_end_one_after_the_other_leave_no_credit_for_a_flood() {
    let (client, guest) = met().await;
    let (mut from, mut to) = tokio::io::split(guest);
    // Takes all bytes of the host.
    tokio::spawn(async move { tokio::io::copy(&mut from, &mut tokio::io::sink()).await });
    for _ in 0..500 {
        let request = banger_guest::ExecRequest::default();
        drop(client.exec(&request).await.unwrap());
    }
    let frames = data(99, &[7; 0x4000]);
    let mut sent = 0;
    while to.write_all(&frames).await.is_ok() {
        sent += frames.len();
        assert!(sent < 512 << 20, "it may send on and on");
    }
    assert!(matches!(*end_of(&client).await, SessionEnd::Flood { .. }));
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_memory_of_calls_is_bounded_whatever_the_size_of_their_frames() {
    const CALLS: u32 = 16;
    let (client, guest) = met().await;
    let (mut from, mut to) = tokio::io::split(guest);
    tokio::spawn(async move { tokio::io::copy(&mut from, &mut tokio::io::sink()).await });
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let request = banger_guest::ExecRequest::default();
        calls.push(client.exec(&request).await.unwrap());
    }
    let before = resident_kib();
    // A whole window for each, unread, byte by byte; the calls take turns.
    let window = banger_guest::limits::CALL_WINDOW;
    for chunk in 0..window / 1024 {
        for call in 0..CALLS {
            let byte = u8::try_from(chunk % 251).unwrap();
            let frames = data(call * 2 + 1, &[byte]).repeat(1024);
            to.write_all(&frames).await.unwrap();
        }
    }
    let grown = resident_kib().saturating_sub(before);
    // The windows are 4 MiB; frames by themselves were 130.
    assert!(grown < 24 * 1024, "{grown} KiB for {CALLS} calls");
    // And nothing is lost.
    for mut call in calls {
        for chunk in 0..window / 1024 {
            let mut got = [0; 1024];
            tokio::time::timeout(DEADLINE, call.read_exact(&mut got))
                .await
                .unwrap()
                .unwrap();
            assert!(got.iter().all(|byte| usize::from(*byte) == chunk % 251));
        }
    }
}

#[tokio::test]
async fn a_guest_that_goes_away_ends_the_calls_that_wait_for_it() {
    let (client, guest) = met().await;
    let waiting = client.clone();
    let call = tokio::spawn(async move { waiting.ping().await });
    let mut guest = guest;
    let mut some = [0; 12];
    guest.read_exact(&mut some).await.unwrap();
    drop(guest);
    assert!(matches!(
        call.await.unwrap(),
        Err(ClientError::Session { .. })
    ));
    assert!(matches!(
        *end_of(&client).await,
        SessionEnd::GuestClosed | SessionEnd::Protocol(_)
    ));
}

#[tokio::test]
async fn the_conversation_ends_with_its_last_user() {
    let (client, mut guest) = met().await;
    let call = client
        .exec(&banger_guest::ExecRequest::default())
        .await
        .unwrap();
    drop(client);
    let mut some = [0; 12];
    guest.read_exact(&mut some).await.unwrap();
    drop(call);
    let mut rest = Vec::new();
    guest.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_conversation_whose_agent_is_said_to_be_gone_ends_every_call_with_that_cause() {
    let (client, mut guest) = met().await;
    let waiting = client.clone();
    let call = tokio::spawn(async move { waiting.ping().await });
    let mut stream = client
        .exec(&banger_guest::ExecRequest::default())
        .await
        .unwrap();
    // The port has no reader any more and stays open: this guest's socket is kept until the end of the test.
    let mut some = [0; 12];
    guest.read_exact(&mut some).await.unwrap();
    client.agent_is_gone();
    match call.await.unwrap() {
        Err(ClientError::Session { end, .. }) => {
            assert!(matches!(*end, SessionEnd::AgentGone), "{end}");
        }
        other => panic!("{other:?}"),
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(matches!(*end_of(&client).await, SessionEnd::AgentGone));
    drop(guest);
}
