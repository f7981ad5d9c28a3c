//! Recovery before the first request: it cleans up after a crash, and starts lost VMs again.

use banger_api::ApiError;
use banger_ops::{Recovered, Recovery};
use banger_store::vm;

use crate::Control;
use crate::vm::{ensure_net, forget_half_made, give_ports, start_again};

/// Recovers, watches the VMMs that run on and their network processes, replaces those that died, and starts the VMs that are to run always and were lost. Blocks.
///
/// # Errors
/// Only when the store cannot be read: a single thing that cannot be recovered is reported in [`Recovered::failed`].
pub fn recover(control: &Control) -> Result<Recovered, ApiError> {
    let mut recovered = Recovery::new(control.runner(), &|id| control.places().vm(id)).run()?;
    for (made_by, id) in recovered.half_made.clone() {
        if let Err(error) = forget_half_made(control, made_by, id) {
            let record = control.read(|db| vm::by_id(db, id))?;
            let name = record.map_or_else(|| id.to_string(), |record| record.name.to_string());
            let message = format!(
                "VM {name} is half made and cannot be deleted: {}",
                error.message
            );
            recovered.failed.push(message);
        }
    }
    for id in &recovered.adopted {
        if let Some(record) = control.read(|db| vm::by_id(db, *id))? {
            control.environment().vm_runs(control, &record);
            control.environment().net_runs(control, &record);
            if record.ephemeral {
                control.environment().run_is_expected(control, *id);
            }
        }
    }
    for id in &recovered.adopted {
        if let Err(error) = ensure_net(control, *id) {
            let message = format!("VM {id} has no network: {}", error.message);
            recovered.failed.push(message);
        }
        // A change of its ports may have been cut off. One that does not answer is replaced, by one that has them.
        if let Err(error) = give_ports(control, *id) {
            tracing::warn!(vm = %id, %error, "published ports");
        }
    }
    start_again(control)?;
    Ok(recovered)
}
