//! Checkpoints of VMs.

use banger_api::checkpoint::Checkpoint;
use banger_api::{ByteSize, CheckpointId};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::{Page, age};
use crate::output::table::Table;

/// A checkpoint that was made.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Made(pub Checkpoint);

impl Render for Made {
    fn text(&self, page: &mut Page) {
        page.line(self.0.name.as_str());
    }
}

/// The checkpoints of a VM, each below the one that it went on from.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Tree(pub Vec<Checkpoint>);

impl Render for Tree {
    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&["CHECKPOINT", "DISK", "SIZE", "AGE"]);
        for (depth, one) in in_order(&self.0) {
            let mark = if one.current { " *" } else { "" };
            table.row([
                format!("{}{}{mark}", "  ".repeat(depth), one.name),
                ByteSize(one.disk_bytes).to_string(),
                ByteSize(one.allocated_bytes).to_string(),
                age(one.created_at, page.now()),
            ]);
        }
        page.table(&table);
    }
}

/// Parents before their children, with their depth. One whose parent is not here has none.
fn in_order(all: &[Checkpoint]) -> Vec<(usize, &Checkpoint)> {
    let is_here = |id: CheckpointId| all.iter().any(|one| one.id == id);
    let roots = all
        .iter()
        .filter(|one| one.parent.is_none_or(|parent| !is_here(parent)));
    let mut waiting: Vec<(usize, &Checkpoint)> = roots.map(|one| (0, one)).collect();
    waiting.reverse();
    let mut ordered = Vec::with_capacity(all.len());
    // Parents that lead back to themselves are reached from no root.
    while let Some((depth, one)) = waiting.pop() {
        ordered.push((depth, one));
        let children = all.iter().rev();
        let children = children.filter(|child| child.parent == Some(one.id));
        waiting.extend(children.map(|child| (depth + 1, child)));
    }
    ordered
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
mod tests {
    use super::*;

    fn checkpoint(number: u128, parent: Option<u128>) -> Checkpoint {
        let id = |number: u128| -> CheckpointId {
            format!("00000000-0000-7000-8000-{number:012}")
                .parse()
                .unwrap()
        };
        Checkpoint {
            id: id(number),
            name: format!("c{number}").parse().unwrap(),
            parent: parent.map(id),
            current: number == 3,
            created_at: serde_json::from_str("\"2026-11-27T10:00:00Z\"").unwrap(),
            disk_bytes: 8 << 30,
            allocated_bytes: 1 << 20,
            damage: None,
        }
    }

    #[test]
    fn a_checkpoint_stands_below_its_parent_and_one_without_is_a_root() {
        let all = [
            checkpoint(1, None),
            checkpoint(2, Some(1)),
            checkpoint(3, Some(1)),
            checkpoint(4, Some(2)),
            checkpoint(5, Some(9)),
        ];
        let shown = in_order(&all);
        let shown: Vec<(usize, &str)> = shown
            .into_iter()
            .map(|(depth, one)| (depth, one.name.as_str()))
            .collect();
        let expected = [(0, "c1"), (1, "c2"), (2, "c4"), (1, "c3"), (0, "c5")];
        assert_eq!(shown, expected);
        let mut page = Page::new();
        Tree(all.to_vec()).text(&mut page);
        assert!(page.into_text().contains("  c3 *"));
    }
}
