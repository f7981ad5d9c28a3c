//! The log of events: each change has one, in its transaction.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use banger_api::event::Change;
use banger_api::operation::{OperationKind, OperationState};
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode, OperationId, VmId};
use banger_store::{
    ImageRecord, KernelRecord, OperationRecord, Store, StoreError, event, image, kernel, operation,
};
use uuid::Uuid;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("banger.db")).unwrap();
    (dir, store)
}

/// A VM's row as the database sees it; `record` need not be a record.
fn insert_vm(store: &Store, id: VmId, name: &'static str, record: &'static str) {
    store
        .write(move |tx| {
            let sql = "INSERT INTO vms (id, name, state, image, kernel, record, created_ms) VALUES (?1, ?2, 'created', 'i', 'k', ?3, 0)";
            tx.execute(sql, (id.to_string(), name, record))?;
            Ok(())
        })
        .unwrap();
}

fn set(store: &Store, id: VmId, column: &'static str, value: &'static str) {
    store
        .write(move |tx| {
            let sql = format!("UPDATE vms SET {column} = ?2 WHERE id = ?1");
            tx.execute(&sql, (id.to_string(), value))?;
            Ok(())
        })
        .unwrap();
}

fn changes(store: &Store) -> Vec<Change> {
    let events = store.read(|db| event::after(db, 0, None, 1_000)).unwrap();
    events.into_iter().map(|event| event.change).collect()
}

fn an_image(name: &str) -> ImageRecord {
    ImageRecord {
        name: name.parse().unwrap(),
        digest: "d".repeat(64).parse().unwrap(),
        source: "test".to_owned(),
        init: "none".to_owned(),
        base_bytes: 1,
        seed_bytes: None,
        created_ms: 0,
        superseded: false,
        damage: None,
    }
}

#[test]
fn the_life_of_a_vm_is_told_in_order_with_its_causes() {
    let (_dir, store) = store();
    let vm = VmId(Uuid::now_v7());
    insert_vm(&store, vm, "web", r#"{"error":null}"#);
    set(&store, vm, "state", "running");
    // The same state again, and a change of something else, are no changes of state.
    set(&store, vm, "state", "running");
    set(&store, vm, "record", r#"{"error":"out of memory"}"#);
    set(&store, vm, "state", "error");
    set(&store, vm, "name", "www");
    store
        .write(move |tx| {
            tx.execute("DELETE FROM vms WHERE id = ?1", [vm.to_string()])?;
            Ok(())
        })
        .unwrap();
    let (web, www) = ("web".to_owned(), "www".to_owned());
    let state = |from, to, error: Option<&str>| Change::VmState {
        vm,
        name: web.clone(),
        from,
        to,
        error: error.map(str::to_owned),
    };
    assert_eq!(
        changes(&store),
        [
            Change::VmCreated {
                vm,
                name: web.clone(),
                state: VmState::Created
            },
            state(VmState::Created, VmState::Running, None),
            state(VmState::Running, VmState::Error, Some("out of memory")),
            Change::VmRenamed {
                vm,
                name: www.clone(),
                before: web.clone()
            },
            Change::VmDeleted { vm, name: www },
        ]
    );
}

#[test]
fn a_damaged_record_changes_its_state_and_is_told_without_a_cause() {
    let (_dir, store) = store();
    let vm = VmId(Uuid::now_v7());
    insert_vm(&store, vm, "web", "{not json");
    set(&store, vm, "state", "deleting");
    let told = changes(&store);
    assert!(
        matches!(
            told[1],
            Change::VmState {
                to: VmState::Deleting,
                error: None,
                ..
            }
        ),
        "{told:?}"
    );
}

#[test]
fn an_operation_is_told_twice_with_its_typed_error() {
    let (_dir, store) = store();
    let id = OperationId(Uuid::now_v7());
    let record = OperationRecord {
        id,
        kind: OperationKind::StartVm,
        vm: None,
        vm_name: Some("web".to_owned()),
        state: OperationState::Running,
        started_ms: 1_000,
        finished_ms: None,
        error: None,
    };
    let error = ApiError::new(ErrorCode::NotFound, "it is gone").hint("look again");
    let json = serde_json::to_string(&error).unwrap();
    store
        .write(move |tx| operation::insert_operation(tx, &record))
        .unwrap();
    for _ in 0..2 {
        let json = json.clone();
        let end = OperationState::Failed;
        store
            .write(move |tx| operation::finish_operation(tx, id, end, 2_000, Some(&json)))
            .unwrap();
    }
    let events = store.read(|db| event::after(db, 0, None, 9)).unwrap();
    let times: Vec<i64> = events.iter().map(|e| e.at.as_millisecond()).collect();
    assert_eq!(times, [1_000, 2_000], "an end is told once");
    let Change::OperationEnded {
        error: told, state, ..
    } = &events[1].change
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (told.as_ref(), *state),
        (Some(&error), OperationState::Failed)
    );
}

#[test]
fn images_and_kernels_are_told_and_what_failed_is_not() {
    let (_dir, store) = store();
    let kernel = KernelRecord {
        name: "k".parse().unwrap(),
        digest: "e".repeat(64).parse().unwrap(),
        source: "test".to_owned(),
        version: "6.1".to_owned(),
        image_bytes: 1,
        modules: Vec::new(),
        of_root: false,
        created_ms: 0,
        damage: None,
    };
    store.write(|tx| image::insert(tx, &an_image("a"))).unwrap();
    store.write(move |tx| kernel::insert(tx, &kernel)).unwrap();
    let failed = store.write(|tx| {
        image::insert(tx, &an_image("b"))?;
        Err::<(), _>(StoreError::Closed)
    });
    assert!(failed.is_err());
    store
        .write(|tx| image::rename(tx, &"a".parse().unwrap(), &"c".parse().unwrap()))
        .unwrap();
    let told: Vec<String> = changes(&store)
        .into_iter()
        .map(|change| match change {
            Change::ImageAdded { image, .. } => format!("+{image}"),
            Change::ImageRemoved { image, .. } => format!("-{image}"),
            Change::KernelAdded { kernel, .. } => format!("+{kernel}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["+a", "+k", "-a", "+c"]);
}

#[test]
fn a_cursor_means_the_same_after_the_store_was_opened_again_and_trimmed() {
    let (dir, store) = store();
    for name in ["a", "b", "c", "d"] {
        store
            .write(move |tx| image::insert(tx, &an_image(name)))
            .unwrap();
    }
    let log = store.read(event::log).unwrap();
    store.write(|tx| event::trim(tx, 0, 2)).unwrap();
    drop(store);
    let store = Store::open(&dir.path().join("banger.db")).unwrap();
    assert_eq!(store.read(event::log).unwrap(), log);
    let numbers = |store: &Store, after| -> Vec<u64> {
        let events = store.read(|db| event::after(db, after, None, 9)).unwrap();
        events.iter().map(|event| event.cursor.seq).collect()
    };
    assert_eq!(numbers(&store, 0), [3, 4]);
    assert_eq!(numbers(&store, 3), [4]);
    assert_eq!(store.read(event::oldest).unwrap(), 3);
    // All of them go, and no number comes again: not even one that a power cut may have taken back.
    store.write(|tx| event::trim(tx, i64::MAX, 0)).unwrap();
    assert_eq!(store.read(event::newest).unwrap(), 1_004);
    assert_eq!(store.read(event::oldest).unwrap(), 1_005);
    store.write(|tx| image::insert(tx, &an_image("e"))).unwrap();
    assert_eq!(numbers(&store, 4), [1_005]);
}

#[test]
fn the_last_events_of_one_vm_are_found_by_its_id_and_by_the_name_that_it_had() {
    let (_dir, store) = store();
    let (one, other) = (VmId(Uuid::now_v7()), VmId(Uuid::now_v7()));
    insert_vm(&store, one, "web", "{}");
    insert_vm(&store, other, "db", "{}");
    set(&store, one, "state", "running");
    set(&store, other, "state", "running");
    for which in ["web".to_owned(), one.to_string()] {
        let last = |n| store.read(|db| event::before_last(db, Some(&which), n));
        assert_eq!(last(1).unwrap(), 2, "the third event is its last");
        assert_eq!(last(9).unwrap(), 0);
        let events = store
            .read(|db| event::after(db, 0, Some(&which), 9))
            .unwrap();
        let numbers: Vec<u64> = events.iter().map(|event| event.cursor.seq).collect();
        assert_eq!(numbers, [1, 3]);
    }
    let none = store.read(|db| event::before_last(db, Some("gone"), 5));
    assert_eq!(none.unwrap(), 4, "nothing of it has happened");
}

#[test]
fn a_write_is_told_after_its_commit_and_a_failed_one_is_not() {
    let (_dir, store) = store();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let store = store.telling(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    store.write(|tx| image::insert(tx, &an_image("a"))).unwrap();
    let failed = store.write(|tx| image::insert(tx, &an_image("a")));
    assert!(failed.is_err());
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
