//! Images with the shapes of other distributions: OpenRC over System V's init and over busybox's, musl, Fedora's
//! layout. Their programs are Debian's, because no other packages are available; see `banger_smoke::Distributions`.

use std::time::Duration;

use banger_smoke::{Distributions, PreparedGuests, Sandbox, eventually, step};

use crate::guests::{BOOT, reaches_running};

/// Time limit under emulation, beside other guests.
const SOON: Duration = Duration::from_secs(60);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Pulls the image from its layout and starts a VM of it under the same name.
fn start(sandbox: &Sandbox, image: &str) {
    let made = PreparedGuests::find()
        .map_err(|error| error.to_string())
        .and_then(|guests| Distributions::make(&guests).map_err(|error| error.to_string()));
    let layout = match made {
        Ok(made) => made.layout(image).display().to_string(),
        Err(error) => panic!("{error}"),
    };
    sandbox
        .banger(&["image", "pull", &layout, "--name", image])
        .ok();
    let words = ["vm", "create", "--name", image, "--image", image];
    let small = ["--net", "user", "--vcpu", "1", "--memory", "512M"];
    sandbox
        .banger(&[&words[..], &small].concat())
        .deadline(BOOT)
        .ok();
}

/// Checks the list of SPEC.md, "What every guest gets", with tools that every shell has.
fn has_what_every_guest_gets(sandbox: &Sandbox, name: &str) {
    let script = "cat /proc/sys/kernel/hostname /etc/hostname; echo $PATH $LANG $HOME; cat /etc/machine-id; \
        test -L /etc/resolv.conf || grep -v '^#' /etc/resolv.conf; grep -c 127.0.1.1 /etc/hosts; \
        stat -c '%u:%g %a' /root/.ssh /root/.ssh/authorized_keys; wc -l < /root/.ssh/authorized_keys; \
        find /root /tmp -maxdepth 0 -perm -0002 ! -perm -1000; grep -c AuthorizedKeysFile /etc/ssh/sshd_config.d/99-banger.conf; \
        test -s /etc/ssh/ssh_host_ed25519_key && test -e /root/.hushlogin && grep -c ' /root ext4 ' /proc/mounts; \
        grep -c '^eth0.*0202000A' /proc/net/route || cat /proc/net/route";
    let said = sandbox.in_guest(name, script);
    let lines: Vec<&str> = said.lines().collect();
    let environment = format!("{PATH} C.UTF-8 /root");
    let expected = [
        name,
        name,
        &environment,
        lines.get(3).copied().unwrap_or_default(),
        "nameserver 10.0.2.3",
        "1",
        "0:0 700",
        "0:0 600",
        "1",
        "1",
        "1",
    ];
    assert_eq!(lines.get(..expected.len()), Some(&expected[..]), "{said}");
    let id = expected[3];
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{said}"
    );
    assert!(!lines[expected.len()..].is_empty(), "a way out: {said}");
}

/// Checks that the test's service in these images runs, and that OpenRC knows it.
fn greeter_has_started(sandbox: &Sandbox, name: &str) {
    let script = "until test -s /root/greeter; do sleep 0.5; done; \
        until rc-status default | grep -q 'greeter.*started'; do sleep 0.5; done; cat /root/greeter";
    let words = ["exec", name, "--", "sh", "-c", script];
    let said = sandbox.banger(&words).deadline(BOOT).ok().out();
    assert_eq!(said, "started");
}

/// Checks a stop that tells the service to end, and a start after it with all files.
fn stops_cleanly_and_keeps_files(sandbox: &Sandbox, name: &str) {
    sandbox.in_guest(name, "echo kept > /etc/kept; echo kept > /root/kept");
    let stopped = sandbox
        .banger(&["vm", "stop", name, "--timeout", "120"])
        .deadline(BOOT)
        .ok();
    assert!(!stopped.err().contains("killed"), "{stopped}");
    sandbox.banger(&["vm", "start", name]).deadline(BOOT).ok();
    let kept = sandbox.in_guest(name, "cat /etc/kept /root/kept /root/greeter");
    assert!(kept.starts_with("kept\nkept\nstarted\ntold"), "{kept}");
}

/// Checks that another agent starts after its death: it does not depend on the image's services.
fn survives_the_death_of_the_agent(sandbox: &Sandbox, name: &str) {
    // The parent process of a command.
    let script = "grep -q '^@banger-agent' /proc/$PPID/cmdline && kill -9 $PPID; sleep 60";
    let words = ["exec", name, "--", "sh", "-c", script];
    let cut = sandbox.banger(&words).run();
    assert_ne!(cut.code, Some(0), "the agent was to die: {cut}");
    eventually("an agent answers again", SOON, || {
        let words = ["exec", name, "--", "true"];
        (sandbox.banger(&words).run().code == Some(0)).then_some(())
    });
}

/// Checks that service and keeper come back when nobody of ours is left: the image's init knows neither.
fn agents_that_are_killed_together_come_back(sandbox: &Sandbox, name: &str) {
    // Twice: who was started by the kernel is kept by the kernel.
    for _ in 0..2 {
        let script = r#"all=
for process in /proc/[0-9]*; do
    # One that init has not waited for yet has no words.
    [ "$(cat $process/comm)" = banger-agent ] && grep -q . $process/cmdline && all="$all ${process#/proc/}"
done
echo $all >/root/killed; kill -9 $all; sleep 60"#;
        let cut = sandbox
            .banger(&["exec", name, "--", "sh", "-c", script])
            .run();
        assert_ne!(cut.code, Some(0), "the agent was to die: {cut}");
        eventually("an agent answers again", SOON, || {
            let words = ["exec", name, "--", "true"];
            (sandbox.banger(&words).run().code == Some(0)).then_some(())
        });
        let killed = sandbox.in_guest(name, "wc -w </root/killed");
        assert_eq!(killed, "2", "service and keeper");
        let group = "/run/banger/groups/guard/cgroup.procs";
        let kept = sandbox.in_guest(
            name,
            &format!("grep -ac /guard /proc/$(cat {group})/cmdline"),
        );
        assert_eq!(kept, "1", "the kernel started it");
    }
}

#[test]
fn debian_with_openrc_runs_its_services_under_system_v_init() {
    let sandbox = Sandbox::new();
    let name = "openrc";
    start(&sandbox, name);
    step("what every guest gets", || {
        has_what_every_guest_gets(&sandbox, name)
    });
    step("OpenRC starts a service", || {
        greeter_has_started(&sandbox, name);
        let one = sandbox.in_guest(name, "readlink /proc/1/exe");
        assert_eq!(one, "/usr/sbin/init");
    });
    step(
        "/run became noexec, and the agent can be started again",
        || {
            // Debian's scripts do this themselves once they check the root file system.
            let script = "/etc/init.d/mountkernfs.sh reload; grep ' /run tmpfs ' /proc/mounts";
            let mounted = sandbox.in_guest(name, script);
            assert!(mounted.contains("noexec"), "{mounted}");
            survives_the_death_of_the_agent(&sandbox, name);
            agents_that_are_killed_together_come_back(&sandbox, name);
            let out = sandbox.out(&["ssh", name, "--", "echo", "over ssh"]);
            assert_eq!(out, "over ssh");
            let list = sandbox.home().join("list");
            let batch = format!("get /etc/hostname {}\n", list.display());
            let config = sandbox.banger_home().join("state/ssh/config");
            let config = config.display().to_string();
            sandbox
                .program("sftp", &["-F", &config, "-b", "-", "openrc.vm"])
                .input(batch)
                .ok();
            assert_eq!(
                std::fs::read_to_string(list).ok().as_deref(),
                Some("openrc\n")
            );
        },
    );
    step("a stop is clean", || {
        stops_cleanly_and_keeps_files(&sandbox, name)
    });
}

#[test]
fn an_image_shaped_like_alpine_runs_openrc_under_busybox_and_programs_of_musl() {
    let sandbox = Sandbox::new();
    let name = "alpine-like";
    start(&sandbox, name);
    step("what every guest gets", || {
        has_what_every_guest_gets(&sandbox, name)
    });
    step("programs that are linked with musl run", || {
        let ran = sandbox.in_guest(name, "hello-static && hello-dynamic");
        assert_eq!(ran, "musl says hello\nmusl says hello");
    });
    step("OpenRC starts a service", || {
        greeter_has_started(&sandbox, name);
        let one = sandbox.in_guest(name, "readlink /proc/1/exe");
        assert_eq!(one, "/bin/busybox");
    });
    step("ssh needs nothing of the image", || {
        let out = sandbox.out(&["ssh", name, "--", "echo", "over ssh"]);
        assert_eq!(out, "over ssh");
    });
    step(
        "agent and keeper that are killed together come back",
        || agents_that_are_killed_together_come_back(&sandbox, name),
    );
    step("a stop is clean, without a program called poweroff", || {
        sandbox.in_guest(name, "rm /sbin/poweroff");
        stops_cleanly_and_keeps_files(&sandbox, name);
    });
}

#[test]
fn an_image_shaped_like_fedora_runs_systemd_and_its_sshd() {
    let sandbox = Sandbox::new();
    let name = "fedora-like";
    start(&sandbox, name);
    step("systemd reaches running", || {
        reaches_running(&sandbox, name)
    });
    step("what every guest gets", || {
        has_what_every_guest_gets(&sandbox, name)
    });
    step("its own sshd serves, with banger's settings", || {
        let script = "systemctl is-active sshd; sshd -T | grep -E '^(permitrootlogin|passwordauthentication|authorizedkeysfile)' | sort; readlink -f /sbin/sshd";
        assert_eq!(
            sandbox.in_guest(name, script),
            "active\nauthorizedkeysfile /root/.ssh/authorized_keys\npasswordauthentication no\npermitrootlogin without-password\n/usr/bin/sshd"
        );
        let out = sandbox
            .banger(&["ssh", name, "--", "echo $SSH_CONNECTION"])
            .deadline(SOON)
            .ok()
            .out();
        assert!(out.ends_with(" 22"), "sshd says who is connected: {out}");
    });
    step("labels and links of its layers are there", || {
        let script = "stat -c %C /etc/selinux/config; cat /etc/redhat-release; \
            test ! -e /etc/machine-info && test ! -e /etc/debian_version && readlink /usr/sbin";
        assert_eq!(
            sandbox.in_guest(name, script),
            "system_u:object_r:selinux_config_t:s0\nFedora release 42 (Adams)\nbin"
        );
    });
    step("a stop is clean", || {
        let stopped = sandbox
            .banger(&["vm", "stop", name, "--timeout", "120"])
            .deadline(BOOT)
            .ok();
        assert!(!stopped.err().contains("killed"), "{stopped}");
    });
}
