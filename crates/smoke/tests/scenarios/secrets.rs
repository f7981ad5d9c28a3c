//! A secret of the host's that a guest uses and never has: it is searched for in the guest's memory, its disks and all logs.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use banger_smoke::{Sandbox, step};
use memchr::memmem;

use crate::guests::MINIMAL;
use crate::own_network::{kill_and_wait, net_pid};
use crate::published::free_port;
use crate::tls_host::{Certificate, serve};

const NAME: &str = "keyless";
const MIB: usize = 1 << 20;

/// Sends a request of HTTP/1.1 to an endpoint, and prints its answer.
const ASK: &str = "my ($at, $path) = @ARGV; \
    my $s = IO::Socket::IP->new(PeerHost => $at, PeerPort => 80, Timeout => 20); \
    if (!$s) { print \"no: $@\\n\"; exit 0 } \
    print $s \"GET $path HTTP/1.1\\r\\nHost: $at\\r\\nX-Api-Key: $ENV{MARK}\\r\\nConnection: close\\r\\n\\r\\n\"; \
    local $/; print scalar <$s>";

fn ask(sandbox: &Sandbox, at: &str, path: &str, mark: &str) -> String {
    let mark = format!("MARK={mark}");
    let words = [
        "exec",
        "--env",
        &mark,
        NAME,
        "--",
        "perl",
        "-MIO::Socket::IP",
        "-e",
    ];
    sandbox.out(&[&words[..], &[ASK, at, path]].concat())
}

fn next(requests: &Receiver<String>) -> String {
    requests.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// Tells whether a file, or the memory of a process, has these bytes between two places.
fn has(file: &File, from: u64, to: u64, wanted: &[u8]) -> bool {
    let mut bytes = vec![0; 4 * MIB];
    let (mut at, mut kept) = (from, 0);
    while at < to {
        let room = bytes
            .len()
            .min(kept + usize::try_from(to - at).unwrap_or(usize::MAX));
        let count = match file.read_at(&mut bytes[kept..room], at) {
            Ok(0) | Err(_) => return false,
            Ok(count) => count,
        };
        let there = kept + count;
        if memmem::find(&bytes[..there], wanted).is_some() {
            return true;
        }
        kept = there.min(wanted.len() - 1);
        bytes.copy_within(there - kept..there, 0);
        at += count as u64;
    }
    false
}

/// Tells whether the machine's memory in this VMM has these bytes.
fn memory_has(vmm: u32, wanted: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{vmm}/maps")).unwrap();
    let memory = File::open(format!("/proc/{vmm}/mem")).unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    maps.lines().any(|line| {
        let mut words = line.split([' ', '-']);
        let (from, to) = (number(words.next().unwrap()), number(words.next().unwrap()));
        let is_data = words.next().unwrap().starts_with("rw");
        is_data && has(&memory, from, to, wanted)
    })
}

/// The files below a folder that have these bytes, holes left out.
fn files_with(folder: &Path, wanted: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && file_has(&entry.path(), wanted) {
                found.push(entry.path());
            }
        }
    }
    found
}

fn file_has(path: &Path, wanted: &[u8]) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let mut at = 0;
    while let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(data)).unwrap();
        // What lies across a page's end begins in data on both sides.
        if has(&file, data, hole, wanted) {
            return true;
        }
        at = hole;
    }
    // A file system that knows no holes.
    let mut bytes = Vec::new();
    at == 0
        && file.seek(SeekFrom::Start(0)).is_ok()
        && file.read_to_end(&mut bytes).is_ok()
        && memmem::find(&bytes, wanted).is_some()
}

#[test]
fn a_guest_uses_a_secret_that_it_never_has() {
    let sandbox = Sandbox::new();
    let (go_on, wait) = channel();
    let port = free_port();
    let requests = serve(port, Certificate::Good, wait);
    let authority = sandbox.folder().join("authority.pem");
    fs::write(&authority, include_str!("../../../net/tests/tls/ca.pem")).unwrap();
    fs::write(
        sandbox.banger_home().join("config.toml"),
        "[network]\nstack = \"own\"\n",
    )
    .unwrap();
    let value = format!("sk-{}-{}", std::process::id(), "never-in-a-guest-7c1e");
    let mark = format!("mark-{}-of-the-guest-93ab", std::process::id());
    let host = format!("localhost:{port}:x-api-key");
    let one = format!("local={host}");

    step(
        "a secret is kept for its user alone, and shown to nobody",
        || {
            // The daemon starts with the authorities of the test.
            let list = sandbox
                .banger(&["secret", "list"])
                .env("SSL_CERT_FILE", &authority);
            list.ok();
            let none = sandbox
                .banger(&["secret", "set", "local"])
                .input("two\nlines")
                .run();
            assert_ne!(none.code, Some(0), "{none}");
            assert!(!none.err().contains("two"), "{none}");
            let words = [
                "vm", "create", "--name", NAME, "--image", MINIMAL, "--secret", &one,
            ];
            let missing = sandbox.banger(&words).run();
            assert_ne!(missing.code, Some(0), "{missing}");
            assert!(
                missing.err().contains("banger secret set local"),
                "{missing}"
            );
            let set = sandbox
                .banger(&["secret", "set", "local"])
                .input(format!("{value}\n"))
                .ok();
            assert_eq!(set.out().trim(), "local");
            let list = sandbox.banger(&["secret", "list", "--json"]).ok();
            assert!(!list.out().contains(&value), "{list}");
            let folder = sandbox.banger_home().join("state/secrets");
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(&folder.join("local"))), (0o700, 0o600));
        },
    );

    let words = [
        "vm", "create", "--name", NAME, "--image", MINIMAL, "--vcpu", "1",
    ];
    let more = ["--memory", "512M", "--egress", "list", "--secret", &one];
    sandbox.banger(&[&words[..], &more].concat()).ok();
    assert_eq!(sandbox.vm(NAME)["secrets"][0], one);
    let shown = sandbox.out(&["vm", "show", NAME]);
    assert!(shown.contains(&one), "{shown}");

    step(
        "the host gets the secret in the place of the guest's word",
        || {
            let told = ask(&sandbox, "local.secret.internal", "/plain?q", &mark);
            assert!(
                told.starts_with("HTTP/1.1 200 OK") && told.ends_with("word"),
                "{told}"
            );
            let request = next(&requests);
            assert!(
                request.starts_with("GET /plain?q HTTP/1.1\r\n"),
                "{request}"
            );
            assert!(
                request.contains(&format!("x-api-key: {value}\r\n")),
                "{request}"
            );
            assert!(!request.contains(&mark), "{request}");
            go_on.send(()).unwrap();
            let told = ask(&sandbox, "local.secret.internal", "/events", &mark);
            assert!(
                told.contains("data: 1") && told.contains("data: 2"),
                "{told}"
            );
            next(&requests);
            let log = sandbox.out(&["vm", "net", "log", NAME]);
            assert!(
                log.contains("secret local sent to localhost: GET /plain (line "),
                "{log}"
            );
            let other = ask(&sandbox, "other.secret.internal", "/", &mark);
            assert!(other.starts_with("no: "), "{other}");
        },
    );

    step(
        "another process has it too, and so has another daemon's",
        || {
            let first = net_pid(&sandbox).unwrap();
            kill_and_wait(first);
            let told = ask(&sandbox, "local.secret.internal", "/plain", &mark);
            assert!(told.ends_with("word"), "{told}");
            next(&requests);
            kill_and_wait(sandbox.daemon_pid());
            let told = sandbox.banger(&["ps"]).env("SSL_CERT_FILE", &authority);
            told.ok();
            let told = ask(&sandbox, "local.secret.internal", "/plain", &mark);
            assert!(told.ends_with("word"), "{told}");
            assert!(next(&requests).contains(&value));
        },
    );

    step(
        "its bytes are not in the guest's memory, on its disks, nor in any log",
        || {
            sandbox.in_guest(
                NAME,
                &format!("echo {mark} > /kept; echo {mark} > /root/kept; sync"),
            );
            let vmm = sandbox.vmm_pids()[0].as_raw_nonzero().get();
            let vmm = u32::try_from(vmm).unwrap();
            assert!(
                memory_has(vmm, mark.as_bytes()),
                "the search finds nothing at all"
            );
            assert!(
                !memory_has(vmm, value.as_bytes()),
                "the guest's memory has the secret"
            );
            let home = sandbox.folder();
            let with_mark = files_with(home, mark.as_bytes());
            assert!(
                with_mark.iter().any(|path| path.ends_with("system.img")),
                "{with_mark:?}"
            );
            let kept = sandbox.banger_home().join("state/secrets/local");
            assert_eq!(files_with(home, value.as_bytes()), [kept]);
            for pid in [
                sandbox.vmm_pids(),
                sandbox.net_pids(),
                vec![sandbox.daemon_pid()],
            ]
            .concat()
            {
                for part in ["environ", "cmdline"] {
                    let text = fs::read(format!("/proc/{}/{part}", pid.as_raw_nonzero())).unwrap();
                    let has = memmem::find(&text, value.as_bytes()).is_some();
                    assert!(!has, "{part} of {pid:?}");
                }
            }
        },
    );

    step(
        "a new value holds at once, and a secret that is used is not deleted",
        || {
            let deleted = sandbox.banger(&["secret", "delete", "local"]).run();
            assert!(
                deleted.code != Some(0) && deleted.err().contains(NAME),
                "{deleted}"
            );
            sandbox
                .banger(&["secret", "set", "local"])
                .input("sk-second")
                .ok();
            ask(&sandbox, "local.secret.internal", "/plain", &mark);
            assert!(next(&requests).contains("x-api-key: sk-second\r\n"));
            let set = ["vm", "set", NAME, "--no-secret", "local"];
            sandbox.banger(&set).ok();
            let told = ask(&sandbox, "local.secret.internal", "/plain", &mark);
            assert!(told.starts_with("no: "), "{told}");
            sandbox.banger(&["secret", "delete", "local"]).ok();
            assert_eq!(sandbox.out(&["secret", "list", "-q"]), "");
        },
    );

    step("QEMU's own network refuses one", || {
        sandbox
            .banger(&["secret", "set", "local"])
            .input("sk-third")
            .ok();
        fs::write(sandbox.banger_home().join("config.toml"), "").unwrap();
        sandbox.banger(&["daemon", "stop"]).ok();
        let words = [
            "vm",
            "create",
            "--image",
            MINIMAL,
            "--no-start",
            "--secret",
            &one,
        ];
        let refused = sandbox.banger(&words).run();
        assert_ne!(refused.code, Some(0), "{refused}");
        assert!(refused.err().contains("stack = \"own\""), "{refused}");
    });
}

#[test]
fn a_value_is_typed_at_a_terminal_that_does_not_show_it() {
    let sandbox = Sandbox::empty();
    let mut terminal = sandbox.terminal(&["secret", "set", "typed"], 24, 80);
    terminal.expect("value of typed (not shown): ");
    terminal.type_keys("sk-wrong\x15sk-typed\r");
    assert_eq!(terminal.wait(), 0);
    assert!(!terminal.screen().contains("sk-"), "{}", terminal.screen());
    let kept = fs::read(sandbox.banger_home().join("state/secrets/typed")).unwrap();
    assert!(kept.ends_with(b"\nsk-typed"));
    let mut terminal = sandbox.terminal(&["secret", "set", "given-up"], 24, 80);
    terminal.expect("not shown): ");
    terminal.type_keys("sk-x\x03");
    assert_ne!(terminal.wait(), 0);
    assert_eq!(sandbox.out(&["secret", "list", "-q"]), "typed");
}
