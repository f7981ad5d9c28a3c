//! pax records: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record and VALUE may hold any byte.

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Cuts `bytes` into records; `None` when a length lies.
pub(super) fn records(mut bytes: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    // Some programs pad the last block with zeros and count them in.
    while bytes.first().is_some_and(|&byte| byte != 0) {
        let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
        let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..len)?;
        let (record, newline) = record.split_at(record.len().checked_sub(1)?);
        if newline != b"\n" {
            return None;
        }
        let equals = record.iter().position(|&byte| byte == b'=')?;
        records.push(Record {
            key: record[..equals].to_vec(),
            value: record[equals + 1..].to_vec(),
        });
        bytes = &bytes[len..];
    }
    Some(records)
}

/// Seconds and nanoseconds of a decimal time such as `-1.25`.
pub(super) fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match (negative, nanoseconds) {
        (false, _) => Some((seconds, nanoseconds)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

/// A decimal number.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The bytes of standard base64, with or without padding: libarchive's form of extended attributes.
pub(super) fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &symbol in value.iter().take_while(|&&symbol| symbol != b'=') {
        let six = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// The bytes of a name in which libarchive wrote some as `%XX`.
pub(super) fn percent(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high << 4 | low) as u8);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_by_length_not_at_newlines() {
        let bytes = b"31 SCHILY.xattr.user.x=a\nb=c\0d\n11 path=hi\n";
        let records = records(bytes).unwrap();
        assert_eq!(records[0].value, b"a\nb=c\0d");
        assert_eq!(
            (&records[1].key[..], &records[1].value[..]),
            (&b"path"[..], &b"hi"[..])
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bad in [
            &b"99 path=hi\n"[..],
            b"10 path=hi\n",
            b"3 x",
            b"x path=hi\n",
            b"11 path_hi\n",
            b"0 \n",
            b"18446744073709551615 a=b\n",
        ] {
            assert_eq!(records(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(
            time(b"1700000000.123456789"),
            Some((1_700_000_000, 123_456_789))
        );
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-5"), Some((-5, 0)));
        assert_eq!(time(b"5.1"), Some((5, 100_000_000)));
        for bad in [
            &b""[..],
            b"-",
            b".5",
            b"1.x",
            b"1e9",
            b"99999999999999999999",
        ] {
            assert_eq!(time(bad), None);
        }
    }

    #[test]
    fn libarchive_s_encodings_are_read() {
        assert_eq!(base64(b"aGVsbG8K"), Some(b"hello\n".to_vec()));
        assert_eq!(base64(b"AQ=="), Some(vec![1]));
        assert_eq!(base64(b"!"), None);
        assert_eq!(percent(b"user.a%3db"), Some(b"user.a=b".to_vec()));
        assert_eq!(percent(b"user.a%3"), None);
    }
}
