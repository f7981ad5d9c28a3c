//! The stored forms of plans: every kind of plan, step and change.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

mod examples;

use banger_formats::{Golden, every_variant};
use banger_ops::steps::{DirectoryStage, WorkDiskSource};
use banger_ops::{Change, ContainerAt, Direction, Ending, ImageSource, Plan, PlanKind, Step};
use std::collections::BTreeMap;

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
            DeleteVm,
            MakeImage,
            PublishImage,
            DeleteImage,
            SaveVm,
            RenameImage,
            ReplaceImage,
            MakeKernel,
            PublishKernel,
            DeleteKernel,
            Sweep,
            Discard
        }
    );
    every_variant!(
        plans.iter().map(|plan| &plan.direction),
        Direction { Back, Forward }
    );
    every_variant!(
        plans.iter().filter_map(|plan| plan.ending.as_ref()),
        Ending { Forget, Keep }
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
            EndStray,
            EndVmm,
            GrowFile,
            LaunchVmm,
            MakeDirectory,
            MakeImage,
            MakeInitramfs,
            MakeKernel,
            MakeSshHostKey,
            MakeSystemOverlay,
            MakeWorkDisk,
            PublishDirectory,
            ReadRoot,
            RemoveDirectory,
            RemoveFile,
            ShutdownGuest,
            SyncFiles
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
            SetVmm,
            SetStarted,
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
            Transfer,
            Named,
            Stands,
            Unused
        }
    );
    assert_eq!(golden().holds("changes.json", &changes), Ok(()));
}

#[test]
fn what_version_1_wrote_is_read() {
    assert_eq!(
        golden().read::<Vec<Plan>>(1, "plans.json"),
        examples::plans()
    );
    assert_eq!(
        golden().read::<Vec<Step>>(1, "steps.json"),
        examples::steps()
    );
    // Version 2 of changes says `process` where version 1 says `vmm`.
    for version in [1, 2] {
        let changes = golden().read::<Vec<Change>>(version, "changes.json");
        assert_eq!(changes, examples::changes(), "{version}");
    }
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
