//! The exchange of one connection: requests and answers, one after the other. Bytes in, bytes out; no socket.
//!
//! ```text
//! Head ─ a whole head ─► Open { the request's body, the answer's head and body } ─ both are done ─► Head
//!                                                                └─ one side closes ─► Over
//! ```

use banger_secret::Field;
use zeroize::Zeroizing;

use super::body::{Body, Written};
use super::request::Request;
use super::response::{Names, Response};
use super::{HEAD_MAX_BYTES, Wrong};

/// Bytes that wait for the host or the guest, beyond which nothing more is taken for them.
const WAITING_MAX_BYTES: usize = 32 * 1024;
/// Longest path that is recorded, bytes.
const PATH_MAX_BYTES: usize = 256;

/// An answer of the host's that cannot be passed on any further: the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut;

/// A request that went out, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) method: String,
    pub(crate) path: String,
}

#[derive(Debug)]
enum Phase {
    Head,
    Open(Box<Open>),
    Over,
}

#[derive(Debug)]
struct Open {
    request: Request,
    request_body: Body,
    /// The answer's body, once its head has come; and whether the connection ends behind it.
    answer: Option<(Body, Written, bool)>,
}

/// Requests and answers of one connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    own: String,
    authority: String,
    field: Field,
    phase: Phase,
    /// Bytes of the guest's that are no whole head, or for which there is no room yet.
    from_guest: Vec<u8>,
    to_host: Zeroizing<Vec<u8>>,
    from_host: Vec<u8>,
    to_guest: Vec<u8>,
    /// Bytes of `to_guest` that it has.
    given: usize,
    guest_ended: bool,
    /// Some answer has come on this connection.
    has_answered: bool,
    /// The guest has a part of an answer that will not be whole.
    is_cut: bool,
    told: Vec<Told>,
}

impl Exchange {
    /// Of the endpoint named `own`, whose requests go to `authority` with `field`.
    pub(crate) fn new(own: String, authority: String, field: Field) -> Self {
        Self {
            own,
            authority,
            field,
            phase: Phase::Head,
            from_guest: Vec::new(),
            to_host: Zeroizing::default(),
            from_host: Vec::new(),
            to_guest: Vec::new(),
            given: 0,
            guest_ended: false,
            has_answered: false,
            is_cut: false,
            told: Vec::new(),
        }
    }

    /// Takes bytes of the guest's; answers with their number.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        if self.is_over() {
            return bytes.len();
        }
        let room = HEAD_MAX_BYTES.saturating_sub(self.from_guest.len());
        let count = bytes.len().min(room);
        self.from_guest.extend_from_slice(&bytes[..count]);
        self.go_on();
        count
    }

    /// Bytes for the host. Those that it has got are told by [`Self::sent`].
    pub(crate) fn to_host(&self) -> &[u8] {
        &self.to_host
    }

    /// The host has got so many bytes.
    pub(crate) fn sent(&mut self, count: usize) {
        self.to_host.drain(..count);
        self.go_on();
    }

    /// Bytes of the host's that are taken now.
    pub(crate) fn room_for_answer(&self) -> usize {
        let is_full = self.to_guest.len() - self.given >= WAITING_MAX_BYTES;
        match is_full || self.is_over() {
            true => 0,
            false => HEAD_MAX_BYTES.saturating_sub(self.from_host.len()),
        }
    }

    /// Takes bytes of the host's, at most [`Self::room_for_answer`].
    pub(crate) fn answered(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.from_host.extend_from_slice(bytes);
        self.go_on_with_answer()
    }

    /// The host has ended: `whole` when it has said so.
    pub(crate) fn host_ended(&mut self, whole: bool) -> Result<(), Cut> {
        let Phase::Open(open) = &mut self.phase else {
            self.phase = Phase::Over;
            return Ok(());
        };
        match &mut open.answer {
            Some((body, ..)) if body.is_until_close() && whole => {
                body.close();
                self.phase = Phase::Over;
                Ok(())
            }
            None if !self.has_answered && self.from_host.is_empty() => {
                self.fail("the host ended the connection without an answer");
                Ok(())
            }
            // It closed a connection that had been idle as the request came: whoever asked may ask again (RFC 9112, 9.3.1).
            None if self.from_host.is_empty() => {
                self.phase = Phase::Over;
                Ok(())
            }
            _ => Err(Cut),
        }
    }

    /// The guest sends no more. A request that is not whole is cut off.
    pub(crate) fn guest_ended(&mut self) -> Result<(), Cut> {
        self.guest_ended = true;
        match &self.phase {
            Phase::Head => {
                self.phase = Phase::Over;
                Ok(())
            }
            Phase::Open(open) if !open.request_body.is_done() => Err(Cut),
            Phase::Open(_) | Phase::Over => Ok(()),
        }
    }

    /// Answers the guest in the host's place, and ends.
    pub(crate) fn fail(&mut self, words: &str) {
        self.answer((502, "Bad Gateway", words));
    }

    fn answer(&mut self, (status, reason, words): (u16, &str, &str)) {
        let has_begun = matches!(&self.phase, Phase::Open(open) if open.answer.is_some());
        self.phase = Phase::Over;
        if has_begun {
            self.is_cut = true;
            return;
        }
        let body = serde_json::json!({ "error": { "type": "banger", "message": words } });
        let body = format!("{body}\n");
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        self.to_guest.extend_from_slice(head.as_bytes());
        self.to_guest.extend_from_slice(body.as_bytes());
    }

    /// Gives bytes to the guest; answers with their number.
    pub(crate) fn give(&mut self, room: &mut [u8]) -> usize {
        let left = &self.to_guest[self.given..];
        let count = left.len().min(room.len());
        room[..count].copy_from_slice(&left[..count]);
        self.given += count;
        if self.given == self.to_guest.len() {
            self.to_guest.clear();
            self.given = 0;
        }
        count
    }

    /// Tells whether nothing more comes, but for what the guest has not been given yet.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Tells whether the guest has a part of an answer that will not be whole.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Tells whether it waits for nothing of the host's.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Head)
    }

    /// The requests that went out since this was asked last.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Goes on with what the guest has sent.
    fn go_on(&mut self) {
        if let Err(wrong) = self.step() {
            self.answer(wrong.answer());
        }
    }

    fn step(&mut self) -> Result<(), Wrong> {
        if matches!(self.phase, Phase::Head) {
            let Some((request, length)) = Request::read(&self.from_guest, &self.own)? else {
                return Ok(());
            };
            self.from_guest.drain(..length);
            self.begin(request);
        }
        let Phase::Open(open) = &mut self.phase else {
            return Ok(());
        };
        if self.to_host.len() >= WAITING_MAX_BYTES {
            return Ok(());
        }
        let written = match open.request.ends {
            super::fields::Ends::Chunked => Written::Chunks,
            _ => Written::Plain,
        };
        let body = &mut open.request_body;
        let taken = body.take(&self.from_guest, written, &mut self.to_host);
        self.from_guest
            .drain(..taken.map_err(|_broken| Wrong::Malformed)?);
        Ok(())
    }

    fn begin(&mut self, request: Request) {
        let path = request.path();
        self.told.push(Told {
            method: request.method.clone(),
            path: path[..path.floor_char_boundary(PATH_MAX_BYTES)].to_owned(),
        });
        // One that grows leaves copies behind, and the secret in them: so it has its whole size from the beginning.
        let most = request.written_max(&self.authority, &self.field);
        let mut next = Zeroizing::new(Vec::with_capacity(
            self.to_host.len() + most + 2 * HEAD_MAX_BYTES + WAITING_MAX_BYTES,
        ));
        next.extend_from_slice(&self.to_host);
        request.write(&mut next, &self.authority, &self.field);
        self.to_host = next;
        self.phase = Phase::Open(Box::new(Open {
            request_body: Body::of(request.ends),
            request,
            answer: None,
        }));
    }

    fn go_on_with_answer(&mut self) -> Result<(), Cut> {
        loop {
            let Phase::Open(open) = &mut self.phase else {
                // Nobody has asked for it.
                return match self.is_over() || self.from_host.is_empty() {
                    true => Ok(()),
                    false => Err(Cut),
                };
            };
            let is_1_1 = open.request.is_1_1;
            let Some((body, written, closes)) = &mut open.answer else {
                let to_head = open.request.method == "HEAD";
                let found = match Response::read(&self.from_host, to_head) {
                    Ok(found) => found,
                    Err(_wrong) => {
                        self.fail("the host's answer is not HTTP/1.1");
                        return Ok(());
                    }
                };
                let Some((response, length)) = found else {
                    return Ok(());
                };
                self.from_host.drain(..length);
                self.has_answered = true;
                let (body, written) = response.body(is_1_1);
                let is_unended = body.is_until_close()
                    || written == Written::Plain && !is_1_1 && !body.is_done();
                let closes = response.closes || open.request.closes || is_unended;
                let names = Names {
                    own: &self.own,
                    authority: &self.authority,
                    secret: self.field.secret(),
                };
                // A guest of HTTP/1.0 knows no interim answers.
                if is_1_1 || !response.is_interim() {
                    response.write(&mut self.to_guest, names, is_1_1, closes);
                }
                if !response.is_interim() {
                    open.answer = Some((body, written, closes));
                }
                continue;
            };
            let taken = body.take(&self.from_host, *written, &mut self.to_guest);
            let Ok(taken) = taken else {
                return Err(Cut);
            };
            self.from_host.drain(..taken);
            if !body.is_done() {
                return Ok(());
            }
            // A host that answers before it has all of the request does not want the rest.
            let is_last = *closes || !open.request_body.is_done() || self.guest_ended;
            self.phase = match is_last {
                true => Phase::Over,
                false => Phase::Head,
            };
            if is_last {
                return Ok(());
            }
            self.go_on();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
