//! Which request is allowed in which state: a pure function with a table.

use banger_api::vm::{RestartPolicy, VmState};
use banger_api::{ApiError, ErrorCode};
use banger_store::VmRecord;

use crate::plans;

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
}

/// Whether a VM that does not run is to be started when the daemon starts: it is to run always, and neither its user nor
/// its guest ended it. A daemon that is killed before it has done so finds the same answer again.
pub fn starts_again(vm: &VmRecord) -> bool {
    let lost = vm
        .error
        .as_deref()
        .is_some_and(|cause| cause != plans::ORDERLY_EXIT);
    vm.restart == RestartPolicy::Always
        && matches!(vm.state, VmState::Stopped | VmState::Error)
        && lost
}

/// What to do about a request.
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
    match (request, state) {
        (R::Delete { .. }, S::Deleting) => Go,
        (_, S::Deleting) => Refuse,
        (R::Start, S::Running) => Already,
        (R::Start, S::Created | S::Stopped | S::Error) => Go,
        (R::Start, _) => Refuse,
        (R::Stop, S::Created | S::Stopped) => Already,
        (R::Stop | R::Kill, S::Running | S::Starting | S::Stopping | S::Error) => Go,
        (R::Stop | R::Kill, _) => Refuse,
        (R::Restart, S::Running | S::Created | S::Stopped | S::Error) => Go,
        (R::Restart, _) => Refuse,
        (R::Delete { force: false }, S::Running | S::Starting) => Refuse,
        (R::Delete { .. }, _) => Go,
        (R::Set, _) => Go,
        (R::Save, S::Created | S::Stopped | S::Error) => Go,
        (R::Save, _) => Refuse,
        (R::Reach, S::Running) => Go,
        (R::Reach, _) => Refuse,
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
            let message = format!("VM \"{name}\" is {state}");
            let hint = match (request, state) {
                (_, VmState::Deleting) => "it is being deleted; wait for it".to_owned(),
                (Request::Delete { .. }, _) => {
                    format!(
                        "stop it first, or delete it with --force: banger vm delete --force {name}"
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

    #[test]
    fn the_table_of_requests_and_states_holds() {
        use VmState::{Created, Deleting, Error, Running, Starting, Stopped, Stopping};
        let states = [
            Created, Starting, Running, Stopping, Stopped, Error, Deleting,
        ];
        let table = [
            (R::Start, [Go, Refuse, Already, Refuse, Go, Go, Refuse]),
            (R::Stop, [Already, Go, Go, Go, Already, Go, Refuse]),
            (R::Restart, [Go, Refuse, Go, Refuse, Go, Go, Refuse]),
            (R::Kill, [Refuse, Go, Go, Go, Refuse, Go, Refuse]),
            (
                R::Delete { force: false },
                [Go, Refuse, Refuse, Go, Go, Go, Go],
            ),
            (R::Delete { force: true }, [Go, Go, Go, Go, Go, Go, Go]),
            (R::Set, [Go, Go, Go, Go, Go, Go, Refuse]),
            (R::Save, [Go, Refuse, Refuse, Refuse, Go, Go, Refuse]),
            (
                R::Reach,
                [Refuse, Refuse, Go, Refuse, Refuse, Refuse, Refuse],
            ),
        ];
        for (request, verdicts) in table {
            for (state, expected) in states.into_iter().zip(verdicts) {
                assert_eq!(verdict(request, state), expected, "{request:?} in {state}");
            }
        }
    }

    #[test]
    fn a_refusal_names_the_vm_its_state_and_the_next_step() {
        let error = check(R::Delete { force: false }, "web", VmState::Running).unwrap_err();
        assert_eq!(error.message, "VM \"web\" is running");
        assert!(error.hint.unwrap().contains("--force web"));
    }
}
