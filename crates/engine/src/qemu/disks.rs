//! Disks of a machine that runs: found by their serial numbers, and switched to tops over what they were (`blockdev-snapshot`,
//! `qapi/block-core.json` and `qapi/transaction.json` of QEMU).
//!
//! ```text
//! add-fd ─► blockdev-add, over nothing yet ─► transaction: all disks at one moment
//! ```
//! The tops come as descriptors: their paths are in no jail of a machine that was started before.

use std::fs::OpenOptions;
use std::os::fd::AsFd as _;

use serde_json::{Value, json};

use crate::qmp::Monitor;
use crate::{EngineError, NewTop};

/// Node of a top. Its name is short enough for QEMU (31 bytes), whatever the serial number.
fn node_of(top: &NewTop) -> String {
    let serial: String = top.serial.chars().take(12).collect();
    format!("{}-{serial}", top.switch)
}

/// A disk of the machine.
struct Disk {
    serial: String,
    /// Its highest node.
    node: String,
    bytes: u64,
}

/// The machine's disks.
fn disks(monitor: &mut Monitor) -> Result<Vec<Disk>, EngineError> {
    let all = monitor.execute("query-block")?;
    let mut disks = Vec::new();
    for disk in all.as_array().into_iter().flatten() {
        let inserted = &disk["inserted"];
        let (Some(device), Some(node), Some(bytes)) = (
            disk["qdev"].as_str(),
            inserted["node-name"].as_str(),
            inserted["image"]["virtual-size"].as_u64(),
        ) else {
            continue;
        };
        let serial = json!({ "path": device, "property": "serial" });
        let serial = monitor.execute_with("qom-get", &serial)?;
        disks.push(Disk {
            serial: serial.as_str().unwrap_or_default().to_owned(),
            node: node.to_owned(),
            bytes,
        });
    }
    Ok(disks)
}

fn disk<'a>(disks: &'a [Disk], serial: &str) -> Result<&'a Disk, EngineError> {
    let found = disks.iter().find(|disk| disk.serial == serial);
    found.ok_or_else(|| EngineError::Invalid {
        field: "disk",
        value: serial.to_owned(),
        reason: "is none of this VMM's".to_owned(),
    })
}

/// Gives a disk this size. One that has it already, or more, stays: the monitor would make it smaller.
pub(super) fn resize(monitor: &mut Monitor, serial: &str, bytes: u64) -> Result<(), EngineError> {
    let disks = disks(monitor)?;
    let disk = disk(&disks, serial)?;
    if disk.bytes >= bytes {
        return Ok(());
    }
    let arguments = json!({ "node-name": disk.node, "size": bytes });
    monitor.execute_with("block_resize", &arguments).map(drop)
}

/// Largest size of these disks, bytes.
pub(super) fn largest(monitor: &mut Monitor) -> Result<u64, EngineError> {
    Ok(disks(monitor)?
        .iter()
        .map(|disk| disk.bytes)
        .max()
        .unwrap_or(0))
}

/// Tells whether the disks have been switched to these tops.
fn is_switched(disks: &[Disk], tops: &[NewTop]) -> bool {
    let has = |top: &NewTop| {
        let (serial, node) = (&top.serial, node_of(top));
        disks
            .iter()
            .any(|disk| disk.serial == *serial && disk.node == node)
    };
    !tops.is_empty() && tops.iter().all(has)
}

/// Switches the disks to these tops, all at one moment. May be repeated.
pub(super) fn switch(monitor: &mut Monitor, tops: &[NewTop]) -> Result<(), EngineError> {
    let disks = disks(monitor)?;
    if is_switched(&disks, tops) {
        return Ok(());
    }
    let mut actions = Vec::new();
    let mut sets = Vec::new();
    for top in tops {
        let disk = disk(&disks, &top.serial)?;
        sets.extend(add(monitor, top)?);
        actions.push(json!({
            "type": "blockdev-snapshot",
            "data": { "node": disk.node, "overlay": node_of(top) },
        }));
    }
    let switched = monitor.execute_with("transaction", &json!({ "actions": actions }));
    for set in sets {
        // The machine has the files open; what stays is a descriptor.
        let _ = monitor.execute_with("remove-fd", &json!({ "fdset-id": set }));
    }
    switched.map(drop)
}

/// Adds the node of a top that is over nothing yet, unless it is there: the number of its descriptors' set.
fn add(monitor: &mut Monitor, top: &NewTop) -> Result<Option<u64>, EngineError> {
    let node = node_of(top);
    let nodes = monitor.execute("query-named-block-nodes")?;
    let mut nodes = nodes.as_array().into_iter().flatten();
    if nodes.any(|known| known["node-name"].as_str() == Some(&node)) {
        return Ok(None);
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&top.file)
        .map_err(EngineError::io(format!("open {}", top.file.display())))?;
    let set = monitor.add_descriptor(file.as_fd())?;
    let node = json!({
        "driver": "qcow2",
        "node-name": node,
        "backing": Value::Null,
        "read-only": false,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "file": {
            "driver": "file",
            "aio": "threads",
            "locking": "auto",
            "filename": format!("/dev/fdset/{set}"),
        },
    });
    monitor.execute_with("blockdev-add", &node)?;
    Ok(Some(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_that_qemu_takes() {
        let top = |serial: &str| NewTop {
            serial: serial.to_owned(),
            file: "/s/work-2.img".into(),
            switch: "t0123456789a".to_owned(),
        };
        assert_eq!(node_of(&top("work")), "t0123456789a-work");
        assert!(node_of(&top(&"x".repeat(20))).len() <= 31);
    }
}
