//! Lengths of time as people write them: `90`, `90s`, `1m30s`, `500ms`, `2h`.

use std::time::Duration;

/// Reads a length of time; a bare number is seconds.
///
/// # Errors
/// It is none, or none at all: 0.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "write it as 90, 90s, 1m30s, 500ms or 2h".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: u32 = rest[..digits].parse().map_err(|_odd| wrong())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "" if digits == text.len() => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(60 * 60),
            "d" => Duration::from_secs(24 * 60 * 60),
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        let part = unit.checked_mul(number).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    match total {
        Duration::ZERO => Err(wrong()),
        total => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_others_refused() {
        for (text, ms) in [
            ("90", 90_000),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "0",
            "0s",
            "s",
            "1x",
            "-1",
            "1.5s",
            "1m30",
            "99999999999s",
            "\u{e4}1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
