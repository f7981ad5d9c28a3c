//! The calls that a host makes.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::driver::{Ended, Opener, drive};
use super::error::{ClientError, SessionEnd};
use super::intake::Calls;
use super::stream::CallStream;
use crate::limits::{CALL_DEADLINE, MAX_ANSWER, MAX_CALLS, MAX_CONFIGURE, MAX_REQUEST};
use crate::schema::{
    Answer, Attach, ClockReading, ClockSet, Configure, Configured, ConnectTarget, Detached,
    DetachedCommand, ExecRequest, Found, FromGuest, GetChanges, GetFiles, GrowDisk, GuestPath,
    GuestStats, InstalledKernel, Listener, Pong, PutFiles, Request, SetClock, ShutdownMode,
    TreeFiles,
};
use crate::wire::handshake::{self, Greeting, Nonce};
use crate::wire::message::{self, MessageError};

/// Name of one conversation, own to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationId(Nonce);

/// A conversation with one guest. Clones share it; it ends, and the guest notices, when the last clone and the last
/// [`CallStream`] are dropped.
#[derive(Debug, Clone)]
pub struct Client {
    id: ConversationId,
    open_requests: mpsc::Sender<Opener>,
    lost: Arc<Notify>,
    ended: Ended,
    calls: Calls,
    permits: Arc<Semaphore>,
    deadline: Duration,
}

impl Client {
    /// Greets the agent on the other side of a channel, waiting up to `timeout` for it to come up.
    ///
    /// # Errors
    /// [`ClientError::Handshake`] when it does not come up, sends only garbage or speaks another version.
    pub async fn connect<S>(
        mut stream: S,
        greeting: Greeting,
        timeout: Duration,
    ) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut nonce = [0; 32];
        fill_random(&mut nonce).map_err(ClientError::Random)?;
        handshake::greet(&mut stream, greeting, nonce, timeout).await?;
        let (open_requests, requested) = mpsc::channel(8);
        let lost = Arc::new(Notify::new());
        let (ended_sender, ended) = watch::channel(None);
        let calls = Calls::default();
        tokio::spawn(drive(
            stream.compat(),
            calls.clone(),
            requested,
            Arc::clone(&lost),
            ended_sender,
        ));
        Ok(Self {
            id: ConversationId(nonce),
            open_requests,
            lost,
            ended,
            calls,
            permits: Arc::new(Semaphore::new(MAX_CALLS)),
            deadline: CALL_DEADLINE,
        })
    }

    /// The same conversation with another deadline for each call; the default is [`CALL_DEADLINE`]. For `exec`,
    /// `put_files`, `get_files` and `connect_*` it covers the opening alone.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// Name of this conversation: the same for all clones.
    #[must_use]
    pub fn id(&self) -> ConversationId {
        self.id
    }

    /// Waits until the conversation is over, and returns the cause.
    pub async fn closed(&self) -> Arc<SessionEnd> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end
                .clone()
                .unwrap_or_else(|| Arc::new(SessionEnd::HostClosed)),
            // The task was dropped with its runtime.
            Err(_gone) => Arc::new(SessionEnd::HostClosed),
        }
    }

    /// Ends the conversation and every call in it with [`SessionEnd::AgentGone`]. A virtual port does not report the end
    /// of its reader, so a caller that learns of it in another way reports it here.
    pub fn agent_is_gone(&self) {
        self.lost.notify_one();
    }

    /// Asks the agent for a sign of life.
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for all calls.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        self.ask(&Request::Ping).await
    }

    /// Configures the guest. Mounting and growing disks takes time: give this call a deadline of its own.
    ///
    /// # Errors
    /// [`ClientError::Failed`] names the part of the guest and the check that failed.
    pub async fn configure(&self, configure: Configure) -> Result<Configured, ClientError> {
        self.ask(&Request::Configure(Box::new(configure))).await
    }

    /// Starts a command; the stream carries [`crate::wire::frame::Frame`]s in both directions.
    ///
    /// # Errors
    /// Only when the request cannot be sent; the guest's refusal is a frame.
    pub async fn exec(&self, request: &ExecRequest) -> Result<CallStream, ClientError> {
        self.start(&Request::Exec(request.clone())).await
    }

    /// Starts a command that runs on without this host.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when the guest has too many such commands.
    pub async fn detach(&self, request: &ExecRequest) -> Result<Detached, ClientError> {
        self.ask(&Request::Detach(request.clone())).await
    }

    /// The commands that were started with [`Client::detach`] since the guest's start.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn detached(&self) -> Result<Vec<DetachedCommand>, ClientError> {
        self.ask(&Request::Detached).await
    }

    /// Follows a detached command; the stream gives the frames of an exec call, and takes none.
    ///
    /// # Errors
    /// Only when the request cannot be sent; the guest's refusal is a frame.
    pub async fn attach(&self, request: Attach) -> Result<CallStream, ClientError> {
        self.start(&Request::Attach(request)).await
    }

    /// Sends files; the stream takes `Data` frames and `End`, and gives `Done` or `TransferFailed`.
    ///
    /// # Errors
    /// Only when the request cannot be sent; the guest's refusal is a frame.
    pub async fn put_files(&self, request: &PutFiles) -> Result<CallStream, ClientError> {
        self.start(&Request::PutFiles(request.clone())).await
    }

    /// Receives files; the stream gives `Data` frames, `End`, and `Done` or `TransferFailed`.
    ///
    /// # Errors
    /// Only when the request cannot be sent; the guest's refusal is a frame.
    pub async fn get_files(&self, request: &GetFiles) -> Result<CallStream, ClientError> {
        self.start(&Request::GetFiles(request.clone())).await
    }

    /// Receives the changes in a tree; [`crate::files::ask_changes`] describes the frames of the stream.
    ///
    /// # Errors
    /// Only when the request cannot be sent; the guest's refusal is a frame.
    pub async fn get_changes(&self, request: &GetChanges) -> Result<CallStream, ClientError> {
        self.start(&Request::GetChanges(request.clone())).await
    }

    /// Receives the whole root; the stream gives `Data` frames, `End`, and `Done` or `TransferFailed`.
    ///
    /// # Errors
    /// Only when the request cannot be sent; the guest's refusal is a frame.
    pub async fn get_root(&self) -> Result<CallStream, ClientError> {
        self.start(&Request::GetRoot).await
    }

    /// Connects to a TCP port of the guest's loopback; the stream carries its bytes.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when nothing listens there.
    pub async fn connect_tcp(&self, port: u16) -> Result<CallStream, ClientError> {
        self.connect_to(ConnectTarget::Tcp { port }).await
    }

    /// Connects to a Unix socket of the guest; the stream carries its bytes.
    ///
    /// # Errors
    /// [`ClientError::Failed`] when nothing listens there.
    pub async fn connect_unix(&self, path: GuestPath) -> Result<CallStream, ClientError> {
        self.connect_to(ConnectTarget::Unix { path }).await
    }

    async fn connect_to(&self, target: ConnectTarget) -> Result<CallStream, ClientError> {
        let request = Request::Connect(target);
        self.bounded(request.name(), async {
            let mut stream = self.open(&request).await?;
            self.answer::<()>(&request, &mut stream).await?;
            Ok(stream)
        })
        .await
    }

    /// States of these files of the guest, in the order of the request. Much reading takes time: give it a deadline of
    /// its own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn digest_files(&self, files: &TreeFiles) -> Result<Vec<Found>, ClientError> {
        self.ask(&Request::DigestFiles(files.clone())).await
    }

    /// Removes these files of the guest, and directories that become empty; returns the number of files removed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_files(&self, files: &TreeFiles) -> Result<u64, ClientError> {
        self.ask(&Request::RemoveFiles(files.clone())).await
    }

    /// Lists the sockets that listen in the guest.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ports(&self) -> Result<Vec<Listener>, ClientError> {
        self.ask(&Request::Ports).await
    }

    /// Follows the TCP sockets that listen in the guest.
    ///
    /// # Errors
    /// Only when the request cannot be sent.
    pub async fn watch_ports(&self) -> Result<PortsWatch, ClientError> {
        let stream = self.start(&Request::WatchPorts).await?;
        Ok(PortsWatch(stream))
    }

    /// Load, memory and disks of the guest.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stats(&self) -> Result<GuestStats, ClientError> {
        self.ask(&Request::Stats).await
    }

    /// Looks for the kernel in the guest's root that a machine would boot.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn installed_kernel(&self) -> Result<Option<InstalledKernel>, ClientError> {
        self.ask(&Request::InstalledKernel).await
    }

    /// Reads the guest's clock.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn read_clock(&self) -> Result<ClockReading, ClientError> {
        self.ask(&Request::ReadClock).await
    }

    /// Brings the guest's clock to this time.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn set_clock(&self, to: SetClock) -> Result<ClockSet, ClientError> {
        self.ask(&Request::SetClock(to)).await
    }

    /// Has the guest grow the file system of a disk that has become larger.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn grow_disk(&self, grow: GrowDisk) -> Result<(), ClientError> {
        self.ask(&Request::GrowDisk(grow)).await
    }

    /// Has a guest that waits for its configuration let go of disks and network, so that it can be saved.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Failed`] of a guest that does not wait any more.
    pub async fn hold(&self) -> Result<(), ClientError> {
        self.ask(&Request::Hold).await
    }

    /// Has the guest write everything to its disks.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sync(&self) -> Result<(), ClientError> {
        self.ask(&Request::Sync).await
    }

    /// Has the guest write everything to its disks and begin to shut down; returns as soon as it has begun.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<(), ClientError> {
        self.ask(&Request::Shutdown { mode }).await
    }

    pub(super) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    async fn start(&self, request: &Request) -> Result<CallStream, ClientError> {
        self.bounded(request.name(), self.open(request)).await
    }

    async fn ask<T: DeserializeOwned + FromGuest>(
        &self,
        request: &Request,
    ) -> Result<T, ClientError> {
        self.bounded(request.name(), async {
            let mut stream = self.open(request).await?;
            self.answer(request, &mut stream).await
        })
        .await
    }

    async fn bounded<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(self.deadline, work)
            .await
            .unwrap_or(Err(ClientError::Deadline {
                call,
                after: self.deadline,
            }))
    }

    async fn open(&self, request: &Request) -> Result<CallStream, ClientError> {
        let call = request.name();
        let limit = if matches!(request, Request::Configure(_)) {
            MAX_CONFIGURE
        } else {
            MAX_REQUEST
        };
        let bytes = message::encode(request, limit)
            .map_err(|source| ClientError::Message { call, source })?;
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            return Err(ClientError::TooManyCalls { call });
        };
        let (request, granted) = oneshot::channel();
        if self.open_requests.send(request).await.is_err() {
            return Err(ClientError::Session {
                call,
                end: self.closed().await,
            });
        }
        let Ok(stream) = granted.await else {
            return Err(ClientError::Session {
                call,
                end: self.closed().await,
            });
        };
        let mut stream = CallStream::new(stream, self.clone(), permit);
        match stream.write_all(&bytes).await {
            Ok(()) => Ok(stream),
            Err(error) => Err(self.explain(call, error.into()).await),
        }
    }

    async fn answer<T: DeserializeOwned + FromGuest>(
        &self,
        request: &Request,
        stream: &mut CallStream,
    ) -> Result<T, ClientError> {
        let call = request.name();
        match message::read::<Answer<T>>(stream, MAX_ANSWER).await {
            Ok(Answer::Ok(answer)) => Ok(answer.harmless()),
            Ok(Answer::Failed(failure)) => Err(ClientError::Failed {
                call,
                failure: failure.harmless(),
            }),
            Err(source) => Err(self.explain(call, source).await),
        }
    }

    /// Replaces the failure of a call with the session's end, when that is the cause.
    async fn explain(&self, call: &'static str, source: MessageError) -> ClientError {
        if matches!(source, MessageError::Io(_)) {
            // The driver may be about to record the end: let it run.
            tokio::task::yield_now().await;
            if let Some(end) = self.ended.borrow().clone() {
                return ClientError::Session { call, end };
            }
        }
        ClientError::Message { call, source }
    }
}

/// The TCP sockets that listen in a guest, as they come and go.
#[derive(Debug)]
pub struct PortsWatch(CallStream);

impl PortsWatch {
    /// All of them, now at first and then as soon as they are others than before.
    ///
    /// # Errors
    /// [`ClientError::Failed`] for an agent that does not know the call; the conversation ended.
    pub async fn next(&mut self) -> Result<Vec<Listener>, ClientError> {
        let client = self.0.client().clone();
        client.answer(&Request::WatchPorts, &mut self.0).await
    }
}

fn fill_random(bytes: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}
