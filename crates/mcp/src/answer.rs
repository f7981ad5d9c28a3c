//! Answers to tool calls: text for a model, with a largest size.

use std::collections::VecDeque;
use std::error::Error;

use banger_api::{ApiError, ErrorCode};
use banger_client::{ClientError, ExecError};
use banger_guest::files::TransferError;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};
use serde::Serialize;

use crate::policy::Refusal;

/// Largest text of a stream in an answer, in bytes: half of it from the beginning, half from the end.
pub(crate) const MAX_TEXT: usize = 20_000;

/// Failure of a tool. The model sees it: it may do better.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// The daemon, or the program around the server, says why.
    #[error("{}", .0.message)]
    Api(ApiError),
    /// The user's policy forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call failed.
    #[error(transparent)]
    Client(ClientError),
    /// The command did not start, or its output was lost.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// Files did not arrive.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A label of the policy is none.
    #[error(transparent)]
    Label(#[from] banger_api::InvalidLabel),
    /// An argument cannot be used.
    #[error("{0}")]
    Argument(String),
}

impl From<ApiError> for ToolError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<ClientError> for ToolError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) => Self::Api(error),
            other => Self::Client(other),
        }
    }
}

/// A failure as the model gets it.
#[derive(Serialize)]
struct Told {
    code: ErrorCode,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl ToolError {
    fn told(&self) -> Told {
        let (code, hint) = match self {
            Self::Api(error) => (error.code, error.hint.clone()),
            Self::Refused(_) | Self::Label(_) | Self::Argument(_) => {
                (ErrorCode::InvalidArgument, None)
            }
            Self::Exec(ExecError::NotStarted(_)) => (ErrorCode::GuestFailed, None),
            Self::Exec(_) | Self::Transfer(_) => (ErrorCode::GuestFailed, None),
            Self::Client(_) => (ErrorCode::Internal, None),
        };
        let mut message = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Told {
            code,
            message,
            hint,
        }
    }
}

impl IntoCallToolResult for ToolError {
    fn into_call_tool_result(self) -> Result<CallToolResponse, rmcp::ErrorData> {
        let told = self.told();
        let mut text = told.message.clone();
        if let Some(hint) = &told.hint {
            text.push_str(&format!("\nhint: {hint}"));
        }
        let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
        result.structured_content = serde_json::to_value(told).ok();
        result.into_call_tool_result()
    }
}

/// Answer of a tool.
pub(crate) type Answer = Result<CallToolResult, ToolError>;

/// A value as JSON, for programs and, as text, for models.
pub(crate) fn json(value: &impl Serialize) -> Answer {
    let value = serde_json::to_value(value)
        .map_err(|error| ToolError::Argument(format!("the answer cannot be written: {error}")))?;
    Ok(CallToolResult::structured(value))
}

/// Output of which only the beginning and the end are kept.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Ends {
    /// Takes more output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = (MAX_TEXT / 2).saturating_sub(self.head.len());
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(MAX_TEXT / 2);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// Tells whether a part is missing.
    pub(crate) fn is_cut(&self) -> bool {
        self.left_out > 0
    }

    /// The text: bytes that are no UTF-8 are replaced, a gap is named.
    pub(crate) fn text(mut self) -> String {
        if self.left_out == 0 {
            self.head.extend(&self.tail);
            return String::from_utf8_lossy(&self.head).into_owned();
        }
        let tail: Vec<u8> = self.tail.into();
        format!(
            "{}\n[… {} bytes left out …]\n{}",
            String::from_utf8_lossy(&self.head),
            self.left_out,
            String::from_utf8_lossy(&tail)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_flood_are_kept_and_the_gap_is_named() {
        let mut ends = Ends::default();
        ends.push(b"first ");
        for _ in 0..1_000 {
            ends.push(&[b'x'; 1_000]);
        }
        ends.push(b" last");
        assert!(ends.is_cut());
        assert!(ends.head.capacity() + ends.tail.capacity() < 4 * MAX_TEXT);
        let text = ends.text();
        assert!(
            text.starts_with("first x") && text.ends_with("x last"),
            "{text}"
        );
        assert!(
            text.contains("[… 980011 bytes left out …]"),
            "{}",
            text.len()
        );
    }

    #[test]
    fn what_fits_is_whole_wherever_it_was_cut() {
        let text = "é".repeat(MAX_TEXT / 2);
        for size in [1, 7, MAX_TEXT] {
            let mut ends = Ends::default();
            for piece in text.as_bytes().chunks(size) {
                ends.push(piece);
            }
            assert!(!ends.is_cut());
            assert_eq!(ends.text(), text);
        }
    }

    #[test]
    fn a_failure_is_told_with_its_code_and_the_next_step() {
        let error = ApiError::new(ErrorCode::NotFound, "no VM is called web").hint("make one");
        let Ok(CallToolResponse::Complete(told)) = ToolError::from(error).into_call_tool_result()
        else {
            panic!("an error of the protocol, which a model never sees");
        };
        let told = serde_json::to_value(told).unwrap_or_default();
        assert_eq!(told["isError"], true, "{told}");
        assert_eq!(told["structuredContent"]["code"], "not_found");
        assert_eq!(
            told["content"][0]["text"],
            "no VM is called web\nhint: make one"
        );
    }
}
