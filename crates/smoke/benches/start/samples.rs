//! Times of one thing, and the line that reports them.

use std::time::Duration;

/// Times of one thing, in the order taken.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The middle one; of an even number, the upper of the two: never better than the truth.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

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

/// One line of the report.
pub fn row(what: &str, took: Duration, spread: &str, limit: Option<Duration>) -> String {
    let verdict = match limit {
        None => String::new(),
        Some(limit) if took <= limit => format!("  at most {}: ok", shown(limit)),
        Some(limit) => format!("  at most {}: OVER", shown(limit)),
    };
    format!("{what:<36} {:>12}  {spread}{verdict}", shown(took))
}

fn shown(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
