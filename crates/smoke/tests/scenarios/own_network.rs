//! A guest on banger's own network: what it reaches and what it is refused, and a network process that is killed, adopted
//! and gone with its VM.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use banger_smoke::{Sandbox, eventually, step};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::guests::MINIMAL;
use crate::published::{free_port, try_exchange};

const NAME: &str = "own";
pub const SOON: Duration = Duration::from_secs(60);

/// Connects, and says how that ended.
const CONNECT: &str = "my ($at, $port) = @ARGV; \
    my $s = IO::Socket::IP->new(PeerHost => $at, PeerPort => $port, Timeout => 20); \
    if (!$s) { print \"no: $@\\n\"; exit 0 } \
    print $s \"GET /denied HTTP/1.0\\r\\nHost: banger.internal\\r\\n\\r\\n\"; \
    $s->shutdown(1); local $/; print \"yes: \", scalar <$s>, \"\\n\"";

/// Sends back what each connection sends, whole; the client speaks first.
const ECHO: &str = "$| = 1; my ($port) = @ARGV; \
    my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Listen => 5, ReuseAddr => 1) or die $@; \
    print \"serving\\n\"; \
    while (my $c = $s->accept) { local $/; my $all = <$c>; print $c $all; close $c }";

fn connects(sandbox: &Sandbox, at: &str, port: u16) -> String {
    connects_from(sandbox, NAME, at, port)
}

pub fn connects_from(sandbox: &Sandbox, vm: &str, at: &str, port: u16) -> String {
    let port = port.to_string();
    let words = ["exec", vm, "--", "perl", "-MIO::Socket::IP", "-e"];
    sandbox.out(&[&words[..], &[CONNECT, at, &port]].concat())
}

pub fn kill_and_wait(pid: Pid) {
    if let Err(error) = kill_process(pid, Signal::KILL) {
        panic!("cannot kill {pid:?}: {error}");
    }
    eventually("the killed process is gone", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        stat.is_none_or(|stat| stat.contains(") Z ")).then_some(())
    });
}

/// The only network process.
pub fn net_pid(sandbox: &Sandbox) -> Option<Pid> {
    match sandbox.net_pids()[..] {
        [pid] => Some(pid),
        _ => None,
    }
}

/// A server of this host's at loopback that says a word to everybody.
fn host_server() -> u16 {
    let listener = match TcpListener::bind(("127.0.0.1", 0)) {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen: {error}"),
    };
    let port = listener.local_addr().map_or(0, |address| address.port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"word of the host");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    port
}

fn answers(port: u16, said: &str) {
    eventually("the guest's server answers", SOON, || {
        let back = try_exchange(port, said.as_bytes().to_vec());
        (back.as_deref() == Some(said.as_bytes())).then_some(())
    });
}

#[test]
fn a_guest_on_its_own_network_is_closed_by_default_and_its_process_may_die() {
    let sandbox = Sandbox::new();
    let config = sandbox.banger_home().join("config.toml");
    if let Err(error) = std::fs::write(&config, "[network]\nstack = \"own\"\n") {
        panic!("cannot write {}: {error}", config.display());
    }
    let (port, host) = (free_port(), host_server());
    let publish = format!("{port}:8080");
    let words = [
        "vm", "create", "--name", NAME, "--image", MINIMAL, "--vcpu", "1",
    ];
    let more = ["--memory", "512M", "--publish", &publish];
    sandbox.banger(&[&words[..], &more].concat()).ok();
    let vm = sandbox.vm(NAME);
    assert_eq!(vm["stack"], "own", "{vm}");
    assert_eq!(vm["egress"], "public", "{vm}");
    assert_eq!(vm["reaches_host"], Value::Bool(false), "{vm}");
    let Some(first) = net_pid(&sandbox) else {
        panic!("network processes: {:?}", sandbox.net_pids())
    };

    step("the host and private networks are refused at once", || {
        for at in [
            "10.0.2.2",
            "host.banger.internal",
            "192.168.77.1",
            "169.254.169.254",
        ] {
            let told = connects(&sandbox, at, host);
            assert!(told.starts_with("no: "), "{at}: {told}");
            assert!(told.contains("refused"), "{at} is not reset: {told}");
        }
    });

    step("a refusal says the rule that would allow it", || {
        let told = connects(&sandbox, "banger.internal", 80);
        assert!(told.contains("200 OK"), "{told}");
        assert!(told.contains(&format!("host:{host}")), "{told}");
    });

    step(
        "a rule holds at once, and its removal cuts what it allowed",
        || {
            let rule = format!("host:{host}");
            let watch = sandbox.banger(&["vm", "net", "watch", NAME]).start();
            watch.wait_for_stdout(&format!("(rule: {rule})"));
            let check = sandbox.banger(&["vm", "net", "check", NAME, &rule]).run();
            let check = check.exits(1);
            assert!(check.out().contains("refused"), "{check}");
            let rules = sandbox.banger(&["vm", "net", "allow", NAME, &rule, "--json"]);
            let rules = rules.ok().json();
            assert_eq!(rules["rules"][0]["rule"], rule, "{rules}");
            let told = connects(&sandbox, "10.0.2.2", host);
            assert_eq!(told, "yes: word of the host");
            let check = sandbox.banger(&["vm", "net", "check", NAME, &rule]).ok();
            assert!(check.out().contains("allowed"), "{check}");
            sandbox.banger(&["vm", "net", "remove", NAME, &rule]).ok();
            let told = connects(&sandbox, "10.0.2.2", host);
            assert!(told.contains("refused"), "{told}");
            watch.signal(Signal::TERM);
            watch.wait();
        },
    );

    step("what cannot be enforced is refused with the way", || {
        let words = ["vm", "net", "allow", NAME, "github.com:443"];
        let refused = sandbox.banger(&words).run();
        assert_ne!(refused.code, Some(0), "{refused}");
        assert!(refused.err().contains("egress public"), "{refused}");
        sandbox
            .banger(&["vm", "set", NAME, "--egress", "list"])
            .ok();
        assert!(!sandbox.vm(NAME)["restart_needed"].as_bool().unwrap_or(true));
        sandbox.banger(&words).ok();
        let told = connects(&sandbox, "denied.example", 443);
        assert!(told.starts_with("no: "), "{told}");
        let log = sandbox.out(&["vm", "net", "log", NAME, "--denied"]);
        assert!(log.contains("refused lookup denied.example"), "{log}");
        let name = ["vm", "net", "remove", NAME, "github.com:443"];
        sandbox.banger(&name).ok();
        sandbox
            .banger(&["vm", "set", NAME, "--allow", "public"])
            .ok();
    });

    step("IPv6 is there", || {
        let address = sandbox.in_guest(NAME, "cat /proc/net/if_inet6; cat /proc/net/ipv6_route");
        assert!(address.contains("fd62616e6765"), "{address}");
    });

    let number = "8080".to_owned();
    let words = ["exec", "--detach", NAME, "--", "perl", "-MIO::Socket::IP"];
    sandbox
        .banger(&[&words[..], &["-e", ECHO, &number]].concat())
        .ok();
    step(
        "a published port leads to a server at the guest's loopback",
        || {
            answers(port, "hello");
        },
    );

    let second = step(
        "a killed process is replaced, and the host may speak first",
        || {
            kill_and_wait(first);
            answers(port, "hello again");
            match net_pid(&sandbox) {
                Some(pid) if pid != first => pid,
                other => panic!("{other:?} follows {first:?}"),
            }
        },
    );

    step(
        "the process outlives the daemon, and the next one adopts it",
        || {
            kill_and_wait(sandbox.daemon_pid());
            answers(port, "without a daemon");
            assert_eq!(sandbox.state(NAME), "running");
            assert_eq!(net_pid(&sandbox), Some(second));
        },
    );

    step(
        "killed without a daemon, it is replaced by the next one",
        || {
            kill_and_wait(sandbox.daemon_pid());
            kill_and_wait(second);
            assert_eq!(sandbox.state(NAME), "running");
            answers(port, "with the next daemon");
            assert_ne!(net_pid(&sandbox), Some(second));
        },
    );

    step("it goes with its VM, and nothing of it stays", || {
        let Some(last) = net_pid(&sandbox) else {
            panic!("network processes: {:?}", sandbox.net_pids())
        };
        let log = sandbox.banger(&["vm", "net", "log", NAME, "--verify", "--json"]);
        let log = log.ok().json();
        assert!(log["records"].as_u64() > Some(10), "{log}");
        assert_eq!(log["first_seq"], 1, "{log}");
        // Both answers were given: what one says of them, the other says of the rest.
        for (rules, verdict) in [
            ("none", "would be refused: "),
            ("all", "would be allowed: "),
        ] {
            let replay = ["vm", "net", "log", NAME, "--replay", rules];
            let told = sandbox.out(&replay);
            assert!(told.lines().all(|line| line.contains(verdict)), "{told}");
            let json = sandbox.banger(&[&replay[..], &["--json"]].concat());
            let count = json.ok().json().as_array().map_or(0, Vec::len);
            assert!(count > 0 && count == told.lines().count(), "{told}");
        }
        let owned = sandbox.banger(&["system", "status", "--json"]).ok().json();
        let unclaimed = |one: &&Value| one["claimed_by"].is_null();
        let resources = owned["resources"].as_array();
        let processes = resources.into_iter().flatten();
        let processes = processes.filter(|one| one["kind"] == "process").count();
        assert_eq!(processes, 2, "VMM and network are listed: {owned}");
        let unclaimed: Vec<_> = resources.into_iter().flatten().filter(unclaimed).collect();
        assert!(unclaimed.is_empty(), "{unclaimed:?}");
        sandbox.banger(&["vm", "delete", "--force", NAME]).ok();
        assert!(
            test_kill_process(last).is_err(),
            "the network process lives on"
        );
        sandbox.assert_no_vm();
    });
}

/// A proxy of HTTP that leads nowhere: it says a word to whoever asks for 1.2.3.4, and refuses the rest.
fn host_proxy() -> u16 {
    let listener = match TcpListener::bind(("127.0.0.1", 0)) {
        Ok(listener) => listener,
        Err(error) => panic!("cannot listen: {error}"),
    };
    let port = listener.local_addr().map_or(0, |address| address.port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let said: &[u8] = match head.starts_with(b"CONNECT 1.2.3.4:80 HTTP/1.1\r\n") {
                true => b"HTTP/1.1 200 OK\r\n\r\nword of the proxy",
                false => b"HTTP/1.1 403 Forbidden\r\n\r\n",
            };
            let _ = stream.write_all(said);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    port
}

#[test]
fn the_internet_is_behind_a_proxy_where_there_is_one() -> std::io::Result<()> {
    let sandbox = Sandbox::new();
    let config = format!(
        "[network]\nstack = \"own\"\nupstream_proxy = \"http://127.0.0.1:{}\"\n",
        host_proxy()
    );
    std::fs::write(sandbox.banger_home().join("config.toml"), config)?;
    let words = [
        "vm", "create", "--name", NAME, "--image", MINIMAL, "--vcpu", "1",
    ];
    sandbox
        .banger(&[&words[..], &["--memory", "512M"]].concat())
        .ok();
    let told = connects(&sandbox, "1.2.3.4", 80);
    assert_eq!(told, "yes: word of the proxy");
    let told = connects(&sandbox, "1.2.3.5", 80);
    assert!(told.starts_with("no: "), "{told}");
    let log = sandbox.out(&["vm", "net", "log", NAME]);
    assert!(log.contains("1.2.3.4"), "{log}");
    Ok(())
}

#[test]
fn a_repository_narrows_what_its_vm_reaches_and_opens_nothing() -> std::io::Result<()> {
    let sandbox = Sandbox::new();
    let config = sandbox.banger_home().join("config.toml");
    std::fs::write(config, "[network]\nstack = \"own\"\n")?;
    let [both, user, repository] = [host_server(), host_server(), host_server()];
    let path = sandbox.home().join("api");
    crate::workspace::repository(&path)?;
    let wishes = format!(
        r#"{{"customizations": {{"banger": {{"network": {{"egress": "list", "allow": ["host:{both}", "host:{repository}"]}}}}}}}}"#
    );
    std::fs::write(path.join(".devcontainer.json"), wishes)?;
    let vm = ["run", "--name", "narrow", "--image", MINIMAL, "--vcpu", "1"];
    let rules = [format!("host:{both}"), format!("host:{user}")];
    let rules = [
        "--memory", "512M", "--allow", &rules[0], "--allow", &rules[1],
    ];
    let path = crate::workspace::text(&path);
    let words = [&vm[..], &rules, &[path, "--", "true"]].concat();
    sandbox.banger(&words).ok();
    let connects = |port| connects_from(&sandbox, "narrow", "10.0.2.2", port);
    assert_eq!(connects(both), "yes: word of the host");
    for port in [user, repository] {
        let told = connects(port);
        assert!(told.contains("refused"), "{told}");
    }
    let log = sandbox.out(&["vm", "net", "log", "narrow", "--denied"]);
    assert!(log.contains("the repository's policy"), "{log}");
    Ok(())
}
