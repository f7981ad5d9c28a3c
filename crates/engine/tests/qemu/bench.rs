//! A folder, an engine and a guest for one test, all gone when it ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use banger_engine::{
    Accel, Engine, Memory, NetSpec, QemuEngine, Signal, VmmIdentity, VmmSpec, VmmState,
};
use uuid::Uuid;

/// Time limit: no correct step takes as long, even under emulation on a loaded machine.
pub const LONG: Duration = Duration::from_secs(60);

/// One VM's folder, and the QEMUs started in it.
pub struct Bench {
    pub engine: QemuEngine,
    root: tempfile::TempDir,
    started: Vec<VmmIdentity>,
}

impl Bench {
    /// Fails if QEMU is missing: these tests mean nothing without it.
    pub fn new() -> Self {
        let engine = QemuEngine::new();
        if let Err(missing) = engine.probe().available {
            panic!("{missing}");
        }
        Self {
            engine,
            root: tempfile::tempdir().unwrap(),
            started: Vec::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn spec(&self, guest: &[u8]) -> VmmSpec {
        static LAUNCHES: AtomicU32 = AtomicU32::new(0);
        let number = LAUNCHES.fetch_add(1, Ordering::Relaxed);
        let dir = self.path("vm");
        std::fs::create_dir_all(&dir).unwrap();
        let kernel = self.path("guest");
        std::fs::write(&kernel, guest).unwrap();
        let initramfs = self.path("initramfs");
        std::fs::write(&initramfs, b"unused").unwrap();
        VmmSpec {
            vm_id: Uuid::from_u128(7),
            vm_name: "bench".into(),
            launch_token: format!("test-{}-{number:08}", std::process::id())
                .parse()
                .unwrap(),
            dir,
            kernel,
            initramfs,
            cmdline_extra: vec![],
            vcpu: 1,
            memory_mib: 64,
            memory: Memory::Own,
            disks: vec![],
            net: NetSpec::None,
            console_log: self.path("console.log"),
            accel: Accel::Tcg,
            user: None,
        }
    }

    pub fn start(&mut self, spec: &VmmSpec) -> VmmIdentity {
        let id = self.engine.start(spec, LONG).unwrap();
        self.started.push(id.clone());
        id
    }

    /// Adopts a QEMU that another process started.
    pub fn owns(&mut self, id: &VmmIdentity) {
        self.started.push(id.clone());
    }

    pub fn is_gone(&self, id: &VmmIdentity) -> VmmState {
        assert!(self.engine.wait_gone(id, LONG).unwrap(), "it still runs");
        self.engine.state(id).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for id in &self.started {
            let ended = self
                .engine
                .kill(id, Signal::KILL)
                .and_then(|_| self.engine.wait_gone(id, LONG));
            if !std::thread::panicking() {
                assert!(matches!(ended, Ok(true)), "{ended:?}");
            }
        }
    }
}

/// Content of `/proc/PID/FILE`, for facts that the engine does not report.
pub fn proc_file(pid: u32, file: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file)).unwrap()
}
