//! Description of one run of a program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_jail::Spec;

/// Time for a cancelled program to clean up before it is killed.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// A program, its arguments and surroundings. Environment variables are inherited unless set here; the locale is `C`,
/// so that its messages can be relied on.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) grace: Duration,
    called: Option<String>,
    pub(crate) jail: Option<Spec>,
}

impl Program {
    /// The program at `path`, or the one of that name in `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let env = vec![
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("LANG".into(), "C.UTF-8".into()),
        ];
        Self {
            path: path.into(),
            args: Vec::new(),
            env,
            dir: None,
            grace: DEFAULT_GRACE,
            called: None,
            jail: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs in `dir`.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets the time for the program to clean up after a cancel (5 s unless set).
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the program's name in messages, for one that is run through another program at its path.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.called = Some(name.into());
        self
    }

    /// Runs it in this jail. Landlock is left out where this host does not have it; what every jail has stays.
    #[must_use]
    pub fn jail(mut self, jail: Spec) -> Self {
        self.jail = Some(jail);
        self
    }

    /// The program's name for messages.
    pub(crate) fn name(&self) -> String {
        if let Some(called) = &self.called {
            return called.clone();
        }
        self.path
            .file_name()
            .unwrap_or(self.path.as_os_str())
            .to_string_lossy()
            .into_owned()
    }
}

/// The first executable file called `name` in the folders of `path` (the value of `PATH`).
#[must_use]
pub fn find_in_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let executable = |file: &Path| {
        rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
    };
    std::env::split_paths(path?)
        .map(|folder| folder.join(name))
        .find(|file| executable(file))
}
