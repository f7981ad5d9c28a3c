use proptest::prelude::*;
use tokio::io::duplex;

use super::*;

const NONCE: Nonce = [7; 32];
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn both_sides_meet_and_the_next_bytes_are_theirs() {
    let (mut host, mut guest) = duplex(1 << 16);
    let agent = tokio::spawn(async move {
        answer(&mut guest).await.unwrap();
        guest.write_all(b"yamux").await.unwrap();
        let mut after = [0; 4];
        guest.read_exact(&mut after).await.unwrap();
        after
    });
    greet(&mut host, Greeting::Running, NONCE, SECOND)
        .await
        .unwrap();
    host.write_all(b"mine").await.unwrap();
    let mut after = [0; 5];
    host.read_exact(&mut after).await.unwrap();
    assert_eq!(&after, b"yamux");
    assert_eq!(&agent.await.unwrap(), b"mine");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_starts_late_is_met_although_hellos_have_piled_up() {
    let (mut host, mut guest) = duplex(1 << 20);
    let host_side = tokio::spawn(async move {
        greet(&mut host, Greeting::Running, NONCE, 60 * SECOND)
            .await
            .unwrap();
        host.write_all(b"first call").await.unwrap();
        host
    });
    tokio::time::sleep(30 * SECOND).await;
    answer(&mut guest).await.unwrap();
    let mut first = [0; 10];
    guest.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"first call");
    host_side.await.unwrap();
}

#[tokio::test]
async fn what_an_older_conversation_left_behind_is_skipped_on_both_sides() {
    let (mut host, mut guest) = duplex(1 << 20);
    let old = Record::new(Kind::Ack, [1; 32]).to_bytes();
    guest.write_all(&[0; 100_000]).await.unwrap();
    guest.write_all(&old).await.unwrap();
    guest.write_all(&old[..40]).await.unwrap();
    host.write_all(&[0; 1000]).await.unwrap();
    host.write_all(&Record::new(Kind::Start, [1; 32]).to_bytes())
        .await
        .unwrap();
    host.write_all(&MAGIC[..9]).await.unwrap();
    let (met, answered) = tokio::join!(
        greet(&mut host, Greeting::Running, NONCE, SECOND),
        answer(&mut guest)
    );
    met.unwrap();
    answered.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_guest_in_the_middle_of_a_frame_sees_a_hello_after_the_run() {
    let (mut host, mut guest) = duplex(1 << 20);
    let host_side =
        tokio::spawn(async move { greet(&mut host, Greeting::Running, NONCE, 10 * SECOND).await });
    // The guest expects a body of the largest size that a host sends.
    let mut body = vec![0; SPLIT_SEND];
    guest.read_exact(&mut body).await.unwrap();
    let mut header = [0; 12];
    guest.read_exact(&mut header).await.unwrap();
    assert_eq!(
        header, [0xff; 12],
        "no yamux header, so the old conversation ends here"
    );
    answer(&mut guest).await.unwrap();
    host_side.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_ends_in_a_timeout() {
    let (mut host, _guest) = duplex(64);
    assert!(matches!(
        greet(&mut host, Greeting::Running, NONCE, SECOND).await,
        Err(HandshakeError::Timeout(_))
    ));
}

#[tokio::test]
async fn endless_garbage_ends_in_an_error_of_its_own() {
    let (mut host, mut guest) = duplex(1 << 16);
    tokio::spawn(async move { while guest.write_all(&[0xb4; 4096]).await.is_ok() {} });
    let error = greet(&mut host, Greeting::Running, NONCE, 60 * SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, HandshakeError::Garbage(_)), "{error}");
}

#[tokio::test]
async fn endless_acknowledgements_without_go_end_in_an_error() {
    let (mut host, mut guest) = duplex(1 << 16);
    let ack = Record::new(Kind::Ack, NONCE).to_bytes();
    tokio::spawn(async move { while guest.write_all(&ack).await.is_ok() {} });
    let error = greet(&mut host, Greeting::Running, NONCE, 60 * SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, HandshakeError::Garbage(_)), "{error}");
}

#[tokio::test]
async fn another_version_is_named_together_with_ours() {
    let (mut host, mut guest) = duplex(1 << 16);
    let ack = Record {
        version: 9,
        kind: Kind::Ack,
        nonce: NONCE,
    };
    guest.write_all(&ack.to_bytes()).await.unwrap();
    let error = greet(&mut host, Greeting::Running, NONCE, SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            HandshakeError::Version {
                host: PROTOCOL_VERSION,
                guest: 9
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_channel_that_closes_ends_both_sides() {
    let (mut host, guest) = duplex(64);
    drop(guest);
    assert!(
        greet(&mut host, Greeting::Running, NONCE, SECOND)
            .await
            .is_err()
    );
    let (host, mut guest) = duplex(64);
    drop(host);
    assert!(matches!(
        answer(&mut guest).await,
        Err(HandshakeError::Closed)
    ));
}

proptest! {
    #[test]
    fn a_record_is_found_behind_any_bytes(mut noise in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..RECORD) {
        let record = Record::new(Kind::Go, NONCE);
        noise.extend(&record.to_bytes()[..cut]);
        noise.extend(record.to_bytes());
        let mut scanner = Scanner::default();
        let found: Vec<_> = noise.iter().filter_map(|byte| scanner.feed(*byte)).collect();
        prop_assert_eq!(found, vec![record]);
        prop_assert!(scanner.held.is_empty());
    }
}
