//! Settings that are asked for with an existing VM, compared with those that it has.

use banger_api::kernel::KernelChoice;
use banger_api::network::RuleAction;
use banger_api::vm::{Publish, Vm};
use banger_api::{ApiError, ByteSize, ErrorCode, Label};

use super::{NetWish, Network, Spec};
use crate::context::Context;
use crate::failure::Failure;

/// One setting that was asked for and that the VM does not have.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    /// `memory is 2 GiB, not 4 GiB`
    told: String,
    /// Words of `vm set` that change it; `None`: a VM keeps it for life.
    set: Option<String>,
}

impl Spec {
    /// Refuses to pass over a setting that `vm`, which exists, does not have.
    ///
    /// # Errors
    /// Every difference with the way to get what was asked for, or the image that is named cannot be looked at.
    pub async fn fits(&self, vm: &Vm, context: &Context) -> Result<(), Failure> {
        let mut all = Vec::new();
        if let Some(image) = &self.image
            && let Some(other) = image.other_than(&vm.image, context).await?
        {
            all.push(fixed("image", vm.image.as_str(), &other));
        }
        all.extend(self.differences(vm));
        match all.is_empty() {
            true => Ok(()),
            false => Err(refusal(vm, &all).into()),
        }
    }

    /// Every setting but the image. A new setting does not compile until somebody has decided here.
    fn differences(&self, vm: &Vm) -> Vec<Difference> {
        let Self {
            name: _,
            image: _,
            kernel,
            engine,
            vcpu,
            memory,
            disk_size,
            overlay_size,
            restart,
            labels,
            network,
            // A VM that exists keeps what it was made with.
            narrow: _,
            // It is of one start, and no setting.
            no_template: _,
        } = self;
        let Network {
            net,
            egress: _,
            allow: _,
            deny: _,
            secrets,
            publish,
        } = network;
        let mut all = Vec::new();
        let has = match vm.own_kernel {
            true => KernelChoice::Image,
            false => KernelChoice::Named(vm.kernel.clone()),
        };
        if let Some(kernel) = kernel.as_ref().filter(|kernel| **kernel != has) {
            all.push(settable(
                "kernel",
                has,
                kernel,
                format!("--kernel {kernel}"),
            ));
        }
        // `auto` asks for none in particular.
        let engine = engine.as_ref().filter(|engine| engine.as_str() != "auto");
        if let Some(engine) = engine.filter(|engine| **engine != vm.engine) {
            all.push(fixed("engine", vm.engine.as_str(), engine.as_str()));
        }
        if let Some(vcpu) = vcpu.filter(|vcpu| *vcpu != vm.vcpu) {
            all.push(settable("vcpu", vm.vcpu, vcpu, format!("--vcpu {vcpu}")));
        }
        let has = ByteSize::mib(vm.memory_mib.into());
        if let Some(memory) = memory.filter(|memory| memory.as_mib() != u64::from(vm.memory_mib)) {
            all.push(settable("memory", has, memory, size("--memory", memory)));
        }
        let has = ByteSize(vm.disk_bytes);
        if let Some(disk) = disk_size.filter(|disk| blocks(*disk) != has) {
            // A work disk never shrinks.
            all.push(match disk > has {
                true => settable("work disk", has, disk, size("--disk-size", disk)),
                false => fixed("work disk", has, disk),
            });
        }
        let has = ByteSize(vm.overlay_bytes);
        if let Some(overlay) = overlay_size.filter(|overlay| blocks(*overlay) != has) {
            all.push(fixed("system overlay", has, overlay));
        }
        if let Some(restart) = restart.filter(|restart| *restart != vm.restart) {
            let set = format!("--restart {restart}");
            all.push(settable("restart", vm.restart, restart, set));
        }
        match net {
            Some(NetWish::Mode(net)) if *net != vm.net => {
                all.push(settable("net", vm.net, *net, format!("--net {net}")));
            }
            Some(NetWish::Join(name)) if vm.joined.as_ref() != Some(name) => {
                let has = vm.joined.as_ref();
                let has = has.map_or_else(|| vm.net.to_string(), ToString::to_string);
                all.push(settable("net", has, name, format!("--net {name}")));
            }
            _ => {}
        }
        if let Some(egress) = network.egress().filter(|egress| *egress != vm.egress) {
            let set = format!("--egress {egress}");
            all.push(settable("egress", vm.egress, egress, set));
        }
        let rules = [
            (RuleAction::Allow, network.allowed()),
            (RuleAction::Deny, network.denied()),
        ];
        for (action, rules) in rules {
            let has = |rule: &String| {
                let mut all = vm.rules.iter();
                all.any(|one| one.action == action && one.rule == *rule)
            };
            all.extend(
                rules
                    .iter()
                    .filter(|rule| !has(rule))
                    .map(|rule| Difference {
                        told: format!("it has no rule {action} {rule}"),
                        set: Some(format!("--{action} {rule}")),
                    }),
            );
        }
        let secrets = secrets.iter().map(ToString::to_string);
        let lacking = secrets.filter(|one| !vm.secrets.contains(one));
        all.extend(lacking.map(|one| Difference {
            told: format!("it does not use secret {one}"),
            set: Some(format!("--secret {one}")),
        }));
        all.extend(labels.iter().filter_map(|label| of_label(label, vm)));
        all.extend(of_publish(publish, vm));
        all
    }
}

/// The label that a VM lacks, or has with another value.
fn of_label(label: &Label, vm: &Vm) -> Option<Difference> {
    let has = vm.labels.iter().find(|(key, _)| **key == label.key);
    if has.is_some_and(|(_, value)| *value == label.value) {
        return None;
    }
    let has = has.map_or("absent".to_owned(), |(_, value)| value.to_string());
    let set = format!("--label {}={}", label.key, label.value);
    let what = format!("label {}", label.key);
    Some(settable(&what, has, &label.value, set))
}

/// Ports that are missing. `vm set` takes the whole list, so those that the VM has are in it.
fn of_publish(asked: &[Publish], vm: &Vm) -> Option<Difference> {
    let missing: Vec<_> = asked
        .iter()
        .filter(|port| !vm.publish.contains(port))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let list = |ports: &[Publish]| match ports {
        [] => "nothing".to_owned(),
        ports => {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            ports.join(", ")
        }
    };
    let words: Vec<_> = vm
        .publish
        .iter()
        .chain(missing)
        .map(|port| format!("--publish {port}"))
        .collect();
    let (has, asked) = (list(&vm.publish), list(asked));
    Some(settable("publish", has, asked, words.join(" ")))
}

fn fixed(what: &str, has: impl std::fmt::Display, asked: impl std::fmt::Display) -> Difference {
    Difference {
        told: format!("{what} is {has}, not {asked}"),
        set: None,
    }
}

fn settable(
    what: &str,
    has: impl std::fmt::Display,
    asked: impl std::fmt::Display,
    set: String,
) -> Difference {
    Difference {
        set: Some(set),
        ..fixed(what, has, asked)
    }
}

/// The size that a disk asked for like this has: whole blocks of ext4.
fn blocks(size: ByteSize) -> ByteSize {
    ByteSize(size.0 / 4096 * 4096)
}

/// A flag with a size, as it can be typed.
fn size(flag: &str, size: ByteSize) -> String {
    let units = [
        (ByteSize::gib(1), 'G'),
        (ByteSize::mib(1), 'M'),
        (ByteSize(1024), 'K'),
    ];
    let whole = units.iter().find(|(unit, _)| size.0.is_multiple_of(unit.0));
    match whole {
        Some((unit, letter)) => format!("{flag} {}{letter}", size.0 / unit.0),
        None => format!("{flag} {}B", size.0),
    }
}

fn refusal(vm: &Vm, all: &[Difference]) -> ApiError {
    let name = &vm.name;
    let told: Vec<_> = all
        .iter()
        .map(|difference| difference.told.as_str())
        .collect();
    let message = format!("VM \"{name}\" exists and differs: {}", told.join("; "));
    let set: Vec<_> = all
        .iter()
        .filter_map(|difference| difference.set.as_deref())
        .collect();
    let change = format!(
        "banger vm set {name} {} changes it for its next start",
        set.join(" ")
    );
    let hint = match (set.len() == all.len(), set.is_empty()) {
        (true, _) => format!("{change}; another --name makes a VM of its own"),
        (false, true) => {
            "another --name makes a VM of its own, or --rm without --name one for this command"
                .to_owned()
        }
        (false, false) => format!(
            "another --name makes a VM of its own, or --rm without --name one for this command; of these settings, {change}"
        ),
    };
    ApiError::new(ErrorCode::NameTaken, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        spec: Spec,
    }

    fn vm() -> Vm {
        serde_json::from_value(serde_json::json!({
            "id": "0193a5b0-0000-7000-8000-000000000001", "name": "web", "state": "running",
            "image": "debian-minimal", "kernel": "debian-cloud", "engine": "qemu", "vcpu": 2,
            "memory_mib": 2048, "disk_bytes": 8_u64 << 30, "overlay_bytes": 8_u64 << 30,
            "net": "user", "egress": "all",
            "publish": [{"host_ip": "127.0.0.1", "host_port": 80, "guest_port": 80}],
            "address": null, "created_at": "2026-01-01T00:00:00.000Z", "started_at": null,
            "ephemeral": false, "restart_needed": false, "error": null,
        }))
        .unwrap()
    }

    fn differences(words: &[&str]) -> Vec<(String, Option<String>)> {
        let line = Line::try_parse_from([&["x"], words].concat()).unwrap();
        let all = line.spec.differences(&vm()).into_iter();
        all.map(|one| (one.told, one.set)).collect()
    }

    #[test]
    fn what_the_vm_has_already_is_no_difference() {
        for words in [
            &[][..],
            &["--kernel", "debian-cloud", "--engine", "qemu"],
            &["--engine", "auto", "--vcpu", "2", "--memory", "2048M"],
            &["--disk-size", "8G", "--overlay-size", "8192M"],
            &["--restart", "no", "--net", "user", "--allow", "all"],
            &["--publish", "80:80"],
        ] {
            assert_eq!(differences(words), [], "{words:?}");
        }
    }

    #[test]
    fn each_setting_that_differs_is_named_with_the_words_that_change_it() {
        for (words, told, set) in [
            (
                &["--kernel", "k"][..],
                "kernel is debian-cloud, not k",
                Some("--kernel k"),
            ),
            (
                &["--kernel", "image"],
                "kernel is debian-cloud, not image",
                Some("--kernel image"),
            ),
            (&["--engine", "x"], "engine is qemu, not x", None),
            (&["--vcpu", "4"], "vcpu is 2, not 4", Some("--vcpu 4")),
            (
                &["--memory", "1536M"],
                "memory is 2 GiB, not 1.5 GiB",
                Some("--memory 1536M"),
            ),
            (
                &["--disk-size", "9G"],
                "work disk is 8 GiB, not 9 GiB",
                Some("--disk-size 9G"),
            ),
            (
                &["--disk-size", "4G"],
                "work disk is 8 GiB, not 4 GiB",
                None,
            ),
            (
                &["--overlay-size", "9G"],
                "system overlay is 8 GiB, not 9 GiB",
                None,
            ),
            (
                &["--restart", "always"],
                "restart is no, not always",
                Some("--restart always"),
            ),
            (
                &["--net", "none"],
                "net is user, not none",
                Some("--net none"),
            ),
            (
                &["--allow", "none"],
                "egress is all, not none",
                Some("--egress none"),
            ),
            (
                &["--allow", "host:5432"],
                "it has no rule allow host:5432",
                Some("--allow host:5432"),
            ),
            (
                &["--label", "team=web"],
                "label team is absent, not web",
                Some("--label team=web"),
            ),
            (
                &["--publish", "90:90"],
                "publish is 127.0.0.1:80:80, not 127.0.0.1:90:90",
                Some("--publish 127.0.0.1:80:80 --publish 127.0.0.1:90:90"),
            ),
        ] {
            let expected = (told.to_owned(), set.map(str::to_owned));
            assert_eq!(differences(words), [expected], "{words:?}");
        }
    }

    #[test]
    fn the_way_is_told_by_what_can_be_changed() {
        let settable = settable("vcpu", 2, 4, "--vcpu 4".to_owned());
        let fixed = fixed("kernel", "a", "b");
        let hint = |all: &[Difference]| refusal(&vm(), all).hint.unwrap();
        let only = hint(std::slice::from_ref(&settable));
        assert!(only.starts_with("banger vm set web --vcpu 4 changes it"));
        assert!(!hint(std::slice::from_ref(&fixed)).contains("vm set"));
        let both = hint(&[fixed, settable]);
        assert!(both.contains("another --name") && both.contains("vm set web --vcpu 4"));
    }
}
