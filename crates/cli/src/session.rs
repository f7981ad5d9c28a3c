//! Calls to a daemon that is there: started when none answers.
//!
//! ```text
//! call ──► a change, the first, and an older build is announced ──► it makes room if nothing is under way in it
//!     ├──► nobody listens, or it is going down ──► start a daemon, call again
//!     └──► an answer ────────────────────────────► the caller
//! ```
//!
//! No call costs a round trip more than its own: the build stands in the file that says where the daemon listens. What
//! only reads never replaces a daemon, nor does what belongs to a change that an older one has accepted. So an older
//! daemon is spoken to as long as it is busy, and what it does not know fails by name.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode};
use banger_client::{Client, ClientError};

use crate::endpoint::{Endpoint, is_older};
use crate::failure::Failure;
use crate::output::Output;
use crate::{launch, takeover};

/// Number of times that a call is tried, each time after a daemon was started.
const MAX_TRIES: u32 = 4;

/// Effect of a call: decides whether it may be repeated, and whether an older daemon is asked to make room first.
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
    output: Rc<Output>,
    starting: Cell<Duration>,
    /// The daemon was looked for.
    located: Cell<bool>,
    /// An older daemon was asked to make room, or there was none.
    offered: Cell<bool>,
}

impl Session {
    /// Nothing is opened or started yet.
    pub fn new(endpoint: Endpoint, output: Rc<Output>) -> Self {
        let client = Client::new(endpoint.paths.socket(), Some(endpoint.build.clone()));
        Self {
            endpoint,
            client,
            output,
            starting: Cell::new(Duration::ZERO),
            located: Cell::new(false),
            offered: Cell::new(false),
        }
    }

    /// The calls themselves, to a daemon that may not be there.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Place of the daemon.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Time that starting daemons took in this session.
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
        self.locate(kind).await?;
        let mut tries = 1;
        loop {
            let result = call(self.client.clone()).await;
            if tries == MAX_TRIES || !needs_a_daemon(kind, &result) {
                return result.map_err(|error| self.failure(error));
            }
            tries += 1;
            let started = Instant::now();
            launch::start(&self.endpoint, &self.client, &self.output).await?;
            self.starting.set(self.starting.get() + started.elapsed());
        }
    }

    /// Finds the daemon before the first call, and before the first change sees that it is not an older build which
    /// could make room. A change that an older one has accepted is followed there: it is not asked again.
    async fn locate(&self, kind: Kind) -> Result<(), Failure> {
        let first_change = kind == Kind::Change && !self.offered.replace(true);
        if self.located.replace(true) && !first_change {
            return Ok(());
        }
        let announced = self.endpoint.locate(&self.client)?;
        if !first_change {
            return Ok(());
        }
        let theirs = match announced {
            Some(announced) => Some(announced.build),
            // One of a build that announces nothing, or none.
            None => match self.client.daemon_status().await {
                Ok(status) => Some(status.build),
                Err(_none) => None,
            },
        };
        if theirs.is_some_and(|theirs| is_older(&theirs, &self.endpoint.build)) {
            let started = Instant::now();
            takeover::offer(&self.endpoint, &self.client, &self.output).await?;
            self.starting.set(self.starting.get() + started.elapsed());
        }
        Ok(())
    }

    /// The failure of a call; one that an older daemon did not understand says so.
    fn failure(&self, error: ClientError) -> Failure {
        let outdated = self
            .client
            .daemon_build()
            .is_some_and(|theirs| is_older(&theirs, &self.endpoint.build));
        let not_understood = matches!(
            &error,
            ClientError::Decode { .. }
                | ClientError::Events { .. }
                | ClientError::Status { .. }
                | ClientError::Api(ApiError {
                    code: ErrorCode::InvalidArgument,
                    ..
                })
        );
        match outdated && not_understood {
            true => Failure::from(error).hint(
                "the daemon that runs is an older build and may not know this; a command that changes something \
                 replaces it when nothing is under way (banger daemon status)",
            ),
            false => Failure::from(error),
        }
    }
}

/// There is no daemon, or none that takes calls any more, and the call may be made again.
fn needs_a_daemon<T>(kind: Kind, result: &Result<T, ClientError>) -> bool {
    match result {
        // It reached nobody.
        Err(error) if error.is_no_daemon() => true,
        // It was turned away: nothing has happened.
        Err(ClientError::Api(error)) => error.code == ErrorCode::ShuttingDown,
        // It ended in the middle.
        Err(ClientError::Http { .. }) => kind == Kind::Read,
        _ => false,
    }
}
