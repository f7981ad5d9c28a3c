//! Times of one thing, and the line that reports them.

use std::time::Duration;

/// Times of one thing, in the order taken.
#[derive(Debug, Default, Clone)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// One more.
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle one; of an even number, the upper of the two: never better than the truth.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// One line of a report: the median, the spread, and the limit.
    pub fn line(&self, what: &str, limit: Option<Duration>) -> String {
        let least = self.0.iter().min().copied().unwrap_or_default();
        let most = self.0.iter().max().copied().unwrap_or_default();
        let spread = format!(
            "{} to {} in {} runs",
            shown(least),
            shown(most),
            self.0.len()
        );
        row(what, self.median(), &spread, limit)
    }
}

/// One line of a report.
pub fn row(what: &str, took: Duration, spread: &str, limit: Option<Duration>) -> String {
    let verdict = match limit {
        None => String::new(),
        Some(limit) if took <= limit => format!("  at most {}: ok", shown(limit)),
        Some(limit) => format!("  at most {}: OVER", shown(limit)),
    };
    format!("{what:<36} {:>12}  {spread}{verdict}", shown(took))
}

/// Milliseconds, with their fraction.
pub fn in_ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn shown(took: Duration) -> String {
    format!("{:.1} ms", in_ms(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_median_of_an_even_number_is_the_upper_of_the_two() {
        let mut samples = Samples::default();
        for ms in [4, 1, 3, 2] {
            samples.push(MS * ms);
        }
        assert_eq!(samples.median(), MS * 3);
    }

    #[test]
    fn a_line_says_whether_the_limit_is_kept() {
        let mut samples = Samples::default();
        samples.push(MS * 7);
        let line = |limit| samples.line("it", Some(MS * limit));
        assert!(line(7).ends_with("7.0 ms to 7.0 ms in 1 runs  at most 7.0 ms: ok"));
        assert!(line(6).ends_with("at most 6.0 ms: OVER"));
    }
}
