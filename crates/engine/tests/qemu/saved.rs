//! Guests that are saved, and go on in other machines.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_engine::{DiskSpec, Engine, EngineError, LaunchToken, Memory, VmmSpec, VmmState};
use uuid::Uuid;

use crate::bench::{Bench, LONG};
use crate::guest;

/// The numbers that the newest launch has written.
fn numbers(console: &Path) -> Vec<u8> {
    let bytes = std::fs::read(console).unwrap_or_default();
    let after_mark = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes[after_mark.map_or(0, |at| at + 1)..].to_vec()
}

fn wait_for_numbers(console: &Path, count: usize) -> Vec<u8> {
    let began = Instant::now();
    loop {
        let seen = numbers(console);
        if seen.len() >= count {
            return seen;
        }
        assert!(began.elapsed() < LONG, "it wrote {seen:?} only");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn disk(bench: &Bench, name: &str, bytes: u64) -> DiskSpec {
    let path = bench.path(name);
    std::fs::File::create(&path)
        .unwrap()
        .set_len(bytes)
        .unwrap();
    DiskSpec {
        path,
        below: None,
        serial: "work".to_owned(),
        read_only: false,
    }
}

/// A guest that counts, saved: its spec, and its last number.
fn saved(bench: &mut Bench) -> (VmmSpec, u8) {
    let mut spec = bench.spec(&guest::counts());
    spec.memory = Memory::File {
        file: bench.path("memory"),
    };
    spec.disks = vec![disk(bench, "first.img", 1 << 20)];
    let id = bench.start(&spec);
    wait_for_numbers(&spec.console_log, 3);
    bench
        .engine
        .save(&id, &bench.path("memory"), &bench.path("state"), LONG)
        .unwrap();
    assert!(matches!(bench.is_gone(&id), VmmState::Gone { .. }));
    let last = numbers(&spec.console_log).last().copied().unwrap();
    (spec, last)
}

/// The spec of another machine, in which the saved guest is to go on.
fn woken(bench: &Bench, from: &VmmSpec, name: &str) -> VmmSpec {
    let file = bench.path(&format!("{name}.memory"));
    // Not `copy`, which takes the permissions along: nobody may write to what was saved.
    std::fs::write(&file, std::fs::read(bench.path("memory")).unwrap()).unwrap();
    let dir = bench.path(name);
    std::fs::create_dir_all(&dir).unwrap();
    VmmSpec {
        vm_id: Uuid::new_v4(),
        vm_name: name.to_owned(),
        launch_token: LaunchToken::of(Uuid::new_v4()),
        dir,
        memory: Memory::Saved {
            file,
            state: bench.path("state"),
        },
        // Of another size, as disks of other VMs are.
        disks: vec![disk(bench, &format!("{name}.img"), 3 << 20)],
        console_log: bench.path(&format!("{name}.log")),
        ..from.clone()
    }
}

#[test]
fn a_saved_guest_goes_on_in_two_machines_at_once_and_its_memory_stays_as_it_was() {
    let mut bench = Bench::new();
    let (spec, last) = saved(&mut bench);
    let key = |spec: &VmmSpec| bench.engine.saved_key(spec).unwrap().unwrap();
    let one = woken(&bench, &spec, "one");
    let two = woken(&bench, &spec, "two");
    assert_eq!(key(&one), key(&spec));
    assert_eq!(key(&two), key(&spec));
    for spec in [&one, &two] {
        let id = bench.start(spec);
        assert_eq!(bench.engine.state(&id).unwrap(), VmmState::Running);
    }
    for spec in [&one, &two] {
        let seen = wait_for_numbers(&spec.console_log, 2);
        assert_eq!(seen[..2], [last + 1, last + 2]);
    }
    let kept = std::fs::read(bench.path("memory")).unwrap();
    for spec in [&one, &two] {
        let own = std::fs::read(spec.memory.file().unwrap()).unwrap();
        assert!(own == kept, "a guest's writes are in the file");
    }
}

#[test]
fn the_memory_of_a_guest_that_runs_can_be_removed() {
    let mut bench = Bench::new();
    let (spec, last) = saved(&mut bench);
    let one = woken(&bench, &spec, "one");
    bench.start(&one);
    std::fs::remove_file(one.memory.file().unwrap()).unwrap();
    std::fs::remove_file(bench.path("memory")).unwrap();
    std::fs::remove_file(bench.path("state")).unwrap();
    let seen = wait_for_numbers(&one.console_log, 4);
    assert_eq!(seen[..2], [last + 1, last + 2]);
}

#[test]
fn what_does_not_fit_is_refused_and_no_process_stays() {
    let mut bench = Bench::new();
    let (spec, _) = saved(&mut bench);
    let whole = std::fs::read(bench.path("state")).unwrap();
    let refused = |name: &str, change: &dyn Fn(&mut VmmSpec)| {
        let mut spec = woken(&bench, &spec, name);
        change(&mut spec);
        let error = bench.engine.start(&spec, LONG).unwrap_err();
        let found = bench.engine.find(&spec.launch_token, &spec.dir).unwrap();
        assert_eq!(found, None, "{name}: {error}");
        error
    };
    let other = |name: &str, bytes: &[u8]| {
        let state = bench.path(&format!("{name}.state"));
        std::fs::write(&state, bytes).unwrap();
        state
    };
    let with_state = |spec: &mut VmmSpec, name: &str, bytes: &[u8]| {
        spec.memory = Memory::Saved {
            file: spec.memory.file().unwrap().to_owned(),
            state: other(name, bytes),
        };
    };
    let error = refused("cut", &|spec| {
        with_state(spec, "cut", &whole[..whole.len() / 2])
    });
    assert!(
        matches!(error, EngineError::Start { .. } | EngineError::Saved { .. }),
        "{error}"
    );
    let error = refused("noise", &|spec| with_state(spec, "noise", &[7; 4096]));
    assert!(
        matches!(error, EngineError::Start { .. } | EngineError::Saved { .. }),
        "{error}"
    );
    refused("empty", &|spec| with_state(spec, "empty", b""));
    refused("diskless", &|spec| spec.disks.clear());
    refused("larger", &|spec| spec.memory_mib = 128);
    let gone = refused("gone", &|spec| {
        std::fs::remove_file(spec.memory.file().unwrap()).unwrap();
    });
    assert!(!gone.to_string().is_empty());
}

#[test]
fn a_guest_whose_state_cannot_be_written_says_so_and_lives() {
    let mut bench = Bench::new();
    let mut spec = bench.spec(&guest::counts());
    spec.memory = Memory::File {
        file: bench.path("memory"),
    };
    let id = bench.start(&spec);
    let absent = bench.path("absent/state");
    let error = bench
        .engine
        .save(&id, &bench.path("memory"), &absent, LONG)
        .unwrap_err();
    assert!(matches!(error, EngineError::Io { .. }), "{error}");
    assert_eq!(bench.engine.state(&id).unwrap(), VmmState::Running);
}

#[test]
fn a_suspended_guest_goes_on_once_and_its_file_goes_before_it_runs() {
    let mut bench = Bench::new();
    let mut spec = bench.spec(&guest::counts());
    spec.disks = vec![disk(&bench, "own.img", 1 << 20)];
    let id = bench.start(&spec);
    wait_for_numbers(&spec.console_log, 3);
    let state = bench.path("suspended.state");
    bench.engine.suspend(&id, &state, LONG).unwrap();
    assert_eq!(bench.engine.state(&id).unwrap(), suspended());
    bench.engine.quit(&id, LONG).unwrap();
    let last = numbers(&spec.console_log).last().copied().unwrap();
    let again = VmmSpec {
        launch_token: LaunchToken::of(Uuid::new_v4()),
        memory: Memory::Suspended {
            state: state.clone(),
        },
        ..spec.clone()
    };
    let id = bench.start(&again);
    assert!(!state.exists(), "it could go on a second time");
    let seen = wait_for_numbers(&spec.console_log, 2);
    assert_eq!(seen[..2], [last + 1, last + 2]);
    bench.engine.quit(&id, LONG).unwrap();
    let error = bench.engine.start(&again, LONG).unwrap_err();
    assert!(matches!(error, EngineError::Io { .. }), "{error}");
}

/// A VMM whose guest was written to a file.
fn suspended() -> VmmState {
    VmmState::Blocked {
        reason: "postmigrate".to_owned(),
    }
}

#[test]
fn a_guest_that_cannot_be_suspended_runs_on_and_leaves_nothing() {
    let mut bench = Bench::new();
    let spec = bench.spec(&guest::counts());
    let id = bench.start(&spec);
    wait_for_numbers(&spec.console_log, 2);
    let absent = bench.path("absent/suspended.state");
    let error = bench.engine.suspend(&id, &absent, LONG).unwrap_err();
    assert!(matches!(error, EngineError::Io { .. }), "{error}");
    assert_eq!(bench.engine.state(&id).unwrap(), VmmState::Running);
    let seen = numbers(&spec.console_log).len();
    wait_for_numbers(&spec.console_log, seen + 2);
}
