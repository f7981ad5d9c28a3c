//! A banger for one scenario alone: its own home, daemon and VMs.
//!
//! ```text
//! s-<pid>-<n>/
//!   h/    HOME
//!   b/    BANGER_HOME: store, VMs, images, sockets, logs
//! ```
//!
//! Dropping it deletes the VMs, stops the daemon, and then fails the scenario if anything is left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{banger_binary, find_on_path};
use crate::leftovers::{self, Leftover};
use crate::prepared::PreparedGuests;
use crate::process::Invocation;
use crate::step::note;
use crate::terminal::Terminal;
use crate::test_root::{new_sandbox_folder, sweep_dead_sandboxes};

/// Longest time for processes to disappear after they were told to end.
const ENDING: Duration = Duration::from_secs(10);
/// Words of a network process's command line.
const NET: &str = " internal net ";
/// Bytes of a log that are shown when a scenario fails.
const LOG_TAIL_BYTES: usize = 12 * 1024;

/// A user and group id that nothing else on the host has; no passwd entry is needed (setpriv(1)).
const FRESH_UID: u32 = 61_417;

/// A banger for one scenario alone.
#[derive(Debug)]
pub struct Sandbox {
    folder: PathBuf,
    binary: PathBuf,
    as_user: Option<u32>,
}

impl Sandbox {
    /// A sandbox with the default kernel and the images.
    ///
    /// # Panics
    /// Panics when no guests are prepared; the message names the command to run.
    pub fn new() -> Self {
        let sandbox = Self::empty();
        let given =
            PreparedGuests::find().and_then(|guests| guests.give_to(&sandbox.banger_home()));
        if let Err(error) = given {
            panic!("{error}");
        }
        sandbox
    }

    /// A sandbox without kernel and images: for scenarios without a guest.
    pub fn empty() -> Self {
        sweep_dead_sandboxes();
        let sandbox = Self {
            folder: new_sandbox_folder(),
            binary: banger_binary(),
            as_user: None,
        };
        for folder in [sandbox.home(), sandbox.banger_home()] {
            if let Err(error) = fs::create_dir(&folder) {
                panic!("cannot make {}: {error}", folder.display());
            }
        }
        sandbox
    }

    /// Makes everything here belong to a user who owns nothing else, and runs banger as that user from now on.
    /// Returns `None` if this process is not root: then it runs as an ordinary user anyway.
    ///
    /// # Panics
    /// Panics when files cannot be given away.
    pub fn as_fresh_user(mut self) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        // The build folder may be closed to others.
        let copy = self.folder.join("banger");
        if let Err(error) = fs::copy(&self.binary, &copy).and_then(|_| give_away(&self.folder)) {
            panic!(
                "cannot give {} to another user: {error}",
                self.folder.display()
            );
        }
        self.binary = copy;
        self.as_user = Some(FRESH_UID);
        Some(self)
    }

    /// Folder of everything in this sandbox.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its `HOME`.
    pub fn home(&self) -> PathBuf {
        self.folder.join("h")
    }

    /// Its `BANGER_HOME`.
    pub fn banger_home(&self) -> PathBuf {
        self.folder.join("b")
    }

    /// The program under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// A `banger` command in this sandbox's environment.
    pub fn banger(&self, words: &[&str]) -> Invocation {
        let command = match self.as_user {
            None => Invocation::new(&self.binary),
            Some(uid) => {
                let setpriv = find_on_path("setpriv").unwrap_or_else(|| PathBuf::from("setpriv"));
                let ids = [
                    format!("--reuid={uid}"),
                    format!("--regid={uid}"),
                    "--clear-groups".to_owned(),
                ];
                Invocation::new(&setpriv)
                    .args(ids)
                    .arg("--")
                    .arg(&self.binary)
            }
        };
        environment(command.args(words), &self.home(), &self.banger_home())
    }

    /// A command of another build of `banger` in this sandbox's environment.
    pub fn banger_of(&self, program: &Path, words: &[&str]) -> Invocation {
        let command = Invocation::new(program).args(words);
        environment(command, &self.home(), &self.banger_home())
    }

    /// A copy of the program under test that counts as a newer build: builds are compared by the time of their file.
    ///
    /// # Panics
    /// Panics when it cannot be copied.
    pub fn newer_build(&self) -> PathBuf {
        let copy = self.folder.join("newer-banger");
        match fs::copy(&self.binary, &copy) {
            Ok(_) => copy,
            Err(error) => panic!("cannot copy {}: {error}", self.binary.display()),
        }
    }

    /// Another program of the host in this sandbox's environment.
    ///
    /// # Panics
    /// Panics when it is not on `PATH`.
    pub fn program(&self, name: &str, words: &[&str]) -> Invocation {
        let Some(path) = find_on_path(name) else {
            panic!("{name} is not installed: run `make host-packages`")
        };
        let command = Invocation::new(&path).args(words);
        environment(command, &self.home(), &self.banger_home())
    }

    /// A `banger` command at a pseudo-terminal of this size.
    pub fn terminal(&self, words: &[&str], rows: u16, columns: u16) -> Terminal {
        Terminal::start(self.banger(words), rows, columns)
    }

    /// Runs a command that must succeed, and returns its output, trimmed.
    pub fn out(&self, words: &[&str]) -> String {
        self.banger(words).ok().out()
    }

    /// Runs a command in a guest that must succeed, and returns its output, trimmed.
    pub fn in_guest(&self, vm: &str, script: &str) -> String {
        self.out(&["exec", vm, "--", "sh", "-c", script])
    }

    /// A VM, from `show --json`.
    pub fn vm(&self, reference: &str) -> Value {
        self.shown("vm", reference)
    }

    /// An image, from `show --json`.
    pub fn image(&self, name: &str) -> Value {
        self.shown("image", name)
    }

    /// The single entry of `show --json`, which is always a list.
    fn shown(&self, noun: &str, reference: &str) -> Value {
        let shown = self.banger(&[noun, "show", reference, "--json"]).ok();
        shown.json()[0].take()
    }

    /// A VM's state.
    pub fn state(&self, reference: &str) -> String {
        self.vm(reference)["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Names of all VMs, in the order of the list.
    ///
    /// # Panics
    /// Panics when the list is not an array of VMs.
    pub fn vm_names(&self) -> Vec<String> {
        let list = self.banger(&["ps", "--json"]).ok().json();
        let Some(vms) = list.as_array() else {
            panic!("ps --json is no array: {list}")
        };
        vms.iter()
            .map(|vm| vm["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Asserts that there is no VM, no file of a VM and no VMM.
    pub fn assert_no_vm(&self) {
        assert_eq!(
            self.vm_names(),
            Vec::<String>::new(),
            "no VM should be listed"
        );
        let left = self.left_of_vms();
        assert!(
            left.is_empty(),
            "VMs left something behind:{}",
            listed(&left)
        );
    }

    /// Leftovers of VMs on the host: VMM and network processes, and files.
    pub fn left_of_vms(&self) -> Vec<Leftover> {
        let of_vms = |leftover: &Leftover| match leftover {
            Leftover::VmFile(_) | Leftover::Mount(_) => true,
            Leftover::Process { command, .. } => {
                command.contains("qemu-system") || command.contains(NET)
            }
            Leftover::Socket(_) => false,
        };
        leftovers::left_in(&self.banger_home())
            .into_iter()
            .filter(of_vms)
            .collect()
    }

    /// Process ids of the VMMs that run in this sandbox.
    pub fn vmm_pids(&self) -> Vec<rustix::process::Pid> {
        let vmm = |leftover| match leftover {
            Leftover::Process { pid, command } if command.contains("qemu-system") => Some(pid),
            _ => None,
        };
        leftovers::processes_of(&self.banger_home())
            .into_iter()
            .filter_map(vmm)
            .collect()
    }

    /// Process ids of the network processes that run in this sandbox.
    pub fn net_pids(&self) -> Vec<rustix::process::Pid> {
        let net = |leftover| match leftover {
            Leftover::Process { pid, command } if command.contains(NET) => Some(pid),
            _ => None,
        };
        let found = leftovers::processes_of(&self.banger_home());
        found.into_iter().filter_map(net).collect()
    }

    /// The daemon's process id, from `daemon status`.
    ///
    /// # Panics
    /// Panics when there is none.
    pub fn daemon_pid(&self) -> rustix::process::Pid {
        let status = self.banger(&["daemon", "status", "--json"]).ok().json();
        let pid = status["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        match pid {
            Some(pid) => pid,
            None => panic!("daemon status has no pid: {status}"),
        }
    }

    fn end(&self) -> Vec<Leftover> {
        let quietly = |words: &[&str]| self.banger(words).deadline(Duration::from_secs(60)).run();
        // A scenario without any command has started no daemon; a command now would start one.
        if leftovers::processes_of(&self.banger_home()).is_empty() {
            return leftovers::left_in(&self.banger_home());
        }
        for name in self.vm_names() {
            quietly(&["vm", "delete", "--force", &name]).ok();
        }
        // Operations that still run here belong to a scenario that has ended.
        quietly(&["daemon", "stop", "--force"]).ok();
        let due = Instant::now() + ENDING;
        loop {
            let left = leftovers::left_in(&self.banger_home());
            if left.is_empty() || Instant::now() > due {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Prints the logs: they explain a failure, and are removed with the folder.
    fn show_logs(&self) {
        let mut logs = Vec::new();
        logs_below(&self.banger_home(), &mut logs);
        for log in logs {
            let bytes = fs::read(&log).unwrap_or_default();
            let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
            note(&format!(
                "=== {}\n{}",
                log.display(),
                String::from_utf8_lossy(&bytes[from..])
            ));
        }
    }

    fn remove(&self) {
        leftovers::end_processes_of(&self.folder);
        leftovers::unmount_below(&self.folder);
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            note(&format!("cannot remove {}: {error}", self.folder.display()));
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            self.show_logs();
        }
        if failed && std::env::var_os("BANGER_SMOKE_KEEP").is_some() {
            note(&format!("kept {}", self.folder.display()));
            return;
        }
        // The folder and its processes are removed in any case: a panic in between would leak them.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end()));
        if !failed && !matches!(&ended, Ok(left) if left.is_empty()) {
            self.show_logs();
        }
        self.remove();
        if failed {
            return;
        }
        match ended {
            Ok(left) => assert!(
                left.is_empty(),
                "left behind in {}:{}",
                self.folder.display(),
                listed(&left)
            ),
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }
}

/// The environment of every banger command: nothing of the user's own except for the path of programs.
pub(crate) fn environment(command: Invocation, home: &Path, banger_home: &Path) -> Invocation {
    let mut command = command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("BANGER_HOME", banger_home)
        .env("LANG", "C.UTF-8")
        .env("TERM", "xterm-256color")
        .env("RUST_BACKTRACE", "1");
    if let Some(level) = std::env::var_os("BANGER_LOG") {
        command = command.env("BANGER_LOG", level);
    }
    command
}

fn listed(left: &[Leftover]) -> String {
    left.iter()
        .map(|leftover| format!("\n  {leftover}"))
        .collect()
}

fn logs_below(folder: &Path, logs: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            logs_below(&path, logs);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
}

/// Gives folders and files with one name to the fresh user. Shared images stay root's and must be readable: the test
/// covers that other users may read them.
fn give_away(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(path)?;
    if found.is_file() && found.nlink() > 1 {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(FRESH_UID), Some(FRESH_UID))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path())?;
        }
    }
    Ok(())
}
