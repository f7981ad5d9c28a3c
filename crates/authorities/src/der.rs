//! The part of DER (X.690) that a certificate's outline needs: elements one after another, lengths of up to four bytes.

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Its first byte: class, form and number in one. Numbers above 30 do not occur in what is read here.
    pub(crate) tag: u8,
    /// Its content.
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Elements that follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element; `None` at the end, and where there is none that is whole.
    pub(crate) fn take(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                (usize::try_from(length).ok()?, rest)
            }
            // Of unknown or absurd length.
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Element {
            tag,
            content,
            whole,
        })
    }

    /// The next element, when it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.take().filter(|element| element.tag == tag)
    }
}

/// Adds an element to `to`.
pub(crate) fn put(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.push(tag);
    let length = content.len().to_be_bytes();
    let bytes = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    match (bytes, content.len()) {
        (_, short @ 0..=0x7f) => to.push(short as u8),
        (bytes, _) => {
            to.push(0x80 | bytes.len() as u8);
            to.extend_from_slice(bytes);
        }
    }
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_again_whatever_its_length() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let mut bytes = Vec::new();
            put(&mut bytes, SEQUENCE, &vec![7; length]);
            put(&mut bytes, SET, &[]);
            let mut elements = Elements::of(&bytes);
            let first = elements.expect(SEQUENCE).unwrap();
            assert_eq!(first.content.len(), length);
            assert_eq!(first.whole.len() + 2, bytes.len());
            assert!(elements.expect(SET).is_some() && elements.is_empty());
        }
    }

    #[test]
    fn elements_that_are_not_whole_are_none() {
        for bytes in [
            &[0x30][..],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x82, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x3f, 0x81, 1, 0],
        ] {
            assert_eq!(Elements::of(bytes).take(), None, "{bytes:x?}");
        }
    }
}
