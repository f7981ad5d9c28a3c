//! Place of the daemon, and build of this program.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use banger_api::ApiError;
use banger_client::Client;
use banger_daemon::{Announcement, Paths, announced, build_id};

/// Place of the daemon, and build of this program.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// All places.
    pub paths: Paths,
    /// The file to which a daemon in the background writes its log.
    pub log: PathBuf,
    /// The lock that is held while a daemon is started or replaced.
    pub start_lock: PathBuf,
    /// This program's build.
    pub build: String,
}

impl Endpoint {
    /// From the environment: see [`Paths::from_env`]. Nothing is made.
    ///
    /// # Errors
    /// The environment names no usable place.
    pub fn from_env() -> Result<Self, ApiError> {
        let paths = Paths::from_env()?;
        Ok(Self {
            log: paths.log(),
            start_lock: paths.state().join("start.lock"),
            build: build_id().to_owned(),
            paths,
        })
    }

    /// Lets `client` call the daemon that is announced beside the lock, or the place where one of this environment
    /// would listen.
    ///
    /// # Errors
    /// The announcement cannot be read: also, the state folder is another user's.
    pub fn locate(&self, client: &Client) -> Result<Option<Announcement>, ApiError> {
        let announced = match announced(&self.paths) {
            Ok(announced) => announced,
            Err(error) => {
                self.paths.refuse_strangers()?;
                return Err(error);
            }
        };
        match &announced {
            Some(announced) => client.move_to(&announced.socket()),
            None => client.move_to(&self.paths.socket()),
        }
        Ok(announced)
    }

    /// Makes the directory of the log and the lock, for this user alone.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn prepare(&self) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.paths.state())
    }
}

/// The first build was made before the second: see [`build_id`].
pub fn is_older(theirs: &str, ours: &str) -> bool {
    theirs < ours
}
