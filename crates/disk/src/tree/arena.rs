//! The tree itself: nodes and names in flat arrays, with look-up of a name in constant time.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::attributes::{Attributes, NodeKind};
use super::contents::{Extent, Source, SourceId};
use super::error::{MAX_LINKS, MAX_TREE_BYTES, TreeError};
use super::name::{check_name, check_target, printable};
use super::xattrs::{Xattr, XattrSet, XattrTable};

/// A node of one tree: an inode in ext4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// Its place among the tree's nodes, removed ones included.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// No entry, no sibling.
pub(super) const NONE: u32 = u32::MAX;
const ROOT: NodeId = NodeId(0);
/// Memory for one node, in bytes: itself, and 16 bytes of the plan while its image is written.
const NODE_COST: usize = size_of::<Node>() + 16;
/// Memory for one entry, in bytes: itself, and its share of the index, of which up to half is empty.
const ENTRY_COST: usize = size_of::<Entry>() + 10;
/// Overhead of the allocator for one allocation, in bytes.
const ALLOCATION: usize = 16;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) attributes: Attributes,
    pub(super) links: u32,
    pub(super) xattrs: u32,
    /// The entry that gave the node its first name; [`NONE`] for the root.
    pub(super) entry: u32,
    pub(super) first_child: u32,
    pub(super) last_child: u32,
}

#[derive(Debug)]
pub(super) struct Entry {
    name_start: u32,
    name_len: u8,
    pub(super) parent: NodeId,
    /// The node; [`NONE`] once the entry is removed.
    pub(super) node: u32,
    pub(super) next_sibling: u32,
}

/// A file tree. It starts with a root directory.
#[derive(Debug)]
pub struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) entries: Vec<Entry>,
    names: Vec<u8>,
    /// Live entries by (parent, name).
    index: HashTable<u32>,
    hasher: RandomState,
    pub(super) sources: Vec<Source>,
    xattrs: XattrTable,
    /// Memory that is used, in bytes, counted against [`MAX_TREE_BYTES`].
    spent: usize,
    pub(super) live_entries: usize,
}

/// A view of one node.
#[derive(Debug, Clone, Copy)]
pub struct NodeRef<'a> {
    /// Type of the node.
    pub kind: &'a NodeKind,
    /// Owner, permissions and time.
    pub attributes: &'a Attributes,
    /// Its extended attributes, sorted by name.
    pub xattrs: &'a XattrSet,
    /// Number of its names. Directories: 1.
    pub links: u32,
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its node.
    pub node: NodeId,
}

impl Tree {
    /// A tree of only a root directory.
    ///
    /// # Errors
    /// Fails when `root` holds a mode or time that no file system has.
    pub fn new(root: Attributes) -> Result<Self, TreeError> {
        root.check()?;
        Ok(Self {
            nodes: vec![Node {
                kind: NodeKind::Directory,
                attributes: root,
                links: 1,
                xattrs: 0,
                entry: NONE,
                first_child: NONE,
                last_child: NONE,
            }],
            entries: Vec::new(),
            names: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            sources: Vec::new(),
            xattrs: XattrTable::new(),
            spent: 0,
            live_entries: 0,
        })
    }

    /// The root directory.
    pub fn root(&self) -> NodeId {
        ROOT
    }

    /// Names in the tree, the root not counted.
    pub fn entry_count(&self) -> usize {
        self.live_entries
    }

    /// Nodes ever made, removed ones included: every [`NodeId::index`] is below.
    pub fn node_capacity(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes of all regular files that have a name, each counted once, holes included.
    pub fn content_bytes(&self) -> u64 {
        let live = self.nodes.iter().filter(|node| node.links > 0);
        live.map(|node| match &node.kind {
            NodeKind::File(contents) => contents.size(),
            _ => 0,
        })
        .sum()
    }

    /// A view of `node`.
    pub fn node(&self, node: NodeId) -> NodeRef<'_> {
        let found = &self.nodes[node.index()];
        NodeRef {
            kind: &found.kind,
            attributes: &found.attributes,
            xattrs: self.xattrs.get(found.xattrs),
            links: found.links,
        }
    }

    /// The entries of `directory` in the order in which they were made; none if it is not a directory.
    pub fn children(&self, directory: NodeId) -> impl Iterator<Item = Child<'_>> {
        let mut next = self.nodes[directory.index()].first_child;
        std::iter::from_fn(move || {
            while next != NONE {
                let entry = &self.entries[next as usize];
                next = entry.next_sibling;
                if entry.node != NONE {
                    return Some(Child {
                        name: self.name(entry),
                        node: NodeId(entry.node),
                    });
                }
            }
            None
        })
    }

    /// The directory that `directory` lies in; the root lies in itself.
    pub fn parent(&self, directory: NodeId) -> NodeId {
        match self.nodes[directory.index()].entry {
            NONE => ROOT,
            entry => self.entries[entry as usize].parent,
        }
    }

    /// The node with the name `name` in `directory`.
    pub fn lookup(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        let entry = self.find(directory, name)?;
        Some(NodeId(self.entries[entry as usize].node))
    }

    /// The node at `path` below the root, by plain names separated by slashes; links are not followed.
    pub fn lookup_path(&self, path: &[u8]) -> Option<NodeId> {
        path.split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .try_fold(ROOT, |directory, name| self.lookup(directory, name))
    }

    /// Makes `name` in `directory`.
    ///
    /// # Errors
    /// Fails when the name is taken or impossible, the parent is no directory, an attribute is out of range, or a limit
    /// is met.
    pub fn insert(
        &mut self,
        directory: NodeId,
        name: &[u8],
        kind: NodeKind,
        attributes: Attributes,
    ) -> Result<NodeId, TreeError> {
        attributes.check()?;
        self.spend(NODE_COST + Self::cost(&kind)?)?;
        let node = self.nodes.len() as u32;
        let entry = self.add_entry(directory, name, node)?;
        self.nodes.push(Node {
            kind,
            attributes,
            links: 1,
            xattrs: 0,
            entry,
            first_child: NONE,
            last_child: NONE,
        });
        Ok(NodeId(node))
    }

    /// Gives `node` a further name.
    ///
    /// # Errors
    /// As [`Tree::insert`]; also when `node` is a directory or has 65,000 names.
    pub fn link(&mut self, directory: NodeId, name: &[u8], node: NodeId) -> Result<(), TreeError> {
        let target = &self.nodes[node.index()];
        if target.kind.is_directory() {
            return Err(TreeError::DirectoryLink {
                path: self.path_of(node),
            });
        }
        if target.links >= MAX_LINKS {
            return Err(TreeError::TooManyLinks {
                path: self.path_of(node),
            });
        }
        self.add_entry(directory, name, node.0)?;
        self.nodes[node.index()].links += 1;
        Ok(())
    }

    /// Makes `name` in `directory` a copy of `node`: a file of its own with the same contents and attributes.
    ///
    /// # Errors
    /// As [`Tree::insert`]; also when `node` is a directory.
    pub fn insert_copy(
        &mut self,
        directory: NodeId,
        name: &[u8],
        node: NodeId,
    ) -> Result<NodeId, TreeError> {
        let Node {
            kind,
            attributes,
            xattrs,
            ..
        } = &self.nodes[node.index()];
        if kind.is_directory() {
            return Err(TreeError::DirectoryLink {
                path: self.path_of(node),
            });
        }
        let (kind, attributes, xattrs) = (kind.clone(), *attributes, *xattrs);
        let copy = self.insert(directory, name, kind, attributes)?;
        self.nodes[copy.index()].xattrs = xattrs;
        Ok(copy)
    }

    /// Replaces the attributes of `node`.
    ///
    /// # Errors
    /// Fails when one is out of range.
    pub fn set_attributes(
        &mut self,
        node: NodeId,
        attributes: Attributes,
    ) -> Result<(), TreeError> {
        attributes.check()?;
        self.nodes[node.index()].attributes = attributes;
        Ok(())
    }

    /// Replaces all extended attributes of `node`. POSIX ACLs come in the kernel's form (`system.posix_acl_access`).
    ///
    /// # Errors
    /// Fails when ext4 cannot hold one of them, or a limit is met.
    pub fn set_xattrs(&mut self, node: NodeId, xattrs: Vec<Xattr>) -> Result<(), TreeError> {
        let (number, cost) = self.xattrs.intern(xattrs)?;
        self.spend(cost)?;
        self.nodes[node.index()].xattrs = number;
        Ok(())
    }

    /// Adds a source of contents.
    pub fn add_source(&mut self, source: Source) -> SourceId {
        // Counted here, refused with the next entry: a source alone has no effect.
        self.spent += size_of::<Source>() + source.allocated();
        self.sources.push(source);
        SourceId((self.sources.len() - 1) as u32)
    }

    /// A source of this tree.
    pub fn source(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    /// The path of `node` for messages: by its first name, printable.
    pub fn path_of(&self, node: NodeId) -> String {
        let mut names = Vec::new();
        let mut entry = self.nodes[node.index()].entry;
        while entry != NONE {
            let named = &self.entries[entry as usize];
            names.push(printable(self.name(named)));
            entry = self.nodes[named.parent.index()].entry;
        }
        names.reverse();
        format!("/{}", names.join("/"))
    }

    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.name_start as usize;
        &self.names[start..start + usize::from(entry.name_len)]
    }

    pub(super) fn find(&self, directory: NodeId, name: &[u8]) -> Option<u32> {
        let is_it = |&number: &u32| {
            let entry = &self.entries[number as usize];
            entry.parent == directory && self.name(entry) == name
        };
        self.index.find(self.hash(directory, name), is_it).copied()
    }

    /// Removes `entry` from the index.
    pub(super) fn forget(&mut self, number: u32) {
        let entry = &self.entries[number as usize];
        let hash = self.hash(entry.parent, self.name(entry));
        if let Ok(found) = self.index.find_entry(hash, |&other| other == number) {
            found.remove();
        }
    }

    fn hash(&self, directory: NodeId, name: &[u8]) -> u64 {
        self.hasher.hash_one((directory.0, name))
    }

    fn add_entry(&mut self, directory: NodeId, name: &[u8], node: u32) -> Result<u32, TreeError> {
        check_name(name)?;
        if !self.nodes[directory.index()].kind.is_directory() {
            return Err(TreeError::NotADirectory {
                path: self.path_of(directory),
            });
        }
        if self.find(directory, name).is_some() {
            let parent = self.path_of(directory);
            return Err(TreeError::Exists {
                path: format!("{}/{}", parent.trim_end_matches('/'), printable(name)),
            });
        }
        self.spend(ENTRY_COST + name.len())?;
        let number = self.entries.len() as u32;
        self.entries.push(Entry {
            name_start: self.names.len() as u32,
            name_len: name.len() as u8,
            parent: directory,
            node,
            next_sibling: NONE,
        });
        self.names.extend_from_slice(name);
        let parent = &mut self.nodes[directory.index()];
        if parent.last_child == NONE {
            parent.first_child = number;
        } else {
            self.entries[parent.last_child as usize].next_sibling = number;
        }
        parent.last_child = number;
        self.live_entries += 1;
        let (entries, names, hasher) = (&self.entries, &self.names, &self.hasher);
        let hash_of = |&number: &u32| {
            let entry = &entries[number as usize];
            let start = entry.name_start as usize;
            hasher.hash_one((
                entry.parent.0,
                &names[start..start + usize::from(entry.name_len)],
            ))
        };
        self.index.insert_unique(hash_of(&number), number, hash_of);
        Ok(number)
    }

    /// Checks `kind`; returns its memory besides the node.
    fn cost(kind: &NodeKind) -> Result<usize, TreeError> {
        match kind {
            NodeKind::Symlink(target) => {
                check_target(target)?;
                Ok(target.len() + ALLOCATION)
            }
            NodeKind::File(contents) => Ok(contents.mapped_extents() * size_of::<Extent>()),
            _ => Ok(0),
        }
    }

    /// Counts `bytes` of memory and refuses them above the limit.
    fn spend(&mut self, bytes: usize) -> Result<(), TreeError> {
        if self.spent + bytes > MAX_TREE_BYTES {
            return Err(TreeError::Limit {
                what: "bytes of names and attributes",
                limit: MAX_TREE_BYTES as u64,
            });
        }
        self.spent += bytes;
        Ok(())
    }
}
