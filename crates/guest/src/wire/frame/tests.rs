use proptest::prelude::*;

use super::*;
use crate::schema::ExecFailureKind;

fn samples() -> Vec<Frame> {
    vec![
        Frame::Stdin(Bytes::from_static(b"in")),
        Frame::StdinEof,
        Frame::Resize {
            rows: 24,
            cols: 300,
        },
        Frame::Signal(15),
        Frame::Started { pid: 70_000 },
        Frame::Stdout(Bytes::from(vec![7; MAX_FRAME])),
        Frame::Stderr(Bytes::new()),
        Frame::Exit(ExitStatus::Code(42)),
        Frame::Exit(ExitStatus::Signal(9)),
        Frame::Failed(ExecFailure {
            kind: ExecFailureKind::NotFound,
            message: "no program x".into(),
        }),
        Frame::StdinTaken(1 << 40),
        Frame::SignalTaken(2),
        Frame::TimedOut,
        Frame::Data(Bytes::from_static(b"tar")),
        Frame::End,
        Frame::Done(TransferDone {
            entries: 1,
            bytes: 2,
            skipped: 3,
        }),
        Frame::TransferFailed(TransferFailure {
            path: "/x".into(),
            message: "no".into(),
        }),
    ]
}

#[tokio::test]
async fn every_frame_comes_back_as_it_was_sent_whatever_the_pieces() {
    let mut sent = BytesMut::new();
    for frame in samples() {
        frame.encode(&mut sent).unwrap();
    }
    let mut reader = FrameReader::new(&sent[..]);
    for frame in samples() {
        assert_eq!(reader.next().await.unwrap(), Some(frame));
    }
    assert_eq!(reader.next().await.unwrap(), None);

    let mut seen = Vec::new();
    let mut bytes = BytesMut::new();
    for byte in sent {
        bytes.put_u8(byte);
        seen.extend(decode(&mut bytes).unwrap());
    }
    assert_eq!(seen, samples());
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_header_alone() {
    let mut bytes = BytesMut::from(&[kind::STDOUT, 0, 1, 0, 1][..]);
    assert!(matches!(
        decode(&mut bytes),
        Err(FrameError::TooLong(65_537))
    ));
    let frame = Frame::Stdout(Bytes::from(vec![0; MAX_FRAME + 1]));
    assert!(matches!(frame.to_bytes(), Err(FrameError::TooLong(_))));
}

#[test]
fn unknown_kinds_and_wrong_lengths_are_refused() {
    let refused = |bytes: &[u8]| decode(&mut BytesMut::from(bytes)).unwrap_err();
    assert!(matches!(
        refused(&[99, 0, 0, 0, 0]),
        FrameError::UnknownKind(99)
    ));
    assert!(matches!(
        refused(&[kind::SIGNAL, 0, 0, 0, 0]),
        FrameError::WrongLength { .. }
    ));
    assert!(matches!(
        refused(&[kind::STDIN_TAKEN, 0, 0, 0, 1, 0]),
        FrameError::WrongLength { .. }
    ));
    assert!(matches!(
        refused(&[kind::END, 0, 0, 0, 1, 0]),
        FrameError::WrongLength { .. }
    ));
    assert!(matches!(
        refused(&[kind::EXIT, 0, 0, 0, 1, b'{']),
        FrameError::Invalid { .. }
    ));
}

#[test]
fn words_of_a_guest_are_one_short_line_however_they_come() {
    let message = format!("a\n\u{1b}[2Jb\u{202e}c\u{200b}d{}", "x".repeat(9000));
    let failed = Frame::Failed(ExecFailure {
        kind: ExecFailureKind::Other,
        message: message.clone(),
    });
    let transfer = Frame::TransferFailed(TransferFailure {
        path: message.clone(),
        message,
    });
    for frame in [failed, transfer] {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        let (said, path) = match decode(&mut bytes).unwrap() {
            Some(Frame::Failed(failure)) => (failure.message, String::new()),
            Some(Frame::TransferFailed(failure)) => (failure.message, failure.path),
            other => panic!("{other:?}"),
        };
        assert!(said.starts_with("a  [2Jb\u{fffd}c\u{fffd}dx"), "{said:?}");
        assert_eq!(said.chars().count(), crate::limits::MAX_GUEST_TEXT);
        assert!(path.chars().count() <= crate::limits::MAX_GUEST_TEXT);
        assert!(!path.contains(['\n', '\u{1b}', '\u{202e}']), "{path:?}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let mut reader = FrameReader::new(&[kind::STDOUT, 0, 0, 0, 2, b'x'][..]);
    assert!(matches!(reader.next().await, Err(FrameError::Truncated)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_keep_more_than_a_frame(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40)
    ) {
        let mut bytes = BytesMut::new();
        'stream: for piece in pieces {
            bytes.put_slice(&piece);
            loop {
                match decode(&mut bytes) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
        }
    }
}
