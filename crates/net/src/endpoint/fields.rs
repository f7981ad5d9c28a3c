//! Fields of heads, and how a message says where it ends (RFC 9112, 6).

use banger_secret::OF_ONE_CONNECTION;

use super::Wrong;

/// A field: its name in lower case, and its value.
pub(super) type Field = (String, Vec<u8>);

/// Way in which a head says where its message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// It says nothing.
    Unsaid,
    /// After so many bytes.
    After(u64),
    /// With the last chunk.
    Chunked,
}

/// The fields of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    pub(super) fn of(headers: &[httparse::Header<'_>]) -> Self {
        let fields = headers
            .iter()
            .map(|one| (one.name.to_ascii_lowercase(), one.value.to_vec()));
        Self(fields.collect())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |(one, _)| one == name);
        named.map(|(_, value)| value.as_slice())
    }

    /// Tells whether a list of words has this one.
    fn says(&self, name: &str, word: &str) -> bool {
        self.all(name).any(|value| {
            let mut words = value.split(|byte| *byte == b',');
            words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// Tells whether the connection ends behind this message, of HTTP/1.`minor`.
    pub(super) fn closes(&self, minor: u8) -> bool {
        self.says("connection", "close") || minor == 0 && !self.says("connection", "keep-alive")
    }

    /// The end of the message. What could be read in two ways is refused (RFC 9112, 6.3).
    pub(super) fn ends(&self) -> Result<Ends, Wrong> {
        let mut codings = self.all("transfer-encoding");
        let mut lengths = self.all("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Ends::Unsaid),
            (Some(_), Some(_)) => Err(Wrong::Malformed),
            (Some(coding), None) => {
                let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                match is_chunked && codings.next().is_none() {
                    true => Ok(Ends::Chunked),
                    false => Err(Wrong::Coding),
                }
            }
            (None, Some(length)) => {
                let is_alone = lengths.next().is_none();
                let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(length).ok();
                let number = number.and_then(|digits| digits.parse().ok());
                match number.filter(|_| is_alone && is_number) {
                    Some(length) => Ok(Ends::After(length)),
                    None => Err(Wrong::Malformed),
                }
            }
        }
    }

    /// The fields that go on to the other side.
    pub(super) fn going_on(&self) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(|(name, _)| {
            !OF_ONE_CONNECTION.contains(&name.as_str()) && !self.says("connection", name)
        })
    }
}

/// Writes a field.
pub(super) fn put(to: &mut Vec<u8>, name: &str, value: &[u8]) {
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}
