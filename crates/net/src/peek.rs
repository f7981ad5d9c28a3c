//! A look at the first bytes of a connection that a name led to: the host that TLS or HTTP names there must be that name.
//!
//! Nothing is decrypted or changed. A connection without such a name (SSH at port 443, TLS without SNI) is bound to its
//! name by its address alone. Encrypted client hellos show their outer name.

use banger_egress::Name;

/// Bytes within which the name must have come.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Word of the first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peeked {
    /// More bytes are needed.
    More,
    /// They name no host.
    Nothing,
    /// They name this host.
    Host(Name),
    /// They name several hosts, something that is no name, or are no whole head within the limit.
    Odd,
}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn peek(bytes: &[u8]) -> Peeked {
    let found = match bytes.first() {
        None => Peeked::More,
        Some(0x16) => client_hello(bytes),
        Some(byte) if byte.is_ascii_uppercase() => http(bytes),
        Some(_) => Peeked::Nothing,
    };
    match found {
        Peeked::More if bytes.len() >= HEAD_MAX_BYTES => Peeked::Odd,
        found => found,
    }
}

fn named(bytes: &[u8]) -> Peeked {
    let name = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok());
    name.map_or(Peeked::Odd, Peeked::Host)
}

/// The request's target and its Host field (RFC 9112, 3.2).
fn http(bytes: &[u8]) -> Peeked {
    const METHOD_MAX: usize = 16;
    let Some(space) = bytes.iter().take(METHOD_MAX).position(|byte| *byte == b' ') else {
        let is_word = bytes.iter().take(METHOD_MAX).all(u8::is_ascii_uppercase);
        return match is_word && bytes.len() < METHOD_MAX {
            true => Peeked::More,
            false => Peeked::Nothing,
        };
    };
    if !bytes[..space].iter().all(u8::is_ascii_uppercase) {
        return Peeked::Nothing;
    }
    let head = &bytes[..bytes.len().min(HEAD_MAX_BYTES)];
    let Some(end) = head_end(head) else {
        return Peeked::More;
    };
    let mut lines = head[..end].split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default().trim_ascii_end();
    let mut words = first.split(|byte| *byte == b' ').skip(1);
    let (target, version) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    if !version.starts_with(b"HTTP/1.") || words.next().is_some() {
        // Another protocol that begins with a word.
        return match version.is_empty() {
            true => Peeked::Nothing,
            false => Peeked::Odd,
        };
    }
    let mut hosts = Vec::new();
    if let Some(at) = target.windows(3).position(|three| three == b"://") {
        let authority = target[at + 3..].split(|byte| *byte == b'/').next();
        hosts.push(without_port(authority.unwrap_or_default()));
    }
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        if line[..colon].trim_ascii().eq_ignore_ascii_case(b"host") {
            hosts.push(without_port(line[colon + 1..].trim_ascii()));
        }
    }
    match hosts.split_first() {
        None => Peeked::Nothing,
        Some((first, rest)) if rest.iter().all(|one| one.eq_ignore_ascii_case(first)) => {
            named(first)
        }
        Some(_) => Peeked::Odd,
    }
}

fn head_end(head: &[u8]) -> Option<usize> {
    let by_both = head.windows(4).position(|four| four == b"\r\n\r\n");
    let by_one = head.windows(2).position(|two| two == b"\n\n");
    by_both.into_iter().chain(by_one).min()
}

fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority[colon + 1..].iter().all(u8::is_ascii_digit) => &authority[..colon],
        _ => authority,
    }
}

/// Bytes that are taken from the front, with every length checked.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    }

    fn sized(&mut self, bytes: usize) -> Option<Self> {
        let length = self.number(bytes)?;
        self.take(length).map(Self)
    }
}

/// The server name of a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3), which may lie in several records.
fn client_hello(bytes: &[u8]) -> Peeked {
    let mut message = Vec::new();
    let mut records = Bytes(&bytes[..bytes.len().min(HEAD_MAX_BYTES)]);
    let wanted = loop {
        if message.len() >= 4 {
            if message[0] != 1 {
                return Peeked::Odd;
            }
            let length = Bytes(&message[1..4]).number(3).unwrap_or_default();
            if message.len() >= 4 + length {
                break 4 + length;
            }
            if length > HEAD_MAX_BYTES {
                return Peeked::Odd;
            }
        }
        let Some(kind) = records.number(1) else {
            return Peeked::More;
        };
        if kind != 0x16 {
            return Peeked::Odd;
        }
        let Some(version) = records.number(2) else {
            return Peeked::More;
        };
        if version >> 8 != 3 {
            // No TLS after all.
            return match message.is_empty() {
                true => Peeked::Nothing,
                false => Peeked::Odd,
            };
        }
        let Some(length) = records.number(2) else {
            return Peeked::More;
        };
        if length == 0 || length > HEAD_MAX_BYTES + 1024 {
            return Peeked::Odd;
        }
        match records.take(length) {
            Some(record) => message.extend_from_slice(record),
            None => {
                // The record is not whole: what is there of it may be enough.
                message.extend_from_slice(records.0);
                let length = match message.get(1..4) {
                    Some(length) => Bytes(length).number(3).unwrap_or_default(),
                    None => return Peeked::More,
                };
                if message[0] != 1 {
                    return Peeked::Odd;
                }
                match message.len() >= 4 + length {
                    true => break 4 + length,
                    false => return Peeked::More,
                }
            }
        }
    };
    match server_name(&message[4..wanted]) {
        None => Peeked::Odd,
        Some(None) => Peeked::Nothing,
        Some(Some(name)) => named(name),
    }
}

/// `None`: the message is malformed. `Some(None)`: it names no server.
fn server_name(hello: &[u8]) -> Option<Option<&[u8]>> {
    let mut hello = Bytes(hello);
    hello.take(2 + 32)?;
    hello.sized(1)?;
    hello.sized(2)?;
    hello.sized(1)?;
    if hello.0.is_empty() {
        return Some(None);
    }
    let mut extensions = hello.sized(2)?;
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut extension = extensions.sized(2)?;
        if kind != 0 {
            continue;
        }
        let mut names = extension.sized(2)?;
        while !names.0.is_empty() {
            let kind = names.number(1)?;
            let name = names.sized(2)?;
            // A second name would be another server's to read.
            if kind != 0 || found.is_some() {
                return None;
            }
            found = Some(name.0);
        }
    }
    Some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hello(names: &[&str]) -> Vec<u8> {
        let sized = |bytes: usize, content: &[u8]| {
            let length = u32::try_from(content.len()).unwrap().to_be_bytes();
            [&length[4 - bytes..], content].concat()
        };
        let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
        let mut extensions = vec![0, 10, 0, 2, 0, 0];
        for name in names {
            let list = sized(2, &[&[0][..], &sized(2, name.as_bytes())].concat());
            extensions.extend([&[0, 0][..], &sized(2, &list)].concat());
        }
        body.extend(sized(2, &extensions));
        [&[1][..], &sized(3, &body)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let parts = message.chunks(size);
        parts
            .flat_map(|part| {
                let length = u16::try_from(part.len()).unwrap().to_be_bytes();
                [&[0x16, 3, 1][..], &length, part].concat()
            })
            .collect()
    }

    fn host(name: &str) -> Peeked {
        Peeked::Host(name.parse().unwrap())
    }

    #[test]
    fn the_server_name_is_found_however_the_hello_is_cut_into_records_and_segments() {
        let message = hello(&["a.example"]);
        for size in [1, 3, 50, 1000] {
            let bytes = records(&message, size);
            assert_eq!(peek(&bytes), host("a.example"), "{size}");
            for end in 1..bytes.len() {
                assert_eq!(peek(&bytes[..end]), Peeked::More, "{size} {end}");
            }
        }
        assert_eq!(peek(&records(&hello(&[]), 1000)), Peeked::Nothing);
    }

    #[test]
    fn a_hello_that_could_be_read_in_two_ways_is_odd() {
        assert_eq!(
            peek(&records(&hello(&["a.example", "b.example"]), 1000)),
            Peeked::Odd
        );
        assert_eq!(peek(&records(&hello(&["127.0.0.1"]), 1000)), Peeked::Odd);
        assert_eq!(peek(&records(&hello(&["a\0.example"]), 1000)), Peeked::Odd);
        let mut other = hello(&["a.example"]);
        other[0] = 2;
        assert_eq!(peek(&records(&other, 1000)), Peeked::Odd);
        let mut long = hello(&["a.example"]);
        long[1] = 0xff;
        assert_eq!(peek(&records(&long, 1000)), Peeked::Odd);
        assert_eq!(peek(&[0x16, 3, 1, 0, 0]), Peeked::Odd);
        let endless = records(&vec![0; 20_000], 40);
        assert_eq!(peek(&endless), Peeked::Odd);
    }

    #[test]
    fn the_host_of_a_request_is_found_and_two_hosts_are_odd() {
        for (text, wanted) in [
            (
                "GET / HTTP/1.1\r\nHost: A.example\r\n\r\n",
                host("a.example"),
            ),
            (
                "GET / HTTP/1.1\r\nhost:a.example:8080\r\n\r\n",
                host("a.example"),
            ),
            ("GET / HTTP/1.1\nHost: a.example\n\n", host("a.example")),
            (
                "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
                host("a.example"),
            ),
            ("GET / HTTP/1.0\r\n\r\n", Peeked::Nothing),
            (
                "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
                Peeked::Odd,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
                Peeked::Odd,
            ),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", Peeked::Odd),
            ("GET / HTTP/1.1\r\nHost: a.example\r\n", Peeked::More),
            ("GET", Peeked::More),
            ("SSH-2.0-OpenSSH\r\n", Peeked::Nothing),
            ("\0\0\0", Peeked::Nothing),
            ("", Peeked::More),
        ] {
            assert_eq!(peek(text.as_bytes()), wanted, "{text:?}");
        }
        let endless = [b"GET / HTTP/1.1\r\n".as_slice(), &b"a: b\r\n".repeat(4000)].concat();
        assert_eq!(peek(&endless), Peeked::Odd);
    }
}
