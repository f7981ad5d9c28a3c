//! Writing: keys and values become a tree, the tree a file, children before their parents as depmod does.

use std::collections::BTreeMap;

use crate::{HAS_CHILDREN, HAS_PREFIX, HAS_VALUES, KEY_MAX_BYTES, MAGIC, OFFSET_MASK, VERSION};

/// Reason why a key or its value cannot be in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The format takes ASCII only.
    #[error("the key has a byte that is not printable ASCII")]
    Byte,
    /// Longer than any key that is looked for.
    #[error("the key is longer than {KEY_MAX_BYTES} bytes")]
    Long,
    /// A value ends at its first NUL.
    #[error("the value has a NUL byte")]
    Value,
}

/// More than the format's pointers reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the index is larger than 256 MiB")]
pub struct TooLarge;

/// An index in the making.
#[derive(Debug)]
pub struct IndexBuilder {
    /// The root first. Nodes point to each other by place, so that no depth of keys is a depth of drops.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    prefix: Vec<u8>,
    children: BTreeMap<u8, usize>,
    /// By priority.
    values: Vec<(u32, Vec<u8>)>,
}

impl Default for IndexBuilder {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl IndexBuilder {
    /// Adds a value. Those of one key are kept by their priority, least first; of two with the same the later comes first.
    ///
    /// # Errors
    /// The key or the value cannot be stored; nothing is added then.
    pub fn insert(&mut self, key: &[u8], value: &[u8], priority: u32) -> Result<(), KeyError> {
        if key.len() > KEY_MAX_BYTES {
            return Err(KeyError::Long);
        }
        if !key.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(KeyError::Byte);
        }
        if value.contains(&0) {
            return Err(KeyError::Value);
        }
        let node = self.node_of(key);
        let values = &mut self.nodes[node].values;
        let place = values.partition_point(|(other, _)| *other < priority);
        values.insert(place, (priority, value.to_vec()));
        Ok(())
    }

    /// The node where `key` ends, made when it is not there.
    fn node_of(&mut self, key: &[u8]) -> usize {
        let (mut node, mut rest) = (0, key);
        loop {
            let prefix = &self.nodes[node].prefix;
            let common = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < prefix.len() {
                self.split(node, common);
            }
            rest = &rest[common..];
            let Some((&first, tail)) = rest.split_first() else {
                return node;
            };
            rest = tail;
            node = match self.nodes[node].children.get(&first) {
                Some(&child) => child,
                None => {
                    let child = self.add(Node {
                        prefix: std::mem::take(&mut rest).to_vec(),
                        ..Node::default()
                    });
                    self.nodes[node].children.insert(first, child);
                    return child;
                }
            };
        }
    }

    /// Gives `node` only the first `at` bytes of its prefix, and a child with the rest of all that it had.
    fn split(&mut self, node: usize, at: usize) {
        let above = &mut self.nodes[node];
        let below = Node {
            prefix: above.prefix[at + 1..].to_vec(),
            children: std::mem::take(&mut above.children),
            values: std::mem::take(&mut above.values),
        };
        let first = above.prefix[at];
        above.prefix.truncate(at);
        let below = self.add(below);
        self.nodes[node].children.insert(first, below);
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The file.
    ///
    /// # Errors
    /// It would be larger than the format allows.
    pub fn finish(&self) -> Result<Vec<u8>, TooLarge> {
        let mut out = Vec::new();
        for word in [MAGIC, VERSION, 0] {
            out.extend(word.to_be_bytes());
        }
        let root = self.write(0, &mut out)?;
        out[8..12].copy_from_slice(&root.to_be_bytes());
        Ok(out)
    }

    /// Writes a node after its children and gives the pointer to it. At most [`KEY_MAX_BYTES`] calls deep.
    fn write(&self, node: usize, out: &mut Vec<u8>) -> Result<u32, TooLarge> {
        let node = &self.nodes[node];
        let mut children = Vec::new();
        let ends = node
            .children
            .first_key_value()
            .zip(node.children.last_key_value());
        if let Some(((&first, _), (&last, _))) = ends {
            for byte in first..=last {
                let child = node.children.get(&byte);
                children.push(child.map_or(Ok(0), |&child| self.write(child, out))?);
            }
        }
        let mut pointer = u32::try_from(out.len()).map_err(|_large| TooLarge)?;
        if pointer > OFFSET_MASK {
            return Err(TooLarge);
        }
        if !node.prefix.is_empty() {
            pointer |= HAS_PREFIX;
            out.extend(&node.prefix);
            out.push(0);
        }
        if let Some(((&first, _), (&last, _))) = ends {
            pointer |= HAS_CHILDREN;
            out.extend([first, last]);
            children
                .iter()
                .for_each(|child| out.extend(child.to_be_bytes()));
        }
        if !node.values.is_empty() {
            pointer |= HAS_VALUES;
            // Fewer than the file has bytes, which is checked at the next node and by the reader.
            out.extend((node.values.len() as u32).to_be_bytes());
            for (priority, value) in &node.values {
                out.extend(priority.to_be_bytes());
                out.extend(value);
                out.push(0);
            }
        }
        Ok(pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_that_of_depmod() {
        let mut index = IndexBuilder::default();
        for (key, value, priority) in [("ab", "one", 7), ("abc", "two", 3), ("x", "", 0)] {
            index
                .insert(key.as_bytes(), value.as_bytes(), priority)
                .unwrap();
        }
        let mut expected = vec![0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1, 0x20, 0, 0, 0x29];
        // c: value; then its parent, "b" with one child; then x; the root last.
        expected.extend(b"\0\0\0\x01\0\0\0\x03two\0");
        expected.extend(b"b\0cc\x40\0\0\x0c\0\0\0\x01\0\0\0\x07one\0");
        let x = expected.len() as u32;
        expected.extend(b"\0\0\0\x01\0\0\0\0\0");
        let root = expected.len() as u32;
        expected.extend(b"ax\xe0\0\0\x18");
        expected.extend([0; 4 * 22]);
        expected.extend((x | HAS_VALUES).to_be_bytes());
        expected[8..12].copy_from_slice(&(root | HAS_CHILDREN).to_be_bytes());
        assert_eq!(index.finish().unwrap(), expected);
    }

    #[test]
    fn what_no_index_can_hold_is_refused_and_leaves_nothing() {
        let mut index = IndexBuilder::default();
        let empty = index.finish().unwrap();
        let long = [b'a'; KEY_MAX_BYTES + 1];
        assert_eq!(index.insert(&long, b"", 0), Err(KeyError::Long));
        for odd in [&b"a\xff"[..], b"a\0", b"a\nb"] {
            assert_eq!(index.insert(odd, b"", 0), Err(KeyError::Byte));
        }
        assert_eq!(index.insert(b"a", b"x\0y", 0), Err(KeyError::Value));
        assert_eq!(index.finish().unwrap(), empty);
    }

    #[test]
    fn keys_that_are_each_the_start_of_the_next_are_written() {
        let mut index = IndexBuilder::default();
        let key = [b'a'; KEY_MAX_BYTES];
        for length in 1..=KEY_MAX_BYTES {
            index.insert(&key[..length], b"v", 0).unwrap();
        }
        assert!(index.finish().unwrap().len() > KEY_MAX_BYTES * 10);
    }
}
