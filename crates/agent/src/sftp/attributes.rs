//! File attributes (section 5 of the draft).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::packet::{Fields, PacketError, Reply};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// Attributes of a file, as a client knows or wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Permission bits, and the kind of file when told by us.
    pub permissions: Option<u32>,
    /// Seconds since 1970 of the last access and change.
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, PacketError> {
        let flags = fields.u32()?;
        let has = |flag| flags & flag != 0;
        let size = has(SIZE).then(|| fields.u64()).transpose()?;
        let mut two = |flag| -> Result<_, PacketError> {
            has(flag)
                .then(|| Ok((fields.u32()?, fields.u32()?)))
                .transpose()
        };
        let owner = two(OWNER)?;
        let permissions = has(PERMISSIONS).then(|| fields.u32()).transpose()?;
        let times = has(TIMES)
            .then(|| Ok((fields.u32()?, fields.u32()?)))
            .transpose()?;
        if has(EXTENDED) {
            // Pairs that nobody has defined: skipped, as far as they are there.
            for _ in 0..fields.u32()? {
                fields.string()?;
                fields.string()?;
            }
        }
        Ok(Self {
            size,
            owner,
            permissions,
            times,
        })
    }

    pub(super) fn of(meta: &Metadata) -> Self {
        let seconds =
            |time: i64| u32::try_from(time).unwrap_or(if time < 0 { 0 } else { u32::MAX });
        Self {
            size: Some(meta.size()),
            owner: Some((meta.uid(), meta.gid())),
            permissions: Some(meta.mode()),
            times: Some((seconds(meta.atime()), seconds(meta.mtime()))),
        }
    }

    pub(super) fn append(&self, reply: Reply) -> Reply {
        let mut flags = 0;
        for (flag, has) in [
            (SIZE, self.size.is_some()),
            (OWNER, self.owner.is_some()),
            (PERMISSIONS, self.permissions.is_some()),
            (TIMES, self.times.is_some()),
        ] {
            flags |= if has { flag } else { 0 };
        }
        let mut reply = reply.u32(flags);
        if let Some(size) = self.size {
            reply = reply.u64(size);
        }
        if let Some((uid, gid)) = self.owner {
            reply = reply.u32(uid).u32(gid);
        }
        if let Some(permissions) = self.permissions {
            reply = reply.u32(permissions);
        }
        if let Some((accessed, changed)) = self.times {
            reply = reply.u32(accessed).u32(changed);
        }
        reply
    }
}

/// A line as `ls -l` writes it: what OpenSSH's client shows for its own `ls -l`.
pub(super) fn long_name(name: &[u8], meta: &Metadata) -> Vec<u8> {
    let mode = meta.mode();
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let mut bits: Vec<char> = "rwxrwxrwx"
        .chars()
        .enumerate()
        .map(|(at, c)| if mode & (0o400 >> at) != 0 { c } else { '-' })
        .collect();
    for (bit, at, letter) in [(0o4000, 2, 's'), (0o2000, 5, 's'), (0o1000, 8, 't')] {
        if mode & bit != 0 {
            bits[at] = if bits[at] == 'x' {
                letter
            } else {
                letter.to_ascii_uppercase()
            };
        }
    }
    let bits: String = bits.into_iter().collect();
    let mut line = format!(
        "{kind}{bits} {:>4} {:<8} {:<8} {:>10} {} ",
        meta.nlink(),
        meta.uid(),
        meta.gid(),
        meta.size(),
        date(meta.mtime())
    )
    .into_bytes();
    line.extend_from_slice(name);
    line
}

/// `Nov 23  2026`, UTC. Days to a date of the civil calendar: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    let month = usize::try_from(month).ok().and_then(|at| MONTHS.get(at));
    format!("{} {day:>2}  {year}", month.unwrap_or(&"???"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_calendar() {
        assert_eq!(date(0), "Jan  1  1970");
        assert_eq!(date(951_782_400), "Feb 29  2000");
        assert_eq!(date(1_795_392_000), "Nov 23  2026");
        assert_eq!(date(-1), "Dec 31  1969");
    }

    #[test]
    fn attributes_come_back_as_they_went() {
        let attributes = Attributes {
            size: Some(1 << 40),
            owner: None,
            permissions: Some(0o100_644),
            times: Some((1, 2)),
        };
        let bytes = attributes.append(Reply::new(0)).into_bytes();
        assert_eq!(Attributes::parse(&mut Fields(&bytes[5..])), Ok(attributes));
    }

    #[test]
    fn a_count_of_extensions_that_is_not_there_is_refused() {
        let bytes = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let parsed = Attributes::parse(&mut Fields(&bytes));
        assert_eq!(parsed, Err(PacketError::Truncated));
    }
}
