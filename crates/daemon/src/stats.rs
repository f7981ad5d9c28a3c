//! Use of the host by a VM, and the report of its guest.

use std::path::Path;

use banger_api::ApiError;
use banger_api::guest::{GuestCommand, GuestCpu, GuestDisk, GuestMemory, GuestUse};
use banger_api::vm::{MachineSize, VmState, VmStats};
use banger_control::vm::vm_view;
use banger_guest::{CommandStats, DiskStats, GuestStats};
use banger_ops::plans;
use banger_process::Look;
use banger_store::VmRecord;

use crate::context::Daemon;

/// Clock ticks of `/proc/PID/stat` in a second: 100 on every Linux that banger runs on (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// A VM's statistics. A guest that does not answer is left out.
///
/// # Errors
/// None today; the signature leaves room for them.
pub(crate) async fn stats(daemon: &Daemon, record: &VmRecord) -> Result<VmStats, ApiError> {
    let files = daemon.control.places().vm_of(record);
    let vmm = plans::identity(record).filter(|_| record.state == VmState::Running);
    let allocated = |path: &Path| banger_disk::sparse::allocated_bytes(path).unwrap_or(0);
    let mut stats = VmStats {
        id: record.id,
        name: record.name.clone(),
        state: record.state,
        host_cpu_ms: vmm.as_ref().and_then(|vmm| cpu_ms(vmm.pid)),
        host_memory_bytes: vmm.as_ref().and_then(|vmm| memory_bytes(vmm.pid)),
        disk_allocated_bytes: allocated(&files.work_disk()),
        overlay_allocated_bytes: allocated(&files.system_overlay()),
        guest: None,
        next: next(record),
        conditions: daemon.conditions.of(record, &mut Look::new()),
    };
    // A guest that is known not to answer is not waited for.
    if !stats.conditions.is_empty() {
        return Ok(stats);
    }
    if let Some(vmm) = vmm
        && let Ok(client) = daemon.channels.client(record.id, &vmm.channel_socket).await
        && let Ok(guest) = client.stats().await
    {
        stats.guest = Some(guest_use(guest));
    }
    Ok(stats)
}

/// The size that is set, when another one runs.
fn next(record: &VmRecord) -> Option<MachineSize> {
    vm_view(record).runs.map(|_runs| MachineSize {
        vcpu: record.vcpu,
        memory_mib: record.memory_mib,
    })
}

/// The guest's own words in the names of the API, sizes in bytes.
fn guest_use(guest: GuestStats) -> GuestUse {
    let (cpu, memory) = (guest.cpu, guest.memory);
    let disk = |disk: DiskStats| GuestDisk {
        mount: disk.mount,
        total_bytes: disk.total,
        free_bytes: disk.free,
        available_bytes: disk.available,
        inodes: disk.inodes,
        inodes_free: disk.inodes_free,
    };
    let command = |command: CommandStats| GuestCommand {
        pid: command.pid,
        command: command.command,
        processes: command.processes,
        cpu_ms: command.cpu_ms,
        memory_bytes: command.memory,
    };
    GuestUse {
        cpu: GuestCpu {
            user_ms: cpu.user_ms,
            system_ms: cpu.system_ms,
            idle_ms: cpu.idle_ms,
            iowait_ms: cpu.iowait_ms,
            steal_ms: cpu.steal_ms,
        },
        cpus: guest.cpus,
        memory: GuestMemory {
            total_bytes: memory.total,
            free_bytes: memory.free,
            available_bytes: memory.available,
            cached_bytes: memory.cached,
            swap_total_bytes: memory.swap_total,
            swap_free_bytes: memory.swap_free,
        },
        disks: guest.disks.into_iter().map(disk).collect(),
        load: guest.load,
        uptime_ms: guest.uptime_ms,
        processes: guest.processes,
        boot_id: guest.boot_id,
        commands: guest.commands.into_iter().map(command).collect(),
    }
}

/// Fields 14 and 15 (user and system time) of `/proc/PID/stat` (proc(5)); the name in field 2 may hold anything but its
/// end.
fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks * 1_000 / TICKS_PER_SECOND)
}

/// Resident memory of a process, in bytes (`VmRSS` of `/proc/PID/status`, proc(5)).
pub(crate) fn memory_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}
