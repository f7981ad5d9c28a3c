//! `banger vm set`

use std::collections::BTreeMap;

use banger_api::kernel::KernelChoice;
use banger_api::network::ChangeNetwork;
use banger_api::vm::{RestartPolicy, SetVm, Vm};
use banger_api::{ByteSize, Label, LabelKey, LabelValue, VmName};

use banger_client::Client;
use banger_secret::SecretName;

use super::spec::{NetWish, Network, vcpu};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::vm::Changed;

/// Arguments of `banger vm set`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("setting")
        .required(true)
        .multiple(true)
        .args(["name", "kernel", "vcpu", "memory", "disk_size", "net", "egress", "allow", "deny", "secrets", "no_secrets", "publish", "restart", "labels", "remove_labels"]),
    override_usage = "banger vm set <VM> <SETTING>...",
    after_long_help = "\
What is not named stays. Settings apply at the next start; name, labels, rules, secrets and the size of the work disk at once, and the \
egress, published ports and NAME network of a VM on banger's own network too; a disk can only grow. Rules are added; banger vm net removes them.

Examples:
  banger vm set web --vcpu 4 --memory 8G
  banger vm set web --disk-size 32G
  banger vm set web --publish 8080:80 --publish 8443:443
  banger vm set web --kernel image
  banger vm set web --secret openai=api.openai.com --no-secret old
  banger vm set web --label team=red --remove-label job
  banger vm set web --name web-old"
)]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// New name
    #[arg(long, value_name = "NAME")]
    name: Option<VmName>,
    /// Its kernel, or `image` for the one that is installed in its root
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<KernelChoice>,
    /// Virtual CPUs
    #[arg(long, value_name = "N", alias = "cpus", value_parser = vcpu)]
    vcpu: Option<u32>,
    /// Memory, like 2G
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Work disk, like 16G
    #[arg(long, value_name = "SIZE")]
    disk_size: Option<ByteSize>,
    /// Restart policy after a crash or reboot of the host: no or always
    #[arg(long, value_name = "WHEN")]
    restart: Option<RestartPolicy>,
    /// Set a label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Remove a label; repeatable
    #[arg(long = "remove-label", value_name = "KEY")]
    remove_labels: Vec<LabelKey>,
    /// A secret that it is to use no more; repeatable
    #[arg(long = "no-secret", value_name = "NAME", help_heading = "Network")]
    no_secrets: Vec<SecretName>,
    #[command(flatten)]
    network: Network,
}

/// Changes a VM's settings and prints its name.
///
/// # Errors
/// There is no such VM, or a value is not allowed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let rules = &ChangeNetwork {
        allow: args.network.allowed(),
        deny: args.network.denied(),
        secrets: args.network.secrets(),
        forget_secrets: args.no_secrets.iter().map(ToString::to_string).collect(),
        ..ChangeNetwork::default()
    };
    let egress = args.network.egress();
    let publish = args.network.publish.clone();
    let set = &SetVm {
        name: args.name,
        kernel: args.kernel,
        vcpu: args.vcpu,
        memory: args.memory,
        disk_size: args.disk_size,
        net: args.network.mode(),
        join: args.network.join(),
        leave: matches!(args.network.net, Some(NetWish::Mode(_))),
        egress,
        publish: (!publish.is_empty()).then_some(publish),
        restart: args.restart,
        labels: labels(args.labels, args.remove_labels)?,
    };
    let change = |client: Client| async move {
        let vm = client.set_vm(reference, set).await?;
        if *rules == ChangeNetwork::default() {
            return Ok(vm);
        }
        let network = client.change_network(&vm.id.to_string(), rules).await?;
        let (rules, secrets) = (network.rules, network.secrets);
        Ok(Vm {
            rules,
            secrets,
            ..vm
        })
    };
    let vm = context.session.change(change).await?;
    if vm.restart_needed {
        context.output.note(&format!(
            "VM {} runs: this applies at its next start (banger vm restart {})",
            vm.name, vm.name
        ));
    }
    context.output.print(&Changed(vm))
}

/// The change of labels: a value sets one, none removes it.
fn labels(
    set: Vec<Label>,
    removed: Vec<LabelKey>,
) -> Result<BTreeMap<LabelKey, Option<LabelValue>>, Failure> {
    let set = set.into_iter().map(|label| (label.key, Some(label.value)));
    let mut labels: BTreeMap<_, _> = set.collect();
    for key in removed {
        if let Some(Some(value)) = labels.get(&key) {
            let message = format!("label {key} is set to \"{value}\" and removed at once");
            return Err(Failure::usage(message));
        }
        labels.insert(key, None);
    }
    Ok(labels)
}
