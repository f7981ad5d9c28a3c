//! Stages of a configuration, and their times.

use std::time::Instant;

use banger_guest::Stage;

/// A stopwatch with laps.
#[derive(Debug, Clone)]
pub struct Stages {
    last: Instant,
    done: Vec<Stage>,
}

impl Stages {
    /// Starts; the first lap, `kernel`, is the time since the kernel started.
    #[must_use]
    pub fn since_boot() -> Self {
        let mut stages = Self::new();
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let us = u64::try_from(boot.tv_sec * 1_000_000 + boot.tv_nsec / 1000).unwrap_or(0);
        stages.done.push(Stage {
            name: "kernel".to_owned(),
            us,
        });
        stages
    }

    /// Starts.
    #[must_use]
    pub fn new() -> Self {
        Self {
            last: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Starts anew.
    pub fn restart(&mut self) {
        *self = Self::new();
    }

    /// Ends a lap.
    pub fn done(&mut self, name: &str) {
        let now = Instant::now();
        let us = u64::try_from((now - self.last).as_micros()).unwrap_or(u64::MAX);
        self.done.push(Stage {
            name: name.to_owned(),
            us,
        });
        self.last = now;
    }

    /// All laps.
    #[must_use]
    pub fn list(&self) -> Vec<Stage> {
        self.done.clone()
    }
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}
