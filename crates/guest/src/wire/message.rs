//! Length-prefixed JSON: `u32` big-endian length, then that many bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A message that could not be sent or read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is longer than the reader or writer allows.
    #[error("message of {len} bytes is longer than the {limit} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not the expected JSON.
    #[error("message is not what was expected")]
    Invalid(#[source] serde_json::Error),
    /// The stream failed or ended.
    #[error("message could not be transferred")]
    Io(#[from] std::io::Error),
}

/// Encodes a message with its length.
///
/// # Errors
/// [`MessageError::TooLong`] when it is longer than `limit` bytes.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, MessageError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(MessageError::Invalid)?;
    let len = bytes.len() - 4;
    match u32::try_from(len) {
        Ok(prefix) if len <= limit => bytes[..4].copy_from_slice(&prefix.to_be_bytes()),
        _ => return Err(MessageError::TooLong { len, limit }),
    }
    Ok(bytes)
}

/// Sends a message in one write.
///
/// # Errors
/// Fails when it is too long, or the stream fails.
pub async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
    limit: usize,
) -> Result<(), MessageError> {
    to.write_all(&encode(message, limit)?).await?;
    to.flush().await?;
    Ok(())
}

/// Reads a message. Takes memory as bytes arrive, not as the length promises.
///
/// # Errors
/// Fails when it is longer than `limit` bytes, is not a `T`, or the stream fails or ends.
pub async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<T, MessageError> {
    let len = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if len > limit {
        return Err(MessageError::TooLong { len, limit });
    }
    let mut bytes = Vec::new();
    from.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_slice(&bytes).map_err(MessageError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Request;

    #[tokio::test]
    async fn a_message_comes_back_as_it_was_sent() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Request::Ping, 100).await.unwrap();
        assert_eq!(
            read::<Request>(&mut &bytes[..], 100).await.unwrap(),
            Request::Ping
        );
    }

    #[tokio::test]
    async fn a_length_above_the_limit_is_refused_before_it_is_read() {
        let error = read::<Request>(&mut &[0xff, 0xff, 0xff, 0xff][..], 100)
            .await
            .unwrap_err();
        assert!(
            matches!(error, MessageError::TooLong { limit: 100, .. }),
            "{error}"
        );
        let error = encode(&Request::Ping, 3).unwrap_err();
        assert!(matches!(error, MessageError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_message_that_ends_early_is_an_error() {
        let error = read::<Request>(&mut &[0, 0, 0, 9, b'{'][..], 100)
            .await
            .unwrap_err();
        assert!(matches!(error, MessageError::Io(_)), "{error}");
    }

    #[tokio::test]
    async fn json_nested_without_end_is_an_error() {
        let mut bytes = 60_000_u32.to_be_bytes().to_vec();
        bytes.extend(std::iter::repeat_n(b'[', 60_000));
        let error = read::<serde_json::Value>(&mut &bytes[..], 100_000)
            .await
            .unwrap_err();
        assert!(matches!(error, MessageError::Invalid(_)), "{error}");
    }
}
