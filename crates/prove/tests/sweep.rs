//! The sweep and the seeds over the real plans.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_prove::{Options, Report, run};

fn told(report: &Report) -> String {
    let mut told = format!("{} cases fail\n", report.failed);
    for (rule, count) in &report.rules {
        told.push_str(&format!("{count:6} {rule}\n"));
    }
    for failure in &report.failures {
        told.push_str(&format!("{}\n", failure.replay));
        for rule in &failure.broken {
            told.push_str(&format!("    {rule}\n"));
        }
    }
    told.push_str(&report.trace.join("\n"));
    told
}

/// Number of seeds a test run plays; `BANGER_PROVE_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;

#[test]
fn every_fault_at_every_step_leaves_a_machine_on_which_all_works() {
    // One scenario: BANGER_PROVE_SCENARIO=NAME.
    let options = Options {
        scenario: std::env::var("BANGER_PROVE_SCENARIO").ok(),
        ..Options::default()
    };
    let report = run(&options).unwrap();
    assert!(report.holds(), "{}", told(&report));
    println!("{report:#?}");
}

#[test]
fn random_lives_of_daemons_lose_and_leave_nothing() {
    // One seed, with its story: BANGER_PROVE_SEED=N.
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let options = Options {
        skip_sweep: true,
        seeds: number("BANGER_PROVE_SEEDS").unwrap_or(SEEDS),
        seed: number("BANGER_PROVE_SEED"),
        ..Options::default()
    };
    let report = run(&options).unwrap();
    assert!(report.holds(), "{}", told(&report));
    println!("{report:#?}");
}
