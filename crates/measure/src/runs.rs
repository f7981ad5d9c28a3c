//! A bench's settings: measuring at all, and the number of runs.

/// False when a test runner lists or tries benches: then no guest is booted.
pub fn asked_to_measure() -> bool {
    !std::env::args().any(|word| word == "--test" || word == "--list")
}

/// Number of runs of each thing: `BANGER_BENCH_RUNS`, or `usual`. Only ten or more make a result.
pub fn runs(usual: usize) -> usize {
    let asked = std::env::var("BANGER_BENCH_RUNS").ok();
    asked.and_then(|runs| runs.parse().ok()).unwrap_or(usual)
}
