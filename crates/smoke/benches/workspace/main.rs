//! A repository in and a patch out, against the ways without banger: a shallow clone, and tar through `exec`.
//!
//! ```text
//! prepare   banger vm workspace prepare                  20,000 files, 200 MB, depth 10  ┐
//! clone     git clone --depth 10, tar c | exec tar x     the same, cloned on the host    ├ in turns, into empty folders
//! tar       tar c | exec tar x                           the repository as it is         ┘
//! again     prepare after one file changed
//! export    ten files changed in the guest; also in a small repository, and as the first action after boot
//! ```
//!
//! `cargo bench -p banger-smoke --bench workspace`; `BANGER_BENCH_RUNS` sets the number of runs (5 at least are a
//! result). The first three take two minutes together and run at most 3 rounds; each line of the result names its
//! number of rounds, and is printed as soon as it is known.

mod repository;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use banger_measure::{Samples, asked_to_measure, row, runs};
use banger_smoke::{Sandbox, reaches_running};

use repository::Repository;

/// Allowed time of prepare, as a fraction of the faster of the other ways: 13 tenths.
const OF_THE_BETTER: (u32, u32) = (13, 10);
/// Divisor for a prepare after one change: it takes at most this part of the first one.
const AGAIN: u32 = 20;
/// Rounds of benchmarks that move the whole large repository.
const LARGE_RUNS: usize = 3;
const EXPORT: Duration = Duration::from_millis(500);
/// Time limit for 200 MB in TCG, on a machine with other load.
const DEADLINE: Duration = Duration::from_secs(600);
const NAME: &str = "bench";
const IMAGE: &str = "debian-bookworm";
const GUEST: [&str; 8] = [
    "--image", IMAGE, "--net", "none", "--vcpu", "1", "--memory", "2G",
];

fn main() -> io::Result<()> {
    if !asked_to_measure() {
        return Ok(());
    }
    let runs = runs(5);
    let sandbox = Sandbox::new();
    let large = Repository::make(&sandbox, "large", 20_000, 10_000)?;
    let small = Repository::make(&sandbox, "small", 200, 5_000)?;
    create(&sandbox);
    reaches_running(&sandbox, NAME);
    let first = first_times(&sandbox, &large, runs.clamp(1, LARGE_RUNS))?;
    // Later benchmarks must not wait for some hundred megabytes that the guest has yet to write.
    sandbox
        .banger(&["exec", "-w", "/", NAME, "--", "sync"])
        .deadline(DEADLINE)
        .ok();
    second_times(&sandbox, &large, first, runs)?;
    exports(&sandbox, &large, "export of 10 of 20,000 files", runs)?;
    prepare(&sandbox, small.path());
    exports(&sandbox, &small, "export of 10 of 200 files", runs)?;
    fresh_export(&sandbox)
}

/// Prints a line of the result as soon as it is known.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn create(sandbox: &Sandbox) {
    let words = [&["vm", "create", "--name", NAME], &GUEST[..]].concat();
    sandbox.banger(&words).deadline(DEADLINE).ok();
}

fn prepare(sandbox: &Sandbox, path: &Path) -> Duration {
    let path = path.display().to_string();
    let words = ["vm", "workspace", "prepare", NAME, &path];
    sandbox.banger(&words).deadline(DEADLINE).ok().took
}

/// Whole repositories, each time into a new folder. A repository is sent only once, so it has another name in each
/// round but the last. All stay, because their removal takes longer. Returns the median.
fn first_times(sandbox: &Sandbox, repository: &Repository, runs: usize) -> io::Result<Duration> {
    let (mut ours, mut cloned, mut plain) = <(Samples, Samples, Samples)>::default();
    for round in 1..=runs {
        if round == runs {
            ours.push(prepare(sandbox, repository.path()));
        } else {
            let named = sandbox.home().join(format!("large-{round}"));
            fs::rename(repository.path(), &named)?;
            ours.push(prepare(sandbox, &named));
            fs::rename(&named, repository.path())?;
        }
        let from = repository.path().display();
        let clone = sandbox.home().join("clone");
        let script = format!(
            "git clone -q --depth 10 file://{from} {to} && {tar}",
            to = clone.display(),
            tar = tar_into_guest(sandbox, &clone, &format!("cloned-{round}")),
        );
        cloned.push(shell(sandbox, &script));
        fs::remove_dir_all(clone)?;
        let script = tar_into_guest(sandbox, repository.path(), &format!("plain-{round}"));
        plain.push(shell(sandbox, &script));
    }
    let better = cloned.median().min(plain.median());
    let (part, of) = OF_THE_BETTER;
    tell(&ours.line("prepare, 20,000 files", Some(better * part / of)))?;
    tell(&cloned.line("clone --depth 10, tar", None))?;
    tell(&plain.line("tar", None))?;
    Ok(ours.median())
}

fn second_times(
    sandbox: &Sandbox,
    repository: &Repository,
    first: Duration,
    runs: usize,
) -> io::Result<()> {
    let mut again = Samples::default();
    for round in 0..runs {
        repository.change_one(round)?;
        again.push(prepare(sandbox, repository.path()));
    }
    tell(&again.line("prepare again, one file changed", Some(first / AGAIN)))
}

fn exports(sandbox: &Sandbox, repository: &Repository, what: &str, runs: usize) -> io::Result<()> {
    change_in_guest(sandbox, repository);
    let mut exported = Samples::default();
    for _ in 0..runs.max(5) {
        exported.push(export(sandbox));
    }
    tell(&exported.line(what, Some(EXPORT)))
}

/// The first export after a boot, once: the guest has no cached data of earlier changes.
fn fresh_export(sandbox: &Sandbox) -> io::Result<()> {
    sandbox.in_guest(NAME, "sync");
    sandbox.banger(&["vm", "kill", NAME]).ok();
    let start = sandbox.banger(&["vm", "start", NAME]);
    start.deadline(DEADLINE).ok();
    let took = export(sandbox);
    tell(&row(
        "the first export after boot",
        took,
        "once",
        Some(EXPORT),
    ))?;
    sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
    Ok(())
}

fn export(sandbox: &Sandbox) -> Duration {
    let exported = sandbox.banger(&["vm", "workspace", "export", NAME]).ok();
    let files = exported.out().matches("diff --git ").count();
    assert_eq!(files, 10, "the patch is of the ten files that changed");
    exported.took
}

fn change_in_guest(sandbox: &Sandbox, repository: &Repository) {
    let changes: String = repository
        .some(10)
        .map(|file| format!("echo changed >> {file}\n"))
        .collect();
    sandbox.in_guest(NAME, &changes);
}

fn tar_into_guest(sandbox: &Sandbox, from: &Path, to: &str) -> String {
    let banger = sandbox.binary().display();
    let inside = format!("mkdir /root/{to} && tar x -C /root/{to}");
    format!(
        "tar c -C {} . | {banger} exec -w / {NAME} -- sh -c '{inside}'",
        from.display()
    )
}

fn shell(sandbox: &Sandbox, script: &str) -> Duration {
    let words = ["-o", "pipefail", "-ec", script];
    let ran = sandbox.program("bash", &words);
    ran.deadline(DEADLINE).ok().took
}
