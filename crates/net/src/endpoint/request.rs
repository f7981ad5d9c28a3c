//! Requests of the guest's: read, and written anew for the host.

use banger_secret::Field;
use zeroize::Zeroizing;

use super::fields::{Ends, Fields, put};
use super::{FIELDS_MAX, HEAD_MAX_BYTES, Wrong};

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query, or `*`.
    pub(super) target: String,
    /// The guest speaks HTTP/1.1, not 1.0.
    pub(super) is_1_1: bool,
    /// The guest sends no other request behind it.
    pub(super) closes: bool,
    pub(super) ends: Ends,
    fields: Fields,
}

impl Request {
    /// The head at the beginning of `bytes` with its length, when it is whole; `own` is the endpoint's name.
    pub(super) fn read(bytes: &[u8], own: &str) -> Result<Option<(Self, usize)>, Wrong> {
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let within = &bytes[..bytes.len().min(HEAD_MAX_BYTES)];
        let length = match parsed.parse(within) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX_BYTES => {
                return Err(Wrong::TooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Wrong::TooLarge),
            Err(httparse::Error::Version) => return Err(Wrong::Version),
            Err(_) => return Err(Wrong::Malformed),
        };
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Wrong::Malformed);
        };
        if matches!(method, "CONNECT" | "TRACE") {
            return Err(Wrong::Method);
        }
        let target = own_target(method, target, own)?;
        let fields = Fields::of(parsed.headers);
        check_host(&fields, minor, own)?;
        let ends = fields.ends()?;
        if minor == 0 && ends == Ends::Chunked {
            return Err(Wrong::Malformed);
        }
        let request = Self {
            method: method.to_owned(),
            target,
            is_1_1: minor == 1,
            closes: fields.closes(minor),
            ends,
            fields,
        };
        Ok(Some((request, length)))
    }

    /// Path without the query, for the log.
    pub(super) fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }

    /// Bytes that [`Self::write`] writes at most.
    pub(super) fn written_max(&self, authority: &str, secret: &Field) -> usize {
        let fields = self.fields.going_on();
        let fields: usize = fields
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let secret = secret.name.len() + secret.value.len() + 4;
        self.method.len() + self.target.len() + authority.len() + fields + secret + 128
    }

    /// Writes the head for the host, with the secret in its field and nothing of the guest's there.
    pub(super) fn write(&self, to: &mut Zeroizing<Vec<u8>>, authority: &str, secret: &Field) {
        to.extend_from_slice(self.method.as_bytes());
        to.push(b' ');
        to.extend_from_slice(self.target.as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\n");
        put(to, "host", authority.as_bytes());
        for (name, value) in self.fields.going_on() {
            if name != "host" && *name != secret.name {
                put(to, name, value);
            }
        }
        put(to, &secret.name, &secret.value);
        match self.ends {
            Ends::Unsaid => {}
            Ends::After(length) => put(to, "content-length", length.to_string().as_bytes()),
            Ends::Chunked => put(to, "transfer-encoding", b"chunked"),
        }
        if self.closes {
            put(to, "connection", b"close");
        }
        to.extend_from_slice(b"\r\n");
    }
}

/// The target as the host gets it: in the form of an origin (RFC 9112, 3.2).
fn own_target(method: &str, target: &str, own: &str) -> Result<String, Wrong> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Wrong::Malformed);
    }
    if target.starts_with('/') || target == "*" && method == "OPTIONS" {
        return Ok(target.to_owned());
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(Wrong::Malformed);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if !scheme.eq_ignore_ascii_case("http") || !is_own(authority.as_bytes(), own) {
        return Err(Wrong::OtherHost);
    }
    match rest.starts_with('/') {
        true => Ok(rest.to_owned()),
        false => Ok(format!("/{rest}")),
    }
}

fn check_host(fields: &Fields, minor: u8, own: &str) -> Result<(), Wrong> {
    let mut hosts = fields.all("host");
    match (hosts.next(), hosts.next()) {
        (None, _) if minor == 0 => Ok(()),
        (Some(host), None) if is_own(host, own) => Ok(()),
        (Some(_), None) => Err(Wrong::OtherHost),
        _ => Err(Wrong::Malformed),
    }
}

fn is_own(authority: &[u8], own: &str) -> bool {
    let name = authority.strip_suffix(b":80").unwrap_or(authority);
    name.eq_ignore_ascii_case(own.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OWN: &str = "a.secret.internal";

    fn secret() -> Field {
        Field {
            name: "x-api-key".to_owned(),
            value: Zeroizing::new(b"SECRET".to_vec()),
            prefix: 0,
        }
    }

    fn rewritten(text: &str) -> Result<String, Wrong> {
        let (request, length) = Request::read(text.as_bytes(), OWN)?.unwrap();
        assert_eq!(length, text.len());
        let mut to = Zeroizing::new(Vec::new());
        request.write(&mut to, "api.example", &secret());
        assert!(to.len() <= request.written_max("api.example", &secret()));
        Ok(String::from_utf8(to.to_vec()).unwrap())
    }

    #[test]
    fn a_head_is_written_anew_with_the_secret_and_without_what_the_guest_says_there() {
        let text = "POST /v1/x?q=1 HTTP/1.1\r\nHost: A.secret.internal:80\r\nX-Api-Key: mine\r\nx-api-KEY: other\r\n\
                    Accept: */*\r\nConnection: keep-alive, X-Hop, x-api-key\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
                    Upgrade: h2c\r\nProxy-Authorization: x\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(
            rewritten(text).unwrap(),
            "POST /v1/x?q=1 HTTP/1.1\r\nhost: api.example\r\naccept: */*\r\nx-api-key: SECRET\r\ncontent-length: 3\r\n\r\n"
        );
        let text = "GET http://a.secret.internal?x HTTP/1.0\r\n\r\n";
        assert_eq!(
            rewritten(text).unwrap(),
            "GET /?x HTTP/1.1\r\nhost: api.example\r\nx-api-key: SECRET\r\nconnection: close\r\n\r\n"
        );
        assert!(rewritten("OPTIONS * HTTP/1.1\nHost: a.secret.internal\n\n").is_ok());
    }

    #[test]
    fn what_is_for_others_or_could_be_read_in_two_ways_is_refused() {
        let host = "Host: a.secret.internal\r\n";
        for (line, fields, wrong) in [
            ("GET / HTTP/1.1", "Host: api.example\r\n", Wrong::OtherHost),
            (
                "GET / HTTP/1.1",
                "Host: a.secret.internal:8080\r\n",
                Wrong::OtherHost,
            ),
            ("GET / HTTP/1.1", "", Wrong::Malformed),
            ("GET / HTTP/1.1", &format!("{host}{host}"), Wrong::Malformed),
            ("GET http://b.example/ HTTP/1.1", host, Wrong::OtherHost),
            (
                "GET https://a.secret.internal/ HTTP/1.1",
                host,
                Wrong::OtherHost,
            ),
            ("GET x HTTP/1.1", host, Wrong::Malformed),
            ("GET * HTTP/1.1", host, Wrong::Malformed),
            ("CONNECT a.secret.internal:80 HTTP/1.1", host, Wrong::Method),
            ("TRACE / HTTP/1.1", host, Wrong::Method),
            ("GET / HTTP/2.0", host, Wrong::Version),
            (
                "GET / HTTP/1.1",
                &format!("{host}Content-Length: 1\r\nContent-Length: 2\r\n"),
                Wrong::Malformed,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}Content-Length: +1\r\n"),
                Wrong::Malformed,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}Content-Length: 99999999999999999999\r\n"),
                Wrong::Malformed,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
                Wrong::Malformed,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}Transfer-Encoding: gzip, chunked\r\n"),
                Wrong::Coding,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
                Wrong::Coding,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}X : y\r\n"),
                Wrong::Malformed,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}X: y\r\n z\r\n"),
                Wrong::Malformed,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}{}", "a: b\r\n".repeat(200)),
                Wrong::TooLarge,
            ),
            (
                "GET / HTTP/1.1",
                &format!("{host}a: {}\r\n", "b".repeat(40_000)),
                Wrong::TooLarge,
            ),
        ] {
            let text = format!("{line}\r\n{fields}\r\n");
            assert_eq!(rewritten(&text), Err(wrong), "{text:.200}");
        }
        let endless = [b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'b'; 40_000]].concat();
        assert_eq!(Request::read(&endless, OWN), Err(Wrong::TooLarge));
        assert_eq!(Request::read(b"GET / HT", OWN), Ok(None));
    }
}
