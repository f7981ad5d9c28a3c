//! `banger metrics`

use std::fmt::Write as _;

use banger_api::vm::{Vm, VmState, VmStats};

use super::vm::chosen::{Selector, labelled};
use crate::context::Context;
use crate::failure::Outcome;
use crate::references;

/// Arguments of `banger metrics`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Text that Prometheus reads, as its node exporter's textfile collector does. Gauges of a VM that does not run are absent; what \
begins with banger_vm_guest_ is the guest's own word.

Examples:
  banger metrics
  banger metrics --label team=red
  banger metrics > /var/lib/node_exporter/banger.prom.new")]
pub struct Args {
    #[command(flatten)]
    selector: Selector,
}

/// Prints the state and use of all VMs in Prometheus' text format (version 0.0.4).
///
/// # Errors
/// The daemon does not answer, or a VM was deleted meanwhile.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vms = labelled(&args.selector.labels, context).await?;
    let results = references::act(vms.clone(), |vm| async move {
        let reference = &vm.id.to_string();
        context
            .session
            .read(|client| async move { client.vm_stats(reference).await })
            .await
    })
    .await;
    context.output.data(text(&vms, &results.done).as_bytes())?;
    results.failure.map_or(Ok(0), Err)
}

/// One metric: its name, kind, help, and a value for each VM that has one.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&VmStats) -> Option<f64>,
}

/// Metrics of each VM.
const METRICS: [Metric; 8] = [
    Metric {
        name: "banger_vm_host_cpu_seconds_total",
        kind: "counter",
        help: "CPU time that the VMM has used on the host.",
        value: |vm| vm.host_cpu_ms.map(seconds),
    },
    Metric {
        name: "banger_vm_host_memory_bytes",
        kind: "gauge",
        help: "Memory that the VMM holds on the host.",
        value: |vm| vm.host_memory_bytes.map(number),
    },
    Metric {
        name: "banger_vm_disk_allocated_bytes",
        kind: "gauge",
        help: "Bytes allocated on the host for the work disk.",
        value: |vm| Some(number(vm.disk_allocated_bytes)),
    },
    Metric {
        name: "banger_vm_overlay_allocated_bytes",
        kind: "gauge",
        help: "Bytes allocated on the host for the system overlay.",
        value: |vm| Some(number(vm.overlay_allocated_bytes)),
    },
    Metric {
        name: "banger_vm_conditions",
        kind: "gauge",
        help: "Problems of the VM while it runs.",
        value: |vm| u32::try_from(vm.conditions.len()).ok().map(f64::from),
    },
    Metric {
        name: "banger_vm_guest_uptime_seconds",
        kind: "gauge",
        help: "Time since the guest's boot.",
        value: |vm| vm.guest.as_ref().map(|guest| seconds(guest.uptime_ms)),
    },
    Metric {
        name: "banger_vm_guest_load1",
        kind: "gauge",
        help: "Load of the guest over one minute.",
        value: |vm| vm.guest.as_ref().map(|guest| guest.load[0]),
    },
    Metric {
        name: "banger_vm_guest_processes",
        kind: "gauge",
        help: "Processes and threads in the guest.",
        value: |vm| vm.guest.as_ref().map(|guest| f64::from(guest.processes)),
    },
];

fn seconds(ms: u64) -> f64 {
    number(ms) / 1000.0
}

/// A count as the format's floating-point numbers have it: exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

fn text(vms: &[Vm], stats: &[VmStats]) -> String {
    let mut text = String::new();
    head(&mut text, "banger_vms", "gauge", "VMs by their state.");
    for state in VmState::ALL {
        let count = vms.iter().filter(|vm| vm.state == state).count();
        line(&mut text, "banger_vms", &[("state", state.as_str())], count);
    }
    head(&mut text, "banger_vm_info", "gauge", "A VM that exists.");
    for vm in vms {
        let (name, id) = (vm.name.to_string(), vm.id.to_string());
        let (image, engine) = (vm.image.to_string(), vm.engine.to_string());
        let labels = [
            ("vm", name.as_str()),
            ("id", &id),
            ("image", &image),
            ("engine", &engine),
            ("state", vm.state.as_str()),
        ];
        line(&mut text, "banger_vm_info", &labels, 1);
    }
    for metric in &METRICS {
        head(&mut text, metric.name, metric.kind, metric.help);
        for vm in stats {
            if let Some(value) = (metric.value)(vm).filter(|value| value.is_finite()) {
                let name = vm.name.to_string();
                line(&mut text, metric.name, &[("vm", name.as_str())], value);
            }
        }
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
        .collect();
    let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
}

/// The value of a label, as the format has it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample_and_every_name_has_a_type() {
        let stats: VmStats = serde_json::from_value(serde_json::json!({
            "id": "0193a5b0-0000-7000-8000-000000000001", "name": "web", "state": "running",
            "host_cpu_ms": 1500, "host_memory_bytes": 17_825_792_u64,
            "disk_allocated_bytes": 4096, "overlay_allocated_bytes": 8192, "guest": null,
        }))
        .unwrap();
        let text = text(&[], &[stats]);
        assert!(
            text.contains("banger_vm_host_cpu_seconds_total{vm=\"web\"} 1.5\n"),
            "{text}"
        );
        assert!(
            text.contains("banger_vm_host_memory_bytes{vm=\"web\"} 17825792\n"),
            "{text}"
        );
        assert!(text.contains("banger_vms{state=\"running\"} 0\n"), "{text}");
        assert!(!text.contains("banger_vm_guest_load1{"), "{text}");
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, rest) = sample.split_once('{').unwrap();
            assert!(text.contains(&format!("# TYPE {name} ")), "{sample}");
            let (_, value) = rest.rsplit_once("} ").unwrap();
            value.parse::<f64>().unwrap();
        }
    }

    #[test]
    fn values_of_labels_cannot_end_their_line() {
        let mut text = String::new();
        line(&mut text, "m", &[("a", "x\"\\\n}")], 1);
        assert_eq!(text, "m{a=\"x\\\"\\\\\\n}\"} 1\n");
    }
}
