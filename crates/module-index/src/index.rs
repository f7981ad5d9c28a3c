//! Reading: a look-up goes from node to node in the file's bytes. Whoever wrote them may have meant harm.

use crate::pattern::matches;
use crate::{HAS_CHILDREN, HAS_PREFIX, HAS_VALUES, KEY_MAX_BYTES, MAGIC, OFFSET_MASK, VERSION};

/// Nodes that one look-up may enter. Those of a real index that begin with a pattern are some ten thousand.
const STEPS_MAX: usize = 1 << 20;
/// Values that one look-up may find; a real alias has at most some ten.
const FOUND_MAX: usize = 1024;

/// Reason why an index cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not the format of this crate, or a version of it that nobody has seen.
    #[error("it is no module index of version 2")]
    NotAnIndex,
    /// A pointer or a text that leads out of the file.
    #[error("its node at byte {0} is damaged")]
    Damaged(usize),
    /// A look-up that would go on for long.
    #[error("a look-up in it does not end")]
    Endless,
}

/// One answer to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value<'a> {
    /// Least first.
    pub priority: u32,
    /// The value's bytes.
    pub bytes: &'a [u8],
}

/// An index in memory.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    bytes: &'a [u8],
    root: u32,
}

struct Node<'a> {
    prefix: &'a [u8],
    /// The byte of the first child, and pointers to it and those of the bytes after it.
    first: u8,
    children: &'a [u8],
    /// Offset of the values.
    values: Option<usize>,
}

/// Answers of a look-up so far, and its steps.
struct Search<'a> {
    found: Vec<Value<'a>>,
    steps: usize,
}

impl<'a> Index<'a> {
    /// Looks at the head of a file.
    ///
    /// # Errors
    /// It is no index, or one of another version.
    pub fn open(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let word = |at| word(bytes, at).map_err(|_short| IndexError::NotAnIndex);
        if word(0)? != MAGIC || word(4)? >> 16 != VERSION >> 16 {
            return Err(IndexError::NotAnIndex);
        }
        let root = word(8)?;
        Ok(Self { bytes, root })
    }

    /// The values of exactly this key, by priority.
    ///
    /// # Errors
    /// The file is damaged on the way.
    pub fn find(&self, key: &[u8]) -> Result<Vec<Value<'a>>, IndexError> {
        let mut search = Search::new();
        let (mut pointer, mut rest) = (self.root, key);
        while pointer & OFFSET_MASK != 0 {
            let node = self.node(pointer, &mut search)?;
            let Some(after) = rest.strip_prefix(node.prefix) else {
                break;
            };
            let Some((&byte, tail)) = after.split_first() else {
                self.take(&node, &mut search)?;
                break;
            };
            rest = tail;
            pointer = node.child(byte);
        }
        Ok(search.found)
    }

    /// The values of all keys that are patterns of `text`, or the text itself, by priority.
    ///
    /// # Errors
    /// The file is damaged on the way.
    pub fn matching(&self, text: &[u8]) -> Result<Vec<Value<'a>>, IndexError> {
        let mut search = Search::new();
        let (mut pointer, mut rest) = (self.root, text);
        'nodes: while pointer & OFFSET_MASK != 0 {
            let node = self.node(pointer, &mut search)?;
            for (at, byte) in node.prefix.iter().enumerate() {
                if is_wild(*byte) {
                    let mut key = Vec::new();
                    self.below(&node, &node.prefix[at..], &mut key, rest, &mut search)?;
                    break 'nodes;
                }
                let Some(tail) = rest.strip_prefix(std::slice::from_ref(byte)) else {
                    break 'nodes;
                };
                rest = tail;
            }
            for wild in *b"*?[" {
                let pointer = node.child(wild);
                if pointer & OFFSET_MASK != 0 {
                    let child = self.node(pointer, &mut search)?;
                    self.below(&child, child.prefix, &mut vec![wild], rest, &mut search)?;
                }
            }
            let Some((&byte, tail)) = rest.split_first() else {
                self.take(&node, &mut search)?;
                break;
            };
            rest = tail;
            // A text with such a byte in it has met that child as a pattern.
            pointer = if is_wild(byte) { 0 } else { node.child(byte) };
        }
        search.found.sort();
        Ok(search.found)
    }

    /// Tries every key below a node, from its first wild byte on, on the rest of a text. At most [`KEY_MAX_BYTES`] calls
    /// deep, as each adds to `key`.
    fn below(
        &self,
        node: &Node<'a>,
        prefix: &[u8],
        key: &mut Vec<u8>,
        text: &[u8],
        search: &mut Search<'a>,
    ) -> Result<(), IndexError> {
        let length = key.len();
        key.extend(prefix);
        if key.len() > KEY_MAX_BYTES {
            return Err(IndexError::Endless);
        }
        for (place, pointer) in node.children.chunks_exact(4).enumerate() {
            let pointer = word(pointer, 0)?;
            if pointer & OFFSET_MASK == 0 {
                continue;
            }
            // At most 255 - `first` pointers follow the first: `node` has seen to that.
            key.push(node.first.wrapping_add(place as u8));
            let child = self.node(pointer, search)?;
            self.below(&child, child.prefix, key, text, search)?;
            key.pop();
        }
        if node.values.is_some() && matches(key, text) {
            self.take(node, search)?;
        }
        key.truncate(length);
        Ok(())
    }

    fn node(&self, pointer: u32, search: &mut Search<'a>) -> Result<Node<'a>, IndexError> {
        search.step()?;
        let start = (pointer & OFFSET_MASK) as usize;
        let damaged = IndexError::Damaged(start);
        let mut at = start;
        let mut prefix = &[][..];
        if pointer & HAS_PREFIX != 0 {
            prefix = text(self.bytes, at)?;
            at += prefix.len() + 1;
        }
        let (mut first, mut children) = (0, &[][..]);
        if pointer & HAS_CHILDREN != 0 {
            let ends = self.bytes.get(at..at + 2).ok_or(damaged)?;
            first = ends[0];
            let count = usize::from(ends[1].checked_sub(first).ok_or(damaged)?) + 1;
            children = self.bytes.get(at + 2..at + 2 + 4 * count).ok_or(damaged)?;
            at += 2 + 4 * count;
        }
        Ok(Node {
            prefix,
            first,
            children,
            values: (pointer & HAS_VALUES != 0).then_some(at),
        })
    }

    fn take(&self, node: &Node<'a>, search: &mut Search<'a>) -> Result<(), IndexError> {
        let Some(mut at) = node.values else {
            return Ok(());
        };
        let count = word(self.bytes, at)?;
        at += 4;
        for _ in 0..count {
            let value = Value {
                priority: word(self.bytes, at)?,
                bytes: text(self.bytes, at + 4)?,
            };
            at += 4 + value.bytes.len() + 1;
            if search.found.len() >= FOUND_MAX {
                return Err(IndexError::Endless);
            }
            search.found.push(value);
        }
        Ok(())
    }
}

impl Node<'_> {
    /// The pointer to the child of a byte; 0 when there is none.
    fn child(&self, byte: u8) -> u32 {
        let place = byte.checked_sub(self.first).map(usize::from);
        place
            .and_then(|place| word(self.children, 4 * place).ok())
            .unwrap_or(0)
    }
}

impl Search<'_> {
    fn new() -> Self {
        Self {
            found: Vec::new(),
            steps: 0,
        }
    }

    fn step(&mut self) -> Result<(), IndexError> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(IndexError::Endless);
        }
        Ok(())
    }
}

fn is_wild(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[')
}

fn word(bytes: &[u8], at: usize) -> Result<u32, IndexError> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map(|word| u32::from_be_bytes(*word))
        .ok_or(IndexError::Damaged(at))
}

/// Bytes up to a NUL.
fn text(bytes: &[u8], at: usize) -> Result<&[u8], IndexError> {
    let rest = bytes.get(at..).ok_or(IndexError::Damaged(at))?;
    let end = rest.iter().position(|byte| *byte == 0);
    end.map(|end| &rest[..end]).ok_or(IndexError::Damaged(at))
}

#[cfg(test)]
mod tests;
