//! An image that banger wrote, damaged: every three bytes of the input are a place and what is there instead.
#![no_main]

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use banger_disk::tree::{Attributes, Contents, NodeKind, Source, Tree, Xattr};
use banger_disk::{ImageOptions, Label, read_tree, write_tree};

fn image() -> Option<Vec<u8>> {
    let mut tree = Tree::new(Attributes::root(0o755)).ok()?;
    let source = tree.add_source(Source::Bytes((*b"content of a file").into()));
    let (root, plain) = (tree.root(), Attributes::root(0o644));
    let folder = tree
        .insert(root, b"folder", NodeKind::Directory, plain)
        .ok()?;
    let file = NodeKind::File(Contents::whole(source, 0, 17));
    let file = tree.insert(folder, b"file", file, plain).ok()?;
    tree.link(root, b"again", file).ok()?;
    let long = NodeKind::Symlink(vec![b'x'; 100].into());
    let long = tree.insert(root, b"long", long, plain).ok()?;
    let note = Xattr {
        name: (*b"user.note").into(),
        value: (*b"kept").into(),
    };
    tree.set_xattrs(long, vec![note]).ok()?;
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join("image");
    let options = ImageOptions::base(Label::new("fuzz").ok()?);
    write_tree(&tree, &path, &options, &mut |_| ControlFlow::Continue(())).ok()?;
    std::fs::read(&path).ok()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static IMAGE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let Some(image) = IMAGE.get_or_init(image) else {
        return;
    };
    let Ok(file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if file.as_file().write_all_at(image, 0).is_err() {
        return;
    }
    for change in bytes.chunks_exact(3) {
        let at = u64::from(u16::from_le_bytes([change[0], change[1]])) * 4 % image.len() as u64;
        let _ = file.as_file().write_all_at(&change[2..], at);
    }
    let _ = read_tree(file.path());
});
