//! Extended attributes on disk: as many as fit behind the inode, the rest in one block.

use super::acl::{self, AclError};
use super::checksum;
use super::format::{BLOCK, EXTRA_INODE, INODE, put16, put32};
use crate::tree::{ACL_NAMES, Xattr, check_xattr as check};

const MAGIC: u32 = 0xEA02_0000;
/// Bytes behind the inode's own fields.
pub(crate) const INODE_AREA: usize = INODE - 128 - EXTRA_INODE as usize;
/// Bytes of the header of a block.
const BLOCK_HEADER: usize = 32;
/// The word of zeros behind the last entry.
const TERMINATOR: usize = 4;

/// Reason why a set of extended attributes cannot be stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum XattrError {
    /// The value is not an access control list.
    #[error(transparent)]
    Acl(#[from] AclError),
    /// Together they are larger than the inode's area and one block.
    #[error("its extended attributes take more than one 4 KiB block")]
    TooLarge,
}

/// The attributes of `set` that one inode can hold, and the number of those that it cannot: broken ones, then the
/// largest, until the others fit. Access control lists and attributes that the kernel obeys (`security.`) go last.
pub fn storable(set: Vec<Xattr>) -> (Vec<Xattr>, usize) {
    let all = set.len();
    let mut good: Vec<Xattr> = set
        .into_iter()
        .filter(|xattr| check(xattr).is_ok() && on_disk(xattr).is_ok())
        .collect();
    if XattrPlan::new(&good).is_err() {
        let is_obeyed = |xattr: &Xattr| {
            ACL_NAMES.contains(&&*xattr.name) || xattr.name.starts_with(b"security.")
        };
        let size = |xattr: &Xattr| {
            16 + xattr.name.len().next_multiple_of(4) + xattr.value.len().next_multiple_of(4)
        };
        good.sort_by_key(|xattr| (!is_obeyed(xattr), size(xattr)));
        // The attributes that fit behind the inode are counted as well: so the rest fits in any order.
        let mut used = BLOCK_HEADER + TERMINATOR;
        good.retain(|xattr| {
            let fits = used + size(xattr) <= BLOCK;
            used += if fits { size(xattr) } else { 0 };
            fits
        });
    }
    let left_out = all - good.len();
    (good, left_out)
}

struct Attribute {
    /// Number of the namespace (`e_name_index`).
    index: u8,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Attribute {
    fn entry_len(&self) -> usize {
        16 + self.name.len().next_multiple_of(4)
    }

    fn value_len(&self) -> usize {
        self.value.len().next_multiple_of(4)
    }
}

/// A set, divided between inode and block.
pub(crate) struct XattrPlan {
    /// Bytes behind the inode; empty if there are none.
    pub(crate) in_inode: Vec<u8>,
    in_block: Vec<Attribute>,
}

impl XattrPlan {
    /// Divides `set`.
    pub(crate) fn new(set: &[Xattr]) -> Result<Self, XattrError> {
        let mut attributes = Vec::with_capacity(set.len());
        for xattr in set {
            attributes.push(on_disk(xattr)?);
        }
        attributes.sort_by(|a, b| {
            (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name))
        });
        let mut used = 4 + TERMINATOR;
        let fitting = attributes
            .iter()
            .take_while(|attribute| {
                used += attribute.entry_len() + attribute.value_len();
                used <= INODE_AREA
            })
            .count();
        let in_block = attributes.split_off(fitting);
        let size: usize = in_block.iter().map(|a| a.entry_len() + a.value_len()).sum();
        if BLOCK_HEADER + TERMINATOR + size > BLOCK {
            return Err(XattrError::TooLarge);
        }
        let mut in_inode = Vec::new();
        if !attributes.is_empty() {
            in_inode = vec![0; INODE_AREA];
            put32(&mut in_inode, 0, MAGIC);
            // Offsets count from behind the magic.
            fill(&mut in_inode[4..], &attributes, 0);
        }
        Ok(Self { in_inode, in_block })
    }

    /// Tells whether it needs a block.
    pub(crate) fn needs_block(&self) -> bool {
        !self.in_block.is_empty()
    }

    /// The bytes of the block for block `number`.
    pub(crate) fn block(&self, number: u64) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        put32(&mut block, 0, MAGIC);
        put32(&mut block, 4, 1); // one inode uses it
        put32(&mut block, 8, 1); // it is one block long
        let mut hash = 0_u32;
        for (attribute, at) in fill(&mut block[BLOCK_HEADER..], &self.in_block, BLOCK_HEADER) {
            let entry_hash = entry_hash(attribute);
            put32(&mut block, BLOCK_HEADER + at + 12, entry_hash);
            hash = hash.rotate_left(16) ^ entry_hash;
        }
        put32(&mut block, 0xC, hash);
        checksum::seal_xattr_block(number, &mut block);
        block
    }
}

fn on_disk(xattr: &Xattr) -> Result<Attribute, AclError> {
    const NAMESPACES: [(&[u8], u8); 3] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];
    for (name, index) in ACL_NAMES.into_iter().zip([2, 3]) {
        if *xattr.name == *name {
            return Ok(Attribute {
                index,
                name: Box::new([]),
                value: acl::to_disk(&xattr.value)?.into(),
            });
        }
    }
    let found = NAMESPACES
        .iter()
        .find_map(|(prefix, index)| Some((xattr.name.strip_prefix(*prefix)?, *index)));
    // The tree accepts no other namespace.
    let (name, index) = found.unwrap_or((&xattr.name, 7));
    Ok(Attribute {
        index,
        name: name.into(),
        value: xattr.value.clone(),
    })
}

/// Writes entries upwards, values downwards from the end; `base` is added to the offsets. Returns each entry's offset.
fn fill<'a>(
    area: &mut [u8],
    attributes: &'a [Attribute],
    base: usize,
) -> Vec<(&'a Attribute, usize)> {
    let (mut at, mut value_at) = (0, area.len());
    let mut placed = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        value_at -= attribute.value_len();
        area[value_at..value_at + attribute.value.len()].copy_from_slice(&attribute.value);
        area[at] = attribute.name.len() as u8;
        area[at + 1] = attribute.index;
        put16(area, at + 2, (base + value_at) as u16);
        put32(area, at + 8, attribute.value.len() as u32);
        area[at + 16..at + 16 + attribute.name.len()].copy_from_slice(&attribute.name);
        placed.push((attribute, at));
        at += attribute.entry_len();
    }
    placed
}

/// `e_hash`, as `ext4_xattr_hash_entry` computes it.
fn entry_hash(attribute: &Attribute) -> u32 {
    let named = attribute
        .name
        .iter()
        .fold(0_u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
    attribute.value.chunks(4).fold(named, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, len: usize) -> Xattr {
        Xattr {
            name: name.as_bytes().into(),
            value: vec![b'v'; len].into(),
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_largest_first() {
        let fits = vec![xattr("user.a", 3000), xattr("user.b", 60)];
        assert_eq!(storable(fits.clone()), (fits, 0));
        let (kept, left_out) = storable(vec![
            xattr("user.big", 5000),
            xattr("user.", 1),
            xattr("user.large", 3700),
            xattr("security.capability", 20),
            xattr("security.ima", 2000),
            xattr("system.posix_acl_access", 7),
            xattr("user.small", 4),
        ]);
        let names: Vec<_> = kept.iter().map(|xattr| &*xattr.name).collect();
        let expected = ["security.capability", "security.ima", "user.small"];
        assert_eq!(names, expected.map(str::as_bytes));
        assert_eq!(left_out, 4);
        assert!(XattrPlan::new(&kept).is_ok());
    }

    #[test]
    fn forty_attributes_of_one_hundred_bytes_become_as_many_as_fit() {
        let all: Vec<Xattr> = (0..40)
            .map(|number| xattr(&format!("user.k{number}"), 100))
            .collect();
        let (kept, left_out) = storable(all);
        assert!(kept.len() > 30 && kept.len() + left_out == 40, "{left_out}");
        assert!(XattrPlan::new(&kept).is_ok());
    }
}
