//! The filter of system calls (seccomp(2)): refuses what no process in a jail needs, and what reaches other processes.
//!
//! It names what is refused: a program of the host's packages, whose next version may use another harmless call, must go
//! on working. What a call could reach is held by the other layers; this one closes what they leave and the parts of the
//! kernel in which most of its holes were.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::{JailError, Network};

/// Stands for the process's own pid, which is known after the fork. No pid is that large.
pub(crate) const OWN_PID: u32 = 0x7fff_ba06;
/// Most instructions of all programs together; they are copied to the stack.
pub(crate) const INSTRUCTIONS_MAX: usize = 1024;

/// Calls that are refused whatever their arguments.
const REFUSED: &[libc::c_long] = &[
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Parts of the kernel with many holes in their history.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    libc::SYS_personality,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
];

/// Calls whose first argument is the process that gets a signal.
const SIGNALLING: &[libc::c_long] = &[
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
];

/// The programs of a process with this network, in the order in which they are installed.
pub(crate) fn programs(network: &Network) -> Result<Vec<BpfProgram>, JailError> {
    let refused = program(refusals(network).map_err(wrong)?, libc::EPERM).map_err(wrong)?;
    // The C library then uses clone, whose flags a filter can read.
    let clone3 = BTreeMap::from([(number(libc::SYS_clone3), Vec::new())]);
    let mut programs = vec![refused, program(clone3, libc::ENOSYS).map_err(wrong)?];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    let length: usize = programs.iter().map(Vec::len).sum();
    if length > INSTRUCTIONS_MAX {
        let reason = format!("its filter has {length} instructions, more than {INSTRUCTIONS_MAX}");
        return Err(JailError::Spec { reason });
    }
    Ok(programs)
}

/// The program that refuses to execute anything.
pub(crate) fn no_exec() -> Result<BpfProgram, JailError> {
    let calls = [libc::SYS_execve, libc::SYS_execveat];
    let rules = calls.map(|call| (number(call), Vec::new()));
    program(BTreeMap::from(rules), libc::EPERM).map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> JailError {
    JailError::Spec {
        reason: format!("its filter cannot be made: {error}"),
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn program(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

fn refusals(network: &Network) -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules: Rules = REFUSED
        .iter()
        .map(|call| (number(*call), Vec::new()))
        .collect();
    for call in SIGNALLING {
        let others = SeccompRule::new(vec![argument(0, Ne, u64::from(OWN_PID))?])?;
        rules.insert(number(*call), vec![others]);
    }
    // A clone that is no thread is a process.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let process = SeccompRule::new(vec![argument(0, MaskedEq(thread), 0)?])?;
    rules.insert(number(libc::SYS_clone), vec![process]);
    // Input for a terminal that the process may hold.
    let input = |request| SeccompRule::new(vec![argument(1, Eq, request)?]);
    rules.insert(
        number(libc::SYS_ioctl),
        vec![input(libc::TIOCSTI)?, input(libc::TIOCLINUX)?],
    );
    // Its limit of what a file may have is raised from outside alone (setrlimit(2)).
    let of_files = u64::from(libc::RLIMIT_FSIZE);
    let set = SeccompRule::new(vec![argument(0, Eq, of_files)?])?;
    rules.insert(number(libc::SYS_setrlimit), vec![set]);
    let given = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Ne, 0)?;
    let set = SeccompRule::new(vec![argument(1, Eq, of_files)?, given])?;
    rules.insert(number(libc::SYS_prlimit64), vec![set]);
    let families: &[libc::c_int] = match network {
        Network::None => &[libc::AF_UNIX],
        Network::Listen(_) | Network::Connect(_) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
    };
    let other = families
        .iter()
        .map(|family| argument(0, Ne, u64::from(family.unsigned_abs())))
        .collect::<Result<_, _>>()?;
    rules.insert(number(libc::SYS_socket), vec![SeccompRule::new(other)?]);
    if !matches!(network, Network::Connect(_)) {
        // Also to the Unix sockets of others, for which older kernels have no rule.
        rules.insert(number(libc::SYS_connect), Vec::new());
    }
    Ok(rules)
}

fn argument(
    index: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

#[allow(
    clippy::useless_conversion,
    reason = "the width of a call's number depends on the architecture"
)]
fn number(call: libc::c_long) -> i64 {
    call.into()
}

/// Refuses the second numbering of calls that kernels for x86-64 may have (`__X32_SYSCALL_BIT` in `asm/unistd.h`), which
/// no rule above names.
fn no_x32() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    let [load, at_least, answer] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    ]
    .map(|code| u16::try_from(code).unwrap_or_default());
    let step = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    vec![
        step(load, 0, 0),
        step(at_least, 1, X32_BIT),
        step(answer, 0, libc::SECCOMP_RET_ALLOW),
        step(
            answer,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_programs_that_leave_a_place_for_the_pid_and_fit_on_the_stack() {
        for network in [
            Network::None,
            Network::Listen(vec![80]),
            Network::Connect(Vec::new()),
        ] {
            let programs = programs(&network).unwrap();
            let places = programs
                .iter()
                .flatten()
                .filter(|step| step.k == OWN_PID)
                .count();
            assert_eq!(places, SIGNALLING.len(), "{network:?}");
        }
    }
}
