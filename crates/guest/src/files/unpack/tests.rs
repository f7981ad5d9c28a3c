use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::files::archive::ArchiveWriter;
use crate::files::{PackOptions, pack};

fn into(dest: &Path) -> Target {
    Target {
        dest: dest.to_path_buf(),
        must_be_dir: false,
        contents: false,
        parents: false,
        name: None,
        owner: None,
    }
}

fn stream(entries: &[(&[u8], EntryKind, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    for (path, kind, mode) in entries {
        let entry = Entry {
            path: path.to_vec(),
            kind: kind.clone(),
            mode: *mode,
            mtime: 1_000_000_000,
            mtime_nanos: 7,
        };
        writer.header(&entry).unwrap();
        if let EntryKind::File { size } = kind {
            writer
                .content(&vec![b'x'; usize::try_from(*size).unwrap()])
                .unwrap();
            writer.pad(*size).unwrap();
        }
    }
    writer.finish().unwrap();
    bytes
}

fn unpacked(bytes: &[u8], target: &Target) -> Result<TransferDone, FilesError> {
    unpack(bytes, target, &UnpackLimits::default())
}

fn link(target: &str) -> EntryKind {
    EntryKind::Symlink {
        target: target.as_bytes().to_vec(),
    }
}

const FILE: EntryKind = EntryKind::File { size: 3 };

#[test]
fn a_tree_comes_back_with_names_modes_times_links_and_holes() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("tree");
    std::fs::create_dir_all(source.join("closed/sub")).unwrap();
    std::fs::write(source.join("closed/sub/file"), b"content").unwrap();
    std::fs::write(source.join(OsStr::from_bytes(b"na\nme\xff")), b"").unwrap();
    symlink("../nowhere", source.join("link")).unwrap();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    (&sparse).write_all(b"start").unwrap();
    std::fs::set_permissions(source.join("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::set_permissions(source.join("sparse"), PermissionsExt::from_mode(0o4751)).unwrap();

    let mut bytes = Vec::new();
    let sent = pack(&source, &PackOptions::default(), &mut bytes).unwrap();
    let dest = home.path().join("copy");
    let received = unpacked(&bytes, &into(&dest)).unwrap();
    assert_eq!(sent, received);
    assert_eq!(received.entries, 7);

    let meta = |path: &str| std::fs::symlink_metadata(dest.join(path)).unwrap();
    assert_eq!(
        std::fs::read(dest.join("closed/sub/file")).unwrap(),
        b"content"
    );
    assert_eq!(
        std::fs::read_link(dest.join("link")).unwrap(),
        Path::new("../nowhere")
    );
    assert_eq!(meta("closed").mode() & 0o7777, 0o555);
    assert_eq!(
        meta("sparse").mode() & 0o7777,
        0o751,
        "set-user-id does not travel"
    );
    assert_eq!(meta("sparse").len(), 10 << 20);
    assert!(meta("sparse").blocks() * 512 < 1 << 20, "holes come back");
    for path in ["closed", "closed/sub/file", "link"] {
        let original = std::fs::symlink_metadata(source.join(path)).unwrap();
        assert_eq!(
            (original.mtime(), original.mtime_nsec()),
            (meta(path).mtime(), meta(path).mtime_nsec()),
            "{path}"
        );
    }
}

#[test]
fn a_file_goes_where_cp_would_put_it() {
    let home = tempfile::tempdir().unwrap();
    let bytes = stream(&[(b"name", FILE, 0o644)]);
    std::fs::create_dir(home.path().join("dir")).unwrap();
    std::fs::write(home.path().join("old"), b"old content").unwrap();
    unpacked(&bytes, &into(&home.path().join("dir"))).unwrap();
    unpacked(&bytes, &into(&home.path().join("new"))).unwrap();
    unpacked(&bytes, &into(&home.path().join("old"))).unwrap();
    for path in ["dir/name", "new", "old"] {
        assert_eq!(
            std::fs::read(home.path().join(path)).unwrap(),
            b"xxx",
            "{path}"
        );
    }
    let into_missing = Target {
        must_be_dir: true,
        ..into(&home.path().join("missing"))
    };
    assert!(matches!(
        unpacked(&bytes, &into_missing),
        Err(FilesError::Target { .. })
    ));
    let below_missing = into(&home.path().join("a/b"));
    assert!(matches!(
        unpacked(&bytes, &below_missing),
        Err(FilesError::Io { .. })
    ));
    unpacked(
        &bytes,
        &Target {
            parents: true,
            ..below_missing
        },
    )
    .unwrap();
    assert_eq!(std::fs::read(home.path().join("a/b")).unwrap(), b"xxx");
}

#[test]
fn contents_merge_into_a_directory_that_keeps_its_mode() {
    let home = tempfile::tempdir().unwrap();
    let bytes = stream(&[
        (b"src", EntryKind::Directory, 0o777),
        (b"src/f", FILE, 0o600),
    ]);
    let dest = home.path().join("dest");
    std::fs::create_dir(&dest).unwrap();
    std::fs::set_permissions(&dest, PermissionsExt::from_mode(0o750)).unwrap();
    std::fs::write(dest.join("kept"), b"").unwrap();
    unpacked(
        &bytes,
        &Target {
            contents: true,
            ..into(&dest)
        },
    )
    .unwrap();
    assert!(dest.join("f").exists() && dest.join("kept").exists() && !dest.join("src").exists());
    assert_eq!(std::fs::metadata(&dest).unwrap().mode() & 0o777, 0o750);
}

#[test]
fn contents_go_where_cp_would_put_them() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let directory = stream(&[
        (b"src", EntryKind::Directory, 0o750),
        (b"src/f", FILE, 0o600),
    ]);
    let contents = |name: &str| Target {
        contents: true,
        ..into(&at(name))
    };
    // A new directory is as the one whose contents it gets.
    unpacked(&directory, &contents("new")).unwrap();
    let meta = std::fs::metadata(at("new")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o750, 1_000_000_000));
    assert!(at("new/f").exists());
    std::fs::write(at("file"), b"").unwrap();
    assert!(unpacked(&directory, &contents("file")).is_err());
    // A file has no contents, and the attempt leaves nothing.
    let file = stream(&[(b"src", FILE, 0o644)]);
    for name in ["absent", "new", "file"] {
        assert!(unpacked(&file, &contents(name)).is_err(), "{name}");
    }
    assert!(!at("absent").exists() && at("new/f").exists());
    assert_eq!(std::fs::read(at("file")).unwrap(), b"");
    // Nor does a stream that breaks off before anything came.
    assert!(unpacked(&directory[..100], &contents("absent")).is_err());
    assert!(!at("absent").exists());
}

#[test]
fn a_directory_goes_where_cp_would_put_it() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let bytes = stream(&[
        (b"src", EntryKind::Directory, 0o755),
        (b"src/f", FILE, 0o600),
    ]);
    let slash = |name: &str| Target {
        must_be_dir: true,
        ..into(&at(name))
    };
    std::fs::create_dir(at("dir")).unwrap();
    std::fs::write(at("file"), b"kept").unwrap();
    unpacked(&bytes, &into(&at("new"))).unwrap();
    unpacked(&bytes, &slash("slash")).unwrap();
    unpacked(&bytes, &into(&at("dir"))).unwrap();
    unpacked(&bytes, &slash("dir")).unwrap();
    for path in ["new/f", "slash/f", "dir/src/f"] {
        assert!(at(path).exists(), "{path}");
    }
    for target in [into(&at("file")), slash("file")] {
        assert!(unpacked(&bytes, &target).is_err());
        assert_eq!(std::fs::read(at("file")).unwrap(), b"kept");
    }
}

#[test]
fn the_callers_name_wins_over_the_streams() {
    let home = tempfile::tempdir().unwrap();
    let bytes = stream(&[(b".bashrc", FILE, 0o644)]);
    unpacked(
        &bytes,
        &Target {
            name: Some("wanted".into()),
            ..into(home.path())
        },
    )
    .unwrap();
    assert!(home.path().join("wanted").exists() && !home.path().join(".bashrc").exists());
}

#[test]
fn no_entry_leaves_the_place() {
    let home = tempfile::tempdir().unwrap();
    let dest = home.path().join("in");
    std::fs::create_dir_all(dest.join("t")).unwrap();
    std::fs::create_dir(home.path().join("out")).unwrap();
    symlink("../../out", dest.join("t/before")).unwrap();
    // Long names are stored in a pax record, which can hold a NUL.
    let long = [&b"t/n\0ul"[..], &[b'x'; 120]].concat();
    let hostile: &[&[(&[u8], EntryKind, u32)]] = &[
        &[(b"/etc/x", FILE, 0o644)],
        &[(b"../out/x", FILE, 0o644)],
        &[(b"t/../../out/x", FILE, 0o644)],
        &[
            (b"t", EntryKind::Directory, 0o755),
            (b"t/before/x", FILE, 0o644),
        ],
        &[(b"t/l", link("../../out"), 0o777), (b"t/l/x", FILE, 0o644)],
        &[
            (b"t/l", link("../../out"), 0o777),
            (b"t/l", EntryKind::Directory, 0o755),
            (b"t/l/x", FILE, 0o644),
        ],
        &[
            (b"t/l", link("/proc/self/cwd"), 0o777),
            (b"t/l/x", FILE, 0o644),
        ],
        &[(b"t", EntryKind::Directory, 0o755), (b"u/x", FILE, 0o644)],
        &[(b"t/fifo", EntryKind::Other, 0o644)],
        &[(&long, FILE, 0o644)],
        &[(b"", FILE, 0o644)],
    ];
    for entries in hostile {
        let result = unpacked(&stream(entries), &into(&dest));
        assert!(result.is_err(), "{entries:?} gave {result:?}");
        assert_eq!(
            std::fs::read_dir(home.path().join("out")).unwrap().count(),
            0,
            "{entries:?}"
        );
    }
}

#[test]
fn a_link_in_the_way_of_a_file_is_replaced_and_not_written_through() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("victim"), b"safe").unwrap();
    let bytes = stream(&[
        (b"t", EntryKind::Directory, 0o755),
        (b"t/f", link("../victim"), 0o777),
        (b"t/f", FILE, 0o644),
    ]);
    unpacked(&bytes, &into(home.path())).unwrap();
    assert_eq!(std::fs::read(home.path().join("victim")).unwrap(), b"safe");
    assert_eq!(std::fs::read(home.path().join("t/f")).unwrap(), b"xxx");
}

#[test]
fn limits_end_a_stream_that_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let bytes = stream(&[
        (b"t", EntryKind::Directory, 0o755),
        (b"t/a", FILE, 0o644),
        (b"t/b", FILE, 0o644),
    ]);
    let entries = unpack(
        &bytes[..],
        &into(home.path()),
        &UnpackLimits {
            entries: 2,
            ..UnpackLimits::default()
        },
    );
    assert!(matches!(
        entries,
        Err(FilesError::Limit {
            what: "entries",
            ..
        })
    ));
    let content = unpack(
        &bytes[..],
        &into(home.path()),
        &UnpackLimits {
            bytes: 5,
            ..UnpackLimits::default()
        },
    );
    assert!(matches!(
        content,
        Err(FilesError::Limit { what: "bytes", .. })
    ));
}

#[test]
fn a_file_that_breaks_off_is_not_left_behind() {
    let home = tempfile::tempdir().unwrap();
    let bytes = stream(&[(b"f", EntryKind::File { size: 4000 }, 0o644)]);
    assert!(unpacked(&bytes[..2000], &into(home.path())).is_err());
    assert!(!home.path().join("f").exists());
}

#[test]
fn only_what_is_as_it_was_seen_is_replaced_and_what_somebody_wrote_since_stays() {
    let home = tempfile::tempdir().unwrap();
    let dest = home.path().join("dest");
    std::fs::create_dir_all(dest.join(".git")).unwrap();
    for name in ["file", "link", ".git/index"] {
        std::fs::write(dest.join(name), "sent once").unwrap();
    }
    let looked = Looked::default();
    let saw = |name: &str| looked.saw(&rustix::fs::lstat(dest.join(name)).unwrap());
    let target = Target {
        contents: true,
        ..into(&dest)
    };
    let bytes = stream(&[
        (b"top", EntryKind::Directory, 0o755),
        (b"top/file", FILE, 0o644),
        (b"top/link", link("file"), 0o777),
        (b"top/.git", EntryKind::Directory, 0o755),
        (b"top/.git/index", FILE, 0o644),
        (b"top/new", FILE, 0o644),
    ]);
    let put = || unpack_unchanged(&bytes[..], &target, &UnpackLimits::default(), &looked);
    saw("file");
    saw("link");
    put().unwrap();
    assert_eq!(std::fs::read(dest.join("file")).unwrap(), b"xxx");
    assert_eq!(
        std::fs::read_link(dest.join("link")).unwrap(),
        Path::new("file")
    );
    assert_eq!(std::fs::read(dest.join(".git/index")).unwrap(), b"xxx");

    saw("file");
    std::fs::write(dest.join("file"), "written in the meantime").unwrap();
    let error = put().unwrap_err().to_string();
    assert!(
        error.contains("file: was changed in the meantime"),
        "{error}"
    );
    let kept = std::fs::read_to_string(dest.join("file")).unwrap();
    assert_eq!(kept, "written in the meantime");
    saw("file");
    // A link that the host has not asked about may be a user's work as well.
    assert!(put().unwrap_err().to_string().contains("link"));
    assert!(!dest.join(BESIDE).exists());
}
