//! The 512 bytes before each entry.

/// Size of a block in bytes: headers are one, data is padded to one.
pub(super) const BLOCK: usize = 512;

/// A header whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    raw: &'a [u8; BLOCK],
}

/// Fault of a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("its header's checksum is wrong: this is no tar archive, or a broken one")]
    Checksum,
    #[error("its {field} is no number")]
    Number { field: &'static str },
}

impl<'a> Header<'a> {
    /// Checks the checksum of `raw`.
    pub(super) fn new(raw: &'a [u8; BLOCK]) -> Result<Self, HeaderError> {
        let header = Self { raw };
        let stored = header.number(148, 8, "checksum").ok();
        // Some old programs summed signed bytes.
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, &byte) in raw.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stored == Some(unsigned) || stored == Some(signed) {
            Ok(header)
        } else {
            Err(HeaderError::Checksum)
        }
    }

    /// Tells whether all bytes are zero, as at the end of an archive.
    pub(super) fn is_zero(raw: &[u8; BLOCK]) -> bool {
        raw.iter().all(|&byte| byte == 0)
    }

    pub(super) fn kind(&self) -> u8 {
        self.raw[156]
    }

    pub(super) fn size(&self) -> Result<u64, HeaderError> {
        unsigned(self.number(124, 12, "size")?, "size")
    }

    pub(super) fn mode(&self) -> Result<u16, HeaderError> {
        // Programs store the kind of file in the upper bits; only permissions count.
        Ok((self.number(100, 8, "mode")? & 0o7777) as u16)
    }

    pub(super) fn uid(&self) -> Result<u64, HeaderError> {
        unsigned(self.number(108, 8, "owner")?, "owner")
    }

    pub(super) fn gid(&self) -> Result<u64, HeaderError> {
        unsigned(self.number(116, 8, "group")?, "group")
    }

    pub(super) fn mtime(&self) -> Result<i64, HeaderError> {
        self.number(136, 12, "time")
    }

    pub(super) fn device(&self) -> Result<(u64, u64), HeaderError> {
        let major = unsigned(self.number(329, 8, "device number")?, "device number")?;
        let minor = unsigned(self.number(337, 8, "device number")?, "device number")?;
        Ok((major, minor))
    }

    /// The name, with its prefix where the format has one.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.raw[..100]);
        let prefix = if self.is_posix() {
            text(&self.raw[345..500])
        } else {
            b""
        };
        match prefix {
            b"" => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        text(&self.raw[157..257])
    }

    /// The first part of an old GNU sparse map: (entries, more follow, size of the file).
    pub(super) fn gnu_sparse(&self) -> Result<(&'a [u8], bool, u64), HeaderError> {
        let size = unsigned(self.number(483, 12, "size")?, "size")?;
        Ok((&self.raw[386..386 + 4 * 24], self.raw[482] != 0, size))
    }

    /// `ustar\0`: GNU's own `ustar  ` uses the prefix for other things.
    fn is_posix(&self) -> bool {
        &self.raw[257..263] == b"ustar\0"
    }

    fn number(&self, at: usize, len: usize, field: &'static str) -> Result<i64, HeaderError> {
        parse_number(&self.raw[at..at + len]).ok_or(HeaderError::Number { field })
    }
}

/// A field of a header: octal digits, or base 256 when the first bit is set (which may be negative).
pub(super) fn parse_number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let start = if negative {
            -1
        } else {
            i64::from(first & 0x3F)
        };
        if negative && first != 0xFF {
            return None;
        }
        return rest.iter().try_fold(start, |value: i64, &byte| {
            value.checked_mul(256)?.checked_add(i64::from(byte))
        });
    }
    let digits = field.trim_ascii_start();
    let end = digits
        .iter()
        .position(|&b| b == 0 || b == b' ')
        .unwrap_or(digits.len());
    digits[..end]
        .iter()
        .try_fold(0_i64, |value, &digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        })
}

fn unsigned(value: i64, field: &'static str) -> Result<u64, HeaderError> {
    u64::try_from(value).map_err(|_negative| HeaderError::Number { field })
}

fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(parse_number(b"0000644\0"), Some(0o644));
        assert_eq!(parse_number(b"   644 \0"), Some(0o644));
        assert_eq!(parse_number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(parse_number(b"\x80\0\0\0\0\0\x01\x02"), Some(258));
        assert_eq!(parse_number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(parse_number(b"0000648\0"), None);
        assert_eq!(
            parse_number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
    }
}
