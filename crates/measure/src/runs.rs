//! Whether, and how often, a bench measures.

/// False when a test runner lists or tries benches: then no guest is booted.
pub fn asked_to_measure() -> bool {
    !std::env::args().any(|word| word == "--test" || word == "--list")
}

/// How many times each thing is measured: `BANGER_BENCH_RUNS`, or `usual`. Ten at least are a result.
pub fn runs(usual: usize) -> usize {
    let asked = std::env::var("BANGER_BENCH_RUNS").ok();
    asked.and_then(|runs| runs.parse().ok()).unwrap_or(usual)
}
