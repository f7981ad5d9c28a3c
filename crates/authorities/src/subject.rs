//! The canonical form of a name, by whose digest OpenSSL finds an authority (`crypto/x509/x_name.c`, unchanged since 1.0.0):
//! the parts one after another without the frame around them, each text in UTF-8, in small letters as far as it is ASCII, with one
//! space where there were several and none at its ends.

use sha1::{Digest, Sha1};

use crate::der::{Elements, OID, SEQUENCE, SET, UTF8_STRING, put};

/// Encodings of text that are brought to one form.
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const VISIBLE: u8 = 0x1a;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;

/// The first four bytes of the digest, as the number that is the file's name in hexadecimal digits.
pub(crate) fn hash(canonical: &[u8]) -> u32 {
    let digest = Sha1::digest(canonical);
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The canonical form of a name, which is given without its frame; `None` where it is no name.
pub(crate) fn canonical(name: &[u8]) -> Option<Vec<u8>> {
    let mut form = Vec::with_capacity(name.len());
    let mut parts = Elements::of(name);
    while !parts.is_empty() {
        let part = parts.expect(SET)?;
        let mut values = Vec::new();
        let mut entries = Elements::of(part.content);
        while !entries.is_empty() {
            values.push(entry(entries.expect(SEQUENCE)?.content)?);
        }
        // A SET OF has its elements in order (X.690, 11.6), and their order may be another one in this form.
        values.sort();
        put(&mut form, SET, &values.concat());
    }
    Some(form)
}

fn entry(content: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Elements::of(content);
    let kind = fields.expect(OID)?;
    let value = fields.take()?;
    if !fields.is_empty() {
        return None;
    }
    let mut entry = kind.whole.to_vec();
    match text(value.tag, value.content) {
        Some(text) => put(&mut entry, UTF8_STRING, &folded(&text?)),
        None => entry.extend_from_slice(value.whole),
    }
    let mut framed = Vec::with_capacity(entry.len() + 4);
    put(&mut framed, SEQUENCE, &entry);
    Some(framed)
}

/// A text in UTF-8: `None` for what is no text, `Some(None)` for one that is damaged.
#[expect(
    clippy::option_option,
    reason = "two questions, asked one after the other"
)]
fn text(tag: u8, content: &[u8]) -> Option<Option<Vec<u8>>> {
    let of_units = |size: usize| {
        let units = content.chunks(size).map(|unit| {
            let number = unit.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            char::from_u32(number).filter(|_| unit.len() == size)
        });
        units.collect::<Option<String>>().map(String::into_bytes)
    };
    match tag {
        UTF8_STRING => Some(std::str::from_utf8(content).ok().map(|text| text.into())),
        // OpenSSL takes all of these for Latin-1.
        PRINTABLE | TELETEX | IA5 | VISIBLE => Some(of_units(1)),
        BMP => Some(of_units(2)),
        UNIVERSAL => Some(of_units(4)),
        _ => None,
    }
}

fn folded(text: &[u8]) -> Vec<u8> {
    // C's isspace(3).
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let words = text.split(is_space).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(<[u8]>::to_ascii_lowercase).collect();
    words.join(&b' ')
}
