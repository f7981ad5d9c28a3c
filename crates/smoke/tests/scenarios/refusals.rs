//! Refusals of bad input: an error and a hint that name the value, the allowed ones and the nearest match; the right
//! exit code; nothing on standard output; no trace.

use std::fs;
use std::io;

use banger_smoke::{Finished, Sandbox, step};

use crate::guests::{MINIMAL, minimal};

/// Words of the command, its exit code, and the names that its error must contain.
type Refusal<'a> = (&'a [&'a str], i32, &'a [&'a str]);

/// An error line and a hint line.
const LINES: usize = 2;

/// Defects of a refusal; empty if it is as it should be.
fn complaints(refused: &Finished, code: i32, named: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if refused.code != Some(code) {
        wrong.push(format!("exit code {code} was expected"));
    }
    for name in named {
        if !refused.err().contains(name) {
            wrong.push(format!("{name:?} should be named"));
        }
    }
    if refused.err().lines().count() > LINES {
        wrong.push(format!("more than {LINES} lines"));
    }
    if !refused.stdout.is_empty() {
        wrong.push("nothing belongs on standard output".to_owned());
    }
    wrong
        .iter()
        .map(|what| format!("{what}: {refused}\n"))
        .collect()
}

/// Tries all of them before any of them fails the scenario.
fn all_refused(sandbox: &Sandbox, refusals: &[Refusal<'_>]) {
    let wrong: Vec<String> = refusals
        .iter()
        .flat_map(|(words, code, named)| complaints(&sandbox.banger(words).run(), *code, named))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_values_are_refused_and_leave_nothing() {
    let sandbox = Sandbox::new();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--vcpu", "0"], 2, &["vcpu", "0"]),
        (&["--vcpu", "100000"], 2, &["100000", "255"]),
        (&["--memory", "lots"], 2, &["lots", "4G"]),
        (&["--memory", "1"], 2, &["memory"]),
        (&["--memory", "900T"], 2, &["900"]),
        (&["--disk-size", "0"], 2, &["disk"]),
        (&["--disk-size", "900T"], 2, &["900"]),
        (&["--name", "Bad_Name"], 2, &["Bad_Name"]),
        (&["--name", "../../etc"], 2, &["../../etc"]),
        (&["--net", "brigde"], 2, &["brigde", "user"]),
        (&["--publish", "80"], 2, &["80", "HOSTPORT:GUESTPORT"]),
        (&["--kernel", "no-such-kernel"], 3, &["no-such-kernel"]),
        (&["--engine", "qmeu"], 2, &["qmeu", "qemu"]),
    ];
    let create = ["vm", "create", "--no-start", "--image", MINIMAL];
    let commands: Vec<Vec<&str>> = cases
        .iter()
        .map(|case| [&create, case.0].concat())
        .collect();
    let refusals: Vec<Refusal<'_>> = commands
        .iter()
        .zip(cases)
        .map(|(words, case)| (&words[..], case.1, case.2))
        .collect();
    step("values", || all_refused(&sandbox, &refusals));
    step("an image that is nearly one", || {
        let words = ["vm", "create", "--no-start", "--image", "debian-minimla"];
        all_refused(
            &sandbox,
            &[(&words, 3, &["debian-minimla", "debian-minimal"])],
        );
    });
    step("no row and no file came of it", || sandbox.assert_no_vm());
}

#[test]
fn unknown_things_exit_with_3_and_misspelt_commands_with_2() {
    let sandbox = Sandbox::new();
    all_refused(
        &sandbox,
        &[
            (&["vm", "show", "nobody"], 3, &["nobody"]),
            (&["vm", "start", "nobody"], 3, &["nobody"]),
            (&["vm", "stop", "nobody"], 3, &["nobody"]),
            (&["vm", "restart", "nobody"], 3, &["nobody"]),
            (&["vm", "kill", "nobody"], 3, &["nobody"]),
            (&["vm", "delete", "nobody"], 3, &["nobody"]),
            (&["exec", "nobody", "--", "true"], 3, &["nobody"]),
            (&["logs", "nobody"], 3, &["nobody"]),
            (&["vm", "set", "nobody", "--vcpu", "2"], 3, &["nobody"]),
            (
                &["image", "show", "debian-minimall"],
                3,
                &["debian-minimall", "\"debian-minimal\""],
            ),
            (
                &["image", "build", "debian-bokworm"],
                3,
                &["debian-bokworm", "debian-bookworm"],
            ),
            (&["kernel", "show", "nothing"], 3, &["nothing"]),
            (
                &["kernel", "import", "/no/such/file"],
                2,
                &["/no/such/file"],
            ),
            (&["vm", "lits"], 2, &["lits", "list"]),
            (&["vmm"], 2, &["vmm", "vm"]),
            (&["vm", "create", "--vpcu", "2"], 2, &["--vpcu", "--vcpu"]),
            (&["exec", "-w"], 2, &["--workdir"]),
        ],
    );

    step(
        "--json: the error is an object with a stable code, on standard error",
        || {
            let refused = sandbox
                .banger(&["vm", "show", "nobody", "--json"])
                .run()
                .exits(3);
            let error = refused.json_error();
            assert_eq!(error["code"], "not_found", "{refused}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains("nobody"), "{refused}");
        },
    );

    step(
        "images and kernels that something needs cannot be deleted",
        || {
            minimal(
                &sandbox,
                &["vm", "create", "--no-start", "--name", "user"],
                &[],
            )
            .ok();
            sandbox
                .banger(&["image", "delete", MINIMAL])
                .run()
                .exits(4)
                .says("user");
            let vm = sandbox.vm("user");
            let kernel = vm["kernel"].as_str().unwrap_or_default();
            sandbox
                .banger(&["kernel", "delete", kernel])
                .run()
                .exits(4)
                .says("user");
        },
    );
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place_and_the_nearest_key() -> io::Result<()> {
    let sandbox = Sandbox::empty();
    let config = sandbox.banger_home().join("config.toml");
    let cases: &[(&str, &[&str])] = &[
        (
            "defualt_image = \"debian-minimal\"\n",
            &["line 1", "defualt_image", "\"default_image\""],
        ),
        (
            "[vm_defaults]\nvcpus = 2\n",
            &["line 2", "vcpus", "\"vcpu\""],
        ),
        ("[vm_defaults]\nvcpu = 0\n", &["vm_defaults.vcpu"]),
        (
            "[vm_defaults]\ndisk_size = \"big\"\n",
            &["line 2", "big", "4G"],
        ),
        (
            "[network]\nmode = \"brigde\"\n",
            &["line 2", "brigde", "user"],
        ),
        ("log_level = \"loud\"\n", &["log_level", "loud", "info"]),
        ("log_level = \n", &["config.toml", "line 1"]),
    ];
    let mut wrong = Vec::new();
    for (text, named) in cases {
        fs::write(&config, text)?;
        wrong.extend(complaints(&sandbox.banger(&["ps"]).run(), 2, named));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    step("a right one is taken", || {
        fs::write(
            &config,
            "default_image = \"debian-minimal\"\n[vm_defaults]\nvcpu = 3\n",
        )?;
        sandbox.banger(&["ps"]).ok();
        Ok(())
    })
}
