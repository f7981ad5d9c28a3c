//! No root: a user who owns nothing but a home runs a VM. Under an ordinary user every scenario tests this anyway.

use banger_smoke::{Leftover, Sandbox, processes_of, step};

use crate::guests::minimal;

#[test]
fn an_ordinary_user_runs_a_vm_without_any_privilege() {
    let Some(sandbox) = Sandbox::new().as_fresh_user() else {
        return;
    };

    step("root in the guest, nobody outside", || {
        minimal(&sandbox, &["vm", "create", "--name", "mine"], &[]).ok();
        assert_eq!(sandbox.in_guest("mine", "id -u"), "0");
        for process in processes_of(&sandbox.banger_home()) {
            let Leftover::Process { pid, command } = process else {
                continue;
            };
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
                .unwrap_or_default();
            let uids = status
                .lines()
                .find_map(|line| line.strip_prefix("Uid:"))
                .unwrap_or_default();
            assert!(
                !uids.split_whitespace().any(|uid| uid == "0"),
                "{command} runs as root: {uids}"
            );
        }
    });

    step("its VMM is in the jail that this host gives", || {
        let shown = sandbox
            .banger(&["vm", "show", "mine", "--json"])
            .ok()
            .json();
        let jail = &shown[0]["jail"];
        let doctor = sandbox.banger(&["doctor", "--json"]).ok().json();
        let checks = doctor["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["name"] == "jail");
        let told = check.and_then(|check| check["cause"].as_str());
        let word = match jail["level"].as_str() {
            Some("full") => "full:",
            Some("files") => "files only:",
            _ => "none:",
        };
        assert!(
            told.is_some_and(|told| told.starts_with(word)),
            "{jail} {told:?}"
        );
        assert_eq!(jail["seccomp"], true, "{jail}");
    });

    step("doctor has no failure for what it needs", || {
        sandbox.banger(&["doctor"]).ok();
    });
}
