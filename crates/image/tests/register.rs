//! Registration of folders, archives and disk images. The produced images are checked by e2fsck.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_image::{
    Destination, ImageError, ImageMetadata, InitSystem, OriginKind, RootFs, SeedFrom, Watch,
    WorkSeed, register, reseed, share_base,
};

fn register_into(folder: &Path, root: &RootFs) -> Result<ImageMetadata, ImageError> {
    let destination = Destination {
        folder,
        created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
    };
    let scratch = tempfile::tempdir().unwrap();
    let registered = register(
        root,
        &destination,
        scratch.path(),
        &mut Watch::new(&mut |_| {}, &|| false),
    );
    assert_eq!(
        fs::read_dir(scratch.path()).unwrap().count(),
        0,
        "nothing is left in the scratch folder"
    );
    registered
}

fn registered(root: &RootFs) -> (ImageMetadata, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let metadata = register_into(folder.path(), root).unwrap();
    assert_eq!(ImageMetadata::read(folder.path()).unwrap(), metadata);
    metadata.check_files(folder.path()).unwrap();
    for disk in [Some(&metadata.base), metadata.seed.as_ref()]
        .into_iter()
        .flatten()
    {
        let path = folder.path().join(&disk.file);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o222,
            0,
            "{} is writable",
            disk.file
        );
        e2fsck(&path);
    }
    (metadata, folder)
}

fn refused(root: &RootFs) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = register_into(folder.path(), root).unwrap_err();
    assert!(!folder.path().join("image.json").exists());
    error.to_string()
}

fn e2fsck(path: &Path) {
    let output = Command::new("e2fsck")
        .args(["-fn"])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stdout)
    );
}

fn debugfs(image: &Path, request: &str) -> String {
    let output = Command::new("debugfs")
        .args(["-R", request])
        .arg(image)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn plain(rootfs: impl Into<PathBuf>) -> RootFs {
    RootFs {
        rootfs: rootfs.into(),
        seed: WorkSeed {
            from: SeedFrom::None,
            size: None,
        },
    }
}

fn seed_at(path: &Path, size: Option<u64>) -> WorkSeed {
    WorkSeed {
        from: SeedFrom::Path(path.to_path_buf()),
        size,
    }
}

fn system() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["usr/bin/program", "usr/lib/systemd/systemd", "root/.bashrc"] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "content").unwrap();
    }
    for (link, target) in [("sbin", "usr/sbin"), ("lib", "usr/lib")] {
        std::os::unix::fs::symlink(target, folder.path().join(link)).unwrap();
    }
    fs::create_dir(folder.path().join("usr/sbin")).unwrap();
    std::os::unix::fs::symlink("/lib/systemd/systemd", folder.path().join("usr/sbin/init"))
        .unwrap();
    folder
}

/// An archive of a folder, packed by the program `with`.
fn archive(folder: &Path, with: Option<&str>) -> tempfile::NamedTempFile {
    let archive = tempfile::NamedTempFile::new().unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0"])
        .args(with.map(|program| format!("--use-compress-program={program}")));
    assert!(
        tar.arg("-cf")
            .arg(archive.path())
            .arg("-C")
            .arg(folder)
            .arg(".")
            .status()
            .unwrap()
            .success()
    );
    archive
}

/// An ext4 image made by the reference tool.
fn disk(folder: &Path) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(folder)
        .arg(file.path())
        .status()
        .unwrap();
    assert!(made.success());
    file
}

#[test]
fn a_folder_becomes_a_base() {
    let system = system();
    let (metadata, folder) = registered(&plain(system.path()));
    assert_eq!(
        (metadata.source.kind, metadata.init),
        (OriginKind::Directory, InitSystem::Systemd)
    );
    assert_eq!(
        debugfs(&folder.path().join("base.ext4"), "cat /usr/bin/program"),
        "content"
    );
}

#[test]
fn an_archive_of_any_packing_gives_the_same_image() {
    let system = system();
    let ids: Vec<_> = [None, Some("gzip"), Some("xz -1"), Some("zstd")]
        .into_iter()
        .map(|with| {
            let archive = archive(system.path(), with);
            let (metadata, _folder) = registered(&plain(archive.path()));
            assert_eq!(
                (metadata.source.kind, metadata.init),
                (OriginKind::Tar, InitSystem::Systemd)
            );
            metadata.id
        })
        .collect();
    assert!(ids[0].starts_with("sha256:"), "{ids:?}");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_disk_image_is_copied_with_its_holes() {
    let system = system();
    let disk = disk(system.path());
    let (metadata, folder) = registered(&plain(disk.path()));
    assert_eq!(
        (metadata.source.kind, metadata.init),
        (OriginKind::Disk, InitSystem::Unknown)
    );
    assert_eq!(metadata.base.bytes, 64 << 20);
    assert!(
        metadata.base.allocated_bytes < 16 << 20,
        "{} bytes allocated",
        metadata.base.allocated_bytes
    );
    assert_eq!(
        fs::read(folder.path().join("base.ext4")).unwrap(),
        fs::read(disk.path()).unwrap()
    );
    assert_eq!(registered(&plain(disk.path())).0.id, metadata.id);
}

#[test]
fn a_seed_of_a_folder_belongs_to_root_and_changes_the_id() {
    let (system, home) = (system(), tempfile::tempdir().unwrap());
    fs::write(home.path().join(".profile"), "hello").unwrap();
    if rustix::process::geteuid().is_root() {
        for path in [home.path().to_path_buf(), home.path().join(".profile")] {
            std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        }
    }
    let with_seed = RootFs {
        seed: seed_at(home.path(), None),
        ..plain(system.path())
    };
    let (metadata, folder) = registered(&with_seed);
    let seed = folder.path().join("seed.ext4");
    assert_eq!(debugfs(&seed, "cat /.profile"), "hello");
    for path in ["/", "/.profile"] {
        let stat = debugfs(&seed, &format!("stat {path}"));
        assert!(stat.contains("User:     0   Group:     0"), "{stat}");
    }
    assert!(debugfs(&seed, "stat /").contains("Mode:  0755"));
    assert_ne!(registered(&plain(system.path())).0.id, metadata.id);
    let larger = RootFs {
        seed: seed_at(home.path(), Some(256 << 20)),
        ..with_seed
    };
    assert_eq!(registered(&larger).0.seed.unwrap().bytes, 256 << 20);
}

#[test]
fn a_seed_of_an_archive_is_fit_to_be_the_home_of_root() {
    let (system, home) = (system(), tempfile::tempdir().unwrap());
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.path().join(".profile"), "hello").unwrap();
    let archive = archive(home.path(), Some("gzip"));
    let with_seed = RootFs {
        seed: seed_at(archive.path(), None),
        ..plain(system.path())
    };
    let (_metadata, folder) = registered(&with_seed);
    let seed = folder.path().join("seed.ext4");
    assert_eq!(debugfs(&seed, "cat /.profile"), "hello");
    assert!(debugfs(&seed, "stat /").contains("Mode:  0755"));
}

#[test]
fn a_seed_that_is_a_disk_is_copied_and_keeps_its_size() {
    let (system, home) = (system(), tempfile::tempdir().unwrap());
    let disk = disk(home.path());
    let with_seed = RootFs {
        seed: seed_at(disk.path(), None),
        ..plain(system.path())
    };
    assert_eq!(registered(&with_seed).0.seed.unwrap().bytes, 64 << 20);
    assert!(
        refused(&RootFs {
            seed: seed_at(disk.path(), Some(1 << 30)),
            ..with_seed
        })
        .contains("keeps its own size")
    );
}

#[test]
fn what_is_no_root_file_system_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(&plain(empty.path())).ends_with("it is empty"));
    assert!(refused(&plain("/nonexistent/rootfs")).contains("cannot read /nonexistent/rootfs"));
    assert!(refused(&plain("/dev/null")).contains("neither a file nor a folder"));
    let mut rubbish = tempfile::NamedTempFile::new().unwrap();
    rubbish.write_all(&[0x5a; 10_000]).unwrap();
    assert!(refused(&plain(rubbish.path())).contains("archive"));
}

#[test]
fn a_disk_that_is_cut_short_or_unclean_is_refused() {
    let system = system();
    let cut = disk(system.path());
    cut.as_file().set_len(1 << 20).unwrap();
    assert!(refused(&plain(cut.path())).contains("cut short"));
    let unclean = disk(system.path());
    // The journal's needs_recovery is bit 2 of s_feature_incompat, at 1024 + 0x60.
    use std::os::unix::fs::FileExt;
    let file = File::options()
        .read(true)
        .write(true)
        .open(unclean.path())
        .unwrap();
    let mut flags = [0];
    file.read_exact_at(&mut flags, 1024 + 0x60).unwrap();
    file.write_all_at(&[flags[0] | 4], 1024 + 0x60).unwrap();
    assert!(refused(&plain(unclean.path())).contains("not unmounted cleanly"));
}

#[test]
fn a_cancelled_registration_leaves_no_description() {
    let (system, folder, scratch) = (
        system(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let destination = Destination {
        folder: folder.path(),
        created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
    };
    let mut watch_events = 0;
    let mut progress = |_| watch_events += 1;
    let error = register(
        &plain(system.path()),
        &destination,
        scratch.path(),
        &mut Watch::new(&mut progress, &|| true),
    )
    .unwrap_err();
    assert!(matches!(error, ImageError::Cancelled), "{error}");
    assert!(!folder.path().join("image.json").exists());
}

#[test]
fn a_newer_format_is_refused_and_a_shortened_disk_is_noticed() {
    let system = system();
    let (metadata, folder) = registered(&plain(system.path()));
    let base = folder.path().join("base.ext4");
    fs::set_permissions(&base, fs::Permissions::from_mode(0o644)).unwrap();
    File::options()
        .write(true)
        .open(&base)
        .unwrap()
        .set_len(4096)
        .unwrap();
    assert!(
        metadata
            .check_files(folder.path())
            .unwrap_err()
            .to_string()
            .contains("it has 4096 bytes")
    );
    let newer = serde_json::to_string(&ImageMetadata {
        format: 2,
        ..metadata
    })
    .unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("image.json"), newer).unwrap();
    assert!(
        ImageMetadata::read(other.path())
            .unwrap_err()
            .to_string()
            .contains("format 2 is newer")
    );
}

#[test]
fn a_seed_is_made_of_the_images_own_root_when_anything_is_in_it() {
    let system = system();
    let from = |from| RootFs {
        seed: WorkSeed { from, size: None },
        ..plain(system.path())
    };
    let (metadata, folder) = registered(&from(SeedFrom::Auto));
    let seed = folder.path().join("seed.ext4");
    assert!(debugfs(&seed, "cat /.bashrc").contains("content"));
    assert!(metadata.seed.is_some());
    fs::remove_file(system.path().join("root/.bashrc")).unwrap();
    assert!(registered(&from(SeedFrom::Auto)).0.seed.is_none());
    assert!(registered(&from(SeedFrom::Root)).0.seed.is_some());
    fs::remove_dir(system.path().join("root")).unwrap();
    assert!(refused(&from(SeedFrom::Root)).contains("no directory /root"));
}

#[test]
fn a_reseeded_image_shares_the_base_and_has_another_seed() {
    let (system, home) = (system(), tempfile::tempdir().unwrap());
    fs::write(home.path().join("notes"), "of the user").unwrap();
    let (first, image) = registered(&plain(system.path()));
    let again = |from| {
        let folder = tempfile::tempdir_in(image.path().parent().unwrap()).unwrap();
        let destination = Destination {
            folder: folder.path(),
            created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
        };
        let scratch = tempfile::tempdir().unwrap();
        let seed = WorkSeed { from, size: None };
        let mut progress = |_| {};
        let mut watch = Watch::new(&mut progress, &|| false);
        let made = reseed(
            image.path(),
            &seed,
            &destination,
            scratch.path(),
            &mut watch,
        )
        .unwrap();
        (made, folder)
    };
    let (own, folder) = again(SeedFrom::Root);
    assert_eq!(own.base, first.base);
    assert_ne!(own.id, first.id);
    let seed = folder.path().join("seed.ext4");
    e2fsck(&seed);
    assert!(debugfs(&seed, "cat /.bashrc").contains("content"));
    let inode = |folder: &Path| fs::metadata(folder.join("base.ext4")).unwrap().ino();
    assert_eq!(inode(folder.path()), inode(image.path()), "one base");
    let (users, folder) = again(SeedFrom::Path(home.path().to_path_buf()));
    assert!(debugfs(&folder.path().join("seed.ext4"), "cat /notes").contains("of the user"));
    assert_ne!(users.id, own.id);
    assert_eq!(again(SeedFrom::None).0.id, first.id, "the image it was");
}

#[test]
fn a_container_image_is_no_root_file_system() {
    let layout = tempfile::tempdir().unwrap();
    fs::write(layout.path().join("oci-layout"), "{}").unwrap();
    fs::write(layout.path().join("index.json"), "{}").unwrap();
    let archive = archive(layout.path(), None);
    for path in [layout.path(), archive.path()] {
        assert!(refused(&plain(path)).contains("image pull"));
    }
}

#[test]
fn an_equal_base_becomes_one_file_and_another_or_a_damaged_one_does_not() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), vec![7; 100_000]).unwrap();
    let root = RootFs {
        rootfs: tree.path().to_path_buf(),
        seed: WorkSeed::default(),
    };
    let images = tempfile::tempdir().unwrap();
    let image = |name: &str| {
        let folder = images.path().join(name);
        fs::create_dir(&folder).unwrap();
        register_into(&folder, &root).unwrap();
        folder
    };
    let inode = |folder: &Path| fs::metadata(folder.join("base.ext4")).unwrap().ino();
    let shared = |folder: &Path| {
        let mut quiet = |_| {};
        share_base(
            folder,
            images.path(),
            &mut Watch::new(&mut quiet, &|| false),
        )
        .unwrap()
    };
    let staging = tempfile::tempdir_in(images.path().parent().unwrap()).unwrap();
    register_into(staging.path(), &root).unwrap();
    assert!(!shared(staging.path()), "there is none yet");

    let first = image("first");
    assert!(shared(staging.path()));
    assert_eq!(inode(staging.path()), inode(&first));
    assert!(shared(staging.path()), "a second time changes nothing");
    assert_eq!(fs::read_dir(staging.path()).unwrap().count(), 2);
    e2fsck(&staging.path().join("base.ext4"));

    // Its description's claim about a file is not trusted.
    let base = first.join("base.ext4");
    let damaged = fs::read(&base).map(|mut bytes| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    });
    fs::remove_file(&base).unwrap();
    fs::write(&base, damaged.unwrap()).unwrap();
    let second = tempfile::tempdir_in(images.path().parent().unwrap()).unwrap();
    register_into(second.path(), &root).unwrap();
    assert!(!shared(second.path()));
    assert_ne!(inode(second.path()), inode(&first));

    fs::write(tree.path().join("file"), "another").unwrap();
    let other = tempfile::tempdir_in(images.path().parent().unwrap()).unwrap();
    register_into(other.path(), &root).unwrap();
    assert!(!shared(other.path()));
}
