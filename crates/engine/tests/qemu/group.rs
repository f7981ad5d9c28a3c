//! A VMM in a control group of its own. Needs root and a mounted version 2; its controllers may be absent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_engine::{Delegation, Engine as _, ExitCause, Signal, VmmIdentity};

use crate::bench::{Bench, proc_file};
use crate::guest;

/// A group for this test alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    /// `None` where this process cannot make one.
    fn new() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let folder =
            Path::new(line.split(' ').nth(4)?).join(format!("banger-test-{}", std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn group(id: &VmmIdentity) -> PathBuf {
    let jail = id.jail.as_ref().unwrap();
    assert!(
        jail.layers.control_group && jail.lacks.is_none(),
        "{jail:?}"
    );
    jail.group.clone().unwrap()
}

#[test]
fn a_vmm_is_in_a_group_of_its_own_that_goes_with_its_folder() {
    let Some(folder) = Folder::new() else {
        return eprintln!("not tried: this process can make no control group of version 2");
    };
    let mut bench = Bench::new();
    let delegation = Delegation::at(folder.0.clone()).unwrap();
    bench.engine = bench.engine.clone().grouped(Some(delegation.clone()));
    let spec = bench.spec(&guest::idle());
    let id = bench.start(&spec);
    let own = group(&id);
    let name = spec.dir.file_name().unwrap().to_str().unwrap();
    assert_eq!(own, folder.0.join(format!("vm-{name}")));
    let member = proc_file(id.pid, "cgroup");
    assert!(member.contains(&format!("/vm-{name}\n")), "{member}");
    for (has, file, limit) in [
        (delegation.controllers().pids, "pids.max", "257"),
        (delegation.controllers().cpu, "cpu.max", "200000 100000"),
    ] {
        if has {
            let set = std::fs::read_to_string(own.join(file)).unwrap();
            assert_eq!(set.trim(), limit);
        }
    }

    // One that was killed leaves it to the next launch in the folder, or to the folder's removal.
    bench.engine.kill(&id, Signal::KILL).unwrap();
    bench.is_gone(&id);
    assert!(own.exists());
    let again = bench.start(&bench.spec(&guest::idle()));
    assert_eq!(group(&again), own);
    bench.engine.kill(&again, Signal::KILL).unwrap();
    bench.is_gone(&again);
    bench.engine.forget(&spec.dir).unwrap();
    assert!(!own.exists());
    bench.engine.forget(&spec.dir).unwrap();

    if delegation.controllers().memory {
        let hungry = bench.start(&bench.spec(&guest::idle()));
        std::fs::write(group(&hungry).join("memory.max"), "1M").unwrap();
        let ended = crate::cause(bench.is_gone(&hungry));
        let told = matches!(&ended, ExitCause::Failed { message } if message.contains("memory"));
        assert!(told, "{ended:?}");
        bench.engine.forget(&spec.dir).unwrap();
    }

    // A launch that fails leaves none, once its folder is forgotten.
    let mut wrong = bench.spec(&guest::idle());
    wrong.kernel = "/nowhere".into();
    bench
        .engine
        .start(&wrong, Duration::from_secs(10))
        .unwrap_err();
    bench.engine.forget(&wrong.dir).unwrap();
    assert!(!own.exists());
}

#[test]
fn a_host_that_refuses_the_group_gives_the_other_layers() {
    let mut bench = Bench::new();
    let folder = bench.path("group");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("cgroup.subtree_control"), "pids\n").unwrap();
    let gone = Delegation::at(folder.clone()).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    bench.engine = bench.engine.clone().grouped(Some(gone));
    let id = bench.start(&bench.spec(&guest::idle()));
    let jail = id.jail.clone().unwrap();
    assert!(
        !jail.layers.control_group && jail.group.is_none(),
        "{jail:?}"
    );
    assert!(jail.lacks.unwrap().contains("control group"));
    bench.engine.kill(&id, Signal::KILL).unwrap();
    bench.is_gone(&id);
    bench.engine.forget(id.dir()).unwrap();
}
