//! Answers of the host's: read, and written anew for the guest.

use super::body::{Body, Written};
use super::fields::{Ends, Fields, put};
use super::{FIELDS_MAX, HEAD_MAX_BYTES, Wrong};

/// Fields that would lead a guest past its endpoint: to other servers of the host, or to TLS that an endpoint does not speak.
const LEADING_AWAY: [&str; 2] = ["alt-svc", "strict-transport-security"];

/// An answer's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    reason: String,
    /// The host sends no other answer behind it.
    pub(super) closes: bool,
    ends: Ends,
    /// It has no body, whatever its fields say.
    bare: bool,
    fields: Fields,
}

/// Names by which an answer's links to the host become links to the endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// The endpoint's.
    pub(super) own: &'a str,
    /// The host's, with its port.
    pub(super) authority: &'a str,
    /// The value that must not be shown.
    pub(super) secret: &'a [u8],
}

impl Response {
    /// The head at the beginning of `bytes` with its length, when it is whole; `to_head`: it answers a request for the head alone.
    pub(super) fn read(bytes: &[u8], to_head: bool) -> Result<Option<(Self, usize)>, Wrong> {
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let within = &bytes[..bytes.len().min(HEAD_MAX_BYTES)];
        let length = match parsed.parse(within) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX_BYTES => {
                return Err(Wrong::TooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Wrong::Malformed),
        };
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(Wrong::Malformed);
        };
        // Nobody has asked for another protocol.
        if !(100..600).contains(&status) || status == 101 {
            return Err(Wrong::Malformed);
        }
        let fields = Fields::of(parsed.headers);
        let ends = fields.ends()?;
        let bare = to_head || status < 200 || matches!(status, 204 | 304);
        let response = Self {
            status,
            reason: parsed.reason.unwrap_or_default().to_owned(),
            closes: fields.closes(minor),
            ends,
            bare,
            fields,
        };
        Ok(Some((response, length)))
    }

    /// Tells whether another answer to the same request follows.
    pub(super) fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// Its body, and the form in which a guest of HTTP/1.1, or of 1.0, gets it.
    pub(super) fn body(&self, is_1_1: bool) -> (Body, Written) {
        match (self.bare, self.ends) {
            (true, _) => (Body::NONE, Written::Plain),
            (false, Ends::Unsaid) => (Body::UNTIL_CLOSE, Written::Plain),
            (false, Ends::Chunked) if is_1_1 => (Body::of(self.ends), Written::Chunks),
            (false, ends) => (Body::of(ends), Written::Plain),
        }
    }

    /// Writes the head for the guest; `closes`: the connection ends behind the answer.
    pub(super) fn write(&self, to: &mut Vec<u8>, names: Names<'_>, is_1_1: bool, closes: bool) {
        let line = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason);
        to.extend_from_slice(line.as_bytes());
        for (name, value) in self.fields.going_on() {
            if LEADING_AWAY.contains(&name.as_str()) {
                continue;
            }
            let led = match name.as_str() {
                "location" | "content-location" => names.led_here(value),
                _ => None,
            };
            let value = led.as_deref().unwrap_or(value);
            match names.hidden(value) {
                Some(hidden) => put(to, name, &hidden),
                None => put(to, name, value),
            }
        }
        match self.ends {
            Ends::After(length) if !self.is_interim() && self.status != 204 => {
                put(to, "content-length", length.to_string().as_bytes());
            }
            Ends::Chunked if !self.bare && is_1_1 => put(to, "transfer-encoding", b"chunked"),
            _ => {}
        }
        if closes && !self.is_interim() {
            put(to, "connection", b"close");
        }
        to.extend_from_slice(b"\r\n");
    }
}

impl Names<'_> {
    /// A link to the host as one to the endpoint. Links to others stay, and whoever follows them has no secret there.
    fn led_here(&self, link: &[u8]) -> Option<Vec<u8>> {
        const SCHEME: &[u8] = b"https://";
        let (scheme, rest) = link.split_at_checked(SCHEME.len())?;
        let (authority, path) = rest.split_at_checked(self.authority.len())?;
        let is_host = scheme.eq_ignore_ascii_case(SCHEME)
            && authority.eq_ignore_ascii_case(self.authority.as_bytes());
        let path = match self.authority.contains(':') {
            true => path,
            false => path.strip_prefix(b":443").unwrap_or(path),
        };
        let ends = matches!(path.first(), None | Some(b'/' | b'?' | b'#'));
        (is_host && ends).then(|| [b"http://", self.own.as_bytes(), path].concat())
    }

    /// A value without the secret, when it has it.
    fn hidden(&self, value: &[u8]) -> Option<Vec<u8>> {
        let length = self.secret.len();
        if length == 0 || !value.windows(length).any(|part| part == self.secret) {
            return None;
        }
        let mut hidden = value.to_vec();
        let mut at = 0;
        while let Some(part) = hidden.get_mut(at..at + length) {
            match part == self.secret {
                true => {
                    part.fill(b'*');
                    at += length;
                }
                false => at += 1,
            }
        }
        Some(hidden)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names {
        own: "a.secret.internal",
        authority: "api.example",
        secret: b"SECRET",
    };

    fn rewritten(text: &str, to_head: bool, is_1_1: bool) -> String {
        let (response, length) = Response::read(text.as_bytes(), to_head).unwrap().unwrap();
        assert_eq!(length, text.len());
        let mut to = Vec::new();
        response.write(&mut to, NAMES, is_1_1, false);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn an_answer_is_written_anew_and_leads_back_to_the_endpoint_alone() {
        let text = "HTTP/1.1 302 Found\r\nLocation: https://API.example/next?a\r\nAlt-Svc: h3=\":443\"\r\n\
                    Strict-Transport-Security: max-age=1\r\nKeep-Alive: 5\r\nX-Echo: key=SECRET.\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(
            rewritten(text, false, true),
            "HTTP/1.1 302 Found\r\nlocation: http://a.secret.internal/next?a\r\nx-echo: key=******.\r\ncontent-length: 0\r\n\r\n"
        );
        for (link, led) in [
            ("https://api.example", Some("http://a.secret.internal")),
            (
                "https://api.example:443/x",
                Some("http://a.secret.internal/x"),
            ),
            ("https://api.example.evil.example/", None),
            ("https://api.example@evil.example/", None),
            ("https://api.example:8443/", None),
            ("http://api.example/", None),
            ("https://cdn.example/", None),
            ("/next", None),
            ("", None),
        ] {
            let led = led.map(|led| led.as_bytes().to_vec());
            assert_eq!(NAMES.led_here(link.as_bytes()), led, "{link}");
        }
    }

    #[test]
    fn the_body_is_what_status_and_fields_say() {
        let body = |text: &str, to_head, is_1_1| {
            let (response, _) = Response::read(text.as_bytes(), to_head).unwrap().unwrap();
            response.body(is_1_1)
        };
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(body(chunked, false, true).1, Written::Chunks);
        assert_eq!(body(chunked, false, false).1, Written::Plain);
        assert!(body(chunked, true, true).0.is_done());
        assert!(rewritten(chunked, false, true).contains("transfer-encoding"));
        assert!(!rewritten(chunked, false, false).contains("transfer-encoding"));
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert!(!body(sized, false, true).0.is_done());
        assert!(body(sized, true, true).0.is_done());
        assert!(rewritten(sized, true, true).contains("content-length: 5"));
        assert!(
            body("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", false, true)
                .0
                .is_done()
        );
        assert!(
            body("HTTP/1.1 200 OK\r\n\r\n", false, true)
                .0
                .is_until_close()
        );
        for wrong in [
            "HTTP/1.1 101 Switching\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 999 Odd\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
        ] {
            assert!(Response::read(wrong.as_bytes(), false).is_err(), "{wrong}");
        }
    }
}
