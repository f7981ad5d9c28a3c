//! Duration of the everyday commands, as whole processes, against a bare QEMU boot in the same run.
//!
//! ```text
//! run    banger vm run --rm --image debian-minimal -- true   ┐ in turns, so that a busy moment
//! boot   QEMU alone, same kernel and initramfs, to /init     ┘ of the machine slows both
//! exec   banger exec VM -- true            in a running guest
//! ps     banger ps                         with 100 stopped VMs
//! rss    the daemon at rest                after all that
//! wake   banger vm run --rm … -- true      from a template, in turns with a boot
//! ```
//!
//! `cargo bench -p banger-smoke --bench start`; `BANGER_BENCH_RUNS` sets the number of runs (10 at least are a result).

mod bare_boot;
mod templates;

use std::io::{self, Write as _};
use std::time::Duration;

use banger_measure::{Samples, asked_to_measure, row, runs};
use banger_smoke::{Sandbox, eventually};

use bare_boot::BareBoot;

const NAME: &str = "bench";
const STOPPED_VMS: usize = 100;
const SMALL: [&str; 8] = [
    "--image",
    "debian-minimal",
    "--net",
    "none",
    "--vcpu",
    "1",
    "--memory",
    "512M",
];

/// Allowed time of `vm run` beyond the bare boot; the other promises follow.
const RUN_BEYOND_BOOT: Duration = Duration::from_millis(700);
const EXEC: Duration = Duration::from_millis(60);
const PS: Duration = Duration::from_millis(20);
const DAEMON_RSS_KIB: u64 = 30 * 1024;

fn main() -> io::Result<()> {
    if !asked_to_measure() {
        return Ok(());
    }
    let runs = runs(10);
    let sandbox = Sandbox::new();
    let mut report = Vec::new();

    sandbox
        .banger(&[&["vm", "create", "--name", NAME], &SMALL[..]].concat())
        .ok();
    let bare = BareBoot::like_the_vmm_of(&sandbox);

    let mut exec = Samples::default();
    for _ in 0..runs * 2 {
        exec.push(sandbox.banger(&["exec", NAME, "--", "true"]).ok().took);
    }
    report.push(exec.line("exec of true in a running guest", Some(EXEC)));
    sandbox.banger(&["vm", "delete", "--force", NAME]).ok();

    let (mut run, mut boot) = (Samples::default(), Samples::default());
    for _ in 0..runs {
        let words = [&["vm", "run", "--rm"], &SMALL[..], &["--", "true"]].concat();
        run.push(sandbox.banger(&words).ok().took);
        boot.push(bare.boot()?);
    }
    report.push(run.line("vm run --rm -- true", None));
    report.push(boot.line("bare QEMU boot to /init", None));
    let beyond = run.median().saturating_sub(boot.median());
    report.push(row(
        "run beyond the bare boot",
        beyond,
        "",
        Some(RUN_BEYOND_BOOT),
    ));
    let timed = sandbox
        .banger(
            &[
                &["vm", "run", "--rm", "--timings"],
                &SMALL[..],
                &["--", "true"],
            ]
            .concat(),
        )
        .ok();

    for number in 0..STOPPED_VMS {
        let name = format!("rests-{number}");
        sandbox
            .banger(&[&["vm", "create", "--no-start", "--name", &name], &SMALL[..]].concat())
            .ok();
    }
    let mut ps = Samples::default();
    for _ in 0..runs * 3 {
        ps.push(sandbox.banger(&["ps"]).ok().took);
    }
    report.push(ps.line("ps with 100 VMs that do not run", Some(PS)));

    let rss = resident_kib(&sandbox);
    let verdict = if rss <= DAEMON_RSS_KIB { "ok" } else { "OVER" };
    report.push(format!(
        "{:<36} {rss:>8} KiB  at most {DAEMON_RSS_KIB} KiB  {verdict}",
        "daemon at rest"
    ));

    let (lines, woken) = templates::measure(runs, &SMALL)?;
    report.extend(lines);

    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\nmedians of {runs} runs or more\n{}",
        report.join("\n")
    )?;
    writeln!(out, "\nstages of one vm run:\n{}", timed.err())?;
    writeln!(out, "\nstages of one from a template:\n{woken}")
}

fn resident_kib(sandbox: &Sandbox) -> u64 {
    let status = format!("/proc/{}/status", sandbox.daemon_pid().as_raw_nonzero());
    eventually(
        "the daemon's memory is known",
        Duration::from_secs(5),
        || {
            let status = std::fs::read_to_string(&status).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        },
    )
}
