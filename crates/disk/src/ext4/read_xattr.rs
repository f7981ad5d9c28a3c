//! Extended attributes, read back from inode and block.

use super::acl;
use super::read::{u16_at, u32_at};
use crate::tree::{ACL_NAMES, Xattr};

const MAGIC: u32 = 0xEA02_0000;
const BLOCK_HEADER: usize = 32;

/// Parses the attributes behind an inode.
pub(super) fn in_inode(behind: &[u8]) -> Result<Vec<Xattr>, String> {
    if behind.len() < 8 || u32_at(behind, 0) != MAGIC {
        return Ok(Vec::new());
    }
    entries(&behind[4..], 0)
}

/// Parses the attributes of a block.
pub(super) fn in_block(block: &[u8]) -> Result<Vec<Xattr>, String> {
    if u32_at(block, 0) != MAGIC {
        return Err("its block of extended attributes is none".to_owned());
    }
    entries(block, BLOCK_HEADER)
}

/// Parses entries from `at` on, up to a word of zeros; offsets of values count from the start of `area`.
fn entries(area: &[u8], mut at: usize) -> Result<Vec<Xattr>, String> {
    let broken = || "an extended attribute does not fit".to_owned();
    let mut found = Vec::new();
    loop {
        let head = area.get(at..at + 4).ok_or_else(broken)?;
        if u32_at(head, 0) == 0 {
            return Ok(found);
        }
        let entry = area.get(at..at + 16).ok_or_else(broken)?;
        let name_len = usize::from(entry[0]);
        let name = area.get(at + 16..at + 16 + name_len).ok_or_else(broken)?;
        let (value_at, value_len) = (usize::from(u16_at(entry, 2)), u32_at(entry, 8) as usize);
        let value = area
            .get(value_at..)
            .and_then(|rest| rest.get(..value_len))
            .ok_or_else(broken)?;
        found.push(attribute(entry[1], name, value)?);
        at += 16 + name_len.next_multiple_of(4);
    }
}

fn attribute(namespace: u8, name: &[u8], value: &[u8]) -> Result<Xattr, String> {
    let named = |prefix: &[u8]| [prefix, name].concat();
    let (name, value) = match namespace {
        1 => (named(b"user."), value.into()),
        2 | 3 => {
            let kernel = acl::from_disk(value).map_err(|error| error.to_string())?;
            (
                ACL_NAMES[usize::from(namespace) - 2].to_vec(),
                kernel.into(),
            )
        }
        4 => (named(b"trusted."), value.into()),
        6 => (named(b"security."), value.into()),
        other => return Err(format!("extended attributes of namespace {other}")),
    };
    Ok(Xattr {
        name: name.into(),
        value,
    })
}
