//! Two VMs of one network: one reaches the other under its name, as far as both sets of rules let it.

use banger_smoke::{Sandbox, eventually, step};

use crate::guests::MINIMAL;
use crate::own_network::{SOON, connects_from, kill_and_wait};

/// Says a word to everybody, at every address of the guest.
const SERVER: &str = "$| = 1; my $s = IO::Socket::IP->new(LocalHost => '0.0.0.0', LocalPort => 5432, Listen => 5, ReuseAddr => 1) or die $@; \
    while (my $c = $s->accept) { my $from = $c->peerhost; local $/; my $all = <$c>; print $c 'word of db, ' . length($all) . ' bytes'; close $c }";

fn create(sandbox: &Sandbox, name: &str, net: &str) {
    let words = [
        "vm", "create", "--name", name, "--image", MINIMAL, "--vcpu", "1",
    ];
    let more = ["--memory", "384M", "--net", net];
    sandbox.banger(&[&words[..], &more].concat()).ok();
}

#[test]
fn vms_of_one_network_reach_each_other_as_far_as_both_let_them() -> std::io::Result<()> {
    let sandbox = Sandbox::new();
    let config = sandbox.banger_home().join("config.toml");
    std::fs::write(config, "[network]\nstack = \"own\"\n")?;
    create(&sandbox, "db", "team");
    create(&sandbox, "web", "team");
    let words = [
        "exec",
        "--detach",
        "db",
        "--",
        "perl",
        "-MIO::Socket::IP",
        "-e",
        SERVER,
    ];
    sandbox.banger(&words).ok();
    let web = || connects_from(&sandbox, "web", "db.vm", 5432);
    let reached = || {
        eventually("db is reached", SOON, || {
            web().starts_with("yes: word of db").then_some(())
        });
    };

    step("a VM of the network is known and needs a rule", || {
        assert_eq!(sandbox.vm("web")["joined"], "team");
        eventually("the VMs are joined", SOON, || {
            let known = sandbox.in_guest("web", "getent hosts db.vm || true");
            (!known.is_empty()).then_some(())
        });
        let told = web();
        assert!(told.contains("refused"), "{told}");
        let log = sandbox.out(&["vm", "net", "log", "web", "--denied"]);
        assert!(log.contains("vm:db:5432"), "{log}");
        let nobody = connects_from(&sandbox, "web", "other.vm", 5432);
        assert!(nobody.starts_with("no: "), "{nobody}");
    });

    step("with a rule it is reached, whole", || {
        sandbox
            .banger(&["vm", "net", "allow", "web", "vm:db:5432"])
            .ok();
        reached();
        let check = sandbox
            .banger(&["vm", "net", "check", "web", "vm:db:5432"])
            .ok();
        assert!(check.out().contains("allowed"), "{check}");
        let closed = connects_from(&sandbox, "web", "db.vm", 22);
        assert!(closed.starts_with("no: "), "{closed}");
    });

    step(
        "what the other one denies is refused and on its record",
        || {
            sandbox
                .banger(&["vm", "net", "deny", "db", "vm:web:1-65535"])
                .ok();
            let told = web();
            assert!(told.contains("refused"), "{told}");
            let log = sandbox.out(&["vm", "net", "log", "db", "--denied"]);
            assert!(log.contains("vm:web"), "{log}");
            sandbox
                .banger(&["vm", "net", "remove", "db", "vm:web:1-65535"])
                .ok();
            reached();
        },
    );

    step("processes that are replaced are joined again", || {
        for pid in sandbox.net_pids() {
            kill_and_wait(pid);
        }
        reached();
        kill_and_wait(sandbox.daemon_pid());
        reached();
        assert_eq!(sandbox.state("db"), "running");
        reached();
    });

    step("a VM that leaves is not known any more", || {
        sandbox.banger(&["vm", "set", "db", "--net", "user"]).ok();
        eventually("db has left", SOON, || {
            web().starts_with("no: ").then_some(())
        });
        let web = sandbox.vm("web");
        assert_eq!(
            web["restart_needed"],
            serde_json::Value::Bool(false),
            "{web}"
        );
        sandbox.banger(&["vm", "set", "db", "--net", "team"]).ok();
        reached();
    });
    Ok(())
}
