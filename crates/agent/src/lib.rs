//! The program inside every guest: `/init` of the initramfs, then the service that the host talks to.
//!
//! ```text
//!  kernel ──► /init = PID 1 (init)            child (service)
//!             starts the child ─────────────► mounts proc sys dev, loads modules, opens the channel, meets the host
//!             waits for orders  ◄─ control ─► Configure: disks ► overlay ► mounts
//!             enters the new root ◄────────── "enter"; the child follows into it
//!                                             files, identity, network
//!             either: becomes the image's init ◄── "become /sbin/init"; a keeper watches the child from then on
//!             or:     reaps orphans, restarts the child, powers off ◄── "stay", later "poweroff"
//! ```
//!
//! Two processes from the start, because PID 1 must not die and must be able to become another program, while a
//! conversation with the host goes on undisturbed. PID 1 is small, does not parse anything of the host's, and has no
//! runtime; if the child dies it is started again.
//!
//! Promises: an input of the host never ends PID 1; everything a call started ends with the call,
//! but for what it was asked to detach; every part of
//! `Configure` has a setter and a check that the kernel took it.
//!
//! Must not: resolve names through the C library (a static program cannot load the guest's modules for it), start a
//! program of the image to set it up, or trust the image's own tools.

pub mod accounts;
pub mod boot;
pub mod cgroup;
pub mod clock;
pub mod console;
pub mod control;
pub mod digest;
pub mod failure;
pub mod guest_state;
pub mod init;
pub mod keeper;
pub mod listen;
pub mod main_loop;
pub mod memory;
pub mod modprobe;
pub mod power;
pub mod program;
pub mod relay;
pub mod report;
pub mod revival;
pub mod serve;
pub mod setup;
pub mod sftp;
mod sys;
