//! Disks of a machine that runs, by their files (`qapi/block-core.json` of QEMU).

use std::path::Path;

use serde_json::{Value, json};

use crate::EngineError;
use crate::qmp::Monitor;

/// Gives a disk this size. One that has it already, or more, stays: the monitor would make it smaller.
pub(super) fn resize(monitor: &mut Monitor, path: &Path, bytes: u64) -> Result<(), EngineError> {
    let all = monitor.execute("query-block")?;
    let (node, now) = of_file(&all, path).ok_or_else(|| EngineError::Invalid {
        field: "disk",
        value: path.display().to_string(),
        reason: "is none of this VMM's".to_owned(),
    })?;
    if now >= bytes {
        return Ok(());
    }
    let arguments = json!({ "node-name": node, "size": bytes });
    monitor.execute_with("block_resize", &arguments).map(drop)
}

/// Node and size of the disk with this file.
fn of_file(all: &Value, path: &Path) -> Option<(String, u64)> {
    let path = path.to_str()?;
    let inserted = all.as_array()?.iter().map(|disk| &disk["inserted"]);
    let disk = inserted
        .into_iter()
        .find(|disk| disk["file"].as_str() == Some(path))?;
    let node = disk["node-name"].as_str()?.to_owned();
    Some((node, disk["image"]["virtual-size"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_found_by_its_file_alone() {
        let all = json!([
            {"device": "", "inserted": {"file": "/s/system.img", "node-name": "disk1", "image": {"virtual-size": 7}}},
            {"device": "cd0"},
            {"device": "", "inserted": {"file": "/s/work.img", "node-name": "disk2", "image": {"virtual-size": 8}}},
        ]);
        let found = |path: &str| of_file(&all, Path::new(path));
        assert_eq!(found("/s/work.img"), Some(("disk2".to_owned(), 8)));
        assert_eq!(found("/s/work"), None);
        for strange in [
            json!(null),
            json!([1]),
            json!([{"inserted": {"file": "/s/work.img"}}]),
        ] {
            assert_eq!(of_file(&strange, Path::new("/s/work.img")), None);
        }
    }
}
