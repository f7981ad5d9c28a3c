//! The stored forms of records, as every build since the first has written them.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_api::{EngineName, ExitCause, LayerId};
use banger_engine::{EngineKind, IdentityVersion, VmmIdentity};
use banger_formats::Golden;
use banger_formats::every_variant;
use std::path::PathBuf;

use banger_store::{
    CheckpointRecord, ClaimKind, Connection, DiskNames, ImageRecord, KernelRecord, OwnKernel,
    Reboots, Store, VmDisks, VmNetwork, VmRecord, claim, image, kernel, operation, vm,
};

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn identity(version: IdentityVersion) -> VmmIdentity {
    let path = |path: &str| PathBuf::from(path);
    VmmIdentity {
        version,
        engine: EngineKind::Qemu,
        pid: 4711,
        start_ticks: 123_456,
        boot_id: "0b4ee1a3-0000-4000-8000-000000000001".to_owned(),
        exe: path("/usr/bin/qemu-system-x86_64"),
        launch_token: "01a21896-6f72-74c6-8388-26c922037455".parse().unwrap(),
        control_socket: path("/b/run/vms/01a21896-6f72-74c6-8388-26c922037454/control.sock"),
        channel_socket: path("/b/run/vms/01a21896-6f72-74c6-8388-26c922037454/channel.sock"),
        console_log: path("/b/state/vms/01a21896-6f72-74c6-8388-26c922037454/console.log"),
        jail: None,
    }
}

fn network() -> VmNetwork {
    use banger_egress::{Egress, Grant, Layer, Origin};
    let grant = |rule: &str| Grant {
        rule: rule.parse().unwrap(),
        until: Some(1_795_709_000),
    };
    let repository = Layer {
        origin: Origin::Repository,
        ..Layer::of(Egress::Public)
    };
    VmNetwork {
        stack: banger_api::vm::NetStack::Own,
        generation: 3,
        allow: vec![grant("host:5432"), grant("@debian")],
        deny: vec![grant("192.0.2.0/24")],
        sets: [(
            "debian".parse().unwrap(),
            vec!["mirror.example".parse().unwrap()],
        )]
        .into(),
        narrowed: vec![repository],
        secrets: vec!["openai=api.openai.com".parse().unwrap()],
        joined: Some("team".parse().unwrap()),
        address: Some("127.83.1.2".parse().unwrap()),
        door: Some(65_535),
        process: Some(banger_net_control::NetIdentity {
            pid: 4712,
            start_ticks: 123_457,
            boot_id: "0b4ee1a3-0000-4000-8000-000000000001".to_owned(),
            exe: "/usr/bin/banger".into(),
            token: "banger-8d3f0c6e0f0b4c0c9d7b3c1f8a5e2d10".to_owned(),
            dir: "/b/run/vms/01a21896-6f72-74c6-8388-26c922037454".into(),
        }),
    }
}

fn a_vm() -> VmRecord {
    use banger_api::vm::{Egress, NetMode, Publish, RestartPolicy, VmState};
    VmRecord {
        id: "01a21896-6f72-74c6-8388-26c922037454".parse().unwrap(),
        name: "web".parse().unwrap(),
        state: VmState::Running,
        image: "debian-minimal".parse().unwrap(),
        image_digest: "ab".repeat(32).parse().unwrap(),
        kernel: "debian-cloud".parse().unwrap(),
        kernel_digest: "cd".repeat(32).parse().unwrap(),
        own_kernel: OwnKernel::Taken,
        engine: EngineName::qemu(),
        vcpu: 2,
        memory_mib: 2048,
        disk_bytes: 8 << 30,
        overlay_bytes: 4 << 30,
        disks: VmDisks {
            names: DiskNames::Second,
            layers: vec![layer_id()],
            checkpoint: Some(a_checkpoint().id),
            pending: Some("01a21896-6f72-74c6-8388-26c922037459".parse().unwrap()),
        },
        net: NetMode::User,
        egress: Egress::None,
        network: network(),
        publish: vec![Publish {
            host_ip: "127.0.0.1".parse().unwrap(),
            host_port: 18_080,
            guest_port: 80,
        }],
        ephemeral: true,
        restart: RestartPolicy::Always,
        labels: banger_api::Labels::new(["team=red".parse().unwrap()]).unwrap(),
        restart_needed: true,
        runs: Some(banger_api::vm::MachineSize {
            vcpu: 1,
            memory_mib: 1024,
        }),
        vmm: Some(identity(IdentityVersion::NEWEST)).into(),
        created_ms: 1_795_708_800_000,
        started_ms: Some(1_795_708_801_000),
        error: Some("it failed: no memory".to_owned()),
        exit: Some(ExitCause::Failed {
            message: "no memory".to_owned(),
        }),
        reboots: Reboots {
            recent_ms: vec![1_795_708_802_000],
            due: true,
        },
        damage: None,
    }
}

fn layer_id() -> LayerId {
    "01a21896-6f72-74c6-8388-26c922037456".parse().unwrap()
}

fn a_checkpoint() -> CheckpointRecord {
    CheckpointRecord {
        id: "01a21896-6f72-74c6-8388-26c922037457".parse().unwrap(),
        vm: "01a21896-6f72-74c6-8388-26c922037454".parse().unwrap(),
        name: "before-upgrade".parse().unwrap(),
        parent: Some("01a21896-6f72-74c6-8388-26c922037458".parse().unwrap()),
        layers: vec![layer_id()],
        disk_bytes: 8 << 30,
        overlay_bytes: 4 << 30,
        created_ms: 1_795_708_800_000,
        damage: None,
    }
}

fn an_image() -> ImageRecord {
    ImageRecord {
        name: "debian-minimal".parse().unwrap(),
        digest: "ab".repeat(32).parse().unwrap(),
        source: "recipe debian-minimal".to_owned(),
        init: "none".to_owned(),
        base_bytes: 156_000_000,
        seed_bytes: Some(135_000_000),
        created_ms: 1_795_708_700_000,
        superseded: true,
        damage: None,
    }
}

fn a_kernel() -> KernelRecord {
    KernelRecord {
        name: "debian-cloud".parse().unwrap(),
        digest: "cd".repeat(32).parse().unwrap(),
        source: "deb /b/cache/kernels/linux-image.deb".to_owned(),
        version: "6.1.0-56-cloud-amd64".to_owned(),
        image_bytes: 53_000_000,
        modules: vec!["virtio_pci".to_owned(), "overlay".to_owned()],
        of_root: true,
        created_ms: 1_795_708_600_000,
        damage: None,
    }
}

#[test]
fn the_stored_form_of_every_record_is_that_of_its_newest_golden_file() {
    assert_eq!(golden().holds("vm.json", &a_vm()), Ok(()));
    assert_eq!(golden().holds("image.json", &an_image()), Ok(()));
    assert_eq!(golden().holds("kernel.json", &a_kernel()), Ok(()));
    assert_eq!(golden().holds("checkpoint.json", &a_checkpoint()), Ok(()));
    let names = DiskNames::ALL;
    every_variant!(&names, DiskNames { First, Second });
    assert_eq!(golden().holds("disk-names.json", &names), Ok(()));
}

#[test]
fn records_of_version_1_are_read() {
    let version = IdentityVersion::try_from(1).unwrap();
    let expected = VmRecord {
        vmm: Some(identity(version)).into(),
        // A row's version says that its cause is to be taken from its sentence: see the store of version 1 below.
        exit: None,
        labels: banger_api::Labels::default(),
        network: VmNetwork::default(),
        reboots: Reboots::default(),
        runs: None,
        own_kernel: OwnKernel::No,
        disks: VmDisks::default(),
        ..a_vm()
    };
    assert_eq!(golden().read::<VmRecord>(1, "vm.json"), expected);
    assert_eq!(golden().read::<ImageRecord>(1, "image.json"), an_image());
    let kernel = KernelRecord {
        of_root: false,
        ..a_kernel()
    };
    assert_eq!(golden().read::<KernelRecord>(1, "kernel.json"), kernel);
}

#[test]
fn a_vm_of_a_build_without_secrets_is_read() {
    let mut expected = a_vm();
    expected.network.secrets.clear();
    expected.disks = VmDisks::default();
    assert_eq!(golden().read::<VmRecord>(9, "vm.json"), expected);
}

#[test]
fn a_vm_of_a_build_without_layers_is_read() {
    let mut expected = a_vm();
    expected.disks = VmDisks::default();
    assert_eq!(golden().read::<VmRecord>(10, "vm.json"), expected);
}

/// A store as a daemon of version 1 left it, killed in the middle of a delete.
fn seen() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("banger.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(&golden().text(1, "store.sql")).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    let store = Store::open(&path).unwrap();
    (dir, store)
}

#[test]
fn a_store_of_version_1_is_read_row_by_row() {
    let (_dir, store) = seen();
    let vms = store.read(vm::list).unwrap();
    let names: Vec<_> = vms
        .iter()
        .map(|vm| (vm.name.as_str(), vm.state.as_str()))
        .collect();
    assert_eq!(
        names,
        [("web", "stopped"), ("idle", "running"), ("ws", "deleting")]
    );
    assert_eq!(vms[0].publish.len(), 2);
    assert_eq!(vms[0].restart, banger_api::vm::RestartPolicy::Always);
    let images = store.read(image::list).unwrap();
    let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["debian-bookworm", "debian-minimal"]);
    let kernels = store.read(kernel::list).unwrap();
    assert_eq!(kernels[0].version, "6.1.0-56-cloud-amd64");
    let claims = store.read(claim::list).unwrap();
    assert_eq!(claims.len(), 8);
    let vmms = claims
        .iter()
        .filter(|(claim, _)| claim.kind == ClaimKind::Process);
    let owner = format!("vm:{}", vms[1].id);
    assert_eq!(
        vmms.map(|(_, owner)| owner.clone()).collect::<Vec<_>>(),
        [owner]
    );
    let plans = store.read(operation::unfinished_plans).unwrap();
    assert_eq!(plans.len(), 1);
    let operations = store
        .read(|db| operation::operations(db, Some("ws"), 10))
        .unwrap();
    let kinds: Vec<_> = operations
        .iter()
        .map(|op| (op.kind.to_string(), op.state.to_string()))
        .collect();
    assert_eq!(kinds[0], ("delete_vm".to_owned(), "running".to_owned()));
    assert_eq!(
        kinds.last().unwrap(),
        &("create_vm".to_owned(), "done".to_owned())
    );
}

#[test]
fn claims_of_every_kind_are_stored_under_the_words_of_the_newest_golden_file() {
    let kinds = [
        ClaimKind::Directory,
        ClaimKind::Process,
        ClaimKind::HostPort,
        ClaimKind::User,
        ClaimKind::Address,
    ];
    every_variant!(
        &kinds,
        ClaimKind {
            Directory,
            Process,
            HostPort,
            User,
            Address
        }
    );
    let words = kinds.map(|kind| (kind, kind.as_str()));
    assert_eq!(golden().holds("claim-kinds.json", &words), Ok(()));
    // Version 1 said `vmm`; users are claimed since version 4, addresses since version 7.
    for (version, count) in [(1, 3), (2, 3), (4, 4)] {
        let read: Vec<(ClaimKind, String)> = golden().read(version, "claim-kinds.json");
        assert_eq!(
            read.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(),
            kinds[..count]
        );
    }
}

#[test]
fn the_claim_of_a_process_that_version_1_wrote_can_be_released_and_not_taken() {
    let (_dir, store) = seen();
    let claims = store.read(claim::list).unwrap();
    let (claim, owner) = claims
        .iter()
        .find(|(claim, _)| claim.kind == ClaimKind::Process)
        .unwrap()
        .clone();
    let vm = owner.strip_prefix("vm:").unwrap().parse().unwrap();
    let stranger = banger_store::Owner::Image("ab".repeat(32).parse().unwrap());
    let taken = store.write({
        let claim = claim.clone();
        move |tx| claim::add(tx, &claim, &stranger)
    });
    assert!(taken.is_err(), "{taken:?}");
    let released = claim.clone();
    store
        .write(move |tx| claim::release(tx, &released, &banger_store::Owner::Vm(vm)))
        .unwrap();
    let left = store.read(claim::list).unwrap();
    assert!(left.iter().all(|(other, _)| *other != claim));
}

#[test]
fn a_row_of_version_1_tells_the_cause_of_an_end_from_its_sentence() {
    let (_dir, store) = seen();
    let read = |sentence: &str| {
        let mut vm = store.read(vm::list).unwrap().remove(0);
        vm.error = Some(sentence.to_owned());
        let (id, json) = (vm.id.to_string(), serde_json::to_string(&vm).unwrap());
        store
            .write(move |tx| {
                let sql = "UPDATE vms SET record = ?2, version = 1 WHERE id = ?1";
                tx.execute(sql, [id, json])?;
                Ok(())
            })
            .unwrap();
        store.read(|db| vm::by_id(db, vm.id)).unwrap().unwrap().exit
    };
    assert_eq!(
        read("the guest powered off"),
        Some(ExitCause::GuestShutdown)
    );
    assert_eq!(read("the host went down"), Some(ExitCause::HostWentDown));
    assert_eq!(read("the guest did not answer"), None);
}

#[test]
fn a_claim_that_is_refused_names_the_vm_that_has_it() {
    let (_dir, store) = seen();
    let claims = store.read(claim::list).unwrap();
    let (claim, owner) = claims
        .into_iter()
        .find(|(claim, _)| claim.kind == ClaimKind::Process)
        .unwrap();
    let stranger = banger_store::Owner::Image("ab".repeat(32).parse().unwrap());
    let refused = store.write(move |tx| claim::add(tx, &claim, &stranger));
    match refused.unwrap_err() {
        banger_store::StoreError::Claimed {
            vm, owner: told, ..
        } => {
            assert_eq!((vm.as_deref(), told), (Some("idle"), owner));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn one_damaged_row_is_one_damaged_thing() {
    let (_dir, store) = seen();
    let damage = |sql: &'static str| {
        store.write(move |tx| Ok(tx.execute_batch(sql)?)).unwrap();
    };
    damage("UPDATE vms SET record = replace(record, '\"vcpu\"', '\"vcpus\"') WHERE name = 'web'");
    damage("UPDATE images SET record = '{' WHERE name = 'debian-minimal'");
    damage("UPDATE kernels SET version = 99 WHERE name = 'debian-cloud'");
    let vms = store.read(vm::list).unwrap();
    let damaged: Vec<_> = vms.iter().filter_map(|vm| vm.damage.as_deref()).collect();
    assert_eq!(vms.len(), 3);
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].contains("missing field `vcpu`"), "{damaged:?}");
    let web = store.read(|db| vm::by_name(db, "web")).unwrap().unwrap();
    assert_eq!(web.state, banger_api::vm::VmState::Error);
    assert_eq!((web.name.as_str(), web.memory_mib), ("web", 3013));
    assert!(web.vmm.is_some() && web.vmm.identity().is_none());
    let images = store.read(image::list).unwrap();
    assert_eq!(
        images.iter().filter(|image| image.damage.is_some()).count(),
        1
    );
    let minimal = store
        .read(|db| image::by_name(db, "debian-minimal"))
        .unwrap()
        .unwrap();
    let error = minimal.usable().unwrap_err().to_string();
    assert!(
        error.starts_with("the record of image debian-minimal in the store is damaged: "),
        "{error}"
    );
    let kernels = store.read(kernel::list).unwrap();
    assert_eq!(
        kernels[0].damage.as_deref(),
        Some("its version is 99, and 1 is the newest that this banger knows")
    );
}

#[test]
fn a_damaged_row_is_not_written_over_and_can_be_removed() {
    let (_dir, store) = seen();
    let record = |store: &Store| {
        let sql = "SELECT record FROM vms WHERE name = 'web'";
        store
            .read(|db| Ok(db.query_row(sql, [], |row| row.get::<_, String>(0))?))
            .unwrap()
    };
    store
        .write(|tx| {
            Ok(tx.execute_batch("UPDATE vms SET record = '{\"vcpu\":7' WHERE name = 'web'")?)
        })
        .unwrap();
    let mut web = store.read(|db| vm::by_name(db, "web")).unwrap().unwrap();
    web.state = banger_api::vm::VmState::Deleting;
    let id = web.id;
    store.write(move |tx| vm::update(tx, &web)).unwrap();
    assert_eq!(record(&store), "{\"vcpu\":7");
    let read = store.read(|db| vm::by_id(db, id)).unwrap().unwrap();
    assert_eq!(read.state, banger_api::vm::VmState::Deleting);
    store.write(move |tx| vm::delete(tx, id)).unwrap();
    assert_eq!(store.read(vm::list).unwrap().len(), 2);
}

#[test]
fn rows_of_plans_operations_and_claims_that_cannot_be_read_are_named_and_hide_no_other() {
    let (_dir, store) = seen();
    store
        .write(|tx| {
            Ok(tx.execute_batch(
                "INSERT INTO operations VALUES ('nonsense', 'create_vm', NULL, NULL, 'running', 1, NULL, NULL);
                 INSERT INTO plans VALUES ('rubbish', 'nonsense', '{}', 0, 1);
                 INSERT INTO claims VALUES ('bridge', '/b/run/vms/1', 'vm:1');",
            )?)
        })
        .unwrap();
    let unreadable = store.read(operation::unreadable).unwrap();
    let named: Vec<_> = unreadable
        .iter()
        .map(|row| (row.what, row.id.as_str()))
        .collect();
    assert_eq!(named, [("plan", "rubbish"), ("operation", "nonsense")]);
    assert_eq!(store.read(operation::unfinished_plans).unwrap().len(), 1);
    assert!(
        !store
            .read(|db| operation::operations(db, None, 100))
            .unwrap()
            .is_empty()
    );
    let claims = store.read(claim::unreadable).unwrap();
    assert_eq!(
        (claims[0].kind.as_str(), claims[0].owner.as_str()),
        ("bridge", "vm:1")
    );
    assert_eq!(store.read(claim::list).unwrap().len(), 8);
}

#[test]
fn a_layer_is_needed_as_long_as_a_vm_or_a_checkpoint_has_it() {
    use banger_store::{checkpoint, layer};
    let (_dir, store) = seen();
    let mut web = store.read(|db| vm::by_name(db, "web")).unwrap().unwrap();
    let (id, kept) = (web.id, layer_id());
    let first = CheckpointRecord {
        vm: id,
        parent: None,
        ..a_checkpoint()
    };
    let second = CheckpointRecord {
        id: banger_api::CheckpointId::new(),
        name: "second".parse().unwrap(),
        parent: Some(first.id),
        ..first.clone()
    };
    let is_used = |store: &Store| store.read(|db| layer::is_used(db, kept)).unwrap();
    assert!(!is_used(&store));
    web.disks.layers = vec![kept];
    let (one, two) = (first.clone(), second.clone());
    store
        .write(move |tx| {
            vm::update(tx, &web)?;
            checkpoint::insert(tx, &one)?;
            checkpoint::insert(tx, &two)
        })
        .unwrap();
    let taken = CheckpointRecord {
        id: banger_api::CheckpointId::new(),
        ..second.clone()
    };
    let taken = store.write(move |tx| checkpoint::insert(tx, &taken));
    assert!(taken.is_err(), "two checkpoints of one name");
    let gone = first.clone();
    store
        .write(move |tx| checkpoint::delete(tx, &gone))
        .unwrap();
    let left = store.read(|db| checkpoint::of_vm(db, id)).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].parent, None, "its parent is gone");
    // A damaged record is a user still.
    store
        .write(|tx| Ok(tx.execute_batch("UPDATE vms SET record = '{' WHERE name = 'web'")?))
        .unwrap();
    let damaged = store.read(|db| vm::by_id(db, id)).unwrap().unwrap();
    store.write(move |tx| vm::update(tx, &damaged)).unwrap();
    store
        .write(move |tx| checkpoint::delete_of_vm(tx, id))
        .unwrap();
    assert!(is_used(&store));
    store.write(move |tx| vm::delete(tx, id)).unwrap();
    assert!(!is_used(&store));
}
