//! The VMs that a command works on: by name, or by label.

use banger_api::LabelFilter;
use banger_api::vm::Vm;

use super::change::find;
use crate::context::Context;
use crate::failure::Failure;
use crate::references;

/// Labels that select VMs.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selector {
    /// Only VMs with this label; repeated: with all of these
    #[arg(long = "label", id = "label", value_name = "KEY[=VALUE]")]
    pub labels: Vec<LabelFilter>,
}

/// VMs by name, or all that labels select.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// VMs: names, ids or starts of ids
    #[arg(value_name = "VM", required_unless_present = "label")]
    vms: Vec<String>,
    /// In place of names: all VMs with this label; repeated: with all of these
    #[arg(
        long = "label",
        id = "label",
        value_name = "KEY[=VALUE]",
        conflicts_with = "vms"
    )]
    labels: Vec<LabelFilter>,
}

impl Chosen {
    /// The VMs, each once. Labels that select none are told, and are no failure.
    ///
    /// # Errors
    /// Every reference that names none.
    pub async fn find(&self, context: &Context) -> Result<Vec<Vm>, Failure> {
        match self.labels.is_empty() {
            true => named(&self.vms, context).await,
            false => labelled(&self.labels, context).await,
        }
    }
}

/// The VMs that are named, each once.
///
/// # Errors
/// Every reference that names none.
pub async fn named(names: &[String], context: &Context) -> Result<Vec<Vm>, Failure> {
    let find = |reference: String| async move { find(&reference, context).await };
    references::resolve(names, find, |vm| vm.id).await
}

/// All VMs that every one of these labels selects; that there are none is told.
///
/// # Errors
/// They cannot be listed.
pub async fn labelled(labels: &[LabelFilter], context: &Context) -> Result<Vec<Vm>, Failure> {
    let list = |client: banger_client::Client| async move { client.vms_with(labels).await };
    let vms = context.session.read(list).await?;
    if vms.is_empty() && !labels.is_empty() {
        let labels: Vec<_> = labels.iter().map(ToString::to_string).collect();
        let labels = labels.join(" and ");
        context
            .output
            .note(&format!("no VM has the label {labels}"));
    }
    Ok(vms)
}
