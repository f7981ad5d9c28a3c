//! Processes of a real program: started, found, adopted, stopped, ended.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use banger_process::{
    Children, Found, Identity, Look, Process, ProcessError, Program, Signal, Standing, Start,
    Stillness, find, list,
};

/// No honest step takes as long, on a loaded machine neither.
const LONG: Duration = Duration::from_secs(60);

/// `tail -f token-…`: one process that runs until it is ended, and says which start it is.
const TAIL: Program = Program {
    is_executable: is_tail,
    token_of,
};

fn is_tail(exe: &Path) -> bool {
    exe == tail()
}

fn tail() -> PathBuf {
    let dirs = ["/usr/bin", "/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join("tail"));
    let found = found.filter_map(|path| path.canonicalize().ok()).next();
    found.unwrap()
}

fn token_of(arg: &OsStr) -> Option<&str> {
    arg.to_str()?.strip_prefix("token-")
}

/// A directory and the processes started in it; they end with the test.
struct Bench {
    children: Children,
    root: tempfile::TempDir,
    started: Vec<Identity>,
}

impl Bench {
    fn new() -> Self {
        Self {
            children: Children::default(),
            root: tempfile::tempdir().unwrap(),
            started: Vec::new(),
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.root.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn start(&mut self, dir: &Path, token: &str) -> (Process, Identity) {
        self.start_with(dir, token, Vec::new())
    }

    fn start_with(
        &mut self,
        dir: &Path,
        token: &str,
        descriptors: Vec<OwnedFd>,
    ) -> (Process, Identity) {
        let (process, id) = start_in(dir, token, descriptors, &self.children);
        self.started.push(id.clone());
        (process, id)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for id in &self.started {
            if let Ok(Found::Ours(process)) = Process::open(id, &TAIL) {
                assert!(process.end(LONG).unwrap() || std::thread::panicking());
            }
        }
    }
}

fn start_in(
    dir: &Path,
    token: &str,
    descriptors: Vec<OwnedFd>,
    children: &Children,
) -> (Process, Identity) {
    let file = format!("token-{token}");
    std::fs::write(dir.join(&file), "").unwrap();
    let program = tail();
    let start = Start {
        program: &program,
        args: &[OsString::from("-f"), file.into()],
        env: &[("ONLY".into(), "this".into())],
        cwd: dir,
        stderr: File::create(dir.join("log")).unwrap(),
        descriptors,
        without_huge_pages: true,
        jail: None,
        token,
    };
    start.start(children).unwrap()
}

fn proc_file(pid: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap()
}

/// The fields of `stat` after the name: state, parent, group, session.
fn stat(pid: u32) -> Vec<String> {
    let text = proc_file(pid, "stat");
    let (_, fields) = text.rsplit_once(')').unwrap();
    fields.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Waits for a state that the kernel sets a moment after the signal.
fn reaches(id: &Identity, wanted: Standing) {
    let until = std::time::Instant::now() + LONG;
    loop {
        let seen = Look::new().standing(id).unwrap();
        if seen == wanted {
            return;
        }
        assert!(std::time::Instant::now() < until, "{seen:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn difference(id: &Identity) -> String {
    match Process::open(id, &TAIL).unwrap() {
        Found::Other { difference } => difference,
        found => panic!("{found:?}"),
    }
}

#[test]
fn it_has_a_session_of_its_own_and_exactly_what_was_named() {
    let mut bench = Bench::new();
    let dir = bench.dir("a");
    let open = |name: &str| {
        let file = File::create(dir.join(name)).unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        file
    };
    let leak = open("leak");
    // The named one is close-on-exec here, as every descriptor of a Rust program.
    let named = File::create(dir.join("named")).unwrap();
    let number = named.as_raw_fd();
    let (_process, id) = bench.start_with(&dir, "exactly", vec![named.into()]);
    assert_eq!(stat(id.pid)[3], id.pid.to_string(), "its session");
    assert_eq!(proc_file(id.pid, "environ"), "ONLY=this\0");
    let limits = proc_file(id.pid, "limits");
    let core = limits.lines().find(|l| l.starts_with("Max core file size"));
    let core = core.unwrap().split_ascii_whitespace().nth(4);
    assert!(matches!(core, Some("0" | "1")), "{core:?}");
    let status = proc_file(id.pid, "status");
    assert!(status.contains("Umask:\t0077\n"), "{status}");
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
    let target = |fd: &str| std::fs::read_link(format!("/proc/{}/fd/{fd}", id.pid)).unwrap();
    assert_eq!(target("0"), Path::new("/dev/null"));
    assert_eq!(target("1"), Path::new("/dev/null"));
    let inside = |name: &str| dir.canonicalize().unwrap().join(name);
    assert_eq!(target("2"), inside("log"));
    assert_eq!(target(&number.to_string()), inside("named"));
    for entry in std::fs::read_dir(format!("/proc/{}/fd", id.pid)).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap();
        assert_ne!(target, inside("leak"), "{} came along", leak.as_raw_fd());
    }
}

#[test]
fn a_program_that_is_not_there_is_named_and_leaves_nothing() {
    let bench = Bench::new();
    let dir = bench.dir("a");
    let start = Start {
        program: Path::new("/nonexistent/program"),
        args: &[],
        env: &[],
        cwd: &dir,
        stderr: File::create(dir.join("log")).unwrap(),
        descriptors: Vec::new(),
        without_huge_pages: false,
        jail: None,
        token: "none",
    };
    let error = start.start(&bench.children).unwrap_err();
    assert_eq!(error.to_string(), "cannot run /nonexistent/program");
}

#[test]
fn a_start_is_found_by_its_token_in_its_directory_alone() {
    let mut bench = Bench::new();
    let (a, b) = (bench.dir("vms/a"), bench.dir("vms/b"));
    let (_, first) = bench.start(&a, "first");
    let (_, second) = bench.start(&b, "second");
    let found = find(&TAIL, "first", &a, None).unwrap().unwrap();
    assert_eq!(found.identity, first);
    // A wrong hint leads nowhere; a right one is checked like any other.
    let hinted = |hint| find(&TAIL, "first", &a, Some(hint)).unwrap();
    assert_eq!(hinted(second.pid).unwrap().identity, first);
    assert_eq!(hinted(first.pid).unwrap().identity, first);
    assert_eq!(find(&TAIL, "first", &b, None).unwrap(), None);
    assert_eq!(find(&TAIL, "third", &a, None).unwrap(), None);
    let wrapper = Program {
        is_executable: |_| false,
        token_of,
    };
    assert_eq!(find(&wrapper, "first", &a, None).unwrap(), None);

    let parent = bench.root.path().join("vms");
    let mut listed = list(&TAIL, &parent).unwrap();
    listed.sort_by_key(|seen| seen.cwd.clone());
    let names: Vec<_> = listed.iter().map(|s| s.identity.token.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(list(&TAIL, bench.root.path()).unwrap(), [], "too deep");
}

/// Not a test: a process that the next test runs, which starts one and dies.
#[test]
#[ignore = "run by a_process_outlives_who_started_it_and_is_adopted"]
fn start_one_and_die() {
    let dir = PathBuf::from(std::env::var_os("BANGER_PROCESS_TEST_DIR").unwrap());
    start_in(&dir, "orphan", Vec::new(), &Children::default());
    std::process::abort();
}

#[test]
fn a_process_outlives_who_started_it_and_is_adopted() {
    let mut bench = Bench::new();
    let dir = bench.dir("a");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start_one_and_die", "--ignored"])
        .env("BANGER_PROCESS_TEST_DIR", &dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "it was to abort");
    let id = find(&TAIL, "orphan", &dir, None).unwrap().unwrap().identity;
    bench.started.push(id.clone());
    let process = Process::open_living(&id, &TAIL).unwrap();
    assert_eq!(bench.children.status(&id), None, "it is no child of ours");
    assert!(!process.has_ended(Duration::ZERO).unwrap());
    assert!(process.end(LONG).unwrap());
    let gone = Process::open_living(&id, &TAIL).unwrap_err();
    assert!(matches!(gone, ProcessError::Gone { pid } if pid == id.pid));
}

#[test]
fn a_reused_pid_is_another_process_and_takes_no_signal_of_ours() {
    let mut bench = Bench::new();
    let (dir, other) = (bench.dir("a"), bench.dir("b"));
    let (process, ended) = bench.start(&dir, "ended");
    assert!(process.end(LONG).unwrap());
    let (holder, now) = bench.start(&other, "now");
    // The pid of the ended one as if the kernel had given it to the living one.
    let reused = Identity {
        pid: now.pid,
        ..ended
    };
    assert!(matches!(
        Process::open_living(&reused, &TAIL),
        Err(ProcessError::NotOurs { .. })
    ));
    // The pidfd of the ended one does not reach the living one.
    assert!(!process.signal(Signal::KILL).unwrap() || process.has_ended(Duration::ZERO).unwrap());
    assert!(!holder.has_ended(Duration::ZERO).unwrap());
    let ticks = Identity {
        start_ticks: now.start_ticks + 1,
        ..now.clone()
    };
    assert!(difference(&ticks).contains("started at tick"));
    assert_eq!(Look::new().standing(&ticks).unwrap(), Standing::Gone);
    let exe = Identity {
        exe: "/bin/other".into(),
        ..now.clone()
    };
    assert!(difference(&exe).contains("not /bin/other"));
    let token = Identity {
        token: "another-one".into(),
        ..now.clone()
    };
    assert!(difference(&token).contains("lacks the token another-one"));
    let boot = Identity {
        boot_id: "00000000-0000-0000-0000-000000000000".into(),
        ..now
    };
    assert!(matches!(Process::open(&boot, &TAIL).unwrap(), Found::Gone));
    assert_eq!(Look::new().standing(&boot).unwrap(), Standing::Gone);
}

#[test]
fn a_stopped_process_is_seen_to_stand_still_and_is_ended_all_the_same() {
    let mut bench = Bench::new();
    let dir = bench.dir("a");
    let (process, id) = bench.start(&dir, "stopped");
    reaches(&id, Standing::Runs);
    process.signal(Signal::STOP).unwrap();
    reaches(&id, Standing::StandsStill(Stillness::Stopped));
    assert!(matches!(Process::open(&id, &TAIL).unwrap(), Found::Ours(_)));
    process.signal(Signal::CONT).unwrap();
    reaches(&id, Standing::Runs);
    process.signal(Signal::STOP).unwrap();
    reaches(&id, Standing::StandsStill(Stillness::Stopped));
    // A signal that could be caught waits until it goes on.
    assert!(process.signal(Signal::TERM).unwrap());
    assert!(!process.has_ended(Duration::from_millis(50)).unwrap());
    assert!(process.end(LONG).unwrap());
    reaches(&id, Standing::Gone);
    let status = bench.children.status(&id).unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
}

#[test]
fn what_was_started_here_leaves_no_zombie() {
    let mut bench = Bench::new();
    let dir = bench.dir("a");
    let (process, id) = bench.start(&dir, "reaped");
    assert!(process.end(LONG).unwrap());
    assert!(bench.children.status(&id).is_some());
    assert!(!Path::new(&format!("/proc/{}", id.pid)).exists());
    assert!(!process.signal(Signal::KILL).unwrap());
}

#[test]
fn a_zombie_is_gone_for_every_way_to_look() {
    let bench = Bench::new();
    let dir = bench.dir("a");
    std::fs::write(dir.join("token-zombie"), "").unwrap();
    let mut child = Command::new(tail())
        .args(["-f", "token-zombie"])
        .current_dir(&dir)
        .spawn()
        .unwrap();
    // Its command line is there a moment after its start has been told.
    let end = std::time::Instant::now() + LONG;
    let id = loop {
        match find(&TAIL, "zombie", &dir, None).unwrap() {
            Some(seen) => break seen.identity,
            None => assert!(std::time::Instant::now() < end, "it is not found"),
        }
    };
    let process = Process::open_living(&id, &TAIL).unwrap();
    // The child is not reaped here.
    assert!(process.end(LONG).unwrap());
    assert!(Path::new(&format!("/proc/{}", id.pid)).exists());
    assert!(matches!(Process::open(&id, &TAIL).unwrap(), Found::Gone));
    assert_eq!(Look::new().standing(&id).unwrap(), Standing::Gone);
    assert_eq!(find(&TAIL, "zombie", &dir, Some(id.pid)).unwrap(), None);
    assert_eq!(list(&TAIL, bench.root.path()).unwrap(), []);
    child.wait().unwrap();
}

/// Not a test: a process that no other process may look at.
#[test]
#[ignore = "run by a_hidden_process_disturbs_no_search_and_is_never_taken_for_gone"]
fn be_hidden() {
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(hidden).unwrap();
    println!("hidden");
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// Ended and reaped when the test ends.
struct Hidden(Child);
impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_hidden_process_disturbs_no_search_and_is_never_taken_for_gone() {
    let mut bench = Bench::new();
    let dir = bench.dir("a");
    let exe = std::env::current_exe().unwrap();
    let mut child = Command::new(&exe)
        .args(["--exact", "be_hidden", "--ignored", "--nocapture"])
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .find(|line| line.ends_with("hidden"));
    let hidden = Hidden(child);
    assert!(said.is_some());
    let (_, id) = bench.start(&dir, "beside");
    let found = find(&TAIL, "beside", &dir, None).unwrap().unwrap();
    assert_eq!(found.identity, id);
    // Its `stat` can be read by everybody, its executable by root alone.
    let ticks = stat(hidden.0.id())[19].parse().unwrap();
    let theirs = Identity {
        pid: hidden.0.id(),
        start_ticks: ticks,
        exe,
        token: "be_hidden".to_owned(),
        ..id
    };
    let itself = Program {
        is_executable: |_| true,
        token_of: |arg| arg.to_str().filter(|arg| *arg == "be_hidden"),
    };
    let opened = Process::open(&theirs, &itself);
    assert!(
        matches!(opened, Ok(Found::Ours(_)) | Err(ProcessError::Io { .. })),
        "{opened:?}"
    );
    let seen = Look::new().standing(&theirs).unwrap();
    assert_eq!(seen, Standing::Runs);
}
