//! One daemon for one state folder, whatever leads to it: real daemons of this build, without guests.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::fake_daemon::{DEADLINE, Finished, finish};

/// A uid that nobody has.
const STRANGER: u32 = 61_417;

/// A home whose daemon ends with the test.
struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, PathBuf)>,
    program: PathBuf,
}

impl Home {
    fn new(variables: impl FnOnce(&Path) -> Vec<(&'static str, PathBuf)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let variables = variables(folder.path());
        Self {
            folder,
            variables,
            program: env!("CARGO_BIN_EXE_banger").into(),
        }
    }

    /// `HOME` alone, as cron has it.
    fn plain() -> Self {
        Self::new(|folder| vec![("HOME", folder.to_owned())])
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, words: &[&str], more: &[(&str, &Path)]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.clone())
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn banger_with(&self, words: &[&str], more: &[(&str, &Path)]) -> Finished {
        finish(self.command(words, more).spawn().unwrap())
    }

    fn banger(&self, words: &[&str]) -> Finished {
        self.banger_with(words, &[])
    }

    fn ok(&self, words: &[&str]) -> Finished {
        let finished = self.banger(words);
        assert_eq!(finished.exit, 0, "{words:?}: {}", finished.stderr);
        finished
    }

    fn pid(&self) -> i64 {
        pid_in(&self.ok(&["daemon", "status", "--json"]))
    }

    fn state(&self) -> PathBuf {
        self.path().join(".local/state/banger")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.banger(&["daemon", "stop", "--force"]);
    }
}

fn pid_in(status: &Finished) -> i64 {
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    status["pid"].as_i64().unwrap()
}

fn is_alive(pid: i64) -> bool {
    // Who has ended and was not waited for yet is a zombie.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn until(what: &str, mut probe: impl FnMut() -> bool) {
    let began = Instant::now();
    while !probe() {
        assert!(began.elapsed() < DEADLINE, "not so in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_daemon_is_found_with_and_without_xdg_runtime_dir() {
    let home = Home::plain();
    let runtime = tempfile::tempdir().unwrap();
    let with: &[(&str, &Path)] = &[("XDG_RUNTIME_DIR", runtime.path())];
    assert_eq!(home.banger_with(&["ps"], with).exit, 0);
    let pid = pid_in(&home.banger_with(&["daemon", "status", "--json"], with));
    assert!(runtime.path().join("banger/daemon.sock").exists());

    assert_eq!(home.pid(), pid, "as cron sees it");
    home.ok(&["ps"]);
    assert_eq!(home.pid(), pid);
    home.ok(&["daemon", "stop"]);
    assert!(!is_alive(pid), "stop tells the truth");
    let gone = home.banger(&["daemon", "status"]);
    assert_eq!(gone.exit, 4, "{}", gone.stderr);

    // And the other way round.
    home.ok(&["ps"]);
    let pid = home.pid();
    assert_eq!(
        pid_in(&home.banger_with(&["daemon", "status", "--json"], with)),
        pid
    );
    assert_eq!(home.banger_with(&["daemon", "stop"], with).exit, 0);
    assert!(!is_alive(pid));
}

#[test]
fn a_killed_daemon_s_announcement_misleads_nobody() {
    let home = Home::plain();
    let runtime = tempfile::tempdir().unwrap();
    let with: &[(&str, &Path)] = &[("XDG_RUNTIME_DIR", runtime.path())];
    assert_eq!(home.banger_with(&["ps"], with).exit, 0);
    let pid = home.pid();
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    until("the daemon is gone", || !is_alive(pid));
    assert_eq!(home.banger(&["daemon", "status"]).exit, 4);
    home.ok(&["ps"]);
    assert_ne!(home.pid(), pid);
}

#[test]
fn paths_longer_than_a_socket_s_address_work() {
    for long in [92, 140, 400] {
        let home = Home::new(|folder| {
            let mut path = folder.to_owned();
            while path.as_os_str().len() < long {
                path.push("long-long-long-long-long-long-long-long");
            }
            fs::create_dir_all(&path).unwrap();
            vec![("HOME", folder.to_owned()), ("BANGER_HOME", path)]
        });
        home.ok(&["ps"]);
        let pid = home.pid();
        home.ok(&["daemon", "stop"]);
        assert!(!is_alive(pid));
    }
}

#[test]
fn folders_that_others_could_use_become_private_and_so_does_the_store() {
    let home = Home::plain();
    for folder in ["", "run", "vms"] {
        let path = home.state().join(folder);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // Made by an earlier build.
    fs::write(home.state().join("banger.db"), "").unwrap();
    fs::set_permissions(
        home.state().join("banger.db"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    home.ok(&["ps"]);
    for folder in ["", "run", "vms"] {
        assert_eq!(mode(&home.state().join(folder)), 0o700, "{folder}");
    }
    for entry in fs::read_dir(home.state()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("banger.db") || name == "daemon.json" {
            assert_eq!(mode(&entry.path()), 0o600, "{name}");
        }
    }
}

#[test]
fn a_link_and_a_parent_that_others_may_write_to_are_refused_by_name() {
    let home = Home::plain();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.state()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), home.state().join("vms")).unwrap();
    let refused = home.banger(&["ps"]);
    assert_eq!(refused.exit, 5);
    assert!(refused.stderr.contains("is a link"), "{}", refused.stderr);
    fs::remove_file(home.state().join("vms")).unwrap();

    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = home.banger(&["ps"]);
    assert_eq!(refused.exit, 5);
    assert!(refused.stderr.contains("chmod go-w"), "{}", refused.stderr);
    let doctor = home.banger(&["doctor"]);
    assert_eq!(doctor.exit, 5);
    assert!(!(doctor.stdout + &doctor.stderr).contains("banger doctor"));
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    home.ok(&["ps"]);
}

#[test]
fn another_user_s_environment_is_named() {
    if !is_root() {
        return;
    }
    let home = Home::plain();
    let theirs = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(theirs.path(), Some(STRANGER), None).unwrap();
    for variable in ["XDG_RUNTIME_DIR", "HOME", "BANGER_HOME"] {
        for words in [&["ps"][..], &["daemon", "status"], &["doctor"]] {
            let refused = home.banger_with(words, &[(variable, theirs.path())]);
            let told = refused.stdout + &refused.stderr;
            assert_eq!(refused.exit, 5, "{words:?} {told}");
            assert!(told.contains(variable) && told.contains("61417"), "{told}");
        }
    }
    // With a daemon that is announced, whose runtime directory it is does not matter.
    home.ok(&["ps"]);
    let found = home.banger_with(&["ps"], &[("XDG_RUNTIME_DIR", theirs.path())]);
    assert_eq!(found.exit, 0, "{}", found.stderr);
}

#[test]
fn a_stranger_who_serves_the_socket_hears_nothing() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).unwrap();
    let socket = run.join("daemon.sock");
    let listener = std::thread::spawn({
        let socket = socket.clone();
        move || {
            // Of this thread alone: the kernel remembers who listens.
            let stranger = rustix::process::Uid::from_raw(STRANGER);
            rustix::thread::set_thread_res_uid(stranger, stranger, stranger).unwrap();
            std::os::unix::net::UnixListener::bind(socket).unwrap()
        }
    });
    let listener = listener.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    let home = Home::new(|_| vec![("BANGER_HOME", folder.path().to_owned())]);
    let refused = home.banger(&["exec", "lab", "-e", "TOKEN=sekrit", "--", "true"]);
    assert_eq!(refused.exit, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("61417"), "{}", refused.stderr);
    let mut heard = Vec::new();
    while let Ok((mut stream, _)) = listener.accept() {
        let _ = std::io::Read::read_to_end(&mut stream, &mut heard);
    }
    assert_eq!(String::from_utf8_lossy(&heard), "");
    let _ = fs::remove_file(&socket);
}

#[test]
fn a_daemon_whose_state_folder_is_gone_ends() {
    let home = Home::plain();
    for gone in ["removed", "moved away"] {
        home.ok(&["ps"]);
        let pid = home.pid();
        match gone {
            "removed" => fs::remove_dir_all(home.state()).unwrap(),
            _ => fs::rename(home.state(), home.path().join("away")).unwrap(),
        }
        until("the daemon has ended", || !is_alive(pid));
    }
}

#[test]
fn a_lock_that_another_process_holds_is_told_at_once() {
    let home = Home::plain();
    fs::create_dir_all(home.state()).unwrap();
    let lock = fs::File::create(home.state().join("daemon.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut asked = home.command(&["ps"], &[]).spawn().unwrap();
    let mut told = [0; 512];
    let stderr = asked.stderr.as_mut().unwrap();
    let n = std::io::Read::read(stderr, &mut told).unwrap();
    let told = String::from_utf8_lossy(&told[..n]).into_owned();
    let holder = format!("process {}", std::process::id());
    assert!(told.contains("waiting") && told.contains(&holder), "{told}");
    let status = home.banger(&["daemon", "status"]);
    assert!(status.stderr.contains(&holder), "{}", status.stderr);
    drop(lock);
    assert_eq!(finish(asked).exit, 0);
}

#[test]
fn a_newer_build_reads_from_the_older_daemon_and_replaces_it_for_a_change() {
    let mut home = Home::plain();
    home.ok(&["ps"]);
    let pid = home.pid();
    // A build is known by its file's time.
    let newer = home.path().join("banger");
    fs::copy(&home.program, &newer).unwrap();
    home.program = newer;
    for read in [&["ps"][..], &["image", "list"], &["doctor"]] {
        home.banger(read);
        assert_eq!(home.pid(), pid, "{read:?}");
    }
    let status = home.ok(&["daemon", "status"]).stdout;
    assert!(status.contains("older build"), "{status}");
    home.ok(&["vm", "prune", "--yes"]);
    assert_ne!(home.pid(), pid, "idle: it makes room for a change");
    assert!(!is_alive(pid));
    let status = home.ok(&["daemon", "status"]).stdout;
    assert!(!status.contains("older build"), "{status}");
}

#[test]
fn a_full_disk_or_a_read_only_state_folder_is_named() {
    let Some(mounted) = Mount::tmpfs("size=64k") else {
        return;
    };
    let home = Home::new(|_| vec![("BANGER_HOME", mounted.path().join("b"))]);
    let full = home.banger(&["ps"]);
    assert_ne!(full.exit, 0);
    assert!(full.stderr.contains("no space left"), "{}", full.stderr);
    drop(home);
    mounted.remount("ro");
    let home = Home::new(|_| vec![("BANGER_HOME", mounted.path().join("c"))]);
    let refused = home.banger(&["ps"]);
    assert_eq!(refused.exit, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("Read-only"), "{}", refused.stderr);
}

/// A small file system that goes with the test.
struct Mount(tempfile::TempDir);

impl Mount {
    /// `None`: this user may not mount.
    fn tmpfs(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        status
            .is_ok_and(|status| status.success())
            .then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount")
            .arg("-o")
            .arg(format!("remount,{how}"))
            .arg(self.path())
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[test]
fn the_daemons_log_can_be_read_when_no_daemon_runs() {
    let home = Home::plain();
    let none = home.ok(&["daemon", "logs"]);
    assert_eq!(none.stdout, "");
    assert!(none.stderr.contains("no daemon has run"), "{}", none.stderr);

    home.ok(&["ps"]);
    home.ok(&["daemon", "stop"]);
    let all = home.ok(&["daemon", "logs"]).stdout;
    assert!(all.lines().count() >= 2, "{all}");
    let last = home.ok(&["daemon", "logs", "--tail", "1"]).stdout;
    assert_eq!(last.lines().last(), all.lines().last());
    assert_eq!(last.lines().count(), 1);

    // A line that somebody else's program wrote there does not command the terminal.
    let log = home.state().join("daemon.log");
    fs::write(&log, "a\u{1b}]0;title\u{7}b\n").unwrap();
    assert_eq!(home.ok(&["daemon", "logs"]).stdout, "ab\n");
}
