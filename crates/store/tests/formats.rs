//! The stored forms of records, as every build since the first has written them.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_formats::Golden;
use banger_formats::every_variant;
use banger_store::{
    ClaimKind, Connection, ImageRecord, KernelRecord, Store, VmRecord, claim, image, kernel,
    operation, vm,
};
use serde_json::json;

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn a_vm() -> VmRecord {
    use banger_api::vm::{Egress, NetMode, Publish, RestartPolicy, VmState};
    VmRecord {
        id: "01a21896-6f72-74c6-8388-26c922037454".parse().unwrap(),
        name: "web".parse().unwrap(),
        state: VmState::Running,
        image: "debian-minimal".parse().unwrap(),
        image_digest: "ab".repeat(32),
        kernel: "debian-cloud".parse().unwrap(),
        kernel_digest: "cd".repeat(32),
        engine: "qemu".to_owned(),
        vcpu: 2,
        memory_mib: 2048,
        disk_bytes: 8 << 30,
        overlay_bytes: 4 << 30,
        net: NetMode::User,
        egress: Egress::None,
        publish: vec![Publish {
            host_ip: "127.0.0.1".parse().unwrap(),
            host_port: 18_080,
            guest_port: 80,
        }],
        ephemeral: true,
        restart: RestartPolicy::Always,
        restart_needed: true,
        vmm: Some(json!({
            "pid": 4711,
            "start_ticks": 123_456,
            "boot_id": "0b4ee1a3-0000-4000-8000-000000000001",
            "exe": "/usr/bin/qemu-system-x86_64",
            "launch_token": "01a21896-6f72-74c6-8388-26c922037455",
            "control_socket": "/b/run/vms/01a21896-6f72-74c6-8388-26c922037454/control.sock",
            "channel_socket": "/b/run/vms/01a21896-6f72-74c6-8388-26c922037454/channel.sock",
            "console_log": "/b/state/vms/01a21896-6f72-74c6-8388-26c922037454/console.log",
        })),
        created_ms: 1_795_708_800_000,
        started_ms: Some(1_795_708_801_000),
        error: Some("it failed: no memory".to_owned()),
    }
}

fn an_image() -> ImageRecord {
    ImageRecord {
        name: "debian-minimal".parse().unwrap(),
        digest: "ab".repeat(32),
        source: "recipe debian-minimal".to_owned(),
        init: "none".to_owned(),
        base_bytes: 156_000_000,
        seed_bytes: Some(135_000_000),
        created_ms: 1_795_708_700_000,
        superseded: true,
    }
}

fn a_kernel() -> KernelRecord {
    KernelRecord {
        name: "debian-cloud".parse().unwrap(),
        digest: "cd".repeat(32),
        source: "deb /b/cache/kernels/linux-image.deb".to_owned(),
        version: "6.1.0-56-cloud-amd64".to_owned(),
        image_bytes: 53_000_000,
        modules: vec!["virtio_pci".to_owned(), "overlay".to_owned()],
        created_ms: 1_795_708_600_000,
    }
}

#[test]
fn the_stored_form_of_every_record_is_that_of_its_newest_golden_file() {
    assert_eq!(golden().holds("vm.json", &a_vm()), Ok(()));
    assert_eq!(golden().holds("image.json", &an_image()), Ok(()));
    assert_eq!(golden().holds("kernel.json", &a_kernel()), Ok(()));
}

#[test]
fn records_of_version_1_are_read() {
    assert_eq!(golden().read::<VmRecord>(1, "vm.json"), a_vm());
    assert_eq!(golden().read::<ImageRecord>(1, "image.json"), an_image());
    assert_eq!(golden().read::<KernelRecord>(1, "kernel.json"), a_kernel());
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
    ];
    every_variant!(
        &kinds,
        ClaimKind {
            Directory,
            Process,
            HostPort
        }
    );
    let words = kinds.map(|kind| (kind, kind.as_str()));
    assert_eq!(golden().holds("claim-kinds.json", &words), Ok(()));
    // Version 1 said `vmm`.
    for version in [1, 2] {
        let read: Vec<(ClaimKind, String)> = golden().read(version, "claim-kinds.json");
        assert_eq!(
            read.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(),
            kinds
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
    let stranger = banger_store::Owner::Image("ab".to_owned());
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
