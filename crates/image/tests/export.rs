//! Images as OCI archives, unpacked by banger's own reader and by other tools.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_image::{
    ContainerImage, Destination, Export, ImageMetadata, Provenance, RootFs, RunDefaults, SeedFrom,
    Watch, WorkSeed, from_container, register,
};
use banger_oci::{Limits, LocalImage, Platform};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

fn destination(folder: &Path) -> Destination<'_> {
    Destination {
        folder,
        created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
    }
}

/// A root with a hard link, a link, a sparse file, a set-id program, a long name and an extended attribute.
fn root(home: &Home) -> PathBuf {
    let root = home.folder("root");
    for folder in ["bin", "root", "var/lib"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("bin/su"), "program").unwrap();
    fs::set_permissions(root.join("bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("bin/su"), root.join("bin/again")).unwrap();
    symlink("../bin/su", root.join("var/link")).unwrap();
    fs::write(root.join("var/lib").join("n".repeat(200)), "long").unwrap();
    let sparse = fs::File::create(root.join("var/sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 5 << 20).unwrap();
    // Some file systems have none.
    let _ = rustix::fs::setxattr(
        root.join("bin/su"),
        c"user.note",
        b"kept",
        rustix::fs::XattrFlags::empty(),
    );
    fs::write(root.join("root/.profile"), "dotfile").unwrap();
    root
}

fn quiet<T>(work: impl FnOnce(&mut Watch<'_>) -> T) -> T {
    work(&mut Watch::new(&mut |_| {}, &|| false))
}

fn registered(home: &Home) -> (PathBuf, ImageMetadata) {
    let (image, scratch) = (home.folder("image"), home.folder("scratch"));
    let root = RootFs {
        rootfs: root(home),
        seed: WorkSeed {
            from: SeedFrom::None,
            size: None,
        },
    };
    let made = quiet(|watch| register(&root, &destination(&image), &scratch, watch)).unwrap();
    (image, made)
}

fn exported(home: &Home, image: &Path) -> PathBuf {
    let archive = home.0.path().join("image.tar");
    let export = quiet(|watch| Export::prepare(image, "mine", watch)).unwrap();
    let file = fs::File::create(&archive).unwrap();
    quiet(|watch| export.write(file, watch)).unwrap();
    assert_eq!(fs::metadata(&archive).unwrap().len(), export.bytes());
    archive
}

/// The image in `archive`, read back into the folder `name`.
fn taken_back(home: &Home, archive: &Path, name: &str) -> ImageMetadata {
    let scratch = home.folder(&format!("{name}-scratch"));
    let local = LocalImage::open(archive, Some("mine"), &Platform::host(), &scratch).unwrap();
    let tree = local
        .tree(&scratch, Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
        .tree;
    let container = ContainerImage {
        warnings: Vec::new(),
        tree: &tree,
        defaults: RunDefaults::from(local.config()),
        provenance: Provenance::of(&local, "image.tar".to_owned()),
    };
    let folder = home.folder(name);
    let seed = WorkSeed {
        from: SeedFrom::None,
        size: None,
    };
    quiet(|watch| from_container(container, &seed, &destination(&folder), &scratch, watch)).unwrap()
}

#[test]
fn an_exported_image_comes_back_byte_for_byte() {
    let home = Home::new();
    let (image, made) = registered(&home);
    let archive = exported(&home, &image);
    let back = taken_back(&home, &archive, "back");
    assert_eq!(back.base, made.base, "the same base");
    assert!(back.defaults.is_empty());
    assert_eq!(back.provenance.unwrap().layers.len(), 1);
}

#[test]
fn what_an_image_says_about_being_run_comes_back() {
    let home = Home::new();
    let (image, _made) = registered(&home);
    let first = exported(&home, &image);
    let said = RunDefaults {
        env: vec!["A=1".to_owned(), "B=x=y".to_owned()],
        user: "1000:100".to_owned(),
        working_dir: "/srv".to_owned(),
        entrypoint: vec!["/bin/su".to_owned()],
        cmd: vec!["-v".to_owned()],
        stop_signal: Some("SIGINT".to_owned()),
    };
    let again = home.folder("again");
    let scratch = home.folder("more");
    let local = LocalImage::open(&first, None, &Platform::host(), &scratch).unwrap();
    let tree = local
        .tree(&scratch, Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
        .tree;
    let container = ContainerImage {
        warnings: Vec::new(),
        tree: &tree,
        defaults: said.clone(),
        provenance: Provenance::of(&local, "first".to_owned()),
    };
    let seed = WorkSeed::default();
    quiet(|watch| from_container(container, &seed, &destination(&again), &scratch, watch)).unwrap();
    let second = exported(&home, &again);
    assert_eq!(taken_back(&home, &second, "second").defaults, said);
}

#[test]
fn skopeo_and_umoci_take_an_exported_image() {
    let known = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !known("skopeo") || !known("umoci") {
        eprintln!("skopeo or umoci is not installed");
        return;
    }
    let home = Home::new();
    let (image, _made) = registered(&home);
    let archive = exported(&home, &image);
    let layout = home.0.path().join("layout");
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {args:?}: {text}");
    };
    let from = format!("oci-archive:{}:mine", archive.display());
    let to = format!("oci:{}:mine", layout.display());
    run("skopeo", &["copy", "--insecure-policy", &from, &to]);
    let bundle = home.0.path().join("bundle");
    let source = format!("{}:mine", layout.display());
    let place = bundle.display().to_string();
    run(
        "umoci",
        &["unpack", "--rootless", "--image", &source, &place],
    );
    let unpacked = bundle.join("rootfs");
    assert_eq!(
        fs::read(unpacked.join("root/.profile")).unwrap(),
        b"dotfile"
    );
    assert_eq!(
        fs::metadata(unpacked.join("var/sparse")).unwrap().len(),
        10 << 20
    );
    assert_eq!(
        fs::read_link(unpacked.join("var/link")).unwrap(),
        Path::new("../bin/su")
    );
    let inode = |name: &str| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(unpacked.join(name)).unwrap())
    };
    assert_eq!(inode("bin/su"), inode("bin/again"));
}
