//! Guests and VMMs that fail: the state says so, the message names the cause, the log is kept, nothing leaks.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use banger_smoke::{Invocation, Sandbox, eventually, find_on_path, step};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::guests::{MINIMAL, SMALL, boot, minimal};

const NAME: &str = "frail";
const SOON: Duration = Duration::from_secs(30);

fn in_error(sandbox: &Sandbox) -> Value {
    eventually("the VM is in state error", SOON, || {
        let vm = sandbox.vm(NAME);
        (vm["state"] == "error").then_some(vm)
    })
}

#[test]
fn a_kernel_panic_and_a_killed_vmm_are_reported_and_the_vm_starts_again() {
    let sandbox = Sandbox::new();
    boot(&sandbox, NAME);

    step("kernel panic", || {
        sandbox.in_guest(NAME, "echo kept > /root/file; sync");
        let exec = sandbox
            .banger(&[
                "exec",
                NAME,
                "--",
                "sh",
                "-c",
                "echo c > /proc/sysrq-trigger",
            ])
            .run();
        assert_ne!(exec.code, Some(0), "{exec}");
        let vm = in_error(&sandbox);
        let cause = vm["error"].as_str().unwrap_or_default().to_lowercase();
        assert!(cause.contains("panic"), "{vm}");
        let logs = sandbox.out(&["logs", NAME]);
        assert!(
            logs.contains("Kernel panic") || logs.contains("sysrq"),
            "the log should be kept: {logs}"
        );
        eventually("the VMM has ended", SOON, || {
            sandbox.vmm_pids().is_empty().then_some(())
        });
        sandbox.banger(&["exec", NAME, "--", "true"]).run().exits(4);
    });

    step("it starts again with its files", || {
        sandbox.banger(&["vm", "start", NAME]).ok();
        assert_eq!(sandbox.in_guest(NAME, "cat /root/file"), "kept");
        assert_eq!(sandbox.vm(NAME)["error"], Value::Null);
    });

    step("killed VMM", || {
        for pid in sandbox.vmm_pids() {
            if let Err(error) = kill_process(pid, Signal::KILL) {
                panic!("cannot kill the VMM: {error}");
            }
        }
        let vm = in_error(&sandbox);
        let cause = vm["error"].as_str().unwrap_or_default().to_lowercase();
        assert!(cause.contains("kill") || cause.contains("signal 9"), "{vm}");
        sandbox.banger(&["vm", "delete", NAME]).ok();
        sandbox.assert_no_vm();
    });
}

#[test]
fn kernels_that_cannot_boot_are_refused_or_named_with_what_the_console_said() -> io::Result<()> {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("vmlinux");
    let path = file.display().to_string();

    step("garbage is refused at import, and leaves nothing", || {
        for content in [&b""[..], b"not a kernel", &[0xff; 70_000]] {
            fs::write(&file, content)?;
            let refused = sandbox
                .banger(&["kernel", "import", &path, "--name", "broken"])
                .run();
            assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
            assert!(
                refused.err().contains("vmlinux"),
                "the file should be named: {refused}"
            );
        }
        sandbox.banger(&["kernel", "show", "broken"]).run().exits(3);
        Ok::<(), io::Error>(())
    })?;

    fs::write(&file, halting_elf())?;
    step("an ELF file that does nothing", || {
        let imported = sandbox
            .banger(&["kernel", "import", &path, "--name", "broken"])
            .run();
        if imported.code != Some(0) {
            // Refused at import already: then the error must name the file.
            assert!(imported.err().contains("vmlinux"), "{imported}");
            return;
        }
        let flags = [
            "vm", "create", "--name", NAME, "--image", MINIMAL, "--kernel", "broken",
        ];
        let started = sandbox.banger(&[&flags[..], &SMALL].concat()).run();
        assert!(matches!(started.code, Some(1 | 2)), "{started}");
        assert!(
            started.err().contains("broken") || started.err().to_lowercase().contains("kernel"),
            "{started}"
        );
        assert!(sandbox.vmm_pids().is_empty(), "no VMM should be left");
    });
    Ok(())
}

/// An x86-64 ELF executable with one segment that holds `cli; hlt; jmp`. It has no PVH note, so QEMU refuses it.
fn halting_elf() -> Vec<u8> {
    const LOAD_ADDRESS: u64 = 0x10_0000;
    let code = b"\xfa\xf4\xeb\xfd Linux version 6.6.6-broken";
    let mut elf = Vec::new();
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend_from_slice(&2_u16.to_le_bytes()); // ET_EXEC
    elf.extend_from_slice(&62_u16.to_le_bytes()); // EM_X86_64
    elf.extend_from_slice(&1_u32.to_le_bytes());
    elf.extend_from_slice(&(LOAD_ADDRESS + 120).to_le_bytes()); // entry
    elf.extend_from_slice(&64_u64.to_le_bytes()); // program headers
    elf.extend_from_slice(&0_u64.to_le_bytes());
    elf.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend_from_slice(&half.to_le_bytes());
    }
    elf.extend_from_slice(&1_u32.to_le_bytes()); // PT_LOAD
    elf.extend_from_slice(&5_u32.to_le_bytes()); // read, execute
    let size = 120 + code.len() as u64;
    for word in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 4096] {
        elf.extend_from_slice(&word.to_le_bytes());
    }
    elf.extend_from_slice(code);
    elf
}

#[test]
fn a_host_without_qemu_is_told_what_to_install() {
    let Some(qemu) = find_on_path("qemu-system-x86_64") else {
        panic!("this host has no QEMU to hide")
    };
    if !rustix::process::geteuid().is_root() {
        // Only root may hide a program from one command.
        return;
    }
    let sandbox = Sandbox::new();
    let unshare = find_on_path("unshare").unwrap_or_else(|| PathBuf::from("unshare"));
    let hide = format!("mount --bind /dev/null {} && exec \"$@\"", qemu.display());
    // The daemon is started by this command and so lives in the same view of the host.
    let hidden = |invocation: Invocation| {
        invocation.through(&unshare, &["--mount", "sh", "-c", &hide, "sh"])
    };

    let failed = hidden(minimal(&sandbox, &["vm", "create", "--name", NAME], &[]))
        .run()
        .exits(5);
    assert!(failed.err().contains("qemu-system"), "{failed}");
    sandbox.assert_no_vm();
    let doctor = hidden(sandbox.banger(&["doctor"])).run().exits(5);
    assert!(doctor.out().contains("qemu-system"), "{doctor}");
}
