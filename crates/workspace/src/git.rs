//! The host's `git`, used for reading only.
//!
//! Off, against any configuration of the user or the repository: hooks, fsmonitor programs, pagers, external diff
//! and textconv programs, content filters (`filter.*.clean`, `smudge`, `process`), fetching of missing objects, prompts,
//! replace refs, and locks for opportunistic writes (git-config(1), git(1)).

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use crate::error::GitError;

/// Bytes of git's own message that are kept.
const MAX_MESSAGE: u64 = 4096;
/// Variables for git that are passed on; all others that begin with `GIT_` describe some other repository or run
/// programs.
const KEPT_VARIABLES: &[&str] = &[
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_EXEC_PATH",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
];
/// Settings that win over every configuration file.
const OVERRIDES: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.pager", "cat"),
    ("diff.external", ""),
    ("protocol.allow", "never"),
    ("advice.graftFileDeprecated", "false"),
];

/// One repository, with the settings and variables for git's runs in it.
#[derive(Debug, Clone)]
pub struct Git {
    dir: PathBuf,
    settings: Vec<(String, String)>,
    env: Vec<(OsString, OsString)>,
}

impl Git {
    /// In this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            dir: dir.into(),
            settings: OVERRIDES.iter().map(own).collect(),
            env: Vec::new(),
        }
    }

    /// Its working directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same, run in another directory.
    #[must_use]
    pub fn within(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// With one more setting that wins over every configuration file.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// With one more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// The output of a command that must succeed.
    ///
    /// # Errors
    /// git is not there, or refuses; its own words are in the error.
    pub fn output<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<Vec<u8>, GitError> {
        self.fed(args, Vec::new())
    }

    /// The output of a command that must succeed, given this input.
    ///
    /// # Errors
    /// As [`Self::output`].
    pub fn fed<A: AsRef<OsStr>>(&self, args: &[A], input: Vec<u8>) -> Result<Vec<u8>, GitError> {
        let (output, status, message) = self.run(args, input)?;
        if status.success() {
            return Ok(output);
        }
        Err(failed(args, status, &message))
    }

    /// The first line of the output of a command, or `None` when it exits with 1, the "no" of many commands.
    ///
    /// # Errors
    /// As [`Self::output`], for other exit codes.
    pub fn line<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<Option<String>, GitError> {
        let (output, status, message) = self.run(args, Vec::new())?;
        if status.success() {
            let text = String::from_utf8_lossy(&output);
            return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
        }
        match status.code() {
            Some(1) => Ok(None),
            _ => Err(failed(args, status, &message)),
        }
    }

    fn run<A: AsRef<OsStr>>(
        &self,
        args: &[A],
        input: Vec<u8>,
    ) -> Result<(Vec<u8>, ExitStatus, String), GitError> {
        let mut child = self.start(args)?;
        let lost = |source| GitError::Lost {
            command: name(args),
            source,
        };
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let stdout = child.stdout.take();
        let mut output = Vec::new();
        let message = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A git that does not want the rest says why on its other output.
                stdin.map(|mut stdin| stdin.write_all(&input))
            });
            let message = scope.spawn(move || message_of(stderr));
            if let Some(mut stdout) = stdout {
                stdout.read_to_end(&mut output)?;
            }
            Ok(message.join().unwrap_or_default())
        })
        .map_err(lost)?;
        let status = child.wait().map_err(lost)?;
        Ok((output, status, message))
    }

    /// Starts a command with pipes at all its streams.
    ///
    /// # Errors
    /// git is not there.
    pub fn start<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<Child, GitError> {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            let kept = KEPT_VARIABLES.iter().any(|kept| name == *kept);
            if name.as_encoded_bytes().starts_with(b"GIT_") && !kept {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (n, (key, value)) in self.settings.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{n}"), key)
                .env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound if self.dir.is_dir() => GitError::Missing,
            _ => GitError::Lost {
                command: name(args),
                source,
            },
        })
    }
}

fn name<A: AsRef<OsStr>>(args: &[A]) -> String {
    let mut words = args.iter().map(|arg| arg.as_ref().to_string_lossy());
    let name = words.find(|word| !word.starts_with('-'));
    name.unwrap_or_default().into_owned()
}

/// All is read, so that git never waits; the beginning is kept.
fn message_of(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else {
        return String::new();
    };
    let mut message = Vec::new();
    let read = stderr.by_ref().take(MAX_MESSAGE).read_to_end(&mut message);
    if read.is_ok() {
        // The rest is thrown away; a broken pipe ends it as well.
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    }
    String::from_utf8_lossy(&message).into_owned()
}

fn failed<A: AsRef<OsStr>>(args: &[A], status: ExitStatus, message: &str) -> GitError {
    let told = message
        .lines()
        .map(|line| {
            line.trim_start_matches("fatal: ")
                .trim_start_matches("error: ")
                .trim()
        })
        .find(|line| {
            !line.is_empty() && !line.starts_with("hint:") && !line.starts_with("warning:")
        });
    GitError::Failed {
        command: name(args),
        code: status.code(),
        message: told.map_or_else(|| status.to_string(), str::to_owned),
    }
}
