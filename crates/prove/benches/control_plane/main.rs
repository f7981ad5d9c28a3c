//! The control plane on a real disk: journal, runner and recovery, over a host that does nothing at once.
//!
//! Prints one line for each figure; fails when one misses its goal by far (a loaded machine is no excuse for a factor of
//! ten). `TMPDIR` says on which disk.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a bench may stop, and talks to whoever started it

mod quiet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_api::operation::{OperationKind, OperationState};
use banger_api::vm::{CreateVm, Egress, NetMode, VmState};
use banger_api::{ContentDigest, EngineName, OperationId, VmId};
use banger_control::Pool;
use banger_engine::{EngineKind, IdentityVersion, VmmIdentity};
use banger_ops::{Cancel, NoEvents, Recovery, Runner, VmFiles, plans};
use banger_store::{
    Claim, ClaimKind, Durability, ImageRecord, KernelRecord, OperationRecord, Owner, Store,
    VmRecord, claim, image, kernel, operation, vm,
};

use crate::quiet::QuietHost;

fn open(dir: &tempfile::TempDir) -> Runner {
    let store = Store::open(&dir.path().join("banger.db")).unwrap();
    Runner::new(Arc::new(store), Arc::new(QuietHost::default()))
}

fn prepared(dir: &tempfile::TempDir) -> Runner {
    let runner = open(dir);
    let image = ImageRecord {
        name: "img".parse().unwrap(),
        digest: digest(),
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
        digest: digest(),
        source: String::new(),
        version: String::new(),
        image_bytes: 1,
        modules: Vec::new(),
        of_root: false,
        created_ms: 0,
        damage: None,
    };
    runner
        .store()
        .write(move |tx| {
            image::insert(tx, &image)?;
            kernel::insert(tx, &kernel)
        })
        .unwrap();
    runner
}

fn digest() -> ContentDigest {
    "d".repeat(64).parse().unwrap()
}

fn record(name: String) -> VmRecord {
    VmRecord {
        id: VmId::new(),
        name: name.parse().unwrap(),
        state: VmState::Created,
        image: "img".parse().unwrap(),
        image_digest: digest(),
        kernel: "krn".parse().unwrap(),
        kernel_digest: digest(),
        own_kernel: banger_store::OwnKernel::No,
        engine: EngineName::qemu(),
        vcpu: 2,
        memory_mib: 2048,
        disk_bytes: 8 << 30,
        overlay_bytes: 8 << 30,
        disks: Default::default(),
        net: NetMode::User,
        egress: Egress::All,
        network: Default::default(),
        publish: Vec::new(),
        ephemeral: false,
        restart: Default::default(),
        labels: Default::default(),
        restart_needed: false,
        runs: None,
        vmm: None.into(),
        created_ms: 0,
        started_ms: None,
        error: None,
        exit: None,
        reboots: Default::default(),
        damage: None,
    }
}

fn files(id: VmId) -> VmFiles {
    quiet::places().vm(id)
}

/// A create as the daemon makes it: the operation's row, the plan, the operation's end. How many steps it had.
fn create(runner: &Runner, name: String) -> usize {
    let (record, id) = (record(name), OperationId::new());
    let row = OperationRecord {
        id,
        kind: OperationKind::CreateVm,
        vm: Some(record.id),
        vm_name: Some(record.name.to_string()),
        state: OperationState::Running,
        started_ms: 0,
        finished_ms: None,
        error: None,
    };
    runner
        .store()
        // The plan's begin, which follows, takes it to the disk.
        .write_as(Durability::Soon, move |tx| {
            operation::insert_operation(tx, &row)
        })
        .unwrap();
    let disks = plans::CreateDisks { seed: None };
    let plan = plans::create(id, &record, &files(record.id), &disks);
    runner.run(&plan, &NoEvents, &Cancel::new()).unwrap();
    runner
        .store()
        .write(move |tx| operation::finish_operation(tx, id, OperationState::Done, 1, None))
        .unwrap();
    plan.steps.len()
}

fn one_client() {
    let dir = tempfile::tempdir().unwrap();
    let runner = prepared(&dir);
    create(&runner, "warm".to_owned());
    let began = Instant::now();
    let mut times: Vec<Duration> = (0..500)
        .map(|n| {
            let began = Instant::now();
            create(&runner, format!("vm-{n}"));
            began.elapsed()
        })
        .collect();
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
    println!(
        "creates, 1 client: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms (goal 500/s, 10 ms)",
        at(50),
        at(99)
    );
    assert!(rate > 50.0);
}

/// The same as requests, one client after the other's answer, and 32 at once.
fn requests() {
    for clients in [1_usize, 32] {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::new(256);
        let control = quiet::control(prepared(&dir), pool.clone());
        let began = Instant::now();
        let each = 640 / clients;
        std::thread::scope(|scope| {
            for client in 0..clients {
                let (control, pool) = (control.clone(), pool.clone());
                scope.spawn(move || {
                    for n in 0..each {
                        let request = CreateVm {
                            name: Some(format!("vm-{client}-{n}").parse().unwrap()),
                            image: Some("img".parse().unwrap()),
                            ..CreateVm::default()
                        };
                        let accepted = banger_control::vm::create(&control, request).unwrap();
                        // Later ones may have pushed it out of memory: then it has ended.
                        if let Some(running) = control.operations().find(accepted.operation) {
                            let ended = || running.outcome().is_some();
                            banger_control::Spawn::wait(&pool, &mut { ended });
                            let (_, error, _) = running.outcome().unwrap();
                            assert_eq!(error, None);
                        }
                    }
                });
            }
        });
        let rate = (each * clients) as f64 / began.elapsed().as_secs_f64();
        println!("create requests, {clients} clients: {rate:.0}/s (goal 500/s)");
        assert!(rate > 50.0);
    }
}

fn many_clients() {
    const CLIENTS: usize = 32;
    let dir = tempfile::tempdir().unwrap();
    let runner = prepared(&dir);
    let began = Instant::now();
    let steps: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let runner = &runner;
                scope.spawn(move || -> usize {
                    (0..40)
                        .map(|n| create(runner, format!("vm-{client}-{n}")))
                        .sum()
                })
            })
            .collect();
        clients.into_iter().map(|c| c.join().unwrap()).sum()
    });
    let rate = steps as f64 / began.elapsed().as_secs_f64();
    println!("steps, {CLIENTS} clients: {rate:.0}/s (goal 2000/s)");
    assert!(rate > 200.0);
}

fn recovery() {
    const VMS: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let runner = prepared(&dir);
    // Half of them run on, half have lost their VMM.
    runner
        .store()
        .write(|tx| {
            for n in 0..VMS {
                let mut record = record(format!("vm-{n}"));
                record.state = VmState::Running;
                let lives = if n % 2 == 0 { "lives" } else { "gone" };
                let run = format!("/r/{}", record.id);
                let token = format!("{lives}-launch-{n}");
                let vmm = VmmIdentity {
                    version: IdentityVersion::NEWEST,
                    engine: EngineKind::Qemu,
                    pid: 100,
                    start_ticks: 1,
                    boot_id: "b".to_owned(),
                    exe: "/usr/bin/vmm".into(),
                    launch_token: token.parse().unwrap(),
                    control_socket: format!("{run}/qmp.sock").into(),
                    channel_socket: format!("{run}/channel.sock").into(),
                    console_log: format!("/s/vms/{}/console.log", record.id).into(),
                    jail: None,
                };
                record.vmm = Some(vmm).into();
                vm::insert(tx, &record)?;
                let owner = Owner::Vm(record.id);
                claim::add(tx, &Claim::new(ClaimKind::Directory, run), &owner)?;
                claim::add(tx, &Claim::new(ClaimKind::Process, token), &owner)?;
            }
            Ok(())
        })
        .unwrap();
    drop(runner);
    let began = Instant::now();
    let runner = open(&dir);
    let recovered = Recovery::new(&runner, &files).run().unwrap();
    let took = began.elapsed();
    println!(
        "recovery of {VMS} VM records, {} adopted, {} demoted: {:.0} ms (goal 1000 ms)",
        recovered.adopted.len(),
        recovered.demoted.len(),
        took.as_secs_f64() * 1e3
    );
    assert_eq!(recovered.adopted.len() + recovered.demoted.len(), VMS);
    assert!(took < Duration::from_secs(10));
}

fn main() {
    one_client();
    requests();
    many_clients();
    recovery();
}
