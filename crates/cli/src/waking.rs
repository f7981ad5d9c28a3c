//! A VM that somebody connects to by SSH: it is started when it is stopped.

use banger_api::vm::{Vm, VmState};
use banger_api::{ApiError, ErrorCode};
use banger_daemon::Config;

use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{How, follow, start};
use crate::progress::Progress;

/// Waits until the VM runs. One that is stopped is started, and that is said, unless the configuration forbids it.
///
/// # Errors
/// `wrong_state` for one that is not started here; why its start failed.
pub async fn running(vm: &Vm, context: &Context) -> Result<(), Failure> {
    let stopped = match vm.state {
        VmState::Running => return Ok(()),
        // Somebody else starts it: to ask for that again is to wait for it.
        VmState::Starting => false,
        VmState::Created | VmState::Stopping | VmState::Stopped | VmState::Suspended => true,
        VmState::Deleting | VmState::Error => return Err(not_running(vm)),
    };
    if stopped {
        let config = Config::load(context.session.endpoint().paths.config())?;
        if !config.ssh.start_stopped {
            return Err(not_running(vm));
        }
        let (name, state) = (&vm.name, vm.state);
        let starts = format!("VM {name} is {state}: banger starts it");
        context.output.note(&starts);
    }
    let id = &vm.id.to_string();
    let accepted = start(context, |client| async move { client.start_vm(id).await }).await?;
    let progress = &Progress::new(&context.output);
    // The connection may be given up while the VM starts; the next one finds it started.
    follow(context, progress, accepted.operation, None, How::wanted()).await?;
    Ok(())
}

fn not_running(vm: &Vm) -> Failure {
    let name = &vm.name;
    let message = format!("VM \"{name}\" is in state {}", vm.state);
    let hint = match vm.state {
        VmState::Error => format!("banger logs {name} tells why, banger start {name} starts it"),
        VmState::Deleting => "it is being deleted".to_owned(),
        _ => format!("banger start {name}"),
    };
    ApiError::new(ErrorCode::WrongState, message)
        .hint(hint)
        .into()
}
