//! Events of the whole installation: one line each.

use banger_api::event::{Change, SystemEvent};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// One line.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Entry(pub SystemEvent);

impl Render for Entry {
    fn text(&self, page: &mut Page) {
        page.line(format!("{}  {}", self.0.at, told(&self.0.change)));
    }
}

/// A change in words.
fn told(change: &Change) -> String {
    match change {
        Change::VmCreated { name, .. } => format!("vm {name}: created"),
        Change::VmState {
            name,
            from,
            to,
            error,
            ..
        } => {
            let cause = because(error.as_deref());
            format!("vm {name}: {} → {}{cause}", from.as_str(), to.as_str())
        }
        Change::VmRenamed { name, before, .. } => format!("vm {name}: renamed, was {before}"),
        Change::VmDeleted { name, .. } => format!("vm {name}: deleted"),
        Change::OperationBegan { kind, name, .. } => {
            format!("{kind}{}: began", of(name.as_deref()))
        }
        Change::OperationEnded {
            kind,
            name,
            state,
            error,
            ..
        } => {
            let cause = because(error.as_ref().map(|error| error.message.as_str()));
            format!("{kind}{}: {state}{cause}", of(name.as_deref()))
        }
        Change::ImageAdded { image, digest } => format!("image {image}: is {}", short(digest)),
        Change::ImageRemoved { image, digest } => format!("image {image}: was {}", short(digest)),
        Change::KernelAdded { kernel, digest } => format!("kernel {kernel}: is {}", short(digest)),
        Change::KernelRemoved { kernel, digest } => {
            format!("kernel {kernel}: was {}", short(digest))
        }
        Change::EventsForgotten => "events before this were forgotten".to_owned(),
        Change::Unknown => "a change that this build does not know".to_owned(),
    }
}

fn of(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" {name}"))
}

fn because(cause: Option<&str>) -> String {
    cause.map_or_else(String::new, |cause| format!(" ({cause})"))
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_with_its_cause() {
        let json = r#"{"event":"vm_state","vm":"018f3c1e-0000-7000-8000-000000000000","name":"web","from":"running","to":"error","error":"out of memory"}"#;
        let change: Change = serde_json::from_str(json).unwrap();
        assert_eq!(told(&change), "vm web: running → error (out of memory)");
    }
}
