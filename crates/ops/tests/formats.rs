//! The stored forms of plans: every kind of plan, step and change.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

mod examples;

use banger_formats::{Golden, every_variant};
use banger_ops::steps::{DirectoryStage, WorkDiskSource};
use banger_ops::{Change, ContainerAt, Direction, Ending, ImageSource, Plan, PlanKind, Step};
use banger_store::PlanRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_stored_form_of_a_plan_is_that_of_its_newest_golden_file() {
    let plans = examples::plans();
    every_variant!(
        plans.iter().map(|plan| &plan.kind),
        PlanKind {
            CreateVm,
            StartVm,
            StopVm,
            KillVm,
            ReplaceNet,
            DeleteVm,
            MakeImage,
            PublishImage,
            DeleteImage,
            SaveVm,
            RenameImage,
            ReplaceImage,
            MakeKernel,
            TakeKernel,
            PublishKernel,
            DeleteKernel,
            Sweep,
            Discard,
            GrowDisk,
            MakeTemplate,
            DeleteTemplate,
            SuspendVm,
            EndSuspended,
            CheckpointVm,
            MakeLayer,
            SwitchDisks,
            MakeTops,
            RestoreVm,
            RemoveOldDisks,
            DeleteCheckpoint,
            DeleteLayer
        }
    );
    every_variant!(
        plans.iter().map(|plan| &plan.direction),
        Direction { Back, Forward }
    );
    every_variant!(
        plans.iter().filter_map(|plan| plan.ending.as_ref()),
        Ending {
            Forget,
            Keep,
            Again
        }
    );
    assert_eq!(golden().holds("plans.json", &plans), Ok(()));
}

#[test]
fn the_stored_form_of_every_step_is_that_of_its_newest_golden_file() {
    let steps = examples::steps();
    every_variant!(
        &steps,
        Step {
            CloneDisk,
            ConfigureGuest,
            CopyMemory,
            CopyWorkspaces,
            EndNet,
            EndStray,
            EndStrayNet,
            EndVmm,
            FreezeDisk,
            GreetGuest,
            GrowFile,
            GrowRunningDisk,
            GrowTop,
            LaunchNet,
            LaunchVmm,
            MakeDirectory,
            MakeImage,
            MakeInitramfs,
            MakeKernel,
            MakeSshHostKey,
            MakeSystemOverlay,
            MakeTop,
            MakeWorkDisk,
            PublishDirectory,
            ReadKernel,
            ReadRoot,
            RemoveDirectory,
            RemoveFile,
            ReplaceNet,
            SaveTemplate,
            ShutdownGuest,
            SuspendGuest,
            SwitchDisks,
            SyncFiles,
            TryTemplate
        }
    );
    let stages = steps.iter().filter_map(|step| match step {
        Step::MakeDirectory(step) => Some(&step.stage),
        _ => None,
    });
    every_variant!(
        stages,
        DirectoryStage {
            Reserve,
            CleanUp,
            Publish
        }
    );
    let work_disks = steps.iter().filter_map(|step| match step {
        Step::MakeWorkDisk(step) => Some(&step.source),
        _ => None,
    });
    every_variant!(work_disks, WorkDiskSource { Seed, Blank });
    let sources = || {
        steps.iter().filter_map(|step| match step {
            Step::MakeImage(step) => Some(&step.source),
            _ => None,
        })
    };
    every_variant!(
        sources(),
        ImageSource {
            Recipe,
            Container,
            Rootfs,
            Saved,
            Reseed
        }
    );
    let places = sources().filter_map(|source| match source {
        ImageSource::Container { at, .. } => Some(at),
        _ => None,
    });
    every_variant!(places, ContainerAt { Cache, Path });
    assert_eq!(golden().holds("steps.json", &steps), Ok(()));
}

#[test]
fn the_stored_form_of_every_change_is_that_of_its_newest_golden_file() {
    let changes = examples::changes();
    every_variant!(
        &changes,
        Change {
            InsertVm,
            DeleteVm,
            SetVmState,
            SetName,
            Rebooted,
            StaysDown,
            SetVmm,
            SetNet,
            SetExit,
            SetStarted,
            SetDisk,
            SetDisks,
            InsertCheckpoint,
            DeleteCheckpoint,
            InsertImage,
            DeleteImage,
            RenameImage,
            ReplaceImage,
            SupersedeImage,
            InsertKernel,
            DeleteKernel,
            Claim,
            Release,
            ReleasePorts,
            ReleaseUsers,
            ReleaseLaunches,
            Transfer,
            Named,
            Stands,
            Unused
        }
    );
    assert_eq!(golden().holds("changes.json", &changes), Ok(()));
}

/// Today's form of what version 1 wrote: its identities say that they are of version 1, no record tells the cause of an end.
fn as_version(version: u32, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| as_version(version, item)),
        Value::Object(fields) => {
            let old = version < 3;
            if old && (fields.contains_key("start_ticks") || fields.contains_key("steps")) {
                fields.insert("version".to_owned(), json!(1));
            }
            if fields.contains_key("restart_needed") {
                // Changes before version 5 know no reboots, those before version 4 no labels, those before version 3 no causes.
                let reboots = json!({"recent_ms": [], "due": false});
                if version < 8 {
                    // Nor what runs where something else is set.
                    fields.insert("runs".to_owned(), Value::Null);
                }
                if version < 5 {
                    fields.insert("reboots".to_owned(), reboots);
                }
                if version < 4 {
                    fields.insert("labels".to_owned(), json!({}));
                }
                if old {
                    fields.insert("exit".to_owned(), Value::Null);
                }
            }
            let fields = fields.values_mut();
            fields.for_each(|field| as_version(version, field));
        }
        _ => {}
    }
}

/// Today's form of steps before version 5, which have the network of a guest in parts that nothing reads.
fn without_network(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_network),
        Value::Object(fields) => {
            if fields.contains_key("ssh_host_key") {
                fields.insert("network".to_owned(), Value::Null);
            }
            fields.values_mut().for_each(without_network);
        }
        _ => {}
    }
}

/// Today's form of steps before version 6, whose VMMs have no users of their own.
fn without_users(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_users),
        Value::Object(fields) => {
            if fields.contains_key("initramfs") {
                fields.remove("user");
            }
            fields.values_mut().for_each(without_users);
        }
        _ => {}
    }
}

/// Today's form of what was written before version 7: QEMU itself carries the packets of every guest.
fn without_stack(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_stack),
        Value::Object(fields) => {
            if fields.contains_key("relays") {
                fields.insert("stack".to_owned(), json!("slirp"));
                fields.remove("guest_v6");
            }
            fields.values_mut().for_each(without_stack);
        }
        _ => {}
    }
}

/// Today's form of what was written before version 9: no guest's agent has a door.
fn without_door(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_door),
        Value::Object(fields) => {
            fields.remove("door");
            fields.values_mut().for_each(without_door);
        }
        _ => {}
    }
}

/// Today's form of steps of older versions: without the modules of kernels.
fn without_modules(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_modules),
        Value::Object(fields) => {
            if fields.contains_key("ssh_host_key") {
                fields.insert("modules".to_owned(), Value::Null);
            }
            if let Some(all) = fields.get_mut("all_modules") {
                *all = json!(false);
            }
            fields.values_mut().for_each(without_modules);
        }
        _ => {}
    }
}

/// Today's form of what was written before version 12, whose guests have no kernels of their own.
fn without_own_kernels(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_own_kernels),
        Value::Object(fields) => {
            if fields.contains_key("ssh_host_key") {
                fields.insert("kernel".to_owned(), json!(""));
                fields.insert("own_kernel".to_owned(), Value::Null);
            }
            fields.values_mut().for_each(without_own_kernels);
        }
        _ => {}
    }
}

fn is_read<T: Serialize + DeserializeOwned>(name: &str, example: impl Fn(u32) -> Vec<T>) {
    // Version 2 of changes says `process` where version 1 says `vmm`; versions before today's are the same else.
    for version in golden().versions(name).into_iter().rev().skip(1) {
        let mut expected = serde_json::to_value(example(version)).unwrap();
        // Steps and plans of version 2 have versions of their own like today's.
        let identities = match name {
            "steps.json" | "plans.json" if version > 1 => version.max(3),
            _ => version,
        };
        as_version(identities, &mut expected);
        if name != "steps.json" || version < 4 {
            without_modules(&mut expected);
        }
        if version < 5 {
            without_network(&mut expected);
        }
        if version < 6 {
            without_users(&mut expected);
        }
        if version < 7 {
            without_stack(&mut expected);
        }
        if version < 9 {
            without_door(&mut expected);
        }
        if version < 12 {
            without_own_kernels(&mut expected);
        }
        let read: Vec<T> = golden().read(version, name);
        assert_eq!(
            serde_json::to_value(read).unwrap(),
            expected,
            "{name} {version}"
        );
    }
}

#[test]
fn what_version_1_wrote_is_read() {
    is_read("plans.json", examples::plans_of);
    is_read("steps.json", examples::steps_of);
    is_read("changes.json", examples::changes_of);
}

fn record(version: u32, plan: &Value) -> PlanRecord {
    PlanRecord {
        id: Uuid::from_u128(7),
        operation: examples::operation(),
        version,
        plan: plan.to_string(),
    }
}

#[test]
fn a_plan_of_a_newer_version_is_refused_with_both_versions_before_it_is_parsed() {
    let newer = json!({"version": 9, "kind": "teleport_vm"});
    for record in [
        record(9, &newer),
        record(1, &newer),
        record(9, &json!({"version": 1})),
    ] {
        let error = Plan::read(&record).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plan 00000000-0000-0000-0000-000000000007 has version 9; this banger knows versions up to 2"
        );
    }
    let error = Plan::read(&record(1, &json!({"version": 1}))).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("plan 00000000-0000-0000-0000-000000000007 cannot be read: ")
    );
}

#[test]
fn a_plan_that_would_remove_what_cannot_be_ours_is_not_read() {
    for (step, path) in [
        ("remove_directory", "/"),
        ("remove_directory", "/home"),
        ("remove_directory", "state/vms/1"),
        ("remove_directory", "/b/state/vms/.."),
        ("make_directory", "/etc"),
        ("remove_file", "/etc/passwd"),
    ] {
        let mut plan = serde_json::to_value(examples::plans().remove(0)).unwrap();
        plan["steps"] = json!([{"step": step, "path": path, "stage": "reserve"}]);
        let error = Plan::read(&record(2, &plan)).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{step} {path}: {error}");
        assert!(error.contains(path), "{step} {path}: {error}");
    }
}

#[test]
fn a_plan_of_version_1_that_ends_a_vm_tells_the_cause_of_its_end() {
    let mut plan = examples::plans().remove(0);
    plan.version = 1;
    let (vm, error) = (examples::vm_id(), Some("the guest powered off".to_owned()));
    let state = banger_api::vm::VmState::Stopped;
    plan.done = vec![Change::SetVmState { vm, state, error }];
    let read = Plan::read(&record(1, &serde_json::to_value(&plan).unwrap())).unwrap();
    let exit = Some(banger_api::ExitCause::GuestShutdown);
    assert_eq!(read.done.last(), Some(&Change::SetExit { vm, exit }));
}

#[test]
fn plans_that_a_killed_daemon_of_version_1_left_half_way_are_read() {
    let plans: BTreeMap<String, Plan> = golden().read(1, "plans-seen.json");
    let seen: Vec<_> = plans
        .iter()
        .map(|(name, plan)| {
            let steps: Vec<_> = plan.steps.iter().map(Step::name).collect();
            (name.as_str(), plan.kind, plan.direction, steps)
        })
        .collect();
    let (back, forward) = (Direction::Back, Direction::Forward);
    let expected = vec![
        (
            "create",
            PlanKind::CreateVm,
            back,
            vec![
                "MakeDirectory",
                "MakeSshHostKey",
                "MakeSystemOverlay",
                "MakeWorkDisk",
                "SyncFiles",
            ],
        ),
        (
            "delete",
            PlanKind::DeleteVm,
            forward,
            vec![
                "EndVmm",
                "RemoveDirectory",
                "RemoveFile",
                "RemoveFile",
                "RemoveFile",
                "RemoveFile",
                "RemoveDirectory",
            ],
        ),
        (
            "kill",
            PlanKind::KillVm,
            forward,
            vec!["EndVmm", "RemoveDirectory"],
        ),
        (
            "register",
            PlanKind::MakeImage,
            back,
            vec!["MakeDirectory", "MakeImage"],
        ),
        (
            "save",
            PlanKind::SaveVm,
            back,
            vec![
                "MakeDirectory",
                "MakeDirectory",
                "CloneDisk",
                "CloneDisk",
                "ReadRoot",
                "MakeImage",
                "RemoveDirectory",
            ],
        ),
        (
            "start",
            PlanKind::StartVm,
            back,
            vec!["MakeDirectory", "LaunchVmm", "ConfigureGuest"],
        ),
        (
            "stop",
            PlanKind::StopVm,
            forward,
            vec!["ShutdownGuest", "EndVmm", "RemoveDirectory"],
        ),
    ];
    assert_eq!(seen, expected);
    assert!(plans.values().all(|plan| plan.version == 1));
}
