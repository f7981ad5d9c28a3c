//! Extended headers: pax records, each `"LEN key=value\n"` with LEN as the length of the whole record (POSIX, pax
//! interchange format). Records end by their length, never at a line end, which values may contain.

use super::FilesError;
use crate::limits::MAX_GUEST_PATH;

/// Greatest modification time that is accepted, in seconds since 1970 (about ±34,000 years).
pub(super) const MAX_SECONDS: i64 = 1 << 40;

/// Appends `"LEN key=value\n"`. LEN counts itself.
pub(super) fn pax_record(to: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    to.extend_from_slice(format!("{len} {key}=").as_bytes());
    to.extend_from_slice(value);
    to.push(b'\n');
}

pub(super) fn pax_time(seconds: i64, nanos: u32) -> String {
    if seconds < 0 && nanos > 0 {
        // -1.25 is one second and 750 ms before -0.5: the fraction counts away from zero.
        format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)
    } else {
        format!("{seconds}.{nanos:09}")
    }
}

pub(super) fn parse_pax_time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.starts_with('+') || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole
        .parse()
        .ok()
        .filter(|seconds| (0..MAX_SECONDS).contains(seconds))?;
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

/// Fields of extended headers for the next entry.
#[derive(Debug, Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) size: Option<u64>,
}

/// The content of an extended header.
pub(super) struct Records(pub(super) Vec<u8>);

impl Records {
    pub(super) fn until_nul(self) -> Vec<u8> {
        self.0
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec()
    }

    pub(super) fn parse_pax(self, into: &mut Extension) -> Result<(), FilesError> {
        let broken = || FilesError::Archive("a pax record is malformed");
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            let space = rest
                .iter()
                .take(20)
                .position(|byte| *byte == b' ')
                .ok_or_else(broken)?;
            let len: usize = std::str::from_utf8(&rest[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(broken)?;
            if len <= space + 1 || len > rest.len() || rest[len - 1] != b'\n' {
                return Err(broken());
            }
            let record = &rest[space + 1..len - 1];
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(broken)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" if value.len() <= MAX_GUEST_PATH => into.path = Some(value.to_vec()),
                b"linkpath" if value.len() <= MAX_GUEST_PATH => into.target = Some(value.to_vec()),
                b"path" | b"linkpath" => return Err(FilesError::Archive("a name is too long")),
                b"mtime" => into.mtime = Some(parse_pax_time(value).ok_or_else(broken)?),
                b"size" => {
                    let size = std::str::from_utf8(value)
                        .ok()
                        .and_then(|digits| digits.parse().ok());
                    into.size = Some(size.ok_or_else(broken)?);
                }
                _ => {}
            }
            rest = &rest[len..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_pax_records_are_refused() {
        for record in [
            "",
            "x",
            "5 a=",
            "99999999999999999999 a=b\n",
            "0 a=b\n",
            "3 \n\n",
            "8 mtime=\n",
            "12 size=-1\n\n",
        ] {
            let result = Records(record.as_bytes().to_vec()).parse_pax(&mut Extension::default());
            assert_eq!(result.is_ok(), record.is_empty(), "{record:?}");
        }
    }

    proptest! {
    #[test]
    fn every_time_comes_back(seconds in -1_000_000_i64..1_000_000, nanos in 0_u32..1_000_000_000) {
        prop_assert_eq!(parse_pax_time(pax_time(seconds, nanos).as_bytes()), Some((seconds, nanos)));
    }
    }
}
