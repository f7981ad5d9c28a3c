//! A daemon on a real Unix socket that answers as a test tells it, and remembers what it was asked.

use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

/// Time that anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(20);

type Stream = TokioIo<Upgraded>;
type Talk = Box<dyn FnOnce(Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Answers of the daemon.
pub enum Answer {
    /// A status and JSON.
    Json(u16, Value),
    /// Status 200 and these bytes.
    Bytes(Vec<u8>),
    /// Status 200, a body of so many bytes, and only these of them.
    Stalled(u64, Vec<u8>),
    /// Server-sent events as they are put into the channel; the stream ends with it.
    Events(mpsc::UnboundedReceiver<Value>),
    /// Status 101, then this talk.
    Upgrade(Talk),
}

impl Answer {
    pub fn ok(value: impl serde::Serialize) -> Self {
        Self::Json(200, json!(value))
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let error = json!({"code": code, "message": message, "hint": "look there"});
        Self::Json(status, json!({"error": error}))
    }

    /// These events, and the end.
    pub fn events(events: impl IntoIterator<Item = Value>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        for event in events {
            sender.send(event).unwrap();
        }
        Self::Events(receiver)
    }

    pub fn upgrade<F>(talk: impl FnOnce(Stream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::Upgrade(Box::new(move |stream| Box::pin(talk(stream))))
    }
}

/// Requests to the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// `POST /v1/vms`, with the query.
    pub what: String,
    /// The body, null when there was none.
    pub body: Value,
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A daemon with a home of its own. It ends with the test.
pub struct FakeDaemon {
    home: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    _stop: oneshot::Sender<()>,
}

impl FakeDaemon {
    /// Answers each request by `handler`.
    pub fn new(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        std::fs::create_dir(&run).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(run.join("daemon.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        announce(home.path(), &run.join("daemon.sock"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let served = serve(listener, Arc::new(handler), Arc::clone(&asked), stopped);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(served);
        });
        Self {
            home,
            asked,
            _stop: stop,
        }
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Methods and paths of everything that was asked so far.
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    /// A `banger` command that calls this daemon.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_banger"));
        command
            .args(words)
            .env_clear()
            .env("BANGER_HOME", self.home.path())
            .env("HOME", self.home.path());
        command
    }

    /// Writes the user's configuration.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.home.path().join("config.toml"), text).unwrap();
    }

    /// Starts a `banger` command with pipes.
    pub fn start(&self, words: &[&str]) -> Child {
        self.command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a `banger` command without input to its end.
    pub fn banger(&self, words: &[&str]) -> Finished {
        let mut child = self.start(words);
        drop(child.stdin.take());
        finish(child)
    }
}

/// Says beside the lock, as a daemon of the newest build does, where it listens.
fn announce(home: &Path, socket: &Path) {
    let state = home.join("state");
    std::fs::create_dir(&state).unwrap();
    let build = "99999999999999999999-9";
    let said = json!({"version": 1, "socket": socket, "pid": std::process::id(), "build": build});
    std::fs::write(state.join("daemon.json"), said.to_string()).unwrap();
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Waits for a command and its output; one that does not end is killed and fails the test.
pub fn finish(child: Child) -> Finished {
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let output = match end.recv_timeout(DEADLINE) {
        Ok(output) => output.unwrap(),
        Err(_late) => {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let output = end.recv().unwrap().unwrap();
            panic!("did not end: {}", String::from_utf8_lossy(&output.stderr));
        }
    };
    Finished {
        exit: output
            .status
            .code()
            .unwrap_or_else(|| -output.status.signal().unwrap_or(1)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn serve(
    listener: std::os::unix::net::UnixListener,
    handler: Arc<Handler>,
    asked: Arc<Mutex<Vec<Asked>>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = UnixListener::from_std(listener).unwrap();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = &mut stopped => return,
        };
        let (handler, asked) = (Arc::clone(&handler), Arc::clone(&asked));
        let service =
            service_fn(move |request| answer(request, Arc::clone(&handler), Arc::clone(&asked)));
        tokio::spawn(async move {
            // A caller that leaves early is a part of some tests.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    handler: Arc<Handler>,
    asked: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<BoxBody<Bytes, std::convert::Infallible>>, hyper::Error> {
    let upgrade = hyper::upgrade::on(&mut request);
    let what = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let request = Asked { what, body };
    // Every exec asks for it first; no VM here has one.
    if request.what.starts_with("GET ") && request.what.ends_with("/workspaces") {
        return Ok(Response::new(Full::from(b"[]".to_vec()).boxed()));
    }
    asked.lock().unwrap().push(request.clone());
    let full = |bytes: Vec<u8>| Full::from(bytes).boxed();
    let response = match handler(&request) {
        Answer::Json(status, value) => {
            let mut response = Response::new(full(value.to_string().into_bytes()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        }
        Answer::Bytes(bytes) => Response::new(full(bytes)),
        Answer::Stalled(length, bytes) => {
            let begun = futures::stream::once(async move { Ok(Frame::data(Bytes::from(bytes))) });
            let body = begun.chain(futures::stream::pending()).boxed();
            let body = BodyExt::boxed(StreamBody::new(SyncStream(Mutex::new(body))));
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            headers.insert("content-length", length.into());
            response
        }
        Answer::Events(events) => {
            let events = futures::stream::unfold(events, |mut events| async move {
                let event = events.recv().await?;
                let text = format!("data: {event}\n\n");
                Some((Ok(Frame::data(Bytes::from(text))), events))
            });
            Response::new(BodyExt::boxed(StreamBody::new(SyncStream(Mutex::new(
                events.boxed(),
            )))))
        }
        Answer::Upgrade(talk) => {
            tokio::spawn(async move {
                if let Ok(stream) = upgrade.await {
                    talk(TokioIo::new(stream)).await;
                }
            });
            let mut response = Response::new(full(Vec::new()));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert("connection", "upgrade".parse().unwrap());
            headers.insert("upgrade", "banger-stream".parse().unwrap());
            response
        }
    };
    Ok(response)
}

type EventStream =
    futures::stream::BoxStream<'static, Result<Frame<Bytes>, std::convert::Infallible>>;

/// A boxed body must be `Sync`; only one task ever polls it.
struct SyncStream(Mutex<EventStream>);

impl futures::Stream for SyncStream {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.lock().unwrap().poll_next_unpin(cx)
    }
}
