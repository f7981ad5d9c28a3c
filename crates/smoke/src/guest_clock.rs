//! The offset of a guest's clock, measured from outside of banger by round trips through one command.

use crate::Sandbox;

/// Round trips of one measurement.
const ROUND_TRIPS: u32 = 12;

/// An offset in nanoseconds, positive when the guest is ahead, and the largest error of it.
#[derive(Debug, Clone, Copy)]
pub struct Offset {
    /// Nanoseconds.
    pub ns: i64,
    /// Nanoseconds.
    pub error_ns: i64,
}

impl Offset {
    /// Tells whether the clock may be right to `ms` milliseconds, and was measured as exactly.
    #[must_use]
    pub fn is_within(self, ms: i64) -> bool {
        self.ns.abs() <= ms * 1_000_000 && self.error_ns <= ms * 1_000_000
    }
}

/// Measures the offset of a running VM's clock. The guest needs bash, whose `EPOCHREALTIME` costs no process.
///
/// # Panics
/// Panics when the guest does not answer in the form that its command has.
#[must_use]
pub fn offset(sandbox: &Sandbox, vm: &str) -> Offset {
    let in_guest = r#"while read -r line; do echo "$line $EPOCHREALTIME"; done"#;
    let host = format!(
        r#"for _ in $(seq {ROUND_TRIPS}); do date +%s%N; sleep 0.1; done |
           "$0" exec {vm} -- bash -c '{in_guest}' |
           while read -r line; do echo "$line $(date +%s%N)"; done"#
    );
    let program = sandbox.binary().to_string_lossy().into_owned();
    let told = sandbox.program("sh", &["-c", &host, &program]).ok().out();
    let measured = told.lines().map(of_line);
    match measured.min_by_key(|offset| offset.error_ns) {
        Some(best) => best,
        None => panic!("the guest told no time: {told:?}"),
    }
}

/// `HOST GUEST HOST`: nanoseconds, seconds with six digits behind the point, nanoseconds.
fn of_line(line: &str) -> Offset {
    let numbers = line.split(' ').map(|word| match word.split_once('.') {
        Some((seconds, micros)) => format!("{seconds}{micros}000").parse().unwrap_or(0),
        None => word.parse().unwrap_or(0),
    });
    let numbers: Vec<i64> = numbers.collect();
    let [sent, seen, received] = numbers[..] else {
        panic!("no three times: {line:?}");
    };
    let error_ns = (received - sent) / 2;
    Offset {
        ns: seen - (sent + error_ns),
        error_ns,
    }
}
