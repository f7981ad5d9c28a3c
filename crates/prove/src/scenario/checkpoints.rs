//! VMs whose disks are kept, and go back.

use banger_ops::HostResult;

use super::{BARE, OWN_KERNEL, PUBLISHED, Scenario, created, running, vmms_end};
use crate::content::SIZE;
use crate::daemon::Daemon;

/// A stopped VM that has written to its disks.
fn used(daemon: &Daemon) -> HostResult<()> {
    running(daemon, PUBLISHED)?;
    daemon.stop("a")
}

/// The same with a checkpoint, after which it has written on.
fn kept(daemon: &Daemon) -> HostResult<()> {
    used(daemon)?;
    daemon.checkpoint("a", "one")?;
    daemon.start_vm("a")
}

/// The same, stopped, with a second checkpoint.
fn kept_twice(daemon: &Daemon) -> HostResult<()> {
    kept(daemon)?;
    daemon.stop("a")?;
    daemon.checkpoint("a", "two")
}

pub(super) fn checkpoints() -> Vec<Scenario> {
    vec![
        scenario!("checkpoint", used, |c| c.checkpoint("a", "one")),
        scenario!("checkpoint-created", |c| created(c, BARE), |c| c
            .checkpoint("a", "one")),
        scenario!("checkpoint-full-disk", used, |c| {
            let used = c.machine.world().files.used();
            c.machine.world().files.capacity = used + 3;
            c.checkpoint("a", "one")
        }),
        scenario!("checkpoint-cancelled", used, |c| {
            c.cancel_what_comes(true);
            c.checkpoint("a", "one")
        }),
        scenario!("checkpoint-running", |c| running(c, PUBLISHED), |c| c
            .checkpoint("a", "one")),
        scenario!("checkpoint-running-full-disk", |c| running(c, BARE), |c| {
            let used = c.machine.world().files.used();
            c.machine.world().files.capacity = used + 3;
            c.checkpoint("a", "one")
        }),
        scenario!("checkpoint-running-again", kept, |c| c
            .checkpoint("a", "two")),
        scenario!(
            "checkpoint-after-vmm-died",
            |c| {
                running(c, PUBLISHED)?;
                vmms_end(c, None);
                Ok(())
            },
            |c| c.checkpoint("a", "one")
        ),
        scenario!("fork-running", kept, |c| c.fork("a", "b", None)),
        scenario!(
            "checkpoint-again",
            |c| {
                kept(c)?;
                c.stop("a")
            },
            |c| c.checkpoint("a", "two")
        ),
        scenario!("restore", kept_twice, |c| c.restore("a", "one", false)),
        scenario!(
            "restore-discard",
            |c| {
                kept(c)?;
                c.stop("a")
            },
            |c| c.restore("a", "one", true)
        ),
        scenario!("restore-running", kept, |c| c.restore("a", "one", false)),
        scenario!("delete-checkpoint", kept, |c| c
            .delete_checkpoint("a", "one")),
        scenario!("delete-checkpoint-below", kept_twice, |c| c
            .delete_checkpoint("a", "one")),
        scenario!(
            "delete-checkpoint-beside",
            |c| {
                kept_twice(c)?;
                c.restore("a", "one", true)
            },
            |c| c.delete_checkpoint("a", "two")
        ),
        scenario!("delete-with-checkpoints", kept_twice, |c| c.delete("a")),
        scenario!("start-layered", kept_twice, |c| c.start_vm("a")),
        scenario!("grow-layered", kept_twice, |c| {
            c.set_disk("a", 4 * SIZE)?;
            c.start_vm("a")
        }),
        scenario!("grow-running-layered", kept, |c| c.set_disk("a", 4 * SIZE)),
        scenario!("save-layered", kept_twice, |c| c.save("a", "saved", false)),
        scenario!("fork", used, |c| c.fork("a", "b", None)),
        scenario!("fork-full-disk", used, |c| {
            let used = c.machine.world().files.used();
            c.machine.world().files.capacity = used + 6;
            c.fork("a", "b", None)
        }),
        scenario!("fork-of-checkpoint", kept, |c| c.fork(
            "a",
            "b",
            Some("one")
        )),
        scenario!(
            "delete-forked",
            |c| {
                kept(c)?;
                c.fork("a", "b", Some("one"))
            },
            |c| c.delete("a")
        ),
        scenario!(
            "restore-own-kernel",
            |c| {
                running(c, OWN_KERNEL)?;
                c.stop("a")?;
                c.checkpoint("a", "one")
            },
            |c| c.restore("a", "one", true)
        ),
    ]
}
