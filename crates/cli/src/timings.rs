//! `--timings`: what took how long.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::output::Output;
use crate::output::table::Table;

/// Stages with their durations, in the order in which they ended.
#[derive(Debug)]
pub struct Timings {
    started: Instant,
    stages: RefCell<Vec<(String, Duration)>>,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            stages: RefCell::default(),
        }
    }
}

impl Timings {
    /// Adds a stage.
    pub fn add(&self, stage: &str, took: Duration) {
        self.stages.borrow_mut().push((stage.to_owned(), took));
    }

    /// Adds a stage that began at `since` and ends now.
    pub fn since(&self, stage: &str, since: Instant) {
        self.add(stage, since.elapsed());
    }

    /// Shows all stages and the total.
    pub fn show(&self, output: &Output) {
        for line in self.table(self.started.elapsed()).lines(None, false) {
            output.note(&line);
        }
    }

    fn table(&self, total: Duration) -> Table {
        let mut table = Table::new(&["STAGE", "MS"]);
        let milliseconds = |took: Duration| format!("{:9.1}", took.as_secs_f64() * 1000.0);
        for (stage, took) in self.stages.borrow().iter() {
            table.row([stage.clone(), milliseconds(*took)]);
        }
        table.row(["total".to_owned(), milliseconds(total)]);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_shown_in_milliseconds_with_the_total_last() {
        let timings = Timings::default();
        timings.add("create_disks", Duration::from_micros(2_500));
        timings.add("boot", Duration::from_millis(2_900));
        let lines = timings.table(Duration::from_secs(3)).lines(None, false);
        assert_eq!(
            lines,
            [
                "STAGE         MS",
                "create_disks        2.5",
                "boot             2900.0",
                "total            3000.0"
            ]
        );
    }
}
