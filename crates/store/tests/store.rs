//! The store against real database files.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_api::operation::{OperationKind, OperationState, StepState};
use banger_api::{ImageName, OperationId, VmId};
use banger_store::{
    Claim, ClaimKind, ImageRecord, JournalStep, OperationRecord, Owner, PlanRecord, Store,
    StoreError, Trouble, claim, image, operation,
};
use uuid::Uuid;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("banger.db")).unwrap();
    (dir, store)
}

fn an_image(name: &str) -> ImageRecord {
    ImageRecord {
        name: name.parse::<ImageName>().unwrap(),
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
fn a_second_image_of_a_name_is_refused_and_leaves_nothing() {
    let (_dir, store) = store();
    store.write(|tx| image::insert(tx, &an_image("a"))).unwrap();
    let error = store
        .write(|tx| image::insert(tx, &an_image("a")))
        .unwrap_err();
    assert_eq!(error.to_string(), "image name \"a\" is taken");
    assert_eq!(store.read(image::list).unwrap().len(), 1);
}

#[test]
fn a_failed_change_is_undone_alone_while_others_commit() {
    let (_dir, store) = store();
    std::thread::scope(|scope| {
        for n in 0..20 {
            let store = &store;
            scope.spawn(move || {
                let result = store.write(move |tx| {
                    image::insert(tx, &an_image(&format!("i{n}")))?;
                    if n % 2 == 1 {
                        return Err(StoreError::Closed);
                    }
                    Ok(())
                });
                assert_eq!(result.is_ok(), n % 2 == 0);
            });
        }
    });
    assert_eq!(store.read(image::list).unwrap().len(), 10);
}

#[test]
fn a_change_that_panics_is_undone_and_the_store_lives_on() {
    let (_dir, store) = store();
    let result = store.write(|tx| -> Result<(), StoreError> {
        image::insert(tx, &an_image("a"))?;
        panic!("planted");
    });
    assert!(result.is_err());
    assert!(store.read(image::list).unwrap().is_empty());
    store.write(|tx| image::insert(tx, &an_image("b"))).unwrap();
}

#[test]
fn a_resource_has_one_owner() {
    let (_dir, store) = store();
    let (first, second) = (Owner::Vm(VmId::new()), Owner::Vm(VmId::new()));
    let port = Claim::new(ClaimKind::HostPort, "127.0.0.1:8080");
    let (a, b, p) = (first.clone(), second.clone(), port.clone());
    store
        .write(move |tx| {
            claim::add(tx, &p, &a)?;
            claim::add(tx, &p, &a)
        })
        .unwrap();
    let p = port.clone();
    let error = store.write(move |tx| claim::add(tx, &p, &b)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("host_port 127.0.0.1:8080 is claimed by {first}")
    );
    let (b, p) = (second.clone(), port.clone());
    store.write(move |tx| claim::release(tx, &p, &b)).unwrap();
    assert_eq!(
        store.read(claim::list).unwrap(),
        vec![(port, first.to_string())]
    );
}

#[test]
fn an_unfinished_plan_is_found_again_after_reopening() {
    let (dir, store) = store();
    let (op, plan) = (OperationId::new(), Uuid::now_v7());
    store
        .write(move |tx| {
            operation::insert_operation(
                tx,
                &OperationRecord {
                    id: op,
                    kind: OperationKind::CreateVm,
                    vm: None,
                    vm_name: None,
                    state: OperationState::Running,
                    started_ms: 5,
                    finished_ms: None,
                    error: None,
                },
            )?;
            let record = PlanRecord {
                id: plan,
                operation: op,
                version: 1,
                plan: "{}".to_owned(),
            };
            operation::begin_plan(tx, &record)?;
            let mut step = JournalStep {
                n: 0,
                name: "make_directory".to_owned(),
                state: StepState::Applying,
                at_ms: 6,
                us: None,
                error: None,
            };
            operation::set_step(tx, plan, &step)?;
            step.state = StepState::Applied;
            step.us = Some(9);
            operation::set_step(tx, plan, &step)
        })
        .unwrap();
    drop(store);
    let store = Store::open(&dir.path().join("banger.db")).unwrap();
    let found = store.read(operation::unfinished_plans).unwrap();
    assert_eq!(found.len(), 1);
    let steps = store.read(|db| operation::steps(db, plan)).unwrap();
    assert_eq!((steps[0].state, steps[0].us), (StepState::Applied, Some(9)));
    store.write(move |tx| operation::trim(tx, 100)).unwrap();
    assert!(
        store
            .read(|db| operation::operation(db, op))
            .unwrap()
            .is_some(),
        "unfinished stays"
    );
    store
        .write(move |tx| {
            operation::finish_plan(tx, plan)?;
            operation::finish_operation(tx, op, OperationState::Done, 7, None)?;
            operation::trim(tx, 100)
        })
        .unwrap();
    assert!(
        store
            .read(|db| operation::operation(db, op))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_store_of_a_newer_version_is_refused_untouched() {
    let (dir, store) = store();
    drop(store);
    let path = dir.path().join("banger.db");
    let db = banger_store::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("has version 999"), "{error}");
}

#[test]
fn every_caller_of_a_batch_that_fails_hears_the_cause() {
    let (dir, store) = store();
    // Another process holds the database for longer than anybody waits: no batch can begin.
    let other = banger_store::Connection::open(dir.path().join("banger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store
        .write(|tx| image::insert(tx, &an_image("a")))
        .unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::Locked), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    store.write(|tx| image::insert(tx, &an_image("a"))).unwrap();
}

#[test]
fn a_gate_that_refuses_keeps_a_write_from_happening() {
    let store = Store::open_in_memory()
        .unwrap()
        .gated(Box::new(|_| Err(StoreError::no_space())));
    let error = store
        .write(|tx| image::insert(tx, &an_image("a")))
        .unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::NoSpace));
    assert!(store.read(image::list).unwrap().is_empty());
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("banger.db");
    let text = "this was a letter once, and is no database at all; ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert_eq!(error.trouble(), Some(Trouble::Damaged), "{error}");
    assert!(error.to_string().contains("banger.db"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
