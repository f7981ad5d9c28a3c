//! Endpoints of secrets: `http://NAME.secret.internal` in the guest is `https://HOST` with the secret's field in each request.
//!
//! ```text
//! guest ─ HTTP/1.1 ─► Exchange ─ the head anew: HOST, the field ─► TLS ─► HOST, behind the proxy where there is one
//!                     Exchange ◄─ the answer as it comes ───────── TLS ◄─
//! ```
//!
//! One connection of the guest's is one to the host, made before the guest's SYN is answered, as for every other connection. The
//! value is in this process's memory, and goes nowhere but into TLS that the named host's certificate has been checked for.

mod body;
mod exchange;
mod fields;
mod request;
mod response;
mod tls;

pub(crate) use exchange::{Exchange, Told};
pub(crate) use tls::{Endpoint, settings};

/// Longest head of a request or an answer, bytes.
const HEAD_MAX_BYTES: usize = 32 * 1024;
/// Most fields of a head.
const FIELDS_MAX: usize = 128;

/// Reason why a message goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// It is no HTTP, or says two things about where it ends.
    Malformed,
    /// Its head is longer than any.
    TooLarge,
    /// It is meant for another host.
    OtherHost,
    /// Its method is none of an endpoint's.
    Method,
    /// It is of another version.
    Version,
    /// Its coding is none that is carried.
    Coding,
}

impl Wrong {
    /// Status and words for a guest whose request it is.
    fn answer(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "Bad Request", "the request is not HTTP/1.1"),
            Self::TooLarge => (
                431,
                "Request Header Fields Too Large",
                "the request's head is longer than 32 KiB or has more than 128 fields",
            ),
            Self::OtherHost => (
                421,
                "Misdirected Request",
                "the request names another host than this endpoint",
            ),
            Self::Method => (
                405,
                "Method Not Allowed",
                "an endpoint of a secret takes neither CONNECT nor TRACE",
            ),
            Self::Version => (
                505,
                "HTTP Version Not Supported",
                "an endpoint of a secret speaks HTTP/1.1",
            ),
            Self::Coding => (
                501,
                "Not Implemented",
                "an endpoint of a secret knows chunked and no other transfer coding",
            ),
        }
    }
}

/// Outcome of a request and its answer, in any bytes; for tests of hostile input. The host is `api.example`, the endpoint
/// `a.secret.internal`, and the field `x-api-key: SECRET`.
#[must_use]
pub fn exchanged(guest: &[u8], host: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let field = banger_secret::Field {
        name: "x-api-key".to_owned(),
        value: zeroize::Zeroizing::new(b"SECRET".to_vec()),
        prefix: 0,
    };
    let (own, authority) = ("a.secret.internal".to_owned(), "api.example".to_owned());
    let mut exchange = Exchange::new(own, authority, field);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let (mut guest, mut host) = (guest, host);
    loop {
        let taken = exchange.take(guest);
        guest = &guest[taken..];
        let sent = exchange.to_host().to_vec();
        exchange.sent(sent.len());
        let room = exchange.room_for_answer().min(host.len());
        let came = exchange.answered(&host[..room]).is_ok();
        host = &host[room..];
        let mut given = vec![0; 4096];
        let count = exchange.give(&mut given);
        let moved = taken + sent.len() + room + count;
        up.extend(sent);
        down.extend(&given[..count]);
        if moved == 0 || !came {
            return (up, down);
        }
    }
}
