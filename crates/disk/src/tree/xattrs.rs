//! Extended attributes, kept once per distinct set: on labelled systems thousands of files share one.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::TreeError;
use super::name::printable;

/// Longest value in bytes: it must fit one block beside its header and name (no `ea_inode`).
pub const MAX_XATTR_VALUE: usize = 4096 - 32 - 4 - 16 - 256;

/// One extended attribute, as the kernel's `getxattr` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name with its namespace, such as `security.capability`.
    pub name: Box<[u8]>,
    /// Value.
    pub value: Box<[u8]>,
}

/// All extended attributes of a node, sorted by name.
pub type XattrSet = Arc<[Xattr]>;

const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// Names of a node's access control list and of a directory's default list in the kernel (acl(5)).
pub const ACL_NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// The distinct sets of a tree; number 0 is the empty set.
#[derive(Debug)]
pub(super) struct XattrTable {
    sets: Vec<XattrSet>,
    numbers: HashMap<XattrSet, u32>,
}

impl XattrTable {
    pub(super) fn new() -> Self {
        Self {
            sets: vec![Arc::from([])],
            numbers: HashMap::new(),
        }
    }

    pub(super) fn get(&self, number: u32) -> &XattrSet {
        &self.sets[number as usize]
    }

    /// The number of the set `attributes`, and the bytes that it newly takes. Of equal names the later one wins.
    pub(super) fn intern(&mut self, attributes: Vec<Xattr>) -> Result<(u32, usize), TreeError> {
        let mut sorted: Vec<Xattr> = Vec::with_capacity(attributes.len());
        for xattr in attributes {
            check(&xattr)?;
            match sorted.binary_search_by(|known| known.name.cmp(&xattr.name)) {
                Ok(at) => sorted[at] = xattr,
                Err(at) => sorted.insert(at, xattr),
            }
        }
        if sorted.is_empty() {
            return Ok((0, 0));
        }
        if let Some(&number) = self.numbers.get(&sorted[..]) {
            return Ok((number, 0));
        }
        let size = |xattr: &Xattr| xattr.name.len() + xattr.value.len() + size_of::<Xattr>() + 32;
        let cost = sorted.iter().map(size).sum::<usize>() + 64;
        let number = self.sets.len() as u32;
        let set: XattrSet = sorted.into();
        self.sets.push(Arc::clone(&set));
        self.numbers.insert(set, number);
        Ok((number, cost))
    }
}

/// Checks the rules of ext4 for one attribute.
pub(crate) fn check(xattr: &Xattr) -> Result<(), TreeError> {
    let bad = |why| {
        Err(TreeError::BadXattr {
            name: printable(&xattr.name),
            why,
        })
    };
    if !ACL_NAMES.contains(&&*xattr.name) {
        let Some(namespace) = NAMESPACES.iter().find(|n| xattr.name.starts_with(n)) else {
            return bad("its namespace is none of user, trusted, security");
        };
        if xattr.name.len() == namespace.len() {
            return bad("it has a namespace and no name");
        }
    }
    if xattr.name.len() > 255 {
        return bad("its name is longer than 255 bytes");
    }
    if xattr.name.contains(&0) {
        return bad("its name holds a NUL byte");
    }
    if xattr.value.len() > MAX_XATTR_VALUE {
        return bad("its value does not fit one 4 KiB block");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &str) -> Xattr {
        Xattr {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        }
    }

    #[test]
    fn equal_sets_share_one_number_whatever_their_order() {
        let mut table = XattrTable::new();
        let a = table
            .intern(vec![xattr("user.a", "1"), xattr("user.b", "2")])
            .unwrap();
        let b = table
            .intern(vec![xattr("user.b", "2"), xattr("user.a", "1")])
            .unwrap();
        assert_eq!(table.intern(Vec::new()).unwrap(), (0, 0));
        assert_eq!(
            (a.0, b.1),
            (b.0, 0),
            "a set that is known takes nothing more"
        );
    }

    #[test]
    fn the_later_of_two_values_wins() {
        let mut table = XattrTable::new();
        let (number, _) = table
            .intern(vec![xattr("user.a", "1"), xattr("user.a", "2")])
            .unwrap();
        assert_eq!(&*table.get(number)[0].value, b"2");
    }

    #[test]
    fn unknown_namespaces_and_huge_values_are_refused() {
        let mut table = XattrTable::new();
        assert!(table.intern(vec![xattr("os2.x", "")]).is_err());
        assert!(table.intern(vec![xattr("user.", "")]).is_err());
        assert!(
            table
                .intern(vec![xattr("user.big", &"x".repeat(5000))])
                .is_err()
        );
    }
}
