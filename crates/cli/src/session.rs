//! Calls to a daemon that is there: started when none answers, replaced when it is older than this program.
//!
//! ```text
//! call ──► nobody listens ───────────► start a daemon, call again
//!     ├──► it is going down ─────────► wait for its end, start one, call again
//!     ├──► an older build answered ──► replace it and call again, unless it has accepted a change
//!     └──► an answer ────────────────► the caller
//! ```
//!
//! No call costs a round trip more than its own: the build travels in a header. A change that an older daemon has
//! accepted is never sent twice: that daemon finishes it, and the next command replaces it.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use banger_api::ErrorCode;
use banger_client::{Client, ClientError};

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::launch;

/// How often a call is tried again after the daemon was started or replaced.
const MAX_TRIES: u32 = 4;

/// What a call does: this decides what may be done when an older daemon has answered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It changes nothing and may be repeated.
    Read,
    /// It changes something.
    Change,
}

/// Calls to a daemon that is there.
#[derive(Debug)]
pub struct Session {
    endpoint: Endpoint,
    client: Client,
    starting: Cell<Duration>,
}

impl Session {
    /// Nothing is opened or started yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let client = Client::new(&endpoint.socket, Some(endpoint.build.clone()));
        Self {
            endpoint,
            client,
            starting: Cell::new(Duration::ZERO),
        }
    }

    /// The calls themselves, to a daemon that may not be there.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the daemon is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How long starting and replacing daemons took in this session.
    pub fn time_of_starting(&self) -> Duration {
        self.starting.get()
    }

    /// A call that changes nothing.
    ///
    /// # Errors
    /// No daemon can be started, or the call failed.
    pub async fn read<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.call(Kind::Read, call).await
    }

    /// A call that changes something.
    ///
    /// # Errors
    /// No daemon can be started, or the call failed.
    pub async fn change<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.call(Kind::Change, call).await
    }

    async fn call<T, F>(&self, kind: Kind, call: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut tries = 1;
        loop {
            let result = call(self.client.clone()).await;
            let next = self.what_next(kind, &result);
            if tries == MAX_TRIES || next == Next::Take {
                return result.map_err(Failure::from);
            }
            tries += 1;
            let started = Instant::now();
            match next {
                Next::Take => {}
                Next::Start => launch::start(&self.endpoint, &self.client).await?,
                Next::Replace => launch::replace(&self.endpoint, &self.client).await?,
            }
            self.starting.set(self.starting.get() + started.elapsed());
        }
    }

    fn what_next<T>(&self, kind: Kind, result: &Result<T, ClientError>) -> Next {
        match result {
            Err(error) if error.is_no_daemon() => return Next::Start,
            Err(ClientError::Api(error)) if error.code == ErrorCode::ShuttingDown => {
                return Next::Replace;
            }
            // It ended in the middle, perhaps because it was just replaced.
            Err(ClientError::Http { .. }) if kind == Kind::Read => return Next::Start,
            Err(ClientError::Http { .. }) => return Next::Take,
            _ => {}
        }
        let repeatable = kind == Kind::Read || result.is_err();
        if repeatable && launch::is_outdated(&self.endpoint, &self.client) {
            Next::Replace
        } else {
            Next::Take
        }
    }
}

/// What to do about the result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Give it to the caller.
    Take,
    /// Start a daemon and call again.
    Start,
    /// Replace the daemon and call again.
    Replace,
}
