//! Errors of the store.

use std::path::PathBuf;

use crate::ClaimKind;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the store {}", path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The database was written by a newer banger.
    #[error("the store {} has version {found}; this banger knows versions up to {known}", path.display())]
    TooNew {
        /// Its file.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// A name is taken.
    #[error("{what} name \"{name}\" is taken")]
    NameTaken {
        /// `VM`, `image`, `kernel`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A resource has an owner already.
    #[error("{} {resource} is claimed by {owner}", kind.as_str())]
    Claimed {
        /// Kind of resource.
        kind: ClaimKind,
        /// The resource.
        resource: String,
        /// Its owner, as it is stored.
        owner: String,
        /// The name of the VM that is its owner.
        vm: Option<String>,
    },
    /// Something is not any more as the change needs it.
    #[error("{what} {how}")]
    Changed {
        /// The thing.
        what: String,
        /// `is gone`, `is in use`.
        how: &'static str,
    },
    /// The thing to be changed is not there any more.
    #[error("{what} {id} is gone")]
    Gone {
        /// `VM`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A record cannot be written down.
    #[error("a record of {what} cannot be written down")]
    Unwritable {
        /// The thing.
        what: &'static str,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// A record cannot be read back, so it may not be changed.
    #[error("the record of {what} {name} in the store is damaged: {why}")]
    Damaged {
        /// `VM`, `image`, `kernel`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Cause that it cannot be read.
        why: String,
    },
    /// The database refused.
    #[error("the store failed")]
    Sqlite(#[from] rusqlite::Error),
    /// A change panicked, or the process that a proof plays is dead: nothing of it was kept.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The answer of a full disk: for proofs.
    pub fn no_space() -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        Self::Sqlite(rusqlite::Error::SqliteFailure(code, None))
    }

    /// Returns the fault of the host that must be mended before the store can be used again; `None`: the fault is
    /// another.
    pub fn trouble(&self) -> Option<Trouble> {
        use rusqlite::ErrorCode as Code;
        let source = match self {
            Self::Sqlite(source) | Self::Open { source, .. } => source,
            _ => return None,
        };
        // The shared memory beside the log cannot grow: most often the disk is full.
        let shm = source.sqlite_error()?.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
        match source.sqlite_error_code()? {
            _ if shm => Some(Trouble::NoSpace),
            Code::DiskFull => Some(Trouble::NoSpace),
            Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied => Some(Trouble::ReadOnly),
            Code::DatabaseBusy | Code::DatabaseLocked => Some(Trouble::Locked),
            Code::DatabaseCorrupt | Code::NotADatabase => Some(Trouble::Damaged),
            Code::SystemIoFailure => Some(Trouble::Disk),
            _ => None,
        }
    }
}

/// Finds the fault that keeps a store from being used and is not its own (<https://sqlite.org/rescode.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    NoSpace,
    /// The file, its folder or its file system is read-only.
    ReadOnly,
    /// Another program holds the database's lock.
    Locked,
    /// The file is no database, or not a whole one.
    Damaged,
    /// The disk cannot be read or written.
    Disk,
}

/// Tells whether `error` is a violated unique or primary-key constraint.
pub(crate) fn is_unique(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error().map(|e| e.extended_code),
        Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
    )
}
