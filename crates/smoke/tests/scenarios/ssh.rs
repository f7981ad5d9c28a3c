//! SSH into guests, with OpenSSH's own programs as the clients, and a guest that has no network at all.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of scenarios fail as scenarios do"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Finished, Sandbox, eventually, step};
use rustix::process::Signal;

use crate::guests::MINIMAL;
use crate::published::free_port;

/// The image with systemd and sshd.
const BOOKWORM: &str = "debian-bookworm";

/// A running VM that OpenSSH's programs reach through a configuration file.
struct Vm<'a> {
    sandbox: &'a Sandbox,
    config: PathBuf,
}

impl<'a> Vm<'a> {
    /// Creates VM `web`.
    fn create(sandbox: &'a Sandbox, image: &str) -> Self {
        let create = [
            "vm", "create", "--name", "web", "--image", image, "--net", "none",
        ];
        sandbox
            .banger(&create)
            .deadline(Duration::from_secs(180))
            .ok();
        let config = sandbox.folder().join("ssh config");
        let text = sandbox.banger(&["ssh-config"]).ok().out();
        fs::write(&config, text).unwrap();
        Self { sandbox, config }
    }

    /// `program -F config words…`
    fn client(&self, program: &str, words: &[&str]) -> Finished {
        let config = self.config.display().to_string();
        let words = [&["-F", &config, "-o", "BatchMode=yes"], words].concat();
        self.sandbox.program(program, &words).run()
    }

    fn ssh(&self, command: &str) -> Finished {
        self.client("ssh", &["web.vm", command])
    }
}

fn exit_codes_and_streams(vm: &Vm<'_>) {
    let sandbox = vm.sandbox;
    step("a command's code, output and errors come back", || {
        let done = vm.ssh("echo out; echo err >&2; exit 42").exits(42);
        assert_eq!(done.out(), "out");
        assert!(done.err().contains("err"), "{}", done.err());
        let done = sandbox
            .banger(&["ssh", "web", "--", "id -un; exit 7"])
            .run()
            .exits(7);
        assert_eq!(done.out(), "root");
    });
    step("input goes in, binary and whole", || {
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let config = vm.config.display().to_string();
        let sum = sandbox
            .program("ssh", &["-F", &config, "web.vm", "sha256sum; exit 3"])
            .input(bytes.clone())
            .run()
            .exits(3)
            .out();
        let local = sandbox.program("sha256sum", &[]).input(bytes).ok().out();
        assert_eq!(sum, local);
    });
    step("a terminal is one, of our size", || {
        let mut terminal = sandbox.terminal(&["ssh", "web"], 33, 99);
        terminal.type_keys("echo at-$(stty size | tr ' ' x)\n");
        terminal.expect("at-33x99");
        // As in the scenario of the shell: one process group prints the word and sleeps.
        terminal.type_keys("sh -c 'echo be$((1))fore; exec sleep 1000'\n");
        terminal.expect("be1fore");
        terminal.type_keys("\x03");
        terminal.type_keys("echo af$((1))ter; exit 5\n");
        terminal.expect("af1ter");
        assert_eq!(terminal.wait(), 5);
    });
}

fn files(vm: &Vm<'_>) {
    let folder = vm.sandbox.folder().join("files");
    let at = |name: &str| folder.join(name).display().to_string();
    fs::create_dir_all(folder.join("tree/deep dir")).unwrap();
    let content: Vec<u8> = (0..2_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    fs::write(folder.join("tree/deep dir/big"), &content).unwrap();
    fs::write(folder.join("tree/run"), "#!/bin/sh\n").unwrap();
    step("scp copies a tree in and out", || {
        vm.client("scp", &["-rqp", &at("tree"), "web.vm:scp"]).ok();
        vm.client("scp", &["-rqp", "web.vm:scp", &at("back")]).ok();
        assert_eq!(fs::read(folder.join("back/deep dir/big")).unwrap(), content);
    });
    step(
        "sftp lists, makes, renames, links, removes and sets modes",
        || {
            let batch = folder.join("batch");
            let tree_run = at("tree/run");
            let script = format!(
                "mkdir s\ncd s\nput {tree_run} run\nchmod 750 run\nrename run ran\nln -s ran link\nls -la\n\
             mkdir gone\nrmdir gone\nput {tree_run} away\nrm away\nget ran {}\n",
                at("ran")
            );
            fs::write(&batch, script).unwrap();
            let done = vm
                .client("sftp", &["-b", &batch.display().to_string(), "web.vm"])
                .ok();
            assert!(done.out().contains("-rwxr-x---"), "{}", done.out());
            assert_eq!(fs::read(folder.join("ran")).unwrap(), b"#!/bin/sh\n");
            let left = vm
                .sandbox
                .in_guest("web", "cd /root/s && ls && readlink link");
            assert_eq!(left, "link\nran\nran");
        },
    );
}

fn forwarding(vm: &Vm<'_>, serve: &str) {
    let sandbox = vm.sandbox;
    step("a port of the guest is at a port of ours", || {
        let serving = sandbox
            .banger(&["exec", "web", "--", "sh", "-c", serve])
            .start();
        serving.wait_for_stdout("serving");
        let port = free_port();
        let forward = format!("127.0.0.1:{port}:localhost:7777");
        let tunnel = sandbox
            .banger(&["ssh", "-N", "-L", &forward, "web"])
            .start();
        let answer = eventually("the forward answers", Duration::from_secs(60), || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
            stream.write_all(b"hello\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer).filter(|answer| !answer.is_empty())
        });
        assert_eq!(answer, "guest says hello\n");
        tunnel.signal(Signal::TERM);
        tunnel.wait();
        serving.signal(Signal::TERM);
        serving.wait();
    });
}

/// The other direction: ports of this host that the guest reaches because a user here forwards them. In one
/// connection, because the guest's sshd takes seconds for each.
fn forwarding_back(vm: &Vm<'_>) {
    let sandbox = vm.sandbox;
    step("a port and an SSH agent of ours are in the guest", || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut line = String::new();
                let mut stream = BufReader::new(stream.unwrap());
                stream.read_line(&mut line).unwrap();
                write!(stream.get_mut(), "host says {line}").unwrap();
            }
        });
        let socket = sandbox.folder().join("agent");
        let at = socket.display().to_string();
        let agent = sandbox.program("ssh-agent", &["-D", "-a", &at]).start();
        eventually("the agent is there", Duration::from_secs(30), || {
            socket.exists().then_some(())
        });
        let back = format!("7778:127.0.0.1:{port}");
        let script = format!("{ASK}; {ASK}; {IDENTITIES}");
        let told = sandbox
            .banger(&["ssh", "-A", "-R", &back, "web", "--", &script])
            .env("SSH_AUTH_SOCK", at)
            .ok();
        let no_keys = "12 0";
        let told: Vec<_> = told.out().lines().map(str::to_owned).collect();
        assert_eq!(told, ["host says hello", "host says hello", no_keys]);
        eventually("nothing is left of it", Duration::from_secs(60), || {
            let look = format!("ls -d /tmp/banger-* /tmp/ssh-* 2>/dev/null; {ASK} || echo closed");
            (sandbox.in_guest("web", &look) == "closed").then_some(())
        });
        agent.signal(Signal::TERM);
        agent.wait();
    });
}

/// Sends a line to port 7778 and prints the answer.
const ASK: &str = "perl -MIO::Socket::INET -e '\
    my $s=IO::Socket::INET->new(PeerAddr=>\"127.0.0.1\",PeerPort=>7778,Timeout=>9) or exit 1; \
    print $s \"hello\\n\"; my $l=<$s>; exit 1 unless $l; print $l'";

/// Asks an SSH agent for its keys (draft-miller-ssh-agent, 4.4): prints the kind of the answer, and their number.
const IDENTITIES: &str = "perl -MIO::Socket::UNIX -e '\
    my $s=IO::Socket::UNIX->new(Peer=>$ENV{SSH_AUTH_SOCK}) or die; syswrite $s, pack(\"NC\", 1, 11); \
    sysread $s, my $a, 9; my (undef, $kind, $keys)=unpack(\"NCN\", $a); print \"$kind $keys\\n\"'";

/// Answers each line at port 7777 with itself.
const SERVE: &str = "exec perl -MIO::Socket::INET -e '$|=1; \
    my $s=IO::Socket::INET->new(LocalAddr=>\"127.0.0.1\",LocalPort=>7777,Listen=>5,ReuseAddr=>1) or die; \
    print \"serving\\n\"; while(my $c=$s->accept){ my $l=<$c>; print $c \"guest says $l\"; close $c }'";

fn forbid_starting(sandbox: &Sandbox) {
    let config = sandbox.banger_home().join("config.toml");
    let mut text = fs::read_to_string(&config).unwrap_or_default();
    text.push_str("\n[ssh]\nstart_stopped = false\n");
    fs::write(config, text).unwrap();
}

#[test]
fn an_image_with_sshd_is_reached_by_every_client_of_openssh() {
    let sandbox = Sandbox::new();
    let vm = Vm::create(&sandbox, BOOKWORM);
    exit_codes_and_streams(&vm);
    files(&vm);
    forwarding(&vm, SERVE);
    forwarding_back(&vm);

    step("rsync sends what changed", || {
        let tree = sandbox.folder().join("files/tree/").display().to_string();
        let config = vm.config.display().to_string();
        let shell = format!("ssh -F '{config}'");
        let rsync = ["-a", "-e", &shell, &format!("{tree}/"), "web.vm:rsynced"];
        sandbox.program("rsync", &rsync).ok();
        sandbox.in_guest("web", "test -s '/root/rsynced/deep dir/big'");
    });

    step("git clones and pushes", || {
        sandbox.in_guest("web", "git init -q --bare -b main /root/repo.git");
        let repo = sandbox.folder().join("repo");
        let config = vm.config.display().to_string();
        let git = |words: &[&str]| {
            sandbox
                .program("git", words)
                .env("GIT_SSH_COMMAND", format!("ssh -F '{config}'"))
                .within(sandbox.folder())
                .ok()
        };
        let (at, name) = (repo.display().to_string(), "user.name=a");
        git(&["clone", "-q", "ssh://web.vm/root/repo.git", &at]);
        git(&[
            "-C",
            &at,
            "-c",
            name,
            "-c",
            "user.email=a@b",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "one",
        ]);
        git(&["-C", &at, "push", "-q", "origin", "HEAD:main"]);
        let log = sandbox.in_guest("web", "git -C /root/repo.git log --format=%s main");
        assert_eq!(log, "one");
    });

    step(
        "without its service sshd serves each connection alone",
        || {
            sandbox.in_guest(
                "web",
                "systemctl stop ssh.service ssh.socket 2>/dev/null; true",
            );
            let done = vm.ssh("ps -o args= -p $PPID").ok();
            assert!(done.out().contains("sshd"), "{}", done.out());
        },
    );

    step("a guest that shows another host key is refused", || {
        sandbox.in_guest(
            "web",
            "rm /etc/ssh/ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key",
        );
        vm.ssh("true")
            .exits(255)
            .says("Host key verification failed");
    });

    step("where that is forbidden, no connection starts a VM", || {
        sandbox.banger(&["vm", "kill", "web"]).ok();
        forbid_starting(&sandbox);
        sandbox
            .banger(&["ssh", "web", "--", "true"])
            .run()
            .exits(4)
            .says("banger start web");
        vm.ssh("true").exits(255).says("banger start web");
        assert_eq!(sandbox.state("web"), "stopped");
        sandbox.banger(&["ssh", "nobody"]).run().exits(3);
    });
}

#[test]
fn an_image_without_sshd_is_reached_by_the_same_clients() {
    let sandbox = Sandbox::new();
    let vm = Vm::create(&sandbox, MINIMAL);
    exit_codes_and_streams(&vm);
    files(&vm);
    forwarding(&vm, SERVE);
    forwarding_back(&vm);

    step("two sessions share one connection", || {
        let socket = sandbox.folder().join("mux");
        let path = format!("ControlPath={}", socket.display());
        let config = vm.config.display().to_string();
        let master = ["-F", &config, "-M", "-N", "-o", &path, "web.vm"];
        let master = sandbox.program("ssh", &master).start();
        eventually("the connection is there", Duration::from_secs(30), || {
            socket.exists().then_some(())
        });
        for code in [9, 0] {
            let command = format!("exit {code}");
            vm.client("ssh", &["-o", &path, "web.vm", &command])
                .exits(code);
        }
        vm.client("ssh", &["-o", &path, "-O", "exit", "web.vm"])
            .ok();
        master.wait();
    });

    step("no SSH agent goes along unasked", || {
        let told = sandbox
            .banger(&["ssh", "web", "--", "echo \"<$SSH_AUTH_SOCK>\""])
            .env("SSH_AUTH_SOCK", "/somewhere")
            .ok();
        assert_eq!(told.out(), "<>");
    });

    step(
        "a connection starts a VM that is stopped, and says so",
        || {
            sandbox.banger(&["vm", "stop", "web"]).ok();
            let done = vm.ssh("echo in").ok();
            assert_eq!(done.out(), "in");
            assert_eq!(
                done.err()
                    .matches("VM web is stopped: banger starts it")
                    .count(),
                1,
                "{done}"
            );
            assert!(!vm.ssh("true").ok().err().contains("starts it"));
        },
    );

    step(
        "a program that does not exist is told as shells tell it",
        || {
            vm.ssh("nonsense-program").exits(127);
        },
    );
}
