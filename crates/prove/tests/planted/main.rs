//! The checks are checked: each bug here is planted in front of the machine or in the plans, and must be caught.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

mod host;
mod plans;
mod recovery;
mod requests;

use std::sync::Arc;

use banger_ops::{Host, Plan};
use banger_prove::{Options, Report, SimHost, Tamper, run_with};

use crate::host::{BuggyHost, HostBug};
use crate::plans::PlanBug;
use crate::recovery::RecoveryBug;
use crate::requests::RequestBug;

impl Tamper for HostBug {
    fn host(&self, host: SimHost) -> Arc<dyn Host> {
        Arc::new(BuggyHost { host, bug: *self })
    }

    fn leaves_ports(&self) -> bool {
        *self != Self::KeepTheOldPorts
    }
}

impl Tamper for PlanBug {
    fn plan(&self, plan: &mut Plan) {
        self.plant(plan);
    }
}

fn sweep(scenario: &str, bug: &'static dyn Tamper) -> Report {
    let options = Options {
        scenario: Some(scenario.to_owned()),
        until_failure: true,
        ..Options::default()
    };
    run_with(&options, bug).unwrap()
}

/// Seeds that are enough to meet a bug of concurrency.
const SEEDS: u64 = 2_000;

fn seeds(bug: &'static dyn Tamper) -> Report {
    let options = Options {
        skip_sweep: true,
        seeds: SEEDS,
        until_failure: true,
        ..Options::default()
    };
    run_with(&options, bug).unwrap()
}

fn caught(report: &Report, by: &str) {
    let broken: Vec<&String> = report.rules.keys().collect();
    assert!(
        broken.iter().any(|rule| rule.contains(by)),
        "expected \"{by}\", found {broken:#?}"
    );
}

/// Each bug, the story that must catch it, and a word of the rule that it breaks.
const HOST_BUGS: &[(HostBug, &str, &str)] = &[
    (HostBug::SkipARevert, "start-guest-never-up", "is unclaimed"),
    (HostBug::EffectBeforeItsClaim, "create", "is unclaimed"),
    (HostBug::ForgetDirectorySync, "create", "is unclaimed"),
    (HostBug::ForgetFileSync, "create", "no whole"),
    (HostBug::ForgetFileSync, "make-template", "no whole"),
    (HostBug::KeepTheCopy, "wake", "keeps a copy"),
    (HostBug::ForgetToResume, "suspend", "stands still"),
    (HostBug::KeepTheMemory, "suspend", "a second time"),
    (HostBug::SaveNothing, "make-template", "torn"),
    (HostBug::PublishBeforeSync, "pull", "torn"),
    (
        HostBug::SignalABarePid,
        "stop-after-vmm-died",
        "was signalled",
    ),
    (
        HostBug::AdoptAReusedPid,
        "restart-after-vmm-killed",
        "running without a VMM",
    ),
    (
        HostBug::IgnoreAFailedKill,
        "kill-with-a-signal",
        "is unclaimed",
    ),
    (HostBug::LoseAnUnrecordedLaunch, "start-first", "VMMs live"),
    (HostBug::FailOnWhatIsGone, "create", "is left"),
    (
        HostBug::ForgetSyncOfARemoval,
        "delete-stopped",
        "is unclaimed",
    ),
    (
        HostBug::TakeASilentVmmForADeadOne,
        "restart-while-running",
        "did not survive",
    ),
    (
        HostBug::TakeUnreadableForAbsent,
        "restart-identity-unreadable",
        "VMMs live",
    ),
    (
        HostBug::TakeUnreadableForAbsent,
        "delete-identity-unreadable",
        "while a VMM uses it",
    ),
    (
        HostBug::OwnEverything,
        "restart-plan-outside",
        "outside banger's directories",
    ),
    (
        HostBug::LoseAnUnrecordedNetwork,
        "own-start",
        "network processes live",
    ),
    (
        HostBug::LeaveNetworks,
        "own-stop",
        "goes while a network process uses it",
    ),
    (
        HostBug::EndNetworkByItsBarePid,
        "own-stop-after-net-died",
        "was signalled",
    ),
    (
        HostBug::AdoptAReusedPidAsNetwork,
        "own-restart-after-net-died",
        "running without its network process",
    ),
    (
        HostBug::SwitchOneDisk,
        "checkpoint-running",
        "does not write to its disk",
    ),
    (
        HostBug::ForgetToGrowATop,
        "grow-layered",
        "smaller work disk",
    ),
    (HostBug::KeepTheOldPorts, "own-port-removed", "is unclaimed"),
];

const PLAN_BUGS: &[(PlanBug, &str, &str)] = &[
    (
        PlanBug::SwapTwoSteps,
        "stop-guest-never-down",
        "while a VMM uses it",
    ),
    (PlanBug::GuestIsNotTold, "grow-running", "smaller work disk"),
    (PlanBug::FileStaysSmall, "grow-running", "shown a disk"),
    (PlanBug::WorkDiskEarly, "delete-stopped", "goes before"),
    (PlanBug::ReleaseBeforeRemoval, "stop", "is unclaimed"),
    (PlanBug::KeepThePort, "stop", "still claimed"),
    (PlanBug::UserGoesFirst, "stop", "is unclaimed"),
    (PlanBug::KeepTheUser, "stop", "still claimed"),
    (
        PlanBug::NetworkIsLeft,
        "own-stop",
        "goes while a network process uses it",
    ),
    (
        PlanBug::TwoNetworks,
        "own-start",
        "two network processes run in",
    ),
    (
        PlanBug::NetworkIsNotReplaced,
        "own-net-dies",
        "running without its network process",
    ),
    (PlanBug::NetworkPortIsFree, "own-net-dies", "is unclaimed"),
    (PlanBug::FinishBeforeTheLastStep, "create", "no whole"),
    (PlanBug::WorkDiskMadeAgain, "start-grown", "is touched"),
    (PlanBug::StopIsUndone, "stop", "is stopping"),
    (PlanBug::UndoneCreateKeepsItsRow, "create", "no whole"),
    (PlanBug::StagingIsForgotten, "pull", "claimed by operation"),
    (PlanBug::TemplateIsNotSynced, "make-template", "no whole"),
    (
        PlanBug::TemplateIsNotTried,
        "make-template-that-never-wakes",
        "does not wake",
    ),
    (
        PlanBug::TemplateIsForgotten,
        "make-template",
        "claimed by operation",
    ),
    (
        PlanBug::TemplateOutlivesItsKernel,
        "delete-kernel-with-template",
        "which is gone",
    ),
    (PlanBug::DeleteKeepsTheRow, "delete-created", "is left"),
    (PlanBug::SweepFilesFirst, "sweep", "while a VMM uses it"),
    (PlanBug::SweepTakesAVm, "sweep", "is touched"),
    (
        PlanBug::RemoveOutside,
        "delete-stopped",
        "outside banger's directories",
    ),
    (
        PlanBug::LookElsewhere,
        "kill-identity-unreadable",
        "while a VMM uses it",
    ),
    (PlanBug::RunDirectoryAlone, "stop", "while a VMM uses it"),
    (
        PlanBug::NameIsNotHandedOn,
        "replace-created",
        "that was to replace it, too",
    ),
    (
        PlanBug::LoseTheCauseOfAnEnd,
        "guest-powers-off",
        "has lost why its VMM ended",
    ),
    (
        PlanBug::ForgetTheReboot,
        "guest-reboots",
        "rebooted, and it is stopped",
    ),
    (
        PlanBug::ForgetWhenItRebooted,
        "guest-reboots-for-ever",
        "reboots for ever",
    ),
    (
        PlanBug::WayOfAKernelStays,
        "start-own-kernel",
        "claimed by operation",
    ),
    (
        PlanBug::KernelOfARootIsKept,
        "start-other-kernel",
        "stays without a VM",
    ),
    (
        PlanBug::DisksAreNotSwitched,
        "checkpoint",
        "lost what it has kept",
    ),
    (
        PlanBug::TopInUseGoesBack,
        "checkpoint-running",
        "does not write to its disk",
    ),
    (PlanBug::TopsAreNotSynced, "checkpoint", "no whole"),
    (PlanBug::LayerIsForgotten, "checkpoint", "is unclaimed"),
    (
        PlanBug::LayerIsNotCounted,
        "delete-checkpoint-below",
        "no whole layer",
    ),
    (PlanBug::OldDisksGoFirst, "restore-discard", "no whole"),
    (
        PlanBug::BootForAnHour,
        "start-guest-never-up",
        "lock is held",
    ),
];

const RECOVERY_BUGS: &[(RecoveryBug, &str, &str)] = &[
    (
        RecoveryBug::StopAtADamagedRow,
        "restart-row-damaged",
        "recovery fails",
    ),
    (
        RecoveryBug::PassOverADamagedRow,
        "restart-row-damaged",
        "says nothing of what cannot be read",
    ),
    (
        RecoveryBug::LeaveRebootsUndone,
        "guest-reboots",
        "rebooted, and it is stopped",
    ),
    (
        RecoveryBug::RunANewerPlan,
        "restart-newer-plan",
        "plan of a newer build was gone on with",
    ),
];

const REQUEST_BUGS: &[(RequestBug, &str, &str)] = &[
    (RequestBug::KeepTheLock, "life", "nobody will bring"),
    (RequestBug::AnswerBeforeTheDisk, "life", "is unclaimed"),
    (
        RequestBug::DeleteLeavesTheVmm,
        "delete-running",
        "while a VMM uses it",
    ),
];

#[test]
fn every_bug_of_the_recovery_is_caught() {
    for (bug, scenario, rule) in RECOVERY_BUGS {
        println!("{bug:?}");
        caught(&sweep(scenario, bug), rule);
    }
}

#[test]
fn a_daemon_that_takes_up_what_another_is_doing_is_caught_by_the_seeds() {
    caught(
        &seeds(&RecoveryBug::HandOverInMidPlan),
        "after the next one has begun",
    );
}

#[test]
fn a_change_without_its_event_is_caught_by_the_seeds() {
    caught(&seeds(&RecoveryBug::SilenceAnEvent), "events tell of VMs");
}

#[test]
fn every_bug_of_the_requests_is_caught() {
    for (bug, scenario, rule) in REQUEST_BUGS {
        println!("{bug:?}");
        caught(&sweep(scenario, bug), rule);
    }
}

#[test]
fn a_verb_that_forgets_to_lock_is_caught_by_the_seeds() {
    assert!(!seeds(&RequestBug::ForgetTheLockOfTheVm).holds());
}

#[test]
fn every_bug_of_the_host_is_caught() {
    for (bug, scenario, rule) in HOST_BUGS {
        println!("{bug:?}");
        caught(&sweep(scenario, bug), rule);
    }
}

#[test]
fn every_bug_of_the_plans_is_caught() {
    for (bug, scenario, rule) in PLAN_BUGS {
        println!("{bug:?}");
        caught(&sweep(scenario, bug), rule);
    }
}

#[test]
fn a_check_outside_of_its_transaction_is_caught_by_the_seeds() {
    assert!(!seeds(&PlanBug::NoGuards).holds());
}

#[test]
fn files_with_two_owners_are_caught_by_the_seeds() {
    assert!(!seeds(&PlanBug::PublishInTheNameOfTheContent).holds());
}

#[test]
fn a_replayed_case_breaks_the_same_rule_and_tells_its_story() {
    let bug = &PlanBug::SwapTwoSteps;
    let found = sweep("stop-guest-never-down", bug);
    let case = found.failures.first().unwrap();
    let options = Options {
        case: Some(case.case.clone()),
        ..Options::default()
    };
    let again = run_with(&options, bug).unwrap();
    assert!(again.failed > 0, "{}", again.trace.join("\n"));
    assert!(again.trace.iter().any(|line| line.contains("!!!")));
}

#[test]
fn the_same_seed_is_the_same_story() {
    let story = || {
        let options = Options {
            seed: Some(7),
            ..Options::default()
        };
        let report = run_with(&options, &banger_prove::Honest).unwrap();
        // Ids are made anew each time; what happens, and in which order, is not.
        let words = |line: &String| line.split(['/', ' ']).take(6).collect::<Vec<_>>().join(" ");
        report.trace.iter().map(words).collect::<Vec<_>>()
    };
    let (first, second) = (story(), story());
    assert!(first.len() > 20);
    assert_eq!(first, second);
}
