//! However many operations wait for one VM, everything else goes on.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

#[path = "../benches/control_plane/quiet.rs"]
mod quiet;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use banger_api::vm::CreateVm;
use banger_api::{ErrorCode, OperationId};
use banger_control::{Control, Pool, Spawn, vm};
use banger_ops::Runner;
use banger_store::{ImageRecord, KernelRecord, Store, image, kernel};

use crate::quiet::QuietHost;

/// Operations that wait for one VM: more than the pool has threads.
const WAITING: usize = 400;
/// Threads that may work at once.
const THREADS: usize = 4;
/// Time in which whatever does not wait for that VM must have ended.
const SOON: Duration = Duration::from_secs(60);
/// Time in which a read is answered.
const AT_ONCE: Duration = Duration::from_millis(50);

fn store(dir: &tempfile::TempDir) -> Arc<Store> {
    let store = Store::open(&dir.path().join("banger.db")).unwrap();
    let image = ImageRecord {
        name: "img".parse().unwrap(),
        digest: "d".repeat(64).parse().unwrap(),
        source: String::new(),
        init: "none".to_owned(),
        base_bytes: 1,
        seed_bytes: None,
        created_ms: 0,
        superseded: false,
        damage: None,
    };
    let kernel = KernelRecord {
        name: "krn".parse().unwrap(),
        digest: "d".repeat(64).parse().unwrap(),
        source: String::new(),
        version: String::new(),
        image_bytes: 1,
        modules: Vec::new(),
        of_root: false,
        created_ms: 0,
        damage: None,
    };
    store
        .write(move |tx| {
            image::insert(tx, &image)?;
            kernel::insert(tx, &kernel)
        })
        .unwrap();
    Arc::new(store)
}

fn create(control: &Control, name: &str) -> OperationId {
    let request = CreateVm {
        name: Some(name.parse().unwrap()),
        image: Some("img".parse().unwrap()),
        ..CreateVm::default()
    };
    vm::create(control, request).unwrap().operation
}

/// Waits for an operation's end: whether it did what it was to do.
fn ended(control: &Control, id: OperationId) -> Result<(), ErrorCode> {
    let running = control.operations().find(id).unwrap();
    let (tell, told) = channel();
    let _following = running.follow(move |_count| {
        let _ = tell.send(());
    });
    let until = Instant::now() + SOON;
    loop {
        if let Some((_, error, _)) = running.outcome() {
            return error.map_or(Ok(()), |error| Err(error.code));
        }
        let left = until.saturating_duration_since(Instant::now());
        told.recv_timeout(left).unwrap();
    }
}

#[test]
fn operations_that_wait_for_a_vm_hold_up_neither_reads_nor_other_vms() {
    let dir = tempfile::tempdir().unwrap();
    let host = QuietHost::default();
    let gate = Arc::clone(&host.gate);
    let pool = Pool::new(THREADS);
    let control = quiet::control(Runner::new(store(&dir), Arc::new(host)), pool.clone());

    gate.arm();
    let slow = create(&control, "slow");
    gate.held();
    let waiting: Vec<OperationId> = (0..WAITING)
        .map(|_| vm::start(&control, "slow").unwrap().operation)
        .collect();
    assert_eq!(control.operations().all_running().len(), WAITING + 1);

    let others: Vec<OperationId> = (0..50)
        .map(|n| create(&control, &format!("other-{n}")))
        .collect();
    for other in others {
        assert_eq!(ended(&control, other), Ok(()));
    }
    assert!(pool.threads() <= THREADS, "{} threads", pool.threads());
    // The best of several: a busy machine is no fault of the queues.
    let read = || {
        let began = Instant::now();
        let all = control.read(banger_store::vm::list).unwrap();
        assert_eq!(all.iter().map(vm::vm_view).count(), 51);
        began.elapsed()
    };
    let best = (0..5).map(|_| read()).min().unwrap();
    assert!(best < AT_ONCE, "{best:?}");

    // One that waits ends at once when it is cancelled; those behind it keep their places.
    let last = *waiting.last().unwrap();
    control.operations().find(last).unwrap().cancel();
    assert_eq!(ended(&control, last), Err(ErrorCode::Cancelled));

    gate.open();
    assert_eq!(ended(&control, slow), Ok(()));
    // This host cannot start a VMM: each has had its turn when it says so.
    pool.wait(&mut || control.operations().all_running().is_empty());
}

#[test]
fn a_kill_takes_what_waits_to_boot_the_vm_out_of_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let host = QuietHost::default();
    let gate = Arc::clone(&host.gate);
    let pool = Pool::new(THREADS);
    let control = quiet::control(Runner::new(store(&dir), Arc::new(host)), pool.clone());
    gate.arm();
    let slow = create(&control, "slow");
    gate.held();
    // It is judged by what those before it lead to: one that will run may be killed, one that will not may not.
    let refused = vm::kill(&control, "slow", &Default::default()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::WrongState);
    let start = vm::start(&control, "slow").unwrap().operation;
    let kill = vm::kill(&control, "slow", &Default::default()).unwrap();
    assert_eq!(ended(&control, start), Err(ErrorCode::Cancelled));
    gate.open();
    // What made the VM was cancelled, too: nothing of it is left.
    assert_eq!(ended(&control, slow), Err(ErrorCode::Cancelled));
    assert_eq!(ended(&control, kill.operation), Ok(()));
    assert!(control.read(banger_store::vm::list).unwrap().is_empty());
}
