//! Ports of a guest on banger's own network: published ones come and go while it runs, and its servers appear at the VM's own
//! address by themselves, for its user alone, and under its name for browsers.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use serde_json::Value;

use crate::guests::MINIMAL;
use crate::own_network::{kill_and_wait, net_pid};
use crate::published::free_port;

const NAME: &str = "ports";
const SOON: Duration = Duration::from_secs(60);
/// A user of this host who is nobody in particular.
const SOMEBODY_ELSE: &str = "61418";

/// Answers each request of HTTP with its own port and the Host that was asked for.
const HTTP: &str = "$| = 1; my ($at, $port) = @ARGV; \
    my $s = IO::Socket::IP->new(LocalHost => $at, LocalPort => $port, Listen => 5, ReuseAddr => 1) or die $@; \
    print \"serving\\n\"; \
    while (my $c = $s->accept) { my $host = ''; \
    while (my $line = <$c>) { $host = $1 if $line =~ /^Host: (\\S+)/i; last if $line =~ /^\\r?$/ } \
    my $told = \"port $port for $host\"; \
    print $c \"HTTP/1.1 200 OK\\r\\nContent-Length: \" . length($told) . \"\\r\\nConnection: close\\r\\n\\r\\n$told\"; close $c }";

/// Starts a server in the guest.
fn serves(sandbox: &Sandbox, at: &str, port: u16) {
    let port = port.to_string();
    let words = ["exec", "--detach", NAME, "--", "perl", "-MIO::Socket::IP"];
    sandbox
        .banger(&[&words[..], &["-e", HTTP, at, &port]].concat())
        .ok();
}

/// The answer of a server of HTTP at an address to a request for this host name.
fn asked(at: SocketAddr, host: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    let _ = stream.set_read_timeout(Some(SOON));
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn answers(at: SocketAddr, port: u16) {
    let told = format!("port {port} for a.example");
    eventually(&format!("{at} leads to port {port}"), SOON, || {
        let answer = asked(at, "a.example")?;
        answer.ends_with(&told).then_some(())
    });
}

fn is_closed(at: SocketAddr) {
    eventually(&format!("nobody listens at {at}"), SOON, || {
        TcpStream::connect(at).is_err().then_some(())
    });
}

/// Place of the guest's server on this host, as soon as it is open.
fn server(sandbox: &Sandbox, port: u16) -> SocketAddr {
    eventually(
        &format!("the guest's server at {port} is open"),
        SOON,
        || {
            let ports = sandbox
                .banger(&["vm", "port", "list", NAME, "--json"])
                .ok()
                .json();
            let is_it = |one: &&Value| one["guest_port"] == port && one["kind"] == "server";
            let found = ports.as_array()?.iter().find(is_it)?.clone();
            found["at"].as_str()?.parse().ok()
        },
    )
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Bytes that somebody else on this host gets from an address.
fn somebody_else(at: SocketAddr) -> std::io::Result<String> {
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3",
        at.ip(),
        at.port()
    );
    let id = |what: &str| format!("--{what}={SOMEBODY_ELSE}");
    let output = std::process::Command::new("setpriv")
        .args([
            &id("reuid"),
            &id("regid"),
            "--clear-groups",
            "bash",
            "-c",
            &script,
        ])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn servers_of_a_guest_appear_on_this_host_and_ports_come_and_go() -> std::io::Result<()> {
    let sandbox = Sandbox::new();
    let (front, port, other) = (free_port(), free_port(), free_port());
    let config = format!("[network]\nstack = \"own\"\nhttp_port = {front}\n");
    std::fs::write(sandbox.banger_home().join("config.toml"), config)?;
    let words = [
        "vm", "create", "--name", NAME, "--image", MINIMAL, "--vcpu", "1",
    ];
    sandbox
        .banger(&[&words[..], &["--memory", "512M"]].concat())
        .ok();
    let address: IpAddr = sandbox
        .out(&["vm", "addr", NAME])
        .parse()
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert!(address.is_loopback(), "{address}");
    assert_eq!(sandbox.vm(NAME)["address"], address.to_string());

    let own = step(
        "a server at the guest's loopback is open at the VM's address",
        || {
            serves(&sandbox, "127.0.0.1", 3000);
            let at = server(&sandbox, 3000);
            assert_eq!(at, (address, 3000).into());
            answers(at, 3000);
            let ports = sandbox.out(&["vm", "ports", NAME]);
            assert!(ports.contains(&at.to_string()), "{ports}");
            let listed = sandbox.out(&["ps"]);
            assert!(listed.contains(":3000"), "{listed}");
            at
        },
    );

    step("a port of the administrator's is told where it is", || {
        serves(&sandbox, "0.0.0.0", 80);
        let at = server(&sandbox, 80);
        let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let first: u16 = first
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(1024);
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(at.port(), if is_root || first <= 80 { 80 } else { 10_080 });
        answers(at, 80);
    });

    if rustix::process::geteuid().is_root() {
        step("it is for its user alone", || {
            assert_eq!(somebody_else(own).unwrap_or_default(), "");
            let front = (Ipv4Addr::LOCALHOST, front).into();
            eventually("the names are served", SOON, || asked(front, "x.localhost"));
            assert_eq!(somebody_else(front).unwrap_or_default(), "");
        });
    }

    step("browsers reach servers under the VM's name", || {
        let at = loopback(front);
        let told = |host: &str| eventually("the name is served", SOON, || asked(at, host));
        let of_port_80 = told(&format!("{NAME}.localhost:{front}"));
        assert!(
            of_port_80.ends_with(&format!("port 80 for {NAME}.localhost:{front}")),
            "{of_port_80}"
        );
        let chosen = told(&format!("3000.{NAME}.localhost"));
        assert!(chosen.contains("port 3000 for"), "{chosen}");
        for (host, answer) in [
            ("rebound.example".to_owned(), "421"),
            (format!("{NAME}.example"), "421"),
            ("nobody.localhost".to_owned(), "404"),
            (format!("9.{NAME}.localhost"), "502"),
        ] {
            let refused = told(&host);
            assert!(
                refused.starts_with(&format!("HTTP/1.1 {answer}")),
                "{host}: {refused}"
            );
        }
        let v6 = asked(
            (Ipv6Addr::LOCALHOST, front).into(),
            &format!("{NAME}.localhost"),
        );
        assert!(v6.is_none_or(|answer| answer.contains("port 80 for")));
        assert_eq!(
            sandbox.vm(NAME)["url"],
            format!("http://{NAME}.localhost:{front}/")
        );
    });

    step("published ports come and go while it runs", || {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let taken = taken.as_ref().ok().and_then(|one| one.local_addr().ok());
        let taken = format!("{}:3000", taken.map_or(0, |at| at.port()));
        let refused = sandbox.banger(&["vm", "port", "add", NAME, &taken]).run();
        assert_ne!(refused.code, Some(0), "{refused}");
        assert_eq!(sandbox.vm(NAME)["publish"], Value::Array(Vec::new()));
        let published = format!("{port}:3000");
        sandbox
            .banger(&["vm", "port", "add", NAME, &published])
            .ok();
        answers(loopback(port), 3000);
        let vm = sandbox.vm(NAME);
        assert_eq!(vm["restart_needed"], Value::Bool(false), "{vm}");
        let v6 = format!("[::1]:{other}:80");
        sandbox.banger(&["vm", "port", "add", NAME, &v6]).ok();
        answers((Ipv6Addr::LOCALHOST, other).into(), 80);
        sandbox.banger(&["vm", "port", "remove", NAME, &v6]).ok();
        is_closed((Ipv6Addr::LOCALHOST, other).into());
        // The same by the settings.
        sandbox
            .banger(&[
                "vm",
                "set",
                NAME,
                "--publish",
                &format!("{other}:80"),
                "--publish",
                &published,
            ])
            .ok();
        answers(loopback(other), 80);
        sandbox.banger(&["vm", "port", "remove", NAME, "80"]).ok();
        is_closed(loopback(other));
        let missing = sandbox.banger(&["vm", "port", "remove", NAME, "80"]).run();
        assert_ne!(missing.code, Some(0), "{missing}");
    });

    step(
        "another network process has all of them, and so has another daemon",
        || {
            let Some(first) = net_pid(&sandbox) else {
                panic!("network processes: {:?}", sandbox.net_pids())
            };
            kill_and_wait(first);
            answers(loopback(port), 3000);
            answers(own, 3000);
            kill_and_wait(sandbox.daemon_pid());
            answers(own, 3000);
            assert_eq!(sandbox.state(NAME), "running");
            answers(own, 3000);
            assert_eq!(server(&sandbox, 3000), own);
        },
    );

    step("a server that ends is closed here", || {
        let listeners = sandbox.banger(&["vm", "ports", NAME, "--json"]).ok().json();
        let is_it = |one: &&Value| one["port"] == 3000;
        let listener = listeners.as_array().into_iter().flatten().find(is_it);
        let pid = listener
            .and_then(|one| one["pid"].as_u64())
            .unwrap_or_default();
        sandbox.in_guest(NAME, &format!("kill {pid}"));
        is_closed(own);
        let stream = TcpStream::connect(loopback(port));
        let mut answer = Vec::new();
        if let Ok(mut stream) = stream {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut answer);
        }
        assert_eq!(answer, b"");
    });

    step(
        "what was published stays so, and the address is the same",
        || {
            sandbox.banger(&["vm", "restart", NAME]).ok();
            assert_eq!(sandbox.out(&["vm", "addr", NAME]), address.to_string());
            serves(&sandbox, "127.0.0.1", 3000);
            answers(loopback(port), 3000);
            answers(own, 3000);
        },
    );

    step("all of it goes with the VM", || {
        sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
        is_closed(own);
        is_closed(loopback(port));
        sandbox.assert_no_vm();
    });
    Ok(())
}

#[test]
fn ports_of_a_guest_on_qemus_network_are_those_of_its_start_and_it_says_so() {
    let sandbox = Sandbox::new();
    let words = [
        "vm", "create", "--name", NAME, "--image", MINIMAL, "--vcpu", "1",
    ];
    sandbox
        .banger(&[&words[..], &["--memory", "512M"]].concat())
        .ok();
    let refused = sandbox.banger(&["vm", "port", "add", NAME, "3000"]).run();
    assert_ne!(refused.code, Some(0), "{refused}");
    assert!(refused.err().contains("--publish"), "{refused}");
    let none = sandbox.banger(&["vm", "addr", NAME]).run();
    assert_ne!(none.code, Some(0), "{none}");
    assert!(none.err().contains("QEMU"), "{none}");
    sandbox.banger(&["stop", NAME]).ok();
    let port = free_port();
    let published = format!("{port}:3000");
    sandbox
        .banger(&["vm", "port", "add", NAME, &published])
        .ok();
    let vm = sandbox.vm(NAME);
    assert_eq!(vm["publish"][0]["host_port"], port, "{vm}");
}
