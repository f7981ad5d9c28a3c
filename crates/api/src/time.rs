//! Points in time.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, written in RFC 3339 in UTC with exactly three digits of a second, so that times sort as text.
/// Any number of digits is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The beginning of 1970.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// The present moment.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// The moment so many milliseconds after the beginning of 1970.
    ///
    /// # Errors
    /// It is before the year -9999 or after the year 9999.
    pub fn from_millisecond(ms: i64) -> Result<Self, jiff::Error> {
        jiff::Timestamp::from_millisecond(ms).map(Self)
    }
}

impl Deref for Timestamp {
    type Target = jiff::Timestamp;
    fn deref(&self) -> &jiff::Timestamp {
        &self.0
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(moment: jiff::Timestamp) -> Self {
        Self(moment)
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(moment: Timestamp) -> Self {
        moment.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_width_and_sort_as_text() {
        let given = [
            "2026-01-01T00:00:13.4Z",
            "2026-01-01T00:00:13Z",
            "2026-01-01T00:00:13.123456Z",
        ];
        let mut texts: Vec<String> = given
            .iter()
            .map(|text| text.parse::<Timestamp>().unwrap().to_string())
            .collect();
        texts.sort();
        assert_eq!(
            texts,
            [
                "2026-01-01T00:00:13.000Z",
                "2026-01-01T00:00:13.123Z",
                "2026-01-01T00:00:13.400Z"
            ]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let moment: Timestamp = serde_json::from_str("\"2026-01-01T00:00:13.4Z\"").unwrap();
        assert_eq!(
            serde_json::to_string(&moment).unwrap(),
            "\"2026-01-01T00:00:13.400Z\""
        );
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
