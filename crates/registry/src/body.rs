//! Bodies of answers, read within limits.

use std::time::Duration;

use reqwest::{Response, Url};
use serde::Deserialize;

use crate::error::RegistryError;
use crate::http::{host_of, transfer};

/// Bytes that are read of an error answer, at most.
const MAX_ERROR: usize = 16 << 10;
/// Characters of an error answer that are shown, at most.
const MAX_SHOWN: usize = 200;

/// Reads the whole body: at most `limit` bytes, within `deadline`.
pub(crate) async fn whole(
    mut response: Response,
    url: &Url,
    what: &str,
    limit: u64,
    deadline: Duration,
) -> Result<Vec<u8>, RegistryError> {
    let too_large = || RegistryError::TooLarge {
        what: what.to_owned(),
        limit,
    };
    if response.content_length().is_some_and(|len| len > limit) {
        return Err(too_large());
    }
    let read = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|source| transfer(what, url, source))?
        {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    match tokio::time::timeout(deadline, read).await {
        Ok(read) => read,
        Err(_elapsed) => Err(RegistryError::TooSlow {
            what: what.to_owned(),
            host: host_of(url),
        }),
    }
}

/// Message of an error answer: the first one in the protocol's error document, else the answer's text.
pub(crate) async fn complaint(mut response: Response, deadline: Duration) -> String {
    let mut bytes = Vec::new();
    let read = async {
        // An unreadable body gives no message; the caller reports the status anyway.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ERROR - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if bytes.len() == MAX_ERROR {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(deadline, read).await;
    complaint_of(&bytes)
}

#[derive(Deserialize)]
struct Complaints {
    errors: Vec<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn complaint_of(bytes: &[u8]) -> String {
    let first = serde_json::from_slice::<Complaints>(bytes)
        .ok()
        .and_then(|all| all.errors.into_iter().next());
    let text = match first {
        Some(Complaint { code, message }) if message.is_empty() => code,
        Some(complaint) => complaint.message,
        // An HTML page is of no use in a message.
        None if bytes.trim_ascii_start().starts_with(b"<") => String::new(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    };
    let text: String = text.trim().chars().take(MAX_SHOWN).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_short_and_printable() {
        let told = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        assert_eq!(complaint_of(told.as_bytes()), "manifest unknown");
        assert_eq!(complaint_of(br#"{"errors":[{"code":"DENIED"}]}"#), "DENIED");
        assert_eq!(complaint_of(b"<html><body>504</body></html>"), "");
        assert_eq!(complaint_of(b"no\x1b[2Jway\n"), "no\\u{1b}[2Jway");
        assert_eq!(complaint_of(&[b'x'; 5000]).len(), MAX_SHOWN);
        assert_eq!(complaint_of(b""), "");
    }
}
