//! A hostile VMM in the jail of a real one: with every layer, with each alone, as root, as an ordinary user, and where user
//! namespaces are forbidden. docs/security.md has the table.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use banger_engine::{
    Accel, DiskSpec, Engine, EngineError, JailMode, Layers, Memory, NetSpec, QemuEngine, VmmSpec,
    gives_users,
};
use uuid::Uuid;

const LANDLOCK: Layers = Layers {
    landlock_abi: Some(1),
    ..Layers::NONE
};
const NAMESPACES: Layers = Layers {
    namespaces: true,
    network_namespace: true,
    ..Layers::NONE
};
const SECCOMP: Layers = Layers {
    seccomp: true,
    ..Layers::NONE
};
const WITHOUT_NAMESPACES: Layers = Layers {
    seccomp: true,
    ..LANDLOCK
};
const WITHOUT_LANDLOCK: Layers = Layers {
    seccomp: true,
    ..NAMESPACES
};

/// A user that nobody else is.
const USER: u32 = 0x7012_3456;

/// The largest of the disks, bytes: what a file may become.
const LIMIT: u64 = 1 << 30;

/// The host's things, and a VM's own, in one folder.
struct World {
    root: tempfile::TempDir,
    port: u16,
    _listeners: (UnixListener, UnixListener, TcpListener),
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for dir in ["home", "other", "ssh", "run"] {
            std::fs::create_dir(at(dir)).unwrap();
        }
        for file in [
            "home/secret",
            "other/system.img",
            "banger.db",
            "ssh/id_ed25519",
            "base.ext4",
            "own.img",
            "kernel",
            "initramfs",
        ] {
            std::fs::write(at(file), "x").unwrap();
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let daemon = UnixListener::bind(at("daemon.sock")).unwrap();
        let monitor = UnixListener::bind(at("other/control.sock")).unwrap();
        Self {
            root,
            port,
            _listeners: (daemon, monitor, tcp),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn spec(&self) -> VmmSpec {
        let disk = |name: &str, read_only| DiskSpec {
            path: self.at(name),
            below: None,
            serial: name.replace('.', "-"),
            read_only,
        };
        VmmSpec {
            vm_id: Uuid::from_u128(9),
            vm_name: "hostile".into(),
            launch_token: format!("hostile-{}", std::process::id()).parse().unwrap(),
            dir: self.at("run"),
            kernel: self.at("kernel"),
            initramfs: self.at("initramfs"),
            cmdline_extra: vec![],
            vcpu: 1,
            memory_mib: 64,
            memory: Memory::Own,
            disks: vec![disk("base.ext4", true), disk("own.img", false)],
            net: NetSpec::None,
            console_log: self.at("console.log"),
            accel: Accel::Tcg,
            user: Some(USER),
        }
    }
}

type Tries = BTreeMap<String, String>;

/// Starts the hostile program with at most these layers; `None` when this host does not give them all.
fn tries(layers: Layers) -> Option<Tries> {
    tries_in(JailMode::Require, layers)
}

fn tries_in(mode: JailMode, layers: Layers) -> Option<Tries> {
    let world = World::new();
    let targets = format!(
        "{} {} {} {LIMIT}",
        world.root.path().display(),
        std::process::id(),
        world.port
    );
    std::fs::write(world.at("run/targets"), targets).unwrap();
    // Beside the folder of the tests: cargo builds examples along with them.
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/hostile-vmm");
    let engine = QemuEngine::with_program(Some(program))
        .jailed(mode)
        .jailed_by(layers);
    match engine
        .start(&world.spec(), Duration::from_secs(30))
        .unwrap_err()
    {
        EngineError::Start { .. } => {}
        EngineError::Jail(lacking) => {
            eprintln!("not tried, this host does not give {layers:?}: {lacking}");
            return None;
        }
        other => panic!("{other}"),
    }
    let told = std::fs::read_to_string(world.at("run/vmm.log")).unwrap();
    let tries: Tries = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, result)| (name.to_owned(), result.to_owned()))
        .collect();
    assert_eq!(tries.len(), 25, "every try has a line:\n{told}");
    assert_eq!(
        tries["own-disk"], "yes",
        "it works on its own disk:\n{told}"
    );
    Some(tries)
}

/// Tries that nothing but a layer refuses, so that their refusal says something.
const OPEN_WITHOUT_LAYERS: [&str; 14] = [
    "home",
    "list-home",
    "other-disk",
    "store",
    "key",
    "base",
    "make-elsewhere",
    "make-here",
    "daemon",
    "monitor",
    "tcp",
    "signal",
    "fork",
    "exec",
];
const FILES: [&str; 6] = [
    "home",
    "list-home",
    "other-disk",
    "store",
    "key",
    "make-elsewhere",
];
const REACH: [&str; 5] = ["base", "daemon", "monitor", "tcp", "proc"];
const CALLS: [&str; 8] = [
    "signal", "fork", "ptrace", "mount", "bpf", "keyctl", "io-uring", "userns",
];

fn refused(tries: &Tries, names: &[&str]) {
    for name in names {
        assert!(tries[*name].starts_with("no"), "{name}: {tries:#?}");
    }
}

/// The user that a VMM of this process is: its own where root gives it namespaces.
fn user_with(layers: Layers) -> u32 {
    let own = rustix::process::geteuid();
    match own.is_root() && layers.namespaces && gives_users(&(USER..USER + 1)) {
        true => USER,
        false => own.as_raw(),
    }
}

/// Checks that each set of layers refuses what it promises, for the user that this process is.
fn rows() {
    let named = [
        ("none", Layers::NONE),
        ("landlock", LANDLOCK),
        ("namespaces", NAMESPACES),
        ("seccomp", SECCOMP),
        ("without namespaces", WITHOUT_NAMESPACES),
        ("without landlock", WITHOUT_LANDLOCK),
        ("full", Layers::FULL),
    ];
    let mut seen = BTreeMap::new();
    for (name, layers) in named {
        if let Some(tries) = tries(layers) {
            for (row, result) in &tries {
                eprintln!("{name}\t{row}\t{result}");
            }
            refused(&tries, &["grow", "raise"]);
            assert_eq!(tries["user"], user_with(layers).to_string(), "{name}");
            seen.insert(name, tries);
        }
    }
    for open in OPEN_WITHOUT_LAYERS {
        assert_eq!(seen["none"][open], "yes", "{open}: {:#?}", seen["none"]);
    }
    for name in ["landlock", "without namespaces"] {
        let Some(tries) = seen.get(name) else {
            continue;
        };
        refused(tries, &FILES);
        refused(tries, &["base", "make-here", "mount"]);
    }
    for name in ["namespaces", "without landlock"] {
        let Some(tries) = seen.get(name) else {
            continue;
        };
        refused(tries, &FILES);
        refused(tries, &REACH);
    }
    for name in ["seccomp", "without namespaces", "without landlock"] {
        if let Some(tries) = seen.get(name) {
            refused(tries, &CALLS);
            refused(tries, &["daemon", "monitor", "tcp"]);
        }
    }
    let trial = QemuEngine::new().try_jail();
    let Some(tries) = seen.get("full") else {
        // A host that lacks a layer gives the others where not all are required, and says so.
        let tries = tries_in(JailMode::Auto, Layers::FULL).unwrap();
        refused(&tries, &FILES);
        assert!(
            !trial.missing.is_empty() && !trial.layers.is_full(),
            "{trial:?}"
        );
        return;
    };
    assert!(
        trial.missing.is_empty() && trial.layers.is_full(),
        "{trial:?}"
    );
    refused(tries, &FILES);
    refused(tries, &REACH);
    refused(tries, &CALLS);
    refused(tries, &["make-here"]);
}

#[test]
fn a_hostile_vmm_gets_at_nothing_but_its_own() {
    rows();
}

/// Not a test: others run it as another user.
#[test]
#[ignore = "run by the tests below"]
fn rows_of_another_user() {
    rows();
}

fn as_another(wrapper: &[&str]) {
    // An ordinary user cannot reach the folder of the build where the home of root is closed.
    let own = std::env::current_exe().unwrap();
    let (program, args) = wrapper.split_first().unwrap();
    let ran = Command::new(program)
        .args(args)
        .arg(own)
        .args([
            "--exact",
            "rows_of_another_user",
            "--ignored",
            "--nocapture",
        ])
        .env_remove("TMPDIR")
        .output()
        .unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    eprintln!("{told}");
    assert!(
        ran.status.success() && told.contains("1 passed"),
        "{wrapper:?}"
    );
}

#[test]
fn a_hostile_vmm_of_an_ordinary_user_gets_at_nothing_but_its_own() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not tried: only root becomes another user; the test above was one");
    }
    as_another(&[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ]);
}

#[test]
fn where_user_namespaces_are_forbidden_the_other_layers_hold() {
    const FORBID: &str = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let wrapper = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        FORBID,
        "sh",
    ];
    let (program, args) = wrapper.split_first().unwrap();
    let works = Command::new(program).args(args).arg("true").status();
    if !works.is_ok_and(|status| status.success()) {
        return eprintln!(
            "not tried: this host gives no user namespace in which others are forbidden"
        );
    }
    as_another(&wrapper);
}
