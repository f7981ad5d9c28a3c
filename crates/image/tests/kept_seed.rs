//! Fate of a work seed when its image is made anew.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_image::{
    Destination, ImageMetadata, RootFs, SeedChoice, SeedFrom, Watch, WorkSeed, register,
};

/// A folder with a root, and one for the images that are made of it.
struct Work {
    dir: tempfile::TempDir,
}

impl Work {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("system/root")).unwrap();
        fs::write(dir.path().join("system/root/.profile"), "of the image").unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::write(dir.path().join("home/notes"), "of the user").unwrap();
        Self { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn make(&self, name: &str, from: SeedFrom) -> ImageMetadata {
        let (folder, scratch) = (self.at(name), self.at("scratch"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir_all(&scratch).unwrap();
        fs::write(self.at("system/version"), name).unwrap();
        let root = RootFs {
            rootfs: self.at("system"),
            seed: WorkSeed { from, size: None },
        };
        let destination = Destination {
            folder: &folder,
            created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
        };
        let mut quiet = |_| {};
        let mut watch = Watch::new(&mut quiet, &|| false);
        register(&root, &destination, &scratch, &mut watch).unwrap()
    }
}

fn inode(folder: &Path) -> u64 {
    fs::metadata(folder.join("seed.ext4")).unwrap().ino()
}

#[test]
fn a_seed_of_the_users_is_kept_as_the_file_that_it_is() {
    let work = Work::new();
    let first = work.make("first", SeedFrom::Path(work.at("home")));
    assert_eq!(first.seed_choice, SeedChoice::User);
    let second = work.make("second", SeedFrom::Kept(work.at("first")));
    assert_ne!(second.base, first.base);
    assert_eq!((&second.seed, second.seed_is_ours), (&first.seed, true));
    assert_eq!(inode(&work.at("second")), inode(&work.at("first")));
    // And again after the first one is gone.
    fs::remove_dir_all(work.at("first")).unwrap();
    let third = work.make("third", SeedFrom::Kept(work.at("second")));
    assert_eq!(third.seed_choice, SeedChoice::User);
    assert_eq!(third.seed, first.seed);
    third.check_files(&work.at("third")).unwrap();
}

#[test]
fn no_seed_by_choice_stays_none_and_one_of_the_image_is_made_anew() {
    let work = Work::new();
    let bare = work.make("bare", SeedFrom::None);
    assert_eq!((bare.seed, bare.seed_choice), (None, SeedChoice::Nothing));
    let still = work.make("still", SeedFrom::Kept(work.at("bare")));
    assert_eq!((still.seed, still.seed_choice), (None, SeedChoice::Nothing));

    let own = work.make("own", SeedFrom::Root);
    fs::write(work.at("system/root/.profile"), "of a newer image").unwrap();
    let newer = work.make("newer", SeedFrom::Kept(work.at("own")));
    assert_eq!(newer.seed_choice, SeedChoice::Image);
    assert_ne!(newer.seed.unwrap().digest, own.seed.unwrap().digest);
}
