//! Credential helpers: programs `docker-credential-NAME` that keep credentials for other tools.
//!
//! ```text
//! docker-credential-NAME get   ◄── server on standard input
//!                              ──► {"Username": …, "Secret": …} on standard output
//!                              ──► or a message and an exit code other than 0
//! ```
//! The protocol is that of docker/docker-credential-helpers. A helper runs in a process group of its own, so that its
//! children can be ended with it.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::secret::Credentials;

/// Longest run of a helper: it may ask its user something.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes that are read of its answer, at most.
const MAX_ANSWER: u64 = 64 << 10;
/// Bytes that are read of its standard error, at most.
const MAX_COMPLAINT: u64 = 4 << 10;
/// Characters of its message that are passed on.
const SHOWN: usize = 200;
/// User name that marks the secret as an identity token.
const TOKEN_USER: &str = "<token>";

/// Search path and time limit of helpers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// Folders with programs, as in `PATH`; this process's own when `None`.
    pub(crate) path: Option<&'a OsStr>,
    /// Longest run of one helper.
    pub(crate) deadline: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Cause of a helper's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HelperError {
    /// There is no such program.
    Missing,
    /// Another failure, as the end of the sentence that begins with the helper's name.
    Failed(String),
}

impl From<String> for HelperError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// The complete output of a helper.
struct Said {
    success: bool,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// Name of the program for the helper `name` of a configuration.
pub(crate) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// Gets the credentials for `server` from the helper `name`.
pub(crate) async fn get(
    name: &str,
    server: &str,
    asking: Asking<'_>,
) -> Result<Option<Credentials>, HelperError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_name) {
        return Err("has no name that a program can have".to_owned().into());
    }
    let mut command = Command::new(program(name));
    if let Some(path) = asking.path {
        command.env("PATH", path);
    }
    let mut running = match start(&mut command) {
        Ok(running) => running,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(HelperError::Missing);
        }
        Err(error) => return Err(format!("cannot be started: {error}").into()),
    };
    let said = tokio::time::timeout(asking.deadline, running.ask(server)).await;
    let why = match said {
        Ok(Ok(said)) => return Ok(understood(&said)?),
        Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            format!("answers more than {MAX_ANSWER} bytes")
        }
        Ok(Err(error)) => format!("cannot be asked: {error}"),
        Err(_elapsed) => {
            let seconds = asking.deadline.as_secs();
            format!("has not answered after {seconds} seconds")
        }
    };
    running.end().await;
    Err(why.into())
}

fn understood(said: &Said) -> Result<Option<Credentials>, String> {
    if !said.success {
        let text = [&said.output[..], &said.complaint].map(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.trim().chars().take(SHOWN).collect::<String>()
        });
        // The only error answer of the protocol that is not a failure.
        if text[0].contains("credentials not found") {
            return Ok(None);
        }
        return Err(match text.iter().find(|text| !text.is_empty()) {
            Some(text) => format!("fails: {}", text.escape_debug()),
            None => "fails without a word".to_owned(),
        });
    }
    // The parser's message could quote the secret.
    let Ok(answer) = serde_json::from_slice::<Answer>(&said.output) else {
        return Err("gives a malformed answer".to_owned());
    };
    Ok(match (answer.username, answer.secret) {
        (_, secret) if secret.is_empty() => None,
        (user, token) if user == TOKEN_USER => Some(Credentials::Identity(token)),
        (user, password) => Some(Credentials::Password { user, password }),
    })
}

/// A running helper; on drop it is ended with its children.
struct Running(Child);

fn start(command: &mut Command) -> io::Result<Running> {
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map(Running)
}

impl Running {
    /// Sends `server` and reads the answer; `FileTooLarge` as soon as the answer is too long.
    async fn ask(&mut self, server: &str) -> io::Result<Said> {
        let (input, output, complaint) = (
            self.0.stdin.take(),
            self.0.stdout.take(),
            self.0.stderr.take(),
        );
        let tell = async {
            if let Some(mut input) = input {
                // A helper that does not read its input gives the cause in its answer.
                let _ = input.write_all(server.as_bytes()).await;
            }
            Ok(())
        };
        let answer = async {
            let output = read(output, MAX_ANSWER + 1).await?;
            match output.len() as u64 > MAX_ANSWER {
                true => Err(io::ErrorKind::FileTooLarge.into()),
                false => Ok(output),
            }
        };
        let ((), output, complaint) =
            tokio::try_join!(tell, answer, read(complaint, MAX_COMPLAINT))?;
        Ok(Said {
            success: self.0.wait().await?.success(),
            output,
            complaint,
        })
    }

    fn kill(&self) {
        // The id is gone once the process has ended and been waited for.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // The group may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    async fn end(&mut self) {
        self.kill();
        let _ = self.0.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_a_password_and_nothing_from_both() {
        let answer = |text: &str| {
            let said = Said {
                success: true,
                output: text.as_bytes().to_vec(),
                complaint: b"a warning".to_vec(),
            };
            understood(&said).unwrap()
        };
        let token = answer(r#"{"ServerURL":"r","Username":"<token>","Secret":"t"}"#);
        assert_eq!(token, Some(Credentials::Identity("t".to_owned())));
        let password = answer(r#"{"Username":"u","Secret":"p"}"#);
        let expected = Credentials::Password {
            user: "u".to_owned(),
            password: "p".to_owned(),
        };
        assert_eq!(password, Some(expected));
        assert_eq!(answer(r#"{"Username":"u","Secret":""}"#), None);
    }
}
