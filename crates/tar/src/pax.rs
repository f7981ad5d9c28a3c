//! pax records: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record (POSIX, pax interchange format).

/// Appends a record.
pub(crate) fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    to.extend_from_slice(format!("{len} ").as_bytes());
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}

/// A time as a decimal number.
pub(crate) fn time((seconds, nanos): (i64, u32)) -> String {
    if seconds < 0 && nanos > 0 {
        // -1.25 is two seconds less 750 ms: the fraction counts away from zero.
        format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)
    } else if nanos > 0 {
        format!("{seconds}.{nanos:09}")
    } else {
        seconds.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_counts_itself() {
        let of = |value: &[u8]| {
            let mut bytes = Vec::new();
            record(&mut bytes, b"path", value);
            bytes
        };
        assert_eq!(of(b"a"), b"9 path=a\n");
        assert_eq!(of(b"ab"), b"11 path=ab\n");
        for len in [1, 85, 90, 91, 92, 990, 5000] {
            let bytes = of(&vec![b'x'; len]);
            let said: usize = String::from_utf8_lossy(&bytes)
                .split(' ')
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            assert_eq!(said, bytes.len());
        }
    }

    #[test]
    fn times_before_1970_count_away_from_zero() {
        assert_eq!(time((5, 0)), "5");
        assert_eq!(time((5, 250_000_000)), "5.250000000");
        assert_eq!(time((-2, 750_000_000)), "-1.250000000");
        assert_eq!(time((-1, 0)), "-1");
    }
}
