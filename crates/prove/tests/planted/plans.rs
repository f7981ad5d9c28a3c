//! Bugs in plans.

use banger_api::vm::VmState;
use banger_ops::steps::{MakeWorkDisk, RemoveDirectory, RemoveFile, WorkDiskSource};
use banger_ops::{BlankDiskSpec, Change, Direction, Ending, OwnDir, OwnFile, Plan, PlanKind, Step};
use banger_store::{Claim, ClaimKind, Owner};

/// The planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanBug {
    /// The run directory goes before the VMM that runs in it.
    SwapTwoSteps,
    /// The work disk is the first to be deleted.
    WorkDiskEarly,
    /// A claim is released before its resource is removed.
    ReleaseBeforeRemoval,
    /// A stopped VM keeps its port.
    KeepThePort,
    /// The user of a VMM is given back before the VMM has ended.
    UserGoesFirst,
    /// A stopped VM keeps the user of its VMM.
    KeepTheUser,
    /// A stop does not end the network process.
    NetworkIsLeft,
    /// A start starts two network processes.
    TwoNetworks,
    /// Nobody starts another network process in the place of one that died.
    NetworkIsNotReplaced,
    /// The ports of a network process are given back when it died.
    NetworkPortIsFree,
    /// A create ends before its files are synced.
    FinishBeforeTheLastStep,
    /// A start makes the work disk once more.
    WorkDiskMadeAgain,
    /// A stop that was cut off is undone instead of carried on.
    StopIsUndone,
    /// The row of a VM that never was stays.
    UndoneCreateKeepsItsRow,
    /// The claim of a published directory is not handed over.
    StagingIsForgotten,
    /// A delete forgets the row.
    DeleteKeepsTheRow,
    /// The name of the content is looked up before, and not checked in the transaction.
    NoGuards,
    /// A template is published before it is on the disk.
    TemplateIsNotSynced,
    /// Nobody tries whether a guest wakes from a template.
    TemplateIsNotTried,
    /// The claim of a template is not handed over.
    TemplateIsForgotten,
    /// A template is made of a kernel that goes meanwhile.
    TemplateOutlivesItsKernel,
    /// A sweep removes directories before the VMMs that run in them have ended.
    SweepFilesFirst,
    /// A sweep takes a directory that a VM owns.
    SweepTakesAVm,
    /// The cause of a VMM's end is not written down.
    LoseTheCauseOfAnEnd,
    /// A guest gets an hour to boot.
    BootForAnHour,
    /// A delete removes a directory that is not banger's.
    RemoveOutside,
    /// A VMM without a known identity is looked for in another directory.
    LookElsewhere,
    /// The run directory goes, and nobody ends what runs in it.
    RunDirectoryAlone,
    /// Two publishing operations may own the same directory.
    PublishInTheNameOfTheContent,
    /// The VM that replaces another does not get its name.
    NameIsNotHandedOn,
    /// A larger disk is told of, and the guest that runs is not.
    GuestIsNotTold,
    /// A guest is shown a larger disk than its file is.
    FileStaysSmall,
    /// That a guest rebooted is not written down: nobody boots it again.
    ForgetTheReboot,
    /// The work directory of a kernel on its way out of a VM's root stays.
    WayOfAKernelStays,
    /// A kernel out of a VM's root is one like any other, which only its user removes.
    KernelOfARootIsKept,
    /// The time of a reboot is not written down: the next one is never too many.
    ForgetWhenItRebooted,
    /// A VM goes on writing to the disk that was kept.
    DisksAreNotSwitched,
    /// The disks to which a guest writes are taken away when the daemon dies over their switch.
    TopInUseGoesBack,
    /// The new disks of a VM are its own before they are on the disk.
    TopsAreNotSynced,
    /// A kept layer is not handed over, and goes with its VM.
    LayerIsForgotten,
    /// A layer goes with its checkpoint, whoever needs it.
    LayerIsNotCounted,
    /// A way back removes the present disks before the others are the VM's.
    OldDisksGoFirst,
}

impl PlanBug {
    /// Plants it.
    pub fn plant(self, plan: &mut Plan) {
        match (self, plan.kind) {
            (Self::SwapTwoSteps, PlanKind::StopVm) => plan.steps.reverse(),
            (Self::WorkDiskEarly, PlanKind::DeleteVm) => {
                let work = |step: &Step| match step {
                    Step::RemoveFile(file) => file.path.ends_with("work.img"),
                    _ => false,
                };
                plan.steps.sort_by_key(|step| !work(step));
            }
            (Self::ReleaseBeforeRemoval, PlanKind::StopVm) => {
                let early: Vec<Claim> = plan
                    .steps
                    .iter()
                    .filter_map(|step| match step {
                        Step::RemoveDirectory(dir) => Some(dir.path.claim()),
                        _ => None,
                    })
                    .collect();
                let owner = plan.owner.clone();
                plan.begin
                    .extend(early.into_iter().map(|c| Change::Release(c, owner.clone())));
            }
            (Self::KeepThePort, PlanKind::StopVm) => {
                let port = Claim::new(ClaimKind::HostPort, "127.0.0.1:8080");
                plan.done.push(Change::Claim(port, plan.owner.clone()));
            }
            (Self::UserGoesFirst, PlanKind::StopVm) => {
                plan.begin.extend(plan.vm.map(Change::ReleaseUsers));
            }
            (Self::KeepTheUser, PlanKind::StopVm) => {
                let user = Claim::new(ClaimKind::User, "1879048192");
                plan.done.push(Change::Claim(user, plan.owner.clone()));
            }
            (Self::NetworkIsLeft, PlanKind::StopVm) => {
                plan.steps.retain(|step| !matches!(step, Step::EndNet(_)));
            }
            (Self::TwoNetworks, PlanKind::StartVm) => {
                let launch = |step: &&Step| matches!(step, Step::LaunchNet(_));
                let again = plan.steps.iter().find(launch).cloned();
                if let Some(Step::LaunchNet(mut step)) = again {
                    step.launch.config.launch_token.push('2');
                    step.launch.config.publish.clear();
                    plan.steps.push(step.into());
                }
            }
            (Self::NetworkIsNotReplaced, PlanKind::ReplaceNet) => plan.steps.clear(),
            (Self::NetworkPortIsFree, PlanKind::ReplaceNet) => {
                plan.done.extend(plan.vm.map(Change::ReleasePorts));
            }
            (Self::FinishBeforeTheLastStep, PlanKind::CreateVm) => drop(plan.steps.pop()),
            (Self::WorkDiskMadeAgain, PlanKind::StartVm) => made_again(plan),
            (Self::StopIsUndone, PlanKind::StopVm) => plan.direction = Direction::Back,
            (Self::UndoneCreateKeepsItsRow, PlanKind::CreateVm) => {
                plan.ending = Some(Ending::Keep(VmState::Stopped));
            }
            (Self::StagingIsForgotten, PlanKind::PublishImage) => {
                plan.done
                    .retain(|change| !matches!(change, Change::Transfer { .. }));
            }
            (Self::TemplateIsNotSynced, PlanKind::MakeTemplate) => {
                plan.steps
                    .retain(|step| !matches!(step, Step::SyncFiles(_)));
            }
            (Self::TemplateIsNotTried, PlanKind::MakeTemplate) => {
                plan.steps
                    .retain(|step| !matches!(step, Step::TryTemplate(_)));
            }
            (Self::TemplateIsForgotten, PlanKind::MakeTemplate) => {
                plan.done
                    .retain(|change| !matches!(change, Change::Transfer { .. }));
            }
            (Self::TemplateOutlivesItsKernel, PlanKind::DeleteTemplate) => plan.steps.clear(),
            (Self::SweepFilesFirst, PlanKind::Sweep) => plan.steps.reverse(),
            (Self::SweepTakesAVm, PlanKind::Sweep) => plan.steps.push(
                RemoveDirectory {
                    path: own("/s/vms"),
                }
                .into(),
            ),
            (Self::LoseTheCauseOfAnEnd, PlanKind::KillVm) => {
                let cause = |change: &Change| matches!(change, Change::SetExit { .. });
                plan.done.retain(|change| !cause(change));
            }
            (Self::ForgetTheReboot, PlanKind::KillVm) => {
                let reboot = |change: &Change| matches!(change, Change::Rebooted { .. });
                plan.done.retain(|change| !reboot(change));
            }
            (Self::ForgetWhenItRebooted, PlanKind::KillVm) => {
                for change in &mut plan.done {
                    if let Change::Rebooted { at_ms, .. } = change {
                        *at_ms = i64::MIN;
                    }
                }
            }
            (Self::BootForAnHour, PlanKind::StartVm) => {
                for step in &mut plan.steps {
                    if let Step::ConfigureGuest(step) = step {
                        step.deadline_ms = 3_600_000;
                    }
                }
            }
            (Self::RemoveOutside, PlanKind::DeleteVm) => plan.steps.push(
                RemoveDirectory {
                    path: own("/home/me"),
                }
                .into(),
            ),
            (Self::LookElsewhere, PlanKind::KillVm) => {
                for step in &mut plan.steps {
                    if let Step::EndVmm(step) = step {
                        step.dir = "/r/elsewhere".into();
                    }
                }
            }
            (Self::RunDirectoryAlone, PlanKind::StopVm) => {
                let ends = |step: &Step| matches!(step, Step::EndVmm(_) | Step::ShutdownGuest(_));
                plan.steps.retain(|step| !ends(step));
            }
            (Self::DeleteKeepsTheRow, PlanKind::DeleteVm) => plan.done.clear(),
            (Self::NameIsNotHandedOn, PlanKind::DeleteVm) => {
                let name = |change: &Change| matches!(change, Change::SetName { .. });
                plan.begin.retain(|change| !name(change));
            }
            (Self::GuestIsNotTold, PlanKind::GrowDisk) => {
                let tells = |step: &Step| matches!(step, Step::GrowRunningDisk(_));
                plan.steps.retain(|step| !tells(step));
            }
            (Self::FileStaysSmall, PlanKind::GrowDisk) => {
                let grows = |step: &Step| matches!(step, Step::GrowFile(_));
                plan.steps.retain(|step| !grows(step));
            }
            (Self::WayOfAKernelStays, PlanKind::TakeKernel) => drop(plan.steps.pop()),
            (Self::KernelOfARootIsKept, PlanKind::PublishKernel) => {
                for change in &mut plan.done {
                    if let Change::InsertKernel(kernel) = change {
                        kernel.of_root = false;
                    }
                }
            }
            (Self::DisksAreNotSwitched, PlanKind::CheckpointVm) => {
                for change in &mut plan.done {
                    if let Change::SetDisks { disks, .. } = change {
                        disks.names = disks.names.other();
                    }
                }
            }
            (Self::TopInUseGoesBack, PlanKind::SwitchDisks) => {
                plan.direction = Direction::Back;
            }
            (Self::TopsAreNotSynced, PlanKind::CheckpointVm) => drop(plan.steps.pop()),
            (Self::LayerIsForgotten, PlanKind::CheckpointVm) => {
                plan.done
                    .retain(|change| !matches!(change, Change::Transfer { .. }));
            }
            (Self::LayerIsNotCounted, PlanKind::DeleteCheckpoint) => {
                let gone = plan.begin.iter().find_map(|change| match change {
                    Change::DeleteCheckpoint(id) => Some(id.to_string()),
                    _ => None,
                });
                let layer = gone.map(|id| own(&format!("/s/layers/{id}")));
                plan.steps
                    .extend(layer.map(|path| RemoveDirectory { path }.into()));
            }
            (Self::OldDisksGoFirst, PlanKind::MakeTops) => {
                let new = plan.steps.iter().find_map(|step| match step {
                    Step::MakeTop(top) if top.path.ends_with("work.img") => Some("work-2.img"),
                    Step::MakeTop(top) if top.path.ends_with("work-2.img") => Some("work.img"),
                    _ => None,
                });
                let vm = plan.vm.zip(new);
                let old = vm.map(|(vm, name)| format!("/s/vms/{vm}/{name}"));
                let path = old.map(|old| OwnFile::try_from(old).unwrap());
                let step = path.map(|path| RemoveFile { path }.into());
                plan.steps.splice(0..0, step);
            }
            (Self::NoGuards, _) => {
                let guard =
                    |change: &Change| matches!(change, Change::Named(_) | Change::Unused(_));
                plan.begin.retain(|change| !guard(change));
            }
            (Self::PublishInTheNameOfTheContent, _) => content_owns(plan),
            _ => {}
        }
    }
}

/// Path that no layout makes, and that has the shape of one.
fn own(path: &str) -> OwnDir {
    path.to_owned().try_into().unwrap()
}

fn made_again(plan: &mut Plan) {
    let Some(path) = plan.steps.iter().find_map(|step| match step {
        Step::LaunchVmm(launch) => {
            let mut disks = launch.spec.disks.iter();
            let work = disks.find(|disk| disk.serial == banger_control::vm::WORK);
            work.map(|disk| disk.path.clone())
        }
        _ => None,
    }) else {
        return;
    };
    let blank = BlankDiskSpec {
        bytes: 1 << 20,
        label: "banger-work".to_owned(),
        uuid: plan.id,
    };
    let step = MakeWorkDisk {
        path,
        source: WorkDiskSource::Blank(blank),
        bytes: 1 << 20,
    };
    plan.steps.insert(0, step.into());
}

/// As it was written first: the claim of the target belongs to the content from the beginning.
fn content_owns(plan: &mut Plan) {
    let Some((claim, to)) = plan.done.iter().find_map(|change| match change {
        Change::Transfer { claim, to, .. } => Some((claim.clone(), to.clone())),
        _ => None,
    }) else {
        return;
    };
    let operation = Owner::Operation(plan.operation);
    plan.owner = to.clone();
    plan.begin.push(Change::Claim(claim.clone(), to));
    let Some(Step::PublishDirectory(step)) = plan.steps.first() else {
        return;
    };
    let staging = step.from.claim();
    plan.begin.insert(
        0,
        Change::Transfer {
            claim: staging,
            from: operation,
            to: plan.owner.clone(),
        },
    );
    plan.done
        .retain(|change| !matches!(change, Change::Transfer { .. }));
}
