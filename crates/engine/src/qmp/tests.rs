//! The client against monitors that lie, flood, stop and die.
#![allow(clippy::unwrap_used)]

use super::*;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);
const GREETING: &[u8] = b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

/// A monitor that sends `script` piece by piece: the first at once, each other one after it received a line.
struct Fake {
    dir: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn saying(script: Vec<Vec<u8>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("qmp")).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for piece in script {
                if stream.write_all(&piece).is_err() {
                    return;
                }
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) && byte[0] != b'\n' {}
            }
        });
        Self {
            dir,
            thread: Some(thread),
        }
    }

    fn open(&self, within: Duration) -> Result<Monitor, EngineError> {
        Monitor::open(&self.dir.path().join("qmp"), std::process::id(), within)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn broken(result: Result<impl std::fmt::Debug, EngineError>) -> String {
    match result {
        Err(EngineError::Protocol { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn ready(answer: impl Into<Vec<u8>>) -> Fake {
    Fake::saying(vec![
        GREETING.to_vec(),
        b"{\"return\": {}, \"id\": 0}\n".to_vec(),
        answer.into(),
    ])
}

#[test]
fn a_command_gives_its_return_and_skips_events() {
    let fake = ready(
        "{\"event\": \"STOP\", \"id\": 1}\n{\"event\": \"RESUME\"}\n{\"id\": 1, \"return\": {\"status\": \"running\"}}\n",
    );
    let answer = fake.open(LONG).unwrap().execute("query-status").unwrap();
    assert_eq!(answer["status"], "running");
}

#[test]
fn a_refusal_keeps_the_monitors_words_without_their_escapes() {
    let fake = ready("{\"id\": 1, \"error\": {\"class\": \"X\", \"desc\": \"no\\u001b[2Jway\"}}\n");
    let error = fake.open(LONG).unwrap().execute("cont").unwrap_err();
    assert_eq!(error.to_string(), "the monitor refused cont: no [2Jway");
}

#[test]
fn a_first_line_that_is_no_greeting_is_refused() {
    for line in [
        "{\"event\": \"QMP\"}\n",
        "SSH-2.0-x\n",
        "[]\n",
        "\n",
        "{\"QMP\": {}\n",
    ] {
        broken(Fake::saying(vec![line.into()]).open(LONG));
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    for answer in [
        "{\"return\": {}, \"id\": 7}\n",
        "{\"return\": {}}\n",
        "{\"id\": 1}\n",
    ] {
        broken(ready(answer).open(LONG).unwrap().execute("stop"));
    }
}

#[test]
fn a_line_without_end_is_cut_at_the_limit() {
    let fake = Fake::saying(vec![vec![b' '; LINE_MAX_BYTES + 8192]]);
    assert!(broken(fake.open(LONG)).contains("longer than"));
}

#[test]
fn deeply_nested_json_is_an_error_and_no_overflow() {
    let fake = Fake::saying(vec![[vec![b'['; 500_000], vec![b'\n']].concat()]);
    assert!(broken(fake.open(LONG)).contains("no JSON"));
}

#[test]
fn a_monitor_that_ends_is_not_waited_for() {
    let fake = ready("{\"event\": \"SHUTDOWN\"}\n");
    assert_eq!(broken(fake.open(LONG).unwrap().execute("stop")), "it ends");
}

#[test]
fn events_without_end_are_given_up() {
    let fake = ready(b"{\"event\": \"X\"}\n".repeat(LINES_MAX + 1));
    assert!(broken(fake.open(LONG).unwrap().execute("stop")).contains("without end"));
}

#[test]
fn a_closed_connection_is_told_from_silence() {
    assert!(broken(Fake::saying(vec![]).open(LONG)).contains("closed"));
    let began = Instant::now();
    let silent = Fake::saying(vec![b"{".to_vec()]);
    assert!(matches!(
        silent.open(SOON),
        Err(EngineError::Timeout { .. })
    ));
    assert!(began.elapsed() < LONG);
}

#[test]
fn a_socket_of_another_process_is_not_ours() {
    let fake = Fake::saying(vec![GREETING.to_vec()]);
    let path = fake.dir.path().join("qmp");
    let error = Monitor::open(&path, 1, LONG).unwrap_err();
    assert!(
        matches!(error, EngineError::NotOurs { pid: 1, .. }),
        "{error}"
    );
}
