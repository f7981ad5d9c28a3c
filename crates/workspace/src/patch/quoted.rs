//! Names as git writes them in patches: plain, or in double quotes with C's escapes (git, quote.c).

/// A name at the beginning of `text`, and the rest behind it; `None` when it is not written as git writes one.
pub(super) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (escape, tail) = rest.split_first()?;
                rest = tail;
                name.push(match escape {
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 11,
                    b'\\' | b'"' => *escape,
                    b'0'..=b'3' => {
                        let (low, tail) = (rest.get(..2)?, rest.get(2..)?);
                        rest = tail;
                        let digit = |byte: &u8| matches!(byte, b'0'..=b'7').then(|| byte - b'0');
                        let (high, mid, low) = (escape - b'0', digit(&low[0])?, digit(&low[1])?);
                        (high << 6) | (mid << 3) | low
                    }
                    _ => return None,
                });
            }
            byte => name.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_git_writes_them() {
        let (name, rest) = unquote(br#""a\t\"\\\303\244\377" b"#).unwrap();
        assert_eq!(name, b"a\t\"\\\xc3\xa4\xff");
        assert_eq!(rest, b" b");
        for bad in [
            &b"a"[..],
            b"\"a",
            b"\"\\",
            b"\"\\q\"",
            b"\"\\4\"",
            b"\"\\400\"",
            b"\"\\08x\"",
            b"\"\\1\"",
        ] {
            assert_eq!(unquote(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
