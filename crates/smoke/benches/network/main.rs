//! Cost of banger's own network beside QEMU's, in real guests, in turns.
//!
//! ```text
//! out      a guest sends to a server of this host's      ┐
//! in       it receives from one                          │ own ─ slirp ─ own ─ slirp …
//! connect  200 connections, one behind the other         │ timed by the server, from the first accept to the last end
//! burst    200 connections at once, each echoed          ┘
//! ```
//!
//! `cargo bench -p banger-smoke --bench network`; `BANGER_BENCH_RUNS` sets the number of turns.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use banger_measure::{asked_to_measure, runs};
use banger_smoke::Sandbox;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::Signal;

/// Bytes of a transfer.
const BYTES: usize = 256 << 20;
/// Connections of one turn.
const CONNECTIONS: usize = 200;
/// Longest wait for a connection or its bytes: a turn that takes longer is lost, and told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Stacks, each with a VM of its name.
const STACKS: [&str; 2] = ["own", "slirp"];

const OUT: &str = "my $s = IO::Socket::INET->new(PeerAddr => '10.0.2.2', PeerPort => $ARGV[0]) or die; \
    my $b = 'x' x 131072; for (1..$ARGV[1]) { my $o = 0; \
    while ($o < length $b) { my $n = syswrite($s, $b, length($b) - $o, $o) or die; $o += $n } }";
const IN: &str = "my $s = IO::Socket::INET->new(PeerAddr => '10.0.2.2', PeerPort => $ARGV[0]) or die; \
    my $b; 1 while sysread($s, $b, 131072)";
const CONNECT: &str = "for (1..$ARGV[1]) { \
    my $s = IO::Socket::INET->new(PeerAddr => '10.0.2.2', PeerPort => $ARGV[0]) or die; \
    syswrite($s, 'x'); my $b; sysread($s, $b, 1) == 1 or die; close $s }";
const BURST: &str = "my @s = map { \
    IO::Socket::INET->new(PeerAddr => '10.0.2.2', PeerPort => $ARGV[0]) or die } 1..$ARGV[1]; \
    syswrite($_, 'x') for @s; for (@s) { my $b; sysread($_, $b, 1) == 1 or die }";

/// Work of one turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Out,
    In,
    Connect,
    Burst,
}

impl Work {
    const ALL: [Self; 4] = [Self::Out, Self::In, Self::Connect, Self::Burst];

    fn name(self) -> &'static str {
        match self {
            Self::Out => "out, MiB/s",
            Self::In => "in, MiB/s",
            Self::Connect => "connect and echo, µs",
            Self::Burst => "burst of connections, ms",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Out => OUT,
            Self::In => IN,
            Self::Connect => CONNECT,
            Self::Burst => BURST,
        }
    }

    fn count(self) -> usize {
        match self {
            Self::Out | Self::In => BYTES >> 17,
            Self::Connect | Self::Burst => CONNECTIONS,
        }
    }

    /// Serves one turn; the time that it took.
    fn serve(self, listener: &TcpListener) -> io::Result<Duration> {
        let mut buffer = vec![7; 1 << 17];
        let accept = || {
            let (stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            io::Result::Ok(stream)
        };
        let first = accept()?;
        let began = Instant::now();
        match self {
            Self::Out => drain(first, &mut buffer)?,
            Self::In => {
                let mut stream = first;
                for _ in 0..self.count() {
                    stream.write_all(&buffer)?;
                }
                stream.shutdown(std::net::Shutdown::Write)?;
                // The guest closes when it has everything.
                let _ = stream.read(&mut buffer)?;
            }
            Self::Connect => {
                echo(first)?;
                for _ in 1..self.count() {
                    echo(accept()?)?;
                }
            }
            Self::Burst => {
                let mut all = vec![first];
                while all.len() < self.count() {
                    all.push(accept()?);
                }
                for stream in all {
                    echo(stream)?;
                }
            }
        }
        Ok(began.elapsed())
    }

    /// The figure of this time: a rate, or a time.
    fn figure(self, took: Duration) -> f64 {
        match self {
            Self::Out | Self::In => (BYTES >> 20) as f64 / took.as_secs_f64(),
            Self::Connect => took.as_secs_f64() * 1e6 / CONNECTIONS as f64,
            Self::Burst => took.as_secs_f64() * 1e3,
        }
    }
}

fn drain(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    while stream.read(buffer)? > 0 {}
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    stream.write_all(&byte)
}

/// CPU seconds that QEMU and the network process of a VM have used.
fn cpu(sandbox: &Sandbox, stack: &str) -> f64 {
    let id = sandbox.vm(stack)["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let cwd = fs::read_link(entry.path().join("cwd"));
        if !cwd.is_ok_and(|cwd| cwd.ends_with(&id)) {
            continue;
        }
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let fields: Vec<u64> = after
            .split(' ')
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        // utime and stime (proc(5)), counted from the state behind a space.
        ticks += fields.get(12).copied().unwrap_or(0) + fields.get(13).copied().unwrap_or(0);
    }
    ticks as f64 / 100.0
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn main() -> io::Result<()> {
    if !asked_to_measure() {
        return Ok(());
    }
    let runs = runs(5);
    let sandbox = Sandbox::new();
    for stack in STACKS {
        let config = sandbox.banger_home().join("config.toml");
        fs::write(config, format!("[network]\nstack = \"{stack}\"\n"))?;
        sandbox.banger(&["daemon", "stop"]).run();
        let words = ["vm", "create", "--name", stack, "--image", "debian-minimal"];
        let more = ["--vcpu", "2", "--memory", "1G", "--allow", "all"];
        sandbox
            .banger(&[&words[..], &more].concat())
            .deadline(Duration::from_secs(300))
            .ok();
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // accept(2) holds to it, too.
    set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
    let port = listener.local_addr()?.port().to_string();
    let mut report = Vec::new();
    for work in Work::ALL {
        let mut figures = [Vec::new(), Vec::new()];
        let mut used = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (at, stack) in STACKS.into_iter().enumerate() {
                let count = work.count().to_string();
                let words = ["exec", stack, "--", "perl", "-MIO::Socket::INET", "-e"];
                let words = [&words[..], &[work.script(), &port, &count]].concat();
                let before = cpu(&sandbox, stack);
                let running = sandbox.banger(&words).start();
                match work.serve(&listener) {
                    Ok(took) => {
                        running.wait().ok();
                        figures[at].push(work.figure(took));
                        used[at].push(cpu(&sandbox, stack) - before);
                    }
                    Err(error) => {
                        running.signal(Signal::KILL);
                        running.wait();
                        let work = work.name();
                        report.push(format!("{work}: a turn of {stack} is lost: {error}"));
                    }
                }
            }
        }
        let [own, slirp] = figures.map(median);
        let [own_cpu, slirp_cpu] = used.map(median);
        report.push(format!(
            "{:<26} own {own:>8.1}  slirp {slirp:>8.1}  ratio {:>5.2}   CPU s {own_cpu:>5.2} {slirp_cpu:>5.2}  ratio {:>5.2}",
            work.name(),
            own / slirp,
            own_cpu / slirp_cpu,
        ));
    }
    report.push(format!("medians of {runs} turns"));
    let mut out = io::stdout().lock();
    writeln!(out, "{}", report.join("\n"))
}
