//! Entries of an archive, as the writer takes them.

/// Kind of an entry, with the content that the header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A regular file; so many bytes follow as its content.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A regular file with holes; the bytes of its pieces follow, one after the other.
    Sparse {
        /// Its size in bytes, holes included.
        size: u64,
        /// Offset and length of each run of data, ascending.
        pieces: &'a [(u64, u64)],
    },
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// A further name of the entry with this name, which came before.
    HardLink(&'a [u8]),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// Full name and value of an extended attribute.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name, components separated by `/`, without a slash in front.
    pub path: &'a [u8],
    /// Its kind.
    pub kind: Kind<'a>,
    /// Permission bits, at most 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last modification: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Extended attributes by full name.
    pub xattrs: &'a [Xattr],
}
