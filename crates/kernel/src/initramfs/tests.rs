use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::fixture::{module, vmlinux};
use crate::import::{KernelSource, import};
use crate::progress::Watch;

const AGENT: &[u8] = b"the agent's bytes";
const AGENT_DIGEST: &str =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A kernel with three modules, imported.
fn kernel() -> tempfile::TempDir {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("vmlinux"), vmlinux("6.1.0", Some(1))).unwrap();
    fs::create_dir_all(source.path().join("modules/kernel")).unwrap();
    for (name, depends) in [("virtio", ""), ("virtio_blk", "virtio"), ("overlay", "")] {
        fs::write(
            source.path().join(format!("modules/kernel/{name}.ko")),
            module(name, depends, "6.1.0"),
        )
        .unwrap();
    }
    let builtin = "kernel/ext4.ko\nkernel/virtio_pci.ko\nkernel/virtio_console.ko\n";
    fs::write(source.path().join("modules/modules.builtin"), builtin).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = KernelSource::Directory(source.path().to_path_buf());
    import(
        &source,
        crate::ImportOptions::default(),
        folder.path(),
        &mut Watch::new(&mut |_| {}, &|| false),
    )
    .unwrap();
    folder
}

/// Name, mode and content of each entry, read by this test's own reader.
fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut rest = archive;
    loop {
        let field = |n: usize| {
            u32::from_str_radix(
                std::str::from_utf8(&rest[6 + 8 * n..14 + 8 * n]).unwrap(),
                16,
            )
            .unwrap()
        };
        assert_eq!(&rest[..6], b"070701");
        let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
        let name = String::from_utf8(rest[110..110 + name_size - 1].to_vec()).unwrap();
        let start = (110 + name_size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            return entries;
        }
        entries.push((name, mode, rest[start..start + size].to_vec()));
        rest = &rest[(start + size).next_multiple_of(4)..];
    }
}

#[test]
fn it_holds_the_agent_the_modules_and_their_order() {
    let kernel = kernel();
    let entries = entries(&initramfs_bytes(kernel.path(), AGENT).unwrap());
    let find = |name: &str| entries.iter().find(|entry| entry.0 == name).unwrap();
    assert_eq!(find("init").1, 0o100_755);
    assert_eq!(find("init").2, AGENT);
    assert_eq!(find("dev/console").1, 0o020_600);
    assert_eq!(
        find("modules/serves").2,
        b"00-virtio.ko virtio_blk\n01-virtio_blk.ko virtio_blk\n02-overlay.ko overlay\n"
    );
    assert_eq!(
        find("modules/01-virtio_blk.ko").2,
        module("virtio_blk", "virtio", "6.1.0")
    );
    for (place, (name, ..)) in entries.iter().enumerate() {
        if let Some((folder, _)) = name.rsplit_once('/') {
            assert!(
                entries[..place].iter().any(|entry| entry.0 == folder),
                "{name} comes before its folder"
            );
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (one, other) = (kernel(), kernel());
    assert_eq!(
        initramfs_bytes(one.path(), AGENT).unwrap(),
        initramfs_bytes(other.path(), AGENT).unwrap()
    );
}

#[test]
fn it_is_made_once_for_each_agent_and_found_again() {
    let kernel = kernel();
    let path = ensure_initramfs(kernel.path(), AGENT, AGENT_DIGEST).unwrap();
    assert_eq!(path, initramfs_path(kernel.path(), AGENT_DIGEST));
    assert_eq!(
        fs::read(&path).unwrap(),
        initramfs_bytes(kernel.path(), AGENT).unwrap()
    );
    // Nothing is read again: not even a damaged module matters now.
    let damaged = kernel.path().join("modules/00-virtio.ko");
    fs::set_permissions(&damaged, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&damaged, b"damaged").unwrap();
    assert_eq!(
        ensure_initramfs(kernel.path(), b"ignored", AGENT_DIGEST).unwrap(),
        path
    );
    let error = ensure_initramfs(kernel.path(), AGENT, "sha256:ff").unwrap_err();
    assert!(
        error.to_string().contains("not what was imported"),
        "{error}"
    );
}

#[test]
fn a_digest_cannot_leave_the_folder() {
    let path = initramfs_path(Path::new("/kernels/x"), "sha256:../../../etc/passwd");
    assert_eq!(path, Path::new("/kernels/x/initramfs-2-ecad.cpio"));
}

#[test]
fn only_a_whole_signature_is_cut_off() {
    let signed = |length: u32| {
        [
            &b"module signature"[..],
            &[0; 8],
            &length.to_be_bytes(),
            b"~Module signature appended~\n",
        ]
        .concat()
    };
    assert_eq!(without_signature(&signed(10)), b"module");
    for odd in [
        signed(17),
        signed(u32::MAX),
        b"~Module signature appended~\n".to_vec(),
        b"module".to_vec(),
    ] {
        assert_eq!(without_signature(&odd), odd);
    }
}
