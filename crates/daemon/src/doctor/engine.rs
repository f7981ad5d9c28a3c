//! The VMM: that it is there, which one, and that it works.

use banger_api::doctor::Check;
use banger_control::vm::jail_level;
use banger_engine::{
    Accel, Controllers, Delegation, Engine as _, JailMode, JailTrial, NoDelegation, Probe,
    QemuEngine,
};

use crate::failure::chain;

pub(super) fn checks(mode: JailMode) -> Vec<Check> {
    let qemu = QemuEngine::new();
    let probe = qemu.probe();
    let mut checks = vec![program(&probe)];
    if probe.available.is_ok() {
        checks.push(acceleration(&probe));
        checks.push(machine(&qemu, probe.accel));
        checks.push(jail(mode, &qemu.try_jail()));
        checks.push(limits(&Delegation::look()));
    }
    checks
}

fn program(probe: &Probe) -> Check {
    let install = "install package qemu-system-x86";
    let path = match &probe.available {
        Ok(path) => path.display(),
        Err(cause) => return Check::fail("engine", cause, install),
    };
    let Some(version) = &probe.version else {
        let cause = format!("{path} does not say its version");
        return Check::fail("engine", cause, install);
    };
    let cause = format!("{} {version} at {path}", probe.kind);
    let (major, minor) = QemuEngine::OLDEST;
    // A version of another form is left to the trial.
    match banger_engine::version_numbers(version) {
        Some(found) if found < (major, minor) => {
            let fix = format!("banger needs QEMU {major}.{minor} or newer");
            Check::fail("engine", cause, fix)
        }
        _ => Check::ok("engine", cause),
    }
}

fn acceleration(probe: &Probe) -> Check {
    let (name, cause) = ("acceleration", &probe.accel_reason);
    match probe.accel {
        Accel::Kvm => Check::ok(name, cause),
        Accel::Tcg => Check::warn(
            name,
            cause,
            "everything works, several times slower; on a machine with KVM: add yourself to the group of /dev/kvm",
        ),
    }
}

fn machine(qemu: &QemuEngine, accel: Accel) -> Check {
    match qemu.trial(accel) {
        Ok(()) => Check::ok(
            "machine",
            format!("a machine starts, with {accel} and a user network"),
        ),
        Err(cause) => Check::fail(
            "machine",
            format!("a trial machine with {accel} does not start: {cause}"),
            "install the distribution's whole QEMU for x86-64 (package qemu-system-x86)",
        ),
    }
}

/// The layers around a VMM that this host gives, and the settings that keep the others away.
fn jail(mode: JailMode, trial: &JailTrial) -> Check {
    let name = "jail";
    if mode == JailMode::Off {
        let cause = "[vmm] jail = \"off\": a hole in the VMM is a hole in your account";
        return Check::warn(name, cause, "remove that line: \"auto\" is the default");
    }
    let level = jail_level(&trial.layers);
    if trial.missing.is_empty() {
        let landlock = trial.layers.landlock_abi.unwrap_or_default();
        let cause = format!("{level}: namespaces, landlock (version {landlock}), seccomp");
        return Check::ok(name, cause);
    }
    let causes: Vec<_> = trial
        .missing
        .iter()
        .map(|(error, _)| chain(error))
        .collect();
    let cause = format!("{level}: {}", causes.join("; "));
    let known: Vec<_> = trial.missing.iter().filter_map(|(_, fix)| *fix).collect();
    let fix = match known.is_empty() {
        true => {
            "VMs run without that layer; run banger outside of containers and chroots".to_owned()
        }
        false => known.join("; "),
    };
    match mode {
        JailMode::Require => Check::fail(name, cause, fix),
        JailMode::Auto | JailMode::Off => Check::warn(name, cause, fix),
    }
}

/// The kernel's limits around VMMs. Few hosts give them unasked, and no VM is less safe from others for it: no warning.
fn limits(look: &Result<Controllers, NoDelegation>) -> Check {
    let name = "limits";
    match look {
        Ok(controllers) => Check::ok(name, format!("a control group for each VMM: {controllers}")),
        Err(error) => {
            let fix = error.fix().map(|fix| format!("; {fix}"));
            let cause = format!(
                "no control groups for VMMs: {}{}",
                chain(error),
                fix.unwrap_or_default()
            );
            Check::ok(name, cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Status;
    use banger_engine::{EngineKind, JailError, Layer, Layers};

    use super::*;

    #[test]
    fn a_jail_that_lacks_a_layer_warns_and_fails_only_where_it_is_required() {
        let trial = |lacks: bool| JailTrial {
            layers: Layers {
                namespaces: !lacks,
                network_namespace: !lacks,
                landlock_abi: Some(4),
                seccomp: true,
                user: None,
                control_group: false,
            },
            missing: match lacks {
                false => Vec::new(),
                true => vec![(
                    JailError::Absent {
                        layer: Layer::Namespaces,
                    },
                    Some("set this"),
                )],
            },
        };
        let seen = |mode, lacks| jail(mode, &trial(lacks));
        assert_eq!(seen(JailMode::Require, false).status, Status::Ok);
        assert_eq!(seen(JailMode::Off, false).status, Status::Warn);
        assert_eq!(seen(JailMode::Require, true).status, Status::Fail);
        let told = seen(JailMode::Auto, true);
        assert_eq!(told.status, Status::Warn);
        assert!(told.cause.starts_with("files only: "), "{told:?}");
        assert_eq!(told.fix.as_deref(), Some("set this"));
    }

    #[test]
    fn a_version_that_is_too_old_fails_and_names_the_oldest() {
        let probe = |version: &str| Probe {
            kind: EngineKind::Qemu,
            available: Ok("/q".into()),
            version: Some(version.to_owned()),
            has_datagrams: false,
            accel: Accel::Tcg,
            accel_reason: String::new(),
        };
        for (version, status) in [
            ("6.1.9", Status::Fail),
            ("6.2.0", Status::Ok),
            ("10.0.2", Status::Ok),
            ("git", Status::Ok),
        ] {
            assert_eq!(program(&probe(version)).status, status, "{version}");
        }
        let told = program(&probe("5.0")).fix.unwrap();
        assert!(told.contains("6.2"), "{told}");
    }
}
