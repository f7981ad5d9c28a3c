//! Credential helpers: programs `docker-credential-NAME` that keep credentials for other tools.
//!
//! ```text
//! docker-credential-NAME get   ◄── server on standard input
//!                              ──► {"Username": …, "Secret": …} on standard output
//! ```

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::credentials::Credentials;
use crate::error::CredentialError;

/// How long a helper may take: it may ask its user something.
const DEADLINE: Duration = Duration::from_secs(60);
/// Most that is read of its answer, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
/// User name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks the helper `name` for the credentials of `server`.
pub(crate) async fn get(name: &str, server: &str) -> Result<Option<Credentials>, CredentialError> {
    let failed = |why: String| CredentialError::Helper {
        helper: format!("docker-credential-{name}"),
        why,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_name) {
        return Err(failed("has no name that a program can have".to_owned()));
    }
    let asked = tokio::time::timeout(DEADLINE, ask(name, server)).await;
    let (success, output) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(failed(format!("cannot be asked: {error}"))),
        Err(_elapsed) => return Err(failed("does not answer".to_owned())),
    };
    if !success {
        let said = String::from_utf8_lossy(&output);
        // The one answer of its protocol that is no failure.
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let said: String = said.trim().chars().take(200).collect();
        return Err(failed(format!("fails: {}", said.escape_debug())));
    }
    // What the parser says could quote the secret.
    let Ok(answer) = serde_json::from_slice::<Answer>(&output) else {
        return Err(failed("answers what cannot be understood".to_owned()));
    };
    Ok(match (answer.username, answer.secret) {
        (_, secret) if secret.is_empty() => None,
        (user, token) if user == TOKEN_USER => Some(Credentials::Identity(token)),
        (user, password) => Some(Credentials::Password { user, password }),
    })
}

async fn ask(name: &str, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read what it is asked says why in its answer.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?.success(), output))
}
