use std::fs;

use super::*;
use crate::fixture::{ar, bzimage, gzip, lz4_legacy, module, tar, vmlinux, with_size, xz};
use crate::modules::{Availability, Capability};

const RELEASE: &str = "6.1.0-test";

fn quietly<T>(work: impl FnOnce(&mut Watch<'_>) -> T) -> T {
    work(&mut Watch::new(&mut |_| {}, &|| false))
}

fn packed_kernel(pvh: Option<u64>) -> Vec<u8> {
    let kernel = vmlinux(RELEASE, pvh);
    bzimage(&with_size(lz4_legacy(&kernel), kernel.len()))
}

/// Modules below `lib/modules/RELEASE`, and the files beside them.
fn files() -> Vec<(String, Vec<u8>)> {
    let below = format!("lib/modules/{RELEASE}");
    let built = |name, depends| module(name, depends, RELEASE);
    vec![
        (
            format!("boot/vmlinuz-{RELEASE}"),
            packed_kernel(Some(0x100_0000)),
        ),
        (
            format!("boot/config-{RELEASE}"),
            b"CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_PCI=y\n".to_vec(),
        ),
        (
            format!("{below}/modules.builtin"),
            b"kernel/drivers/char/virtio_console.ko\n".to_vec(),
        ),
        (
            format!("{below}/kernel/drivers/virtio/virtio.ko"),
            built("virtio", ""),
        ),
        (
            format!("{below}/kernel/drivers/block/virtio_blk.ko.xz"),
            xz(&built("virtio_blk", "virtio")),
        ),
        (
            format!("{below}/kernel/fs/overlayfs/overlay.ko"),
            built("overlay", ""),
        ),
    ]
}

fn package(files: &[(String, Vec<u8>)]) -> tempfile::NamedTempFile {
    let entries: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (format!("./{name}"), bytes.as_slice()))
        .collect();
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &file,
        ar(&[
            ("debian-binary", b"2.0\n".to_vec()),
            ("data.tar.xz", xz(&tar(&entries))),
        ]),
    )
    .unwrap();
    file
}

fn folder_of(files: &[(String, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn import_into_new(
    source: &KernelSource,
) -> Result<(KernelMetadata, tempfile::TempDir), KernelError> {
    let folder = tempfile::tempdir().unwrap();
    quietly(|watch| import(source, ImportOptions::default(), folder.path(), watch))
        .map(|metadata| (metadata, folder))
}

#[test]
fn a_package_becomes_a_folder_that_describes_itself() {
    let package = package(&files());
    let (metadata, folder) =
        import_into_new(&KernelSource::Deb(package.path().to_path_buf())).unwrap();
    assert_eq!(metadata.release, RELEASE);
    assert_eq!(metadata.qemu_image(), Some("vmlinux"));
    assert_eq!(metadata.pvh_entry, Some(0x100_0000));
    assert_eq!(metadata.virtio_mmio_cmdline, Some(false));
    assert_eq!(
        metadata.capabilities[&Capability::Ext4],
        Availability::Builtin
    );
    let modules: Vec<_> = metadata
        .modules
        .iter()
        .map(|module| module.file.file.as_str())
        .collect();
    assert_eq!(
        modules,
        [
            "modules/00-virtio.ko",
            "modules/01-virtio_blk.ko",
            "modules/02-overlay.ko"
        ]
    );
    assert_eq!(
        fs::read(folder.path().join("vmlinux")).unwrap(),
        vmlinux(RELEASE, Some(0x100_0000))
    );
    assert!(
        fs::read(folder.path().join(modules[1]))
            .unwrap()
            .starts_with(b"\x7fELF")
    );
    assert_eq!(KernelMetadata::read(folder.path()).unwrap(), metadata);
    assert!(
        !folder.path().join("bzImage").exists(),
        "the packed image is of no use beside a PVH entry"
    );
}

#[test]
fn one_kernel_has_one_digest_whatever_it_came_in() {
    let package = package(&files());
    let tree = folder_of(&files());
    let image = tree.path().join(format!("boot/vmlinuz-{RELEASE}"));
    let modules = Some(tree.path().join(format!("lib/modules/{RELEASE}")));
    let digests: Vec<_> = [
        KernelSource::Deb(package.path().to_path_buf()),
        KernelSource::Directory(tree.path().to_path_buf()),
    ]
    .iter()
    .map(|source| import_into_new(source).unwrap().0.digest)
    .collect();
    assert_eq!(digests[0], digests[1]);
    // A bare image has no configuration beside it: what only the configuration knew is now unknown to modules.builtin.
    let error = import_into_new(&KernelSource::Image { image, modules }).unwrap_err();
    assert!(error.to_string().contains("has no ext4"), "{error}");
}

#[test]
fn the_host_kernel_is_found_by_its_release() {
    let tree = folder_of(&files());
    let found = quietly(|watch| find::on_host(tree.path(), RELEASE, watch)).unwrap();
    assert_eq!(
        (found.kind, found.modules.unwrap().modules().len()),
        ("host", 3)
    );
    let error = quietly(|watch| find::on_host(tree.path(), "9.9.9", watch))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("does not keep the image"),
        "{error}"
    );
}

#[test]
fn a_host_that_keeps_its_kernel_beside_its_modules_is_fine() {
    let below = |name: &str| format!("lib/modules/{RELEASE}/{name}");
    let mut files = files();
    files[0].0 = below("vmlinuz");
    files[1].0 = below("config");
    let tree = folder_of(&files);
    let found = quietly(|watch| find::on_host(tree.path(), RELEASE, watch)).unwrap();
    assert!(
        found.image_name.ends_with(&below("vmlinuz")),
        "{}",
        found.image_name
    );
    assert!(found.config.is_some());
}

#[test]
fn a_bare_kernel_is_taken_with_a_warning() {
    let folder = folder_of(&[("vmlinux".to_owned(), vmlinux(RELEASE, Some(1)))]);
    let source = KernelSource::Image {
        image: folder.path().join("vmlinux"),
        modules: None,
    };
    let (metadata, _folder) = import_into_new(&source).unwrap();
    assert!(
        metadata.warnings[0].contains("taken to be built in"),
        "{:?}",
        metadata.warnings
    );
    assert!(metadata.provides(Capability::VirtioBlk));
    assert!(metadata.modules.is_empty());
}

#[test]
fn without_a_pvh_entry_the_packed_image_is_kept_for_qemu() {
    let folder = folder_of(&[
        ("bzImage".to_owned(), packed_kernel(None)),
        ("plain/vmlinux".to_owned(), vmlinux(RELEASE, None)),
    ]);
    let import_image = |name: &str| {
        import_into_new(&KernelSource::Image {
            image: folder.path().join(name),
            modules: None,
        })
        .unwrap()
    };
    let (metadata, imported) = import_image("bzImage");
    assert_eq!(metadata.qemu_image(), Some("bzImage"));
    assert_eq!(
        fs::read(imported.path().join("bzImage")).unwrap(),
        packed_kernel(None)
    );
    let (metadata, _imported) = import_image("plain/vmlinux");
    assert_eq!(metadata.qemu_image(), None);
    assert!(
        metadata
            .warnings
            .iter()
            .any(|warning| warning.contains("QEMU cannot boot it"))
    );
}

#[test]
fn a_kernel_that_carries_its_configuration_needs_no_other() {
    let mut kernel = vmlinux(RELEASE, Some(1));
    kernel.extend(b"IKCFG_ST");
    kernel.extend(gzip(b"CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=y\n"));
    let folder = folder_of(&[("vmlinux".to_owned(), kernel)]);
    let error = import_into_new(&KernelSource::Directory(folder.path().to_path_buf())).unwrap_err();
    assert!(error.to_string().contains("has no overlay"), "{error}");
}

#[test]
fn a_directory_that_does_not_say_which_kernel_is_refused() {
    let refused = |files: &[(String, Vec<u8>)]| {
        let folder = folder_of(files);
        import_into_new(&KernelSource::Directory(folder.path().to_path_buf()))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[]).contains("no kernel image"));
    let mut two = files();
    two.push(("boot/vmlinuz-2".to_owned(), vec![]));
    assert!(refused(&two).contains("more than one kernel image"));
}

#[test]
fn a_package_that_mixes_kernels_or_has_none_is_refused() {
    let refused = |files: &[(String, Vec<u8>)]| {
        let package = package(files);
        import_into_new(&KernelSource::Deb(package.path().to_path_buf()))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[("usr/share/doc/x".to_owned(), vec![])]).contains("meta-package"));
    let with = |name: &str| {
        let mut files = files();
        files.push((name.to_owned(), vec![]));
        files
    };
    assert!(refused(&with("boot/vmlinuz-2")).contains("two kernels"));
    assert!(refused(&with("lib/modules/6.2/kernel/x.ko")).contains("modules of two kernels"));
    assert!(refused(&with("lib/modules/../kernel/x.ko")).contains("`..` is no kernel release"));
}

#[test]
fn a_cancelled_import_leaves_no_description() {
    let package = package(&files());
    let folder = tempfile::tempdir().unwrap();
    let source = KernelSource::Deb(package.path().to_path_buf());
    let error = import(
        &source,
        ImportOptions::default(),
        folder.path(),
        &mut Watch::new(&mut |_| {}, &|| true),
    )
    .unwrap_err();
    assert!(matches!(error, KernelError::Cancelled), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_newer_format_is_refused_and_an_empty_folder_is_no_kernel() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        KernelMetadata::read(folder.path())
            .unwrap_err()
            .to_string()
            .contains("there is no such file")
    );
    let package = package(&files());
    let (mut metadata, _other) =
        import_into_new(&KernelSource::Deb(package.path().to_path_buf())).unwrap();
    metadata.format = 2;
    fs::write(
        folder.path().join("kernel.json"),
        serde_json::to_vec(&metadata).unwrap(),
    )
    .unwrap();
    assert!(
        KernelMetadata::read(folder.path())
            .unwrap_err()
            .to_string()
            .contains("format 2 is newer")
    );
}

/// Files of a disk of modules, by path.
fn contents(folder: &std::path::Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    use banger_disk::tree::NodeKind;
    let tree = banger_disk::read_tree(&folder.join("modules.ext4")).unwrap();
    let mut found = std::collections::BTreeMap::new();
    let mut open = vec![(tree.root(), String::new())];
    while let Some((folder, path)) = open.pop() {
        for child in tree.children(folder) {
            let path = format!("{path}{}", String::from_utf8_lossy(child.name));
            match tree.node(child.node).kind {
                NodeKind::Directory => open.push((child.node, format!("{path}/"))),
                NodeKind::File(contents) => {
                    let mut bytes = vec![0; contents.size() as usize];
                    for extent in contents.extents() {
                        let part = &mut bytes[extent.at as usize..][..extent.len as usize];
                        let source = tree.source(extent.source).open().unwrap();
                        source.read_exact_at(part, extent.offset).unwrap();
                    }
                    found.insert(path, bytes);
                }
                other => panic!("{path}: {other:?}"),
            }
        }
    }
    found
}

#[test]
fn the_modules_of_a_kernel_are_one_disk_unpacked_and_indexed() {
    let package = package(&files());
    let tree = folder_of(&files());
    let mut disks = Vec::new();
    for source in [
        KernelSource::Deb(package.path().to_path_buf()),
        KernelSource::Directory(tree.path().to_path_buf()),
    ] {
        let (metadata, folder) = import_into_new(&source).unwrap();
        let disk = metadata.modules_disk.unwrap();
        assert_eq!((disk.modules, &disk.left_out), (3, &None));
        let found = contents(folder.path());
        let modules: Vec<&str> = found
            .keys()
            .map(String::as_str)
            .filter(|path| path.ends_with(".ko"))
            .collect();
        assert_eq!(
            modules,
            [
                "kernel/drivers/block/virtio_blk.ko",
                "kernel/drivers/virtio/virtio.ko",
                "kernel/fs/overlayfs/overlay.ko"
            ]
        );
        let blk = &found["kernel/drivers/block/virtio_blk.ko"];
        assert_eq!(blk, &module("virtio_blk", "virtio", RELEASE));
        let dep = String::from_utf8(found["modules.dep"].clone()).unwrap();
        assert!(
            dep.contains("kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\n")
        );
        disks.push(disk.file.digest);
    }
    assert_eq!(disks[0], disks[1], "the same modules, the same disk");
}

#[test]
fn a_large_kernel_comes_without_drivers_that_no_guest_has() {
    let mut files = files();
    let below = format!("lib/modules/{RELEASE}/kernel");
    let mut add = |path: String, depends: &str| {
        let name = path.rsplit('/').next().unwrap().to_owned();
        files.push((
            format!("{below}/{path}.ko"),
            module(&name, depends, RELEASE),
        ));
    };
    for n in 0..2000 {
        add(format!("drivers/gpu/drm/gpu{n}"), "");
    }
    add("drivers/video/needs_gpu".to_owned(), "gpu7");
    add("drivers/net/plain".to_owned(), "");
    let tree = folder_of(&files);
    let of = |all_modules| {
        let folder = tempfile::tempdir().unwrap();
        let source = KernelSource::Directory(tree.path().to_path_buf());
        let options = ImportOptions { all_modules };
        let metadata = quietly(|watch| import(&source, options, folder.path(), watch)).unwrap();
        (metadata.digest, metadata.modules_disk.unwrap())
    };
    let (small, disk) = of(false);
    let left_out = disk.left_out.unwrap();
    assert_eq!((disk.modules, left_out.modules), (4, 2001));
    assert!(
        left_out
            .folders
            .iter()
            .any(|folder| folder == "drivers/gpu")
    );
    let (large, disk) = of(true);
    assert_eq!((disk.modules, disk.left_out), (2005, None));
    assert_ne!(small, large, "they are kernels of their own");
}

#[test]
fn a_module_that_is_damaged_of_another_kernel_or_oddly_named_is_named() {
    let below = format!("lib/modules/{RELEASE}/kernel");
    let refused = |name: &str, bytes: Vec<u8>| {
        let mut files = files();
        files.push((format!("{below}/{name}"), bytes));
        let package = package(&files);
        import_into_new(&KernelSource::Deb(package.path().to_path_buf()))
            .unwrap_err()
            .to_string()
    };
    let good = || module("other", "", RELEASE);
    assert_eq!(
        refused("other.ko", module("other", "", "5.10.0")),
        format!("module other: it was built for kernel 5.10.0, the image is {RELEASE}")
    );
    assert_eq!(
        refused("other.ko", b"rubbish".to_vec()),
        "module other is not a usable ELF file"
    );
    assert_eq!(
        refused("other.ko.xz", xz(b"rubbish")),
        "module other is not a usable ELF file"
    );
    for odd in ["a b.ko", "a\nb.ko", "../../up.ko", "a:b.ko", "\u{e9}.ko"] {
        assert!(
            refused(odd, good()).contains("no module has such a name"),
            "{odd}"
        );
    }
    assert!(refused("fs/overlayfs/overlay.ko.xz", xz(&good())).contains("two files of it"));
    let circle =
        |name: &str, needs: &str| (format!("{below}/{name}.ko"), module(name, needs, RELEASE));
    let mut files = files();
    files.extend([circle("a", "b"), circle("b", "a")]);
    let package = package(&files);
    let error = import_into_new(&KernelSource::Deb(package.path().to_path_buf())).unwrap_err();
    assert!(
        error.to_string().contains("it depends on itself"),
        "{error}"
    );
}

#[test]
fn a_driver_that_replaces_the_kernels_own_is_the_one_that_is_found() {
    let mut files = files();
    files.push((
        format!("lib/modules/{RELEASE}/updates/dkms/overlay.ko"),
        module("overlay", "", RELEASE),
    ));
    let tree = folder_of(&files);
    let source = KernelSource::Directory(tree.path().to_path_buf());
    let (_metadata, folder) = import_into_new(&source).unwrap();
    let dep = String::from_utf8(contents(folder.path())["modules.dep"].clone()).unwrap();
    assert!(dep.contains("updates/dkms/overlay.ko:\n"), "{dep}");
    assert!(!dep.contains("kernel/fs/overlayfs/overlay.ko"), "{dep}");
}

#[test]
fn a_folder_of_modules_that_has_none_is_refused_and_one_without_an_index_is_not() {
    let mut files = files();
    // What is not built in must be found among the modules.
    files[1].1 = Vec::new();
    files[2].1 = b"ext4.ko\nvirtio_pci.ko\nvirtio_console.ko\n".to_vec();
    let tree = folder_of(&files);
    let image = tree.path().join(format!("boot/vmlinuz-{RELEASE}"));
    let with = |modules: &std::path::Path| KernelSource::Image {
        image: image.clone(),
        modules: Some(modules.to_owned()),
    };
    let modules = tree.path().join(format!("lib/modules/{RELEASE}"));
    assert!(import_into_new(&with(&modules)).is_ok());
    let empty = tempfile::tempdir().unwrap();
    let error = import_into_new(&with(empty.path())).unwrap_err();
    assert!(error.to_string().contains("holds no modules"), "{error}");
}
