//! Credential helpers: programs `docker-credential-NAME` that keep credentials for other tools.
//!
//! ```text
//! docker-credential-NAME get   ◄── server on standard input
//!                              ──► {"Username": …, "Secret": …} on standard output
//!                              ──► or why not, and another exit code than 0
//! ```
//! The protocol is that of docker/docker-credential-helpers. A helper runs in a process group of its own, so that one that
//! does not end is ended with all that it has started.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::secret::Credentials;

/// How long a helper may take: it may ask its user something.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Most that is read of its answer, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
/// Most that is read of what it says beside, in bytes.
const MAX_COMPLAINT: u64 = 4 << 10;
/// Characters of its complaint that are passed on.
const SHOWN: usize = 200;
/// User name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// How helpers are found and waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// Folders with programs, as in `PATH`; this process's own when `None`.
    pub(crate) path: Option<&'a OsStr>,
    /// How long one may take.
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

/// Why a helper gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HelperError {
    /// There is no such program.
    Missing,
    /// The end of the sentence that begins with the helper.
    Failed(String),
}

impl From<String> for HelperError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// What a helper has said, to its end.
struct Said {
    success: bool,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// The program behind the name `name` in a configuration.
pub(crate) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// Asks the helper `name` for the credentials of `server`.
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
        // The one answer of its protocol that is no failure.
        if text[0].contains("credentials not found") {
            return Ok(None);
        }
        return Err(match text.iter().find(|text| !text.is_empty()) {
            Some(text) => format!("fails: {}", text.escape_debug()),
            None => "fails without a word".to_owned(),
        });
    }
    // What the parser says could quote the secret.
    let Ok(answer) = serde_json::from_slice::<Answer>(&said.output) else {
        return Err("answers what cannot be understood".to_owned());
    };
    Ok(match (answer.username, answer.secret) {
        (_, secret) if secret.is_empty() => None,
        (user, token) if user == TOKEN_USER => Some(Credentials::Identity(token)),
        (user, password) => Some(Credentials::Password { user, password }),
    })
}

/// A helper, ended with all that it has started when this goes before it.
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
    /// Its answer; `FileTooLarge` as soon as that is too long.
    async fn ask(&mut self, server: &str) -> io::Result<Said> {
        let (input, output, complaint) = (
            self.0.stdin.take(),
            self.0.stdout.take(),
            self.0.stderr.take(),
        );
        let tell = async {
            if let Some(mut input) = input {
                // A helper that does not read what it is asked says why in its answer.
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
        // There is no id any more once it has ended and been waited for.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended by itself.
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
