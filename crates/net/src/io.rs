//! Readiness: which token belongs to what.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::ends::Ends;

/// Removes the socket that an earlier process has left at a path.
pub(crate) fn remove_stale(socket: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Owner of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Link,
    Vmm,
    Control,
    Conversation,
    Listener,
    Flow(Ends),
    Pair(Ends),
    Ping,
    Query,
    Peer,
}

/// Tokens, and the registry of the poll.
pub(crate) struct Io {
    registry: Registry,
    owners: HashMap<Token, Owner>,
    next: usize,
}

impl Io {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            owners: HashMap::new(),
            next: 0,
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A token for `owner`, which it has until [`Self::forget`].
    pub(crate) fn token(&mut self, owner: Owner) -> Token {
        let token = Token(self.next);
        self.next += 1;
        self.owners.insert(token, owner);
        token
    }

    /// Watches a source for both ways.
    pub(crate) fn watch(&self, source: &mut impl Source, token: Token) -> std::io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(source, token, both)
    }

    /// Ends watching; what is closed is not watched anyhow.
    pub(crate) fn unwatch(&self, source: &mut impl Source) {
        let _ = self.registry.deregister(source);
    }

    pub(crate) fn owner(&self, token: Token) -> Option<Owner> {
        self.owners.get(&token).copied()
    }

    pub(crate) fn forget(&mut self, token: Token) {
        self.owners.remove(&token);
    }
}
