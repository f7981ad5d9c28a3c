//! What bad input gets: one line that names the value and the nearest match, the right exit code, and no trace.

use std::fs;
use std::io;

use banger_smoke::{Sandbox, step};

use crate::guests::{MINIMAL, minimal};

/// Words of the command, its exit code, and what its error must name.
type Refusal<'a> = (&'a [&'a str], i32, &'a [&'a str]);

#[test]
fn bad_values_are_refused_in_one_line_and_leave_nothing() {
    let sandbox = Sandbox::new();
    let create: &[&str] = &["vm", "create", "--no-start", "--image", MINIMAL];
    let with = |more: &[&'static str]| [create, more].concat();

    let refusals: &[(Vec<&str>, i32, &[&str])] = &[
        (with(&["--vcpu", "0"]), 2, &["vcpu", "0"]),
        (with(&["--vcpu", "100000"]), 2, &["vcpu", "100000"]),
        (with(&["--memory", "lots"]), 2, &["lots"]),
        (with(&["--memory", "1"]), 2, &["memory"]),
        (with(&["--disk-size", "0"]), 2, &["disk"]),
        (with(&["--disk-size", "900T"]), 2, &["900T"]),
        (with(&["--name", "Bad_Name"]), 2, &["Bad_Name"]),
        (with(&["--name", "../../etc"]), 2, &["../../etc"]),
        (with(&["--net", "brigde"]), 2, &["brigde"]),
        (with(&["--publish", "80"]), 2, &["80", "HOSTPORT:GUESTPORT"]),
        (
            with(&["--kernel", "no-such-kernel"]),
            3,
            &["no-such-kernel"],
        ),
        (with(&["--engine", "qmeu"]), 2, &["qmeu", "qemu"]),
        (
            vec!["vm", "create", "--no-start", "--image", "debian-minimla"],
            3,
            &["debian-minimla", "debian-minimal"],
        ),
    ];
    for (words, code, named) in refusals {
        step(&words.join(" "), || {
            let refused = sandbox.banger(words).run().exits(*code);
            for name in *named {
                assert!(
                    refused.err().contains(name),
                    "{name:?} should be named: {refused}"
                );
            }
        });
    }
    step("no row and no file came of it", || sandbox.assert_no_vm());
}

#[test]
fn unknown_things_exit_with_3_and_misspelt_commands_with_2() {
    let sandbox = Sandbox::new();
    let refusals: &[Refusal<'_>] = &[
        (&["vm", "show", "nobody"], 3, &["nobody"]),
        (&["vm", "start", "nobody"], 3, &["nobody"]),
        (&["vm", "stop", "nobody"], 3, &["nobody"]),
        (&["vm", "kill", "nobody"], 3, &["nobody"]),
        (&["vm", "delete", "nobody"], 3, &["nobody"]),
        (&["exec", "nobody", "--", "true"], 3, &["nobody"]),
        (&["logs", "nobody"], 3, &["nobody"]),
        (&["vm", "set", "nobody", "--vcpu", "2"], 3, &["nobody"]),
        (
            &["image", "show", "debian-minimall"],
            3,
            &["debian-minimall", "debian-minimal"],
        ),
        (
            &["image", "build", "debian-bokworm"],
            3,
            &["debian-bokworm", "debian-bookworm"],
        ),
        (&["kernel", "show", "nothing"], 3, &["nothing"]),
        (&["vm", "lits"], 2, &["lits", "list"]),
        (&["vmm"], 2, &["vmm", "vm"]),
        (&["vm", "create", "--vpcu", "2"], 2, &["--vpcu", "--vcpu"]),
        (&["exec", "-w"], 2, &["--workdir"]),
    ];
    for (words, code, named) in refusals {
        step(&words.join(" "), || {
            let refused = sandbox.banger(words).run().exits(*code);
            for name in *named {
                assert!(
                    refused.err().contains(name),
                    "{name:?} should be named: {refused}"
                );
            }
            assert!(
                refused.stdout.is_empty(),
                "nothing belongs on standard output: {refused}"
            );
        });
    }

    step(
        "--json: the error is an object with a stable code, on standard error",
        || {
            let refused = sandbox
                .banger(&["vm", "show", "nobody", "--json"])
                .run()
                .exits(3);
            let error = refused.json_error();
            assert_eq!(error["code"], "not_found", "{refused}");
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("nobody")),
                "{refused}"
            );
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
            let kernel = sandbox.vm("user")["kernel"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            sandbox
                .banger(&["kernel", "delete", &kernel])
                .run()
                .exits(4)
                .says("user");
        },
    );
}

#[test]
fn the_configuration_names_the_key_that_is_wrong() -> io::Result<()> {
    let sandbox = Sandbox::empty();
    let config = sandbox.banger_home().join("config.toml");
    let cases: &[(&str, &[&str])] = &[
        (
            "defualt_image = \"debian-minimal\"\n",
            &["defualt_image", "default_image"],
        ),
        ("[vm_defaults]\nvcpus = 2\n", &["vcpus", "vcpu"]),
        ("[vm_defaults]\nvcpu = 0\n", &["vcpu"]),
        (
            "[vm_defaults]\ndisk_size = \"big\"\n",
            &["disk_size", "big"],
        ),
        ("[network]\nmode = \"brigde\"\n", &["mode", "brigde"]),
        ("log_level = \n", &["config.toml"]),
    ];
    for (text, named) in cases {
        fs::write(&config, text)?;
        step(text.trim_end(), || {
            let refused = sandbox.banger(&["ps"]).run().exits(2);
            for name in *named {
                assert!(
                    refused.err().contains(name),
                    "{name:?} should be named: {refused}"
                );
            }
        });
    }
    step("a right one is taken", || {
        fs::write(
            &config,
            "default_image = \"debian-minimal\"\n[vm_defaults]\nvcpu = 3\n",
        )?;
        sandbox.banger(&["ps"]).ok();
        Ok(())
    })
}
