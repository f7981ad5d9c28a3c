//! The process in its jail: it serves, and can do nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may stop at the first surprise

mod world;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use banger_egress::Egress;
use banger_jail::{Layers, Prepared};
use banger_net_control::{Client, GuestLink, Link, NameServers, NetConfig, read_audit, verify};
use banger_process::{Children, Start};
use domain::base::iana::Rcode;
use world::{Guest, at, echo, in_namespace, name_server, policy, published};

#[test]
fn a_jailed_process_serves_logs_and_ends() {
    in_namespace("a_jailed_process_serves_logs_and_ends", || {
        echo(7);
        let _asked = name_server(&[("a.example", "1.2.3.4")]);
        // Longer than a socket's address.
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("d".repeat(120));
        let logs = root.path().join("logs");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&logs).unwrap();
        let short = root.path().join("s");
        std::os::unix::fs::symlink(&folder, &short).unwrap();
        let config = NetConfig {
            version: 1,
            vm_id: uuid::Uuid::nil(),
            vm_name: "web".to_owned(),
            launch_token: "token-of-this-launch".to_owned(),
            link: Link {
                own: folder.join("net.sock"),
                peer: folder.join("net.qemu"),
            },
            control: folder.join("net.control"),
            audit: Some(logs.clone()),
            guest: GuestLink {
                mac: Some(world::MAC),
                ..GuestLink::default()
            },
            dns: NameServers {
                servers: vec!["127.0.0.1:5353".parse().unwrap()],
                ..NameServers::default()
            },
            proxy: None,
            publish: vec![published(8080, 80)],
            secrets: Vec::new(),
            policy: policy(1, Egress::Public, &[]),
        };
        // The guest of these tests has no way to long paths.
        let mut reached = config.clone();
        reached.link.own = short.join("net.sock");
        reached.link.peer = short.join("net.qemu");
        let mut guest = Guest::new(&reached);
        let path = folder.join("net.json");
        fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        banger_net::prepare(&config).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_banger-net"))
            .canonicalize()
            .unwrap();
        let spec = banger_net::jail_spec(&config, &program, &path, Layers::FULL);
        let args: Vec<OsString> = vec![path.into(), config.launch_token.clone().into()];
        let log = root.path().join("stderr");
        let start = Start {
            program: &program,
            args: &args,
            env: &[],
            cwd: &folder,
            stderr: File::create(&log).unwrap(),
            descriptors: Vec::new(),
            without_huge_pages: false,
            jail: Some(Prepared::new(&spec).unwrap()),
            token: &config.launch_token,
        };
        let (process, identity) = start.start(&Children::default()).unwrap();
        let end = Instant::now() + world::WITHIN;
        let mut client = loop {
            match Client::connect(&config.control, world::WITHIN) {
                Ok(client) => break client,
                Err(error) => {
                    let said = fs::read_to_string(&log).unwrap();
                    assert!(Instant::now() < end, "{error}: {said}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        assert_eq!(client.hello().pid, identity.pid);
        let status = client.status().unwrap();
        assert_eq!(status.publish[0].failure, None);
        let conn = guest.opened(at("1.2.3.4", 7));
        assert_eq!(guest.exchange(conn, b"jailed"), b"jailed");
        assert_eq!(guest.lookup("a.example").0, Rcode::NOERROR);
        // No root of the host's, no capability, no new privilege, filters.
        let proc = fs::read_to_string(format!("/proc/{}/status", identity.pid)).unwrap();
        let field = |name: &str| {
            let line = proc.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(field("Seccomp:"), "2");
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(u64::from_str_radix(&field("CapEff:"), 16).unwrap(), 0);
        // One filter more than the jail's own: it starts no program.
        let filters: usize = field("Seccomp_filters:").parse().unwrap();
        assert!(filters >= 4, "{filters}");
        client.stop().unwrap();
        assert!(process.has_ended(world::WITHIN).unwrap());
        let found = verify(&read_audit(&logs).unwrap()).unwrap();
        assert!(found.records >= 3, "{found:?}");
        assert_eq!(fs::read_to_string(&log).unwrap(), "");
    });
}
