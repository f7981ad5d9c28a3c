//! `modules.ext4`: what a guest sees at `/lib/modules/<release>`, as a read-only file system that all its VMs share.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use banger_disk::ext4::EPOCH;
use banger_disk::tree::{
    Attributes, Contents, NodeId, NodeKind, Source, Timestamp, Tree, TreeError,
};
use banger_disk::{ImageOptions, ImageSize, Label, WriteError, write_tree};
use uuid::Uuid;

use super::index::{IndexedModule, indexes};
use super::left_out;
use super::spool::Spooled;
use super::survey::{lists, survey};
use super::tree::ModuleTree;
use crate::error::KernelError;
use crate::metadata::{FileRecord, LeftOut, MODULES_DISK, ModulesDisk};
use crate::progress::{Stage, Watch};

/// Of every such file: equal modules must give equal bytes.
const DISK_UUID: Uuid = Uuid::from_u128(0x6261_6e67_6572_4d6f_8475_6c65_0000_0001);
/// The file system's label.
const LABEL: &str = "modules";
/// Folder of drivers that replace those of the kernel (depmod.d(5), "search").
const UPDATES: &str = "updates/";

/// Choices of the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskOptions<'a> {
    /// The kernel's release.
    pub(crate) release: &'a str,
    /// True when a large tree keeps drivers for hardware that no guest has.
    pub(crate) all: bool,
}

/// Writes the disk into `folder`, synced. `None`: the tree has no module.
///
/// # Errors
/// Names the module that is damaged or of another kernel, or what there is too much of.
pub(crate) fn write_disk(
    tree: &dyn ModuleTree,
    options: DiskOptions<'_>,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<Option<ModulesDisk>, KernelError> {
    let survey = survey(tree, options.release, options.all, folder, watch)?;
    if survey.modules.is_empty() {
        return Ok(None);
    }
    let count = survey.modules.len() as u64;
    let files = indexes(preferred(&survey.modules), lists(tree)?)?;
    let mut root = Root::new()?;
    for (name, bytes) in files {
        root.bytes(name, bytes)?;
    }
    for (module, content) in &survey.modules {
        root.module(&module.path, content)?;
    }
    let file = root.write(folder, watch)?;
    let left_out = (survey.left_out > 0).then(|| LeftOut {
        modules: survey.left_out,
        folders: left_out::folders(),
    });
    Ok(Some(ModulesDisk {
        modules: count,
        left_out,
        file,
    }))
}

/// One module of each name: that of `updates/` before the kernel's own, else the first by path.
fn preferred(modules: &[(IndexedModule, Spooled)]) -> Vec<IndexedModule> {
    let mut chosen: BTreeMap<&str, &IndexedModule> = BTreeMap::new();
    for (module, _) in modules {
        let is_update = |module: &IndexedModule| module.path.starts_with(UPDATES);
        let place = chosen.entry(&module.name).or_insert(module);
        if is_update(module) && !is_update(place) {
            *place = module;
        }
    }
    chosen.into_values().cloned().collect()
}

/// The tree in the making.
struct Root {
    tree: Tree,
    folders: BTreeMap<String, NodeId>,
}

impl Root {
    fn new() -> Result<Self, KernelError> {
        let tree = Tree::new(attributes(0o755)).map_err(in_tree)?;
        Ok(Self {
            tree,
            folders: BTreeMap::new(),
        })
    }

    fn bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), KernelError> {
        let length = bytes.len() as u64;
        let source = self.tree.add_source(Source::Bytes(Arc::from(bytes)));
        self.file(name, Contents::whole(source, 0, length))
    }

    fn module(&mut self, path: &str, content: &Spooled) -> Result<(), KernelError> {
        let source = self
            .tree
            .add_source(Source::File(Arc::clone(&content.file)));
        self.file(
            path,
            Contents::whole(source, content.offset, content.length),
        )
    }

    fn file(&mut self, path: &str, contents: Contents) -> Result<(), KernelError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(folder)?;
        let kind = NodeKind::File(contents);
        let file = self
            .tree
            .insert(folder, name.as_bytes(), kind, attributes(0o644));
        file.map(|_node| ()).map_err(in_tree)
    }

    /// Depth is bounded by the tree that the path came from.
    fn folder(&mut self, path: &str) -> Result<NodeId, KernelError> {
        if path.is_empty() {
            return Ok(self.tree.root());
        }
        if let Some(known) = self.folders.get(path) {
            return Ok(*known);
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = self.folder(above)?;
        let kind = NodeKind::Directory;
        let made = self
            .tree
            .insert(above, name.as_bytes(), kind, attributes(0o755));
        let made = made.map_err(in_tree)?;
        self.folders.insert(path.to_owned(), made);
        Ok(made)
    }

    fn write(&self, folder: &Path, watch: &mut Watch<'_>) -> Result<FileRecord, KernelError> {
        let path = folder.join(MODULES_DISK);
        let options = ImageOptions {
            size: ImageSize::Fit,
            label: Label::new(LABEL).unwrap_or_default(),
            uuid: DISK_UUID,
            journal: false,
            digest: true,
        };
        let mut progress = |progress: banger_disk::Progress| {
            watch.report(Stage::Write, MODULES_DISK, progress.done, progress.total);
            match watch.check() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_cancelled) => ControlFlow::Break(()),
            }
        };
        let written =
            write_tree(&self.tree, &path, &options, &mut progress).map_err(
                |source| match source {
                    WriteError::Cancelled => KernelError::Cancelled,
                    source => KernelError::ModulesDisk { source },
                },
            )?;
        let failed = |source| KernelError::io("protect and sync", &path, source);
        let read_only = Permissions::from_mode(banger_durable::SHARED_FILE);
        written.file.set_permissions(read_only).map_err(failed)?;
        written.file.sync_all().map_err(failed)?;
        let digest = written.digest.unwrap_or_default();
        Ok(FileRecord {
            file: MODULES_DISK.to_owned(),
            bytes: written.size,
            digest: format!("sha256:{}", banger_durable::hex(&digest)),
        })
    }
}

fn attributes(mode: u16) -> Attributes {
    Attributes {
        mtime: Timestamp::from_seconds(i64::from(EPOCH)),
        ..Attributes::root(mode)
    }
}

fn in_tree(source: TreeError) -> KernelError {
    KernelError::ModulesTree { source }
}
