//! Cost of SSH through banger's channel, against plain SSH to the same sshd over forwarded TCP, in turns.
//!
//! ```text
//! channel   ssh web.vm true                       ProxyCommand, channel, the guest's sshd      ┐ in turns
//! plain     ssh -p PORT root@127.0.0.1 true       QEMU's forwarded port, the same sshd         ┘
//! host      ssh small.vm true                     an image without sshd: served on the host
//! ```
//!
//! `cargo bench -p banger-smoke --bench ssh`; `BANGER_BENCH_RUNS` sets the number of runs (10 at least are a result).

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use banger_measure::{Samples, asked_to_measure, row, runs};
use banger_smoke::{Sandbox, reaches_running};

/// Allowed cost of the channel beyond plain SSH.
const BEYOND_PLAIN: Duration = Duration::from_millis(300);

fn main() -> io::Result<()> {
    if !asked_to_measure() {
        return Ok(());
    }
    let runs = runs(10);
    let sandbox = Sandbox::new();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let publish = format!("{port}:22");
    let web = [
        "--name",
        "web",
        "--image",
        "debian-bookworm",
        "--publish",
        &publish,
    ];
    sandbox
        .banger(&[&["vm", "create"], &web[..]].concat())
        .deadline(Duration::from_secs(300))
        .ok();
    let config = sandbox.folder().join("config");
    fs::write(&config, sandbox.banger(&["ssh-config"]).ok().out())?;
    let config = config.display().to_string();
    let identity = sandbox.banger_home().join("state/ssh/id_ed25519");
    let identity = identity.display().to_string();
    let channel = |host: &str| sandbox.program("ssh", &["-F", &config, host, "true"]);
    let plain = || {
        let port = port.to_string();
        let options = [
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "BatchMode=yes",
        ];
        let to = [
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-i",
            &identity,
            "-p",
            &port,
        ];
        let words = [&options[..], &to[..], &["root@127.0.0.1", "true"]].concat();
        sandbox.program("ssh", &words)
    };
    reaches_running(&sandbox, "web");
    plain().ok();

    let (mut through, mut direct) = (Samples::default(), Samples::default());
    for _ in 0..runs {
        through.push(channel("web.vm").ok().took);
        direct.push(plain().ok().took);
    }
    let mut report = vec![
        through.line("ssh web.vm true", None),
        direct.line("ssh to forwarded TCP", None),
    ];
    let beyond = through.median().saturating_sub(direct.median());
    report.push(row(
        "the channel beyond forwarded TCP",
        beyond,
        "",
        Some(BEYOND_PLAIN),
    ));
    sandbox.banger(&["vm", "delete", "--force", "web"]).ok();

    let small = [
        "--name",
        "small",
        "--image",
        "debian-minimal",
        "--net",
        "none",
    ];
    sandbox
        .banger(&[&["vm", "create"], &small[..]].concat())
        .ok();
    let mut host = Samples::default();
    for _ in 0..runs {
        host.push(channel("small.vm").ok().took);
    }
    report.push(host.line("ssh true, served on the host", None));
    let mut out = io::stdout().lock();
    writeln!(out, "\nmedians of {runs} runs\n{}", report.join("\n"))
}
