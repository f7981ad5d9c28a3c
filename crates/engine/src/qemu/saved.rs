//! Guests that are saved, and go on in other machines (QEMU `docs/devel/migration.rst`).
//!
//! ```text
//! save   stop ─► the devices' and processors' state to a descriptor ─► quit      the memory is in its file by itself
//! load   QEMU waits (-incoming defer) ─► the state from a descriptor ─► cont      the memory is mapped, and copied on write
//! ```
//! A state is read by QEMU's own code for each device, which trusts it: only what this engine wrote may be loaded.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::command_line::{self, Host};
use crate::qmp::Monitor;
use crate::text::printable;
use crate::{Accel, EngineError, Memory, NetSpec, VmmSpec};

/// Largest state that is loaded or kept, bytes. An honest one has some 320 KiB: the memory is not in it.
pub(super) const STATE_MAX_BYTES: u64 = 64 << 20;
/// Between two looks at the progress: a load takes some 10 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Step in which the host's counter is compared, kHz. It is measured anew by each daemon, and never the same.
const TSC_STEP_KHZ: u32 = 10_000;
/// Name of the descriptor for a state in QEMU.
const STATE: &str = "state";

/// Leaves memory that is a file out of states, where it is `apart`: it is there already.
pub(super) fn memory_apart(monitor: &mut Monitor, apart: bool) -> Result<(), EngineError> {
    let wanted = json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": apart }] });
    monitor
        .execute_with("migrate-set-capabilities", &wanted)
        .map(drop)
}

/// Makes the empty file of a guest's memory.
pub(super) fn make_memory(file: &Path, memory_mib: u32) -> Result<(), EngineError> {
    let failed = || EngineError::io(format!("make {}", file.display()));
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        _ => {}
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(failed())?;
    made.set_len(u64::from(memory_mib) << 20).map_err(failed())
}

/// Opens a state that is to be loaded. One with a memory in it has any size.
pub(super) fn open(memory: &Memory) -> Result<Option<File>, EngineError> {
    let Some(state) = memory.state() else {
        return Ok(None);
    };
    let failed = || EngineError::io(format!("read {}", state.display()));
    let file = File::open(state).map_err(failed())?;
    let bytes = file.metadata().map_err(failed())?.len();
    match bytes {
        1..=STATE_MAX_BYTES => Ok(Some(file)),
        1.. if matches!(memory, Memory::Suspended { .. }) => Ok(Some(file)),
        _ => Err(EngineError::Saved {
            attempt: "wake",
            reason: format!("its state has {bytes} bytes"),
        }),
    }
}

/// Loads the state behind a descriptor of QEMU's. QEMU ends when it cannot.
pub(super) fn load(monitor: &mut Monitor, state: RawFd) -> Result<(), EngineError> {
    let from = json!({ "uri": format!("fd:{state}") });
    monitor.execute_with("migrate-incoming", &from)?;
    wait(monitor, "wake")
}

/// Has QEMU write the state of its guest, which stands still.
pub(super) fn write(
    monitor: &mut Monitor,
    to: BorrowedFd<'_>,
    attempt: &'static str,
) -> Result<(), EngineError> {
    monitor.pass_descriptor(STATE, to)?;
    monitor.execute_with("migrate", &json!({ "uri": format!("fd:{STATE}") }))?;
    wait(monitor, attempt)
}

/// Stops the guest, writes its state to the new file, and tells QEMU to end.
pub(super) fn save(monitor: &mut Monitor, state: &Path) -> Result<(), EngineError> {
    let failed = || EngineError::io(format!("write {}", state.display()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(state)
        .map_err(failed())?;
    monitor.execute("stop")?;
    memory_apart(monitor, true)?;
    write(monitor, file.as_fd(), "save")?;
    let bytes = file.metadata().map_err(failed())?.len();
    if !(1..=STATE_MAX_BYTES).contains(&bytes) {
        return Err(EngineError::Saved {
            attempt: "save",
            reason: format!("its state has {bytes} bytes"),
        });
    }
    Ok(())
}

/// Waits for the end of a migration, as far as the monitor's deadline.
fn wait(monitor: &mut Monitor, attempt: &'static str) -> Result<(), EngineError> {
    loop {
        let answer = monitor.execute("query-migrate")?;
        match progress(&answer) {
            Progress::Done => return Ok(()),
            Progress::Failed(reason) => return Err(EngineError::Saved { attempt, reason }),
            Progress::UnderWay => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    UnderWay,
    Done,
    Failed(String),
}

/// Progress by an answer to `query-migrate` (`qapi/migration.json` of QEMU), which is empty before the first step.
fn progress(answer: &Value) -> Progress {
    let text = |field: &str| answer.get(field).and_then(Value::as_str);
    match text("status") {
        Some("completed") => Progress::Done,
        Some(status @ ("failed" | "cancelled" | "cancelling")) => {
            Progress::Failed(printable(text("error-desc").unwrap_or(status)))
        }
        _ => Progress::UnderWay,
    }
}

/// All of a machine that must be the same where a saved guest goes on. `None` where guests are not saved: their kernels are, with
/// hardware virtualisation, laid out at random, which guests that woke from one would share.
pub(super) fn key(
    program: &Path,
    version: &str,
    spec: &VmmSpec,
    host: &Host,
) -> Result<Option<String>, EngineError> {
    if spec.accel != Accel::Tcg {
        return Ok(None);
    }
    let host = Host {
        tsc_khz: host.tsc_khz.map(rounded),
        ..host.clone()
    };
    let args = command_line::arguments(&neutral(spec)?, &host)?;
    let found = program
        .metadata()
        .map_err(EngineError::io(format!("read {}", program.display())))?;
    let mut key = format!("qemu {version}\n{}\n{}\n", program.display(), build(&found));
    for arg in args {
        key.push_str(&arg.to_string_lossy());
        key.push('\n');
    }
    Ok(Some(key))
}

/// Identity of a program's file: another build is another file.
fn build(found: &Metadata) -> String {
    let (size, seconds, ns) = (found.size(), found.mtime(), found.mtime_nsec());
    format!("{}:{} {size} {seconds}.{ns}", found.dev(), found.ino())
}

fn rounded(khz: u32) -> u32 {
    (khz + TSC_STEP_KHZ / 2) / TSC_STEP_KHZ * TSC_STEP_KHZ
}

/// The same machine with nothing of one VM.
fn neutral(spec: &VmmSpec) -> Result<VmmSpec, EngineError> {
    let anywhere = |name: &str| PathBuf::from("/").join(name);
    let mut neutral = VmmSpec {
        vm_id: Uuid::nil(),
        vm_name: "saved".to_owned(),
        launch_token: crate::LaunchToken::of(Uuid::nil()),
        dir: anywhere("run"),
        memory: Memory::File {
            file: anywhere("memory"),
        },
        console_log: anywhere("console"),
        user: None,
        ..spec.clone()
    };
    for disk in &mut neutral.disks {
        disk.path = anywhere("disk");
        // A guest sees no layers.
        disk.below = None;
    }
    if let NetSpec::User {
        publish, egress, ..
    } = &mut neutral.net
    {
        publish.clear();
        *egress = false;
    }
    Ok(neutral)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::command_line::tests::spec;
    use super::*;

    fn key_of(spec: &VmmSpec, tsc_khz: u32) -> Option<String> {
        let host = Host {
            has_qboot: true,
            tsc_khz: Some(tsc_khz),
        };
        key(Path::new("/bin/sh"), "7.2", spec, &host).unwrap()
    }

    #[test]
    fn what_one_vm_has_is_not_in_the_key_and_all_else_is() {
        let one = spec(Accel::Tcg);
        let of_one = key_of(&one, 2_600_000).unwrap();
        let mut same = one.clone();
        same.vm_id = Uuid::from_u128(8);
        same.vm_name = "other".to_owned();
        same.launch_token = "launch-0002".parse().unwrap();
        same.dir = "/run/banger/vms/2".into();
        same.console_log = "/v/2.log".into();
        same.disks[1].path = "/v/2.ext4".into();
        same.disks[1].below = Some(crate::Below {
            layers: vec!["/l/1".into()],
            bytes: 1 << 30,
        });
        same.user = Some(7);
        if let NetSpec::User {
            publish, egress, ..
        } = &mut same.net
        {
            publish.clear();
            *egress = false;
        }
        same.memory = Memory::Saved {
            file: "/t/memory".into(),
            state: "/t/state".into(),
        };
        assert_eq!(key_of(&same, 2_600_000).unwrap(), of_one);
        assert_eq!(key_of(&same, 2_601_300).unwrap(), of_one, "measured anew");
        let differ: [fn(&mut VmmSpec); 7] = [
            |spec| spec.kernel = "/k/2".into(),
            |spec| spec.initramfs = "/k/2".into(),
            |spec| spec.cmdline_extra.clear(),
            |spec| spec.vcpu = 2,
            |spec| spec.memory_mib = 513,
            |spec| spec.disks.swap(0, 1),
            |spec| spec.net = NetSpec::None,
        ];
        for (number, differ) in differ.into_iter().enumerate() {
            let mut other = one.clone();
            differ(&mut other);
            assert_ne!(key_of(&other, 2_600_000).unwrap(), of_one, "{number}");
        }
        assert_ne!(key_of(&one, 2_900_000).unwrap(), of_one, "another host");
    }

    #[test]
    fn guests_of_hardware_virtualisation_are_not_saved() {
        assert_eq!(key_of(&spec(Accel::Kvm), 2_600_000), None);
    }

    #[test]
    fn progress_is_read_from_the_status_alone() {
        assert_eq!(progress(&json!({})), Progress::UnderWay);
        for status in ["setup", "active", "none", "device"] {
            assert_eq!(progress(&json!({ "status": status })), Progress::UnderWay);
        }
        assert_eq!(progress(&json!({ "status": "completed" })), Progress::Done);
        let failed = json!({ "status": "failed", "error-desc": "no\nspace" });
        let Progress::Failed(reason) = progress(&failed) else {
            panic!("{failed}");
        };
        assert!(
            reason.starts_with("no") && !reason.contains('\n'),
            "{reason}"
        );
    }

    #[test]
    fn a_state_that_is_empty_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let memory = Memory::Saved {
            file: folder.path().join("memory"),
            state: state.clone(),
        };
        assert!(matches!(open(&memory), Err(EngineError::Io { .. })));
        std::fs::write(&state, "").unwrap();
        assert!(matches!(open(&memory), Err(EngineError::Saved { .. })));
        assert!(matches!(open(&Memory::Own), Ok(None)));
    }
}
