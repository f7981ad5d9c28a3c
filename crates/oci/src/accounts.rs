//! The accounts of an image: names to numbers, from its own `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;

use banger_disk::tree::{NodeId, NodeKind, Tree};

/// Largest file of accounts that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Users and groups by name.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) users: HashMap<String, u32>,
    pub(crate) groups: HashMap<String, u32>,
}

impl Accounts {
    /// Of the text of both files.
    pub(crate) fn new(passwd: &str, group: &str) -> Self {
        Self {
            users: numbers(passwd),
            groups: numbers(group),
        }
    }
}

/// The text of the file `node`; empty when it is no file, too large, or unreadable.
pub(crate) fn text(tree: &Tree, node: NodeId) -> String {
    let NodeKind::File(contents) = tree.node(node).kind else {
        return String::new();
    };
    if contents.size() > MAX_FILE {
        return String::new();
    }
    let mut bytes = vec![0; contents.size() as usize];
    for extent in contents.extents() {
        let part = &mut bytes[extent.at as usize..(extent.at + extent.len) as usize];
        let read = tree
            .source(extent.source)
            .open()
            .and_then(|source| source.read_exact_at(part, extent.offset));
        if read.is_err() {
            // The writer of the image reads it again, and reports the error.
            return String::new();
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `name:password:number…` of each line (passwd(5), group(5)); the first line of a name counts.
fn numbers(text: &str) -> HashMap<String, u32> {
    let mut all = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, number) = (fields.next().unwrap_or_default(), fields.nth(1));
        if let Some(number) = number.and_then(|number| number.trim().parse().ok())
            && !name.is_empty()
        {
            all.entry(name.to_owned()).or_insert(number);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_number_of_their_first_line() {
        let accounts = Accounts::new(
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000\nann:x:7:7\n:x:5:5\nbroken\n",
            "adm:x:4:\nbad:x:many:\n",
        );
        assert_eq!(accounts.users.get("ann"), Some(&1000));
        assert_eq!((accounts.users.len(), accounts.groups.len()), (2, 1));
        assert_eq!(accounts.groups.get("adm"), Some(&4));
    }
}
