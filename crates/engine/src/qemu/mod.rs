//! QEMU (`qemu-system-x86_64`, 6.2 or newer), as a machine with the least devices.
//!
//! ```text
//!  VmmSpec ─► kernel_cmdline ─┐                        in the VM's folder:
//!             command_line ───┴─► Launch ─► launch ─►    control.sock   monitor (QMP)
//!                                              │         channel.sock   guest channel (virtio-serial)
//!                                              │         vmm.pid        locked while QEMU lives
//!                                              │         vmm.log        QEMU's standard error
//!                                              ▼         events.in/out  a second monitor without reader: QEMU
//!             end ◄──────────────────────── events.out                  writes the cause of its end there
//! ```

mod check;
mod command_line;
mod disks;
mod end;
mod engine;
mod failure;
mod files;
mod group;
mod hang;
mod jail;
mod kernel_cmdline;
mod launch;
mod limit;
mod owner;
mod probe;
mod saved;
mod suspend;
mod trial;

pub use end::panic_message;
pub use engine::QemuEngine;
pub use probe::numbers as version_numbers;
