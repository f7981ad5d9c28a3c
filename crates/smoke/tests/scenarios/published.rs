//! Published ports, as steps for a guest that has one.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use rustix::process::Signal;

/// Time limit for short actions in a busy emulated guest.
const SOON: Duration = Duration::from_secs(60);

/// Waits until the other side has closed its direction, and sends all of its data back, with its own address before it.
const SERVE: &str = "$| = 1; my ($at, $port) = @ARGV; \
    my $s = IO::Socket::IP->new(LocalHost => $at, LocalPort => $port, Listen => 5, ReuseAddr => 1) or die $@; \
    print \"serving\\n\"; \
    while (my $c = $s->accept) { local $/; my $all = <$c>; print $c \"$at:\", $all; close $c }";

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listener
        .and_then(|listener| listener.local_addr())
        .map_or(0, |address| address.port())
}

/// Answer of the server behind `port` to `sent`; empty if there is no server.
fn exchange(port: u16, sent: Vec<u8>) -> Vec<u8> {
    match try_exchange(port, sent) {
        Some(back) => back,
        None => panic!("port {port} of the host is not published"),
    }
}

/// The same; `None` when nothing listens at `port`.
pub fn try_exchange(port: u16, sent: Vec<u8>) -> Option<Vec<u8>> {
    let mut back = Vec::new();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    // A relay that loses an end is a failure, not a hang.
    let _ = stream.set_read_timeout(Some(SOON));
    if let Ok(mut writing) = stream.try_clone() {
        let writer = std::thread::spawn(move || {
            let _ = writing.write_all(&sent);
            let _ = writing.shutdown(Shutdown::Write);
        });
        // Ends with a reset if no server takes the connection.
        let _ = stream.read_to_end(&mut back);
        let _ = writer.join();
    }
    Some(back)
}

/// Checks that the host's `port` reaches any listener at `port` of the guest `vm`.
pub fn reaches_servers_wherever_they_listen(sandbox: &Sandbox, vm: &str, port: u16) {
    step("no server, no answer", || {
        assert_eq!(exchange(port, b"hello".to_vec()), b"");
    });
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for at in ["127.0.0.1", "::1", "0.0.0.0"] {
        step(
            &format!("a server that listens at {at} of the guest"),
            || {
                let number = port.to_string();
                let words = ["exec", vm, "--", "perl", "-MIO::Socket::IP", "-e", SERVE];
                let serving = sandbox
                    .banger(&[&words[..], &[at, &number]].concat())
                    .start();
                serving.wait_for_stdout("serving");
                let told = exchange(port, b"hello".to_vec());
                assert_eq!(String::from_utf8_lossy(&told), format!("{at}:hello"));
                let back = exchange(port, large.clone());
                let whole = back.strip_prefix(format!("{at}:").as_bytes());
                assert!(whole == Some(&large), "{} bytes came back", back.len());

                let ports = sandbox.banger(&["vm", "ports", vm, "--json"]).ok().json();
                let all: Vec<_> = ports.as_array().into_iter().flatten().collect();
                assert_eq!(all.len(), 1, "the way there is no server: {ports}");
                assert_eq!(all[0]["port"], port, "{ports}");
                assert_eq!(all[0]["process"], "perl", "{ports}");
                assert_eq!(all[0]["reach"], format!("127.0.0.1:{port}"), "{ports}");
                serving.signal(Signal::TERM);
                serving.wait();
            },
        );
    }
}

/// Checks that the ports need neither that daemon nor that agent, and that they are back after a restart.
pub fn outlives_daemon_agent_and_boot(sandbox: &Sandbox, vm: &str, port: u16) {
    let serve = || {
        let number = port.to_string();
        let words = ["exec", "--detach", vm, "--", "perl", "-MIO::Socket::IP"];
        let words = [&words[..], &["-e", SERVE, "127.0.0.1", &number]].concat();
        sandbox.banger(&words).ok();
    };
    let answers = || {
        eventually("the guest's server answers", SOON, || {
            (exchange(port, b"hello".to_vec()) == b"127.0.0.1:hello").then_some(())
        });
    };
    serve();
    step("without a daemon", || {
        sandbox.banger(&["daemon", "stop"]).ok();
        answers();
    });
    step("after the death of the agent", || {
        let script = "grep -q '^@banger-agent' /proc/$PPID/cmdline && kill -9 $PPID; sleep 60";
        let words = ["exec", "-u", "root", vm, "--", "sh", "-c", script];
        let cut = sandbox.banger(&words).run();
        assert_ne!(cut.code, Some(0), "the agent was to die: {cut}");
        answers();
    });
    step("after a restart", || {
        sandbox.banger(&["vm", "restart", vm]).ok();
        serve();
        answers();
    });
}
