//! Requests that are allowed in each state: a pure function with a table.

use banger_api::vm::{RestartPolicy, VmState};
use banger_api::{ApiError, ErrorCode, ExitCause};
use banger_store::VmRecord;

/// A request that concerns an existing VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Boot it.
    Start,
    /// Stop it in order.
    Stop,
    /// Stop it, then boot it.
    Restart,
    /// End its VMM.
    Kill,
    /// Remove it.
    Delete {
        /// Also while it runs.
        force: bool,
    },
    /// Change its settings.
    Set,
    /// Talk to its guest.
    Reach,
    /// Read its disks while it does not run.
    Save,
    /// Save its memory and end its VMM.
    Suspend,
    /// Let its guest stand still, or go on.
    Pause,
}

/// Time in which reboots of a guest are counted, in ms.
pub const REBOOTS_WITHIN_MS: i64 = 60_000;
/// Reboots within that time of which the last is an error: a guest that cannot get up would reboot for ever.
pub const TOO_MANY_REBOOTS: usize = 3;

/// Fate of a VM whose VMM ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterExit {
    /// It is stopped: its guest powered off, or its host went down, which is no fault of the VM.
    Stopped,
    /// It is in error.
    Error,
    /// It is booted again: its guest rebooted.
    Boot,
    /// It is in error: its guest rebooted too often.
    RebootsTooOften,
}

/// The fate of a VM after an end of its VMM. A VM that is there for one run has ended with it: a reboot does not bring it
/// back.
pub fn after_exit(vm: &VmRecord, cause: &ExitCause, now_ms: i64) -> AfterExit {
    match cause {
        ExitCause::GuestReset if vm.ephemeral => AfterExit::Error,
        ExitCause::GuestReset => {
            match vm.reboots.within(REBOOTS_WITHIN_MS, now_ms) + 1 < TOO_MANY_REBOOTS {
                true => AfterExit::Boot,
                false => AfterExit::RebootsTooOften,
            }
        }
        cause if cause.is_orderly() => AfterExit::Stopped,
        _ => AfterExit::Error,
    }
}

/// Tells whether a VM that does not run is to be started when the daemon starts: its guest was rebooting, or it is to run
/// always, and neither its user nor its guest ended it. A daemon that is killed before it has done so finds the same answer
/// again.
pub fn starts_again(vm: &VmRecord) -> bool {
    let idle = matches!(vm.state, VmState::Stopped | VmState::Error);
    let lost = match &vm.exit {
        Some(cause) => !cause.is_wanted(),
        None => vm.error.is_some(),
    };
    let wanted = vm.restart == RestartPolicy::Always && lost;
    vm.damage.is_none() && idle && (wanted || vm.reboots.due)
}

/// Decision on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Go,
    /// It is so already: nothing is to be done, and that is a success.
    Already,
    /// It may not be done.
    Refuse,
}

/// The verdict on `request` in `state`. States in which a plan runs (`starting`, `stopping`, `deleting`) are seen here
/// only after that plan gave up half-way: whoever asks holds the VM's lock.
pub fn verdict(request: Request, state: VmState) -> Verdict {
    use Request as R;
    use Verdict::{Already, Go, Refuse};
    use VmState as S;
    // Every state is written out: a new one does not compile until somebody has decided.
    match request {
        R::Start => match state {
            S::Running => Already,
            S::Created | S::Stopped | S::Suspended | S::Error => Go,
            S::Starting | S::Stopping | S::Deleting => Refuse,
        },
        R::Stop => match state {
            S::Created | S::Stopped => Already,
            S::Running | S::Starting | S::Stopping | S::Error => Go,
            S::Suspended | S::Deleting => Refuse,
        },
        R::Kill => match state {
            S::Running | S::Starting | S::Stopping | S::Error => Go,
            // What it has in its memory is lost, as with every kill.
            S::Suspended => Go,
            S::Created | S::Stopped | S::Deleting => Refuse,
        },
        R::Restart => match state {
            S::Running | S::Created | S::Stopped | S::Error => Go,
            S::Starting | S::Stopping | S::Suspended | S::Deleting => Refuse,
        },
        R::Delete { force: true } => match state {
            S::Created | S::Starting | S::Running | S::Stopping => Go,
            S::Stopped | S::Suspended | S::Deleting | S::Error => Go,
        },
        // A saved memory is as much a user's as a running guest.
        R::Delete { force: false } => match state {
            S::Running | S::Starting | S::Suspended => Refuse,
            S::Created | S::Stopping | S::Stopped | S::Deleting | S::Error => Go,
        },
        // Under a saved memory nothing of the machine may change.
        R::Set => match state {
            S::Created | S::Starting | S::Running | S::Stopping | S::Stopped | S::Error => Go,
            S::Suspended | S::Deleting => Refuse,
        },
        R::Save => match state {
            S::Created | S::Stopped | S::Error => Go,
            S::Starting | S::Running | S::Stopping | S::Suspended | S::Deleting => Refuse,
        },
        R::Suspend => match state {
            S::Running => Go,
            S::Suspended => Already,
            S::Created | S::Starting | S::Stopping => Refuse,
            S::Stopped | S::Deleting | S::Error => Refuse,
        },
        R::Pause => match state {
            S::Running => Go,
            S::Created | S::Starting | S::Stopping | S::Stopped => Refuse,
            S::Suspended | S::Deleting | S::Error => Refuse,
        },
        R::Reach => match state {
            S::Running => Go,
            S::Created | S::Starting | S::Stopping | S::Stopped => Refuse,
            S::Suspended | S::Deleting | S::Error => Refuse,
        },
    }
}

/// Refuses what a damaged record does not allow: everything but ending and deleting the VM.
///
/// # Errors
/// `wrong_state`, with the damage.
pub fn check_damage(request: Request, vm: &VmRecord) -> Result<(), ApiError> {
    let Some(why) = &vm.damage else {
        return Ok(());
    };
    match request {
        Request::Stop | Request::Kill | Request::Delete { .. } => Ok(()),
        Request::Start
        | Request::Restart
        | Request::Set
        | Request::Save
        | Request::Suspend
        | Request::Pause
        | Request::Reach => {
            let name = &vm.name;
            let message = format!("the record of VM \"{name}\" in the store is damaged: {why}");
            let hint = format!(
                "its disks are untouched; a store from before the damage brings it back, banger vm delete {name} removes it"
            );
            Err(ApiError::new(ErrorCode::WrongState, message).hint(hint))
        }
    }
}

/// [`verdict`], with the refusal as the error that users see. `true`: go; `false`: it is so already.
///
/// # Errors
/// `wrong_state` with what to do instead.
pub fn check(request: Request, name: &str, state: VmState) -> Result<bool, ApiError> {
    match verdict(request, state) {
        Verdict::Go => Ok(true),
        Verdict::Already => Ok(false),
        Verdict::Refuse => {
            let message = match state {
                VmState::Error => format!("VM \"{name}\" is in state error"),
                _ => format!("VM \"{name}\" is {state}"),
            };
            let hint = match (request, state) {
                (_, VmState::Deleting) => "it is being deleted; wait for it".to_owned(),
                (Request::Delete { .. }, _) => {
                    format!(
                        "stop it first, or delete it with --force: banger vm delete --force {name}"
                    )
                }
                (Request::Stop | Request::Set | Request::Restart, VmState::Suspended) => {
                    format!(
                        "start it first: banger vm start {name}; or let it forget its memory: banger vm kill {name}"
                    )
                }
                (Request::Save, _) => format!("stop it first: banger vm stop {name}"),
                (Request::Reach, VmState::Error) => {
                    format!("see why with banger vm show {name} and banger logs {name}")
                }
                (Request::Reach, _) => format!("start it first: banger vm start {name}"),
                _ => format!("see banger vm show {name}"),
            };
            Err(ApiError::new(ErrorCode::WrongState, message).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Request as R;
    use super::Verdict::{Already, Go, Refuse};
    use super::*;

    /// The verdicts on every request in one state, in the order of [`requests`]. A new state does not compile here.
    fn expected(state: VmState) -> [Verdict; 11] {
        match state {
            //                    start    stop     restart  kill    delete  --force set     save    reach   suspend pause
            VmState::Created => [
                Go, Already, Go, Refuse, Go, Go, Go, Go, Refuse, Refuse, Refuse,
            ],
            VmState::Starting => [
                Refuse, Go, Refuse, Go, Refuse, Go, Go, Refuse, Refuse, Refuse, Refuse,
            ],
            VmState::Running => [Already, Go, Go, Go, Refuse, Go, Go, Refuse, Go, Go, Go],
            VmState::Stopping => [
                Refuse, Go, Refuse, Go, Go, Go, Go, Refuse, Refuse, Refuse, Refuse,
            ],
            VmState::Stopped => [
                Go, Already, Go, Refuse, Go, Go, Go, Go, Refuse, Refuse, Refuse,
            ],
            VmState::Suspended => [
                Go, Refuse, Refuse, Go, Refuse, Go, Refuse, Refuse, Refuse, Already, Refuse,
            ],
            VmState::Deleting => [
                Refuse, Refuse, Refuse, Refuse, Go, Go, Refuse, Refuse, Refuse, Refuse, Refuse,
            ],
            VmState::Error => [Go, Go, Go, Go, Go, Go, Go, Go, Refuse, Refuse, Refuse],
        }
    }

    fn requests() -> [Request; 11] {
        [
            R::Start,
            R::Stop,
            R::Restart,
            R::Kill,
            R::Delete { force: false },
            R::Delete { force: true },
            R::Set,
            R::Save,
            R::Reach,
            R::Suspend,
            R::Pause,
        ]
    }

    #[test]
    fn the_table_of_requests_and_states_holds() {
        for state in VmState::ALL {
            for (request, expected) in requests().into_iter().zip(expected(state)) {
                assert_eq!(verdict(request, state), expected, "{request:?} in {state}");
            }
        }
    }

    #[test]
    fn the_list_of_states_has_every_one_once() {
        let place = |state| match state {
            VmState::Created => 0,
            VmState::Starting => 1,
            VmState::Running => 2,
            VmState::Stopping => 3,
            VmState::Stopped => 4,
            VmState::Suspended => 5,
            VmState::Deleting => 6,
            VmState::Error => 7,
        };
        let places: Vec<usize> = VmState::ALL.into_iter().map(place).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    /// A VM as an older build stored it.
    fn older_vm() -> VmRecord {
        let stored = include_str!("../../store/formats/v3/vm.json");
        let record: VmRecord = serde_json::from_str(stored).unwrap();
        VmRecord {
            ephemeral: false,
            restart: RestartPolicy::No,
            ..record
        }
    }

    #[test]
    fn a_vm_whose_guest_reboots_is_booted_again_but_not_for_ever() {
        let mut vm = older_vm();
        let after = |vm: &VmRecord, now_ms| after_exit(vm, &ExitCause::GuestReset, now_ms);
        assert_eq!(after(&vm, 1_000), AfterExit::Boot);
        vm.reboots.note(1_000, REBOOTS_WITHIN_MS);
        assert_eq!(after(&vm, 20_000), AfterExit::Boot);
        vm.reboots.note(20_000, REBOOTS_WITHIN_MS);
        assert_eq!(after(&vm, 60_999), AfterExit::RebootsTooOften);
        assert_eq!(after(&vm, 61_000), AfterExit::Boot);
        vm.ephemeral = true;
        assert_eq!(after(&vm, 900_000), AfterExit::Error);
        let off = ExitCause::GuestShutdown;
        assert_eq!(after_exit(&vm, &off, 0), AfterExit::Stopped);
        assert_eq!(after_exit(&vm, &ExitCause::Vanished, 0), AfterExit::Error);
    }

    #[test]
    fn a_reboot_that_is_due_is_made_up_for_and_one_that_an_older_build_left_is_not() {
        let mut vm = VmRecord {
            state: VmState::Error,
            exit: Some(ExitCause::GuestReset),
            ..older_vm()
        };
        assert!(!starts_again(&vm));
        vm.state = VmState::Stopped;
        assert!(!starts_again(&vm));
        vm.reboots.due = true;
        assert!(starts_again(&vm));
        vm.state = VmState::Running;
        assert!(!starts_again(&vm));
    }

    #[test]
    fn a_refusal_names_the_vm_its_state_and_the_next_step() {
        let error = check(R::Delete { force: false }, "web", VmState::Running).unwrap_err();
        assert_eq!(error.message, "VM \"web\" is running");
        assert!(error.hint.unwrap().contains("--force web"));
    }
}
