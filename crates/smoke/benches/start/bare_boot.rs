//! QEMU alone, with the kernel, initramfs and machine of banger, and nothing else: the lower bound of a boot's time.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_smoke::Sandbox;

/// Options of QEMU that define the machine, each with a value; disks, sockets and networks are left out.
const MACHINE: [&str; 10] = [
    "-machine", "-M", "-accel", "-cpu", "-m", "-smp", "-kernel", "-initrd", "-object", "-bios",
];
/// Kernel parameter that makes `/init` announce itself as its first action.
const ANNOUNCE: &str = "-- announce";
const ANNOUNCED: &[u8] = b"/init runs";
const DEADLINE: Duration = Duration::from_secs(60);

/// A command line of QEMU.
#[derive(Debug)]
pub struct BareBoot {
    program: PathBuf,
    /// True when the VMM gets huge pages (proc_pid_status(5)).
    huge_pages: bool,
    arguments: Vec<String>,
}

impl BareBoot {
    /// Copies the machine from the one VMM that runs in the sandbox.
    pub fn like_the_vmm_of(sandbox: &Sandbox) -> Self {
        let Some(pid) = sandbox.vmm_pids().first().map(|pid| pid.as_raw_nonzero()) else {
            panic!("no VMM runs")
        };
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let words: Vec<String> = read("cmdline")
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let works_in = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let mut arguments = Vec::new();
        for pair in words.windows(2) {
            let [option, value] = pair else { continue };
            if MACHINE.contains(&option.as_str()) {
                let is_file = matches!(option.as_str(), "-kernel" | "-initrd");
                let value = if is_file {
                    works_in.join(value).display().to_string()
                } else {
                    value.clone()
                };
                arguments.extend([option.clone(), value]);
            } else if option == "-append" {
                arguments.extend([option.clone(), format!("{value} {ANNOUNCE}")]);
            }
        }
        for word in [
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ] {
            arguments.push(word.to_owned());
        }
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        Self {
            program,
            huge_pages: !status.contains("THP_enabled:\t0"),
            arguments,
        }
    }

    /// Measures the time from the start of QEMU to the first line of `/init`.
    pub fn boot(&self) -> io::Result<Duration> {
        // QEMU inherits this.
        rustix::thread::disable_transparent_huge_pages(!self.huge_pages)?;
        let started = Instant::now();
        let mut qemu = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let reached = qemu
            .stdout
            .take()
            .map(|console| until_init(console, started));
        qemu.kill()?;
        qemu.wait()?;
        reached.unwrap_or_else(|| Err(io::Error::other("no console")))
    }
}

fn until_init(mut console: impl io::Read, started: Instant) -> io::Result<Duration> {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while started.elapsed() < DEADLINE {
        match console.read(&mut chunk)? {
            0 => break,
            count => seen.extend_from_slice(&chunk[..count]),
        }
        if seen
            .windows(ANNOUNCED.len())
            .any(|window| window == ANNOUNCED)
        {
            return Ok(started.elapsed());
        }
    }
    let shown = String::from_utf8_lossy(&seen).into_owned();
    Err(io::Error::other(format!(
        "the bare guest never became /init:\n{shown}"
    )))
}
