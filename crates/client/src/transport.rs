//! One call: connect, write the request, read the head of the answer.
//!
//! ```text
//! Call ──► connect ──► HTTP/1.1 ──► Answer ──┬─► json::<T>()      status 2xx, bounded body
//!                                            ├─► body()           status 200, read as it comes
//!                                            ├─► upgraded()       status 101
//!                                            └─► ClientError::Api any other status with an error body
//! ```

use std::future::Future;

use banger_api::error::ErrorBody;
use banger_api::routes::UPGRADE_PROTOCOL;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{BUILD_HEADER, Client};
use crate::error::ClientError;
use crate::limits::{ANSWER_DEADLINE, MAX_JSON_BYTES};
use crate::socket;

/// The bytes of a connection after its upgrade, unchanged in both directions.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A request that is being put together.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    upgrade: bool,
}

/// The head of an answer, and the connection that its body comes from.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) request: String,
    response: Response<Incoming>,
    connection: Connection,
}

/// The task that moves the bytes of one connection. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    pub(crate) fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        Call {
            client: self,
            method,
            path: path.into(),
            body: None,
            upgrade: false,
        }
    }
}

impl Call<'_> {
    /// With this body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|source| ClientError::Encode {
            request: self.shown(),
            source,
        })?;
        self.body = Some(bytes);
        Ok(self)
    }

    /// With this body, as it is.
    pub(crate) fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// The whole answer, as `T`, without a deadline: the guest may need long for it.
    pub(crate) async fn slow_answer<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.json().await
    }

    /// The whole answer, as `T`, within [`ANSWER_DEADLINE`].
    pub(crate) async fn answer<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let request = self.shown();
        within_deadline(request, async { self.send().await?.json().await }).await
    }

    /// The head of an answer whose body is read while it arrives.
    pub(crate) async fn stream(self) -> Result<Answer, ClientError> {
        let request = self.shown();
        within_deadline(request, self.send())
            .await?
            .or_error()
            .await
    }

    /// The same without a deadline: the daemon works on the answer before it begins.
    pub(crate) async fn patient_stream(self) -> Result<Answer, ClientError> {
        self.send().await?.or_error().await
    }

    /// The raw stream after the daemon has switched to it. There is no deadline: the guest decides when it is ready.
    pub(crate) async fn upgraded(mut self) -> Result<Upgraded, ClientError> {
        self.upgrade = true;
        self.send().await?.upgraded().await
    }

    fn shown(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    async fn send(self) -> Result<Answer, ClientError> {
        let request = self.shown();
        let client = self.client;
        let http_error = |source| ClientError::Http {
            request: request.clone(),
            source,
        };
        let head = self.into_request()?;
        let stream = socket::connect(&client.socket()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(http_error)?;
        // The connection's own error reaches the caller through the request and the body.
        let connection = Connection(tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        }));
        let response = sender.send_request(head).await.map_err(http_error)?;
        let build = response
            .headers()
            .get(BUILD_HEADER)
            .and_then(|value| value.to_str().ok());
        client.note_daemon_build(build.map(str::to_owned));
        Ok(Answer {
            request,
            response,
            connection,
        })
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, ClientError> {
        let request = self.shown();
        let mut head = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(HOST, "banger");
        if let Some(build) = self.client.build() {
            head = head.header(BUILD_HEADER, build);
        }
        if self.upgrade {
            head = head
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, UPGRADE_PROTOCOL);
        }
        if self.body.is_some() {
            head = head.header(CONTENT_TYPE, "application/json");
        }
        head.body(Full::from(self.body.unwrap_or_default()))
            .map_err(|source| ClientError::Request { request, source })
    }
}

impl Answer {
    /// The body, and the connection that must live as long as it is read.
    pub(crate) fn into_body(self) -> (String, Incoming, Connection) {
        (self.request, self.response.into_body(), self.connection)
    }

    async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let answer = self.or_error().await?;
        let request = answer.request.clone();
        let body = answer.bytes().await?;
        // A call without an answer (`()`) may get an empty body.
        let body = if body.is_empty() { b"null" } else { &body[..] };
        serde_json::from_slice(body).map_err(|source| ClientError::Decode { request, source })
    }

    async fn or_error(self) -> Result<Self, ClientError> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(self);
        }
        let request = self.request.clone();
        let body = self.bytes().await?;
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => ClientError::Api(body.error),
            Err(_not_ours) => ClientError::Status {
                request,
                status: status.as_u16(),
            },
        })
    }

    async fn upgraded(self) -> Result<Upgraded, ClientError> {
        if self.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let answer = self.or_error().await?;
            return Err(ClientError::Status {
                status: answer.response.status().as_u16(),
                request: answer.request,
            });
        }
        let upgraded =
            hyper::upgrade::on(self.response)
                .await
                .map_err(|source| ClientError::Http {
                    request: self.request,
                    source,
                })?;
        Ok(TokioIo::new(upgraded))
    }

    async fn bytes(self) -> Result<Bytes, ClientError> {
        let (request, mut body, _connection) = self.into_body();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| ClientError::Http {
                request: request.clone(),
                source,
            })?;
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if bytes.len() + chunk.len() > MAX_JSON_BYTES {
                return Err(ClientError::TooLarge {
                    request,
                    limit: MAX_JSON_BYTES,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

async fn within_deadline<T>(
    request: String,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match timeout(ANSWER_DEADLINE, call).await {
        Ok(result) => result,
        Err(_elapsed) => Err(ClientError::Late {
            request,
            after: ANSWER_DEADLINE,
        }),
    }
}
