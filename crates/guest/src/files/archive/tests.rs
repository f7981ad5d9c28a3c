use proptest::prelude::*;

use super::*;

fn file(path: &[u8], size: u64) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: EntryKind::File { size },
        mode: 0o640,
        mtime: 1_700_000_000,
        mtime_nanos: 5,
    }
}

fn written(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    for (entry, content) in entries {
        writer.header(entry).unwrap();
        writer.content(content).unwrap();
        writer.pad(content.len() as u64).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn read_back(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, FilesError> {
    let mut reader = ArchiveReader::new(bytes);
    let mut seen = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        let mut piece = [0; 100];
        loop {
            match reader.read_content(&mut piece)? {
                0 => break,
                read => content.extend_from_slice(&piece[..read]),
            }
        }
        seen.push((entry, content));
    }
    reader.drain()?;
    Ok(seen)
}

#[test]
fn names_of_any_bytes_and_length_and_times_of_any_sign_come_back() {
    let long: Vec<u8> = [b"top/".as_slice(), &[b'\n', 0xff, b' '].repeat(300)].concat();
    let link = EntryKind::Symlink {
        target: vec![b'='; 400],
    };
    let entries = vec![
        (
            Entry {
                kind: EntryKind::Directory,
                ..file(b"top", 0)
            },
            vec![],
        ),
        (file(&long, 3), b"abc".to_vec()),
        (
            Entry {
                mtime: -2,
                mtime_nanos: 250_000_000,
                ..file(b"top/old", 0)
            },
            vec![],
        ),
        (
            Entry {
                mtime: -7,
                mtime_nanos: 0,
                ..file(b"top/older", 512)
            },
            vec![1; 512],
        ),
        (
            Entry {
                kind: link,
                mtime_nanos: 0,
                ..file(b"top/link", 0)
            },
            vec![],
        ),
    ];
    assert_eq!(read_back(&written(&entries)).unwrap(), entries);
}

#[test]
fn the_crate_tar_reads_what_we_write() {
    let bytes = written(&[(file(&[b'x'; 200], 4), b"four".to_vec())]);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut content = String::new();
    entry.read_to_string(&mut content).unwrap();
    assert_eq!((entry.path_bytes().len(), content.as_str()), (200, "four"));
}

#[test]
fn gnu_long_names_are_read() {
    let mut bytes = Vec::new();
    let mut builder = tar::Builder::new(&mut bytes);
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o600);
    builder
        .append_data(&mut header, "d/".repeat(80) + "f", &b"x"[..])
        .unwrap();
    builder.finish().unwrap();
    drop(builder);
    let seen = read_back(&bytes).unwrap();
    assert_eq!(
        (seen[0].0.path.len(), seen[0].1.as_slice()),
        (161, &b"x"[..])
    );
}

#[test]
fn a_stream_cut_anywhere_is_an_error() {
    let bytes = written(&[(file(&[b'x'; 200], 700), vec![9; 700])]);
    for cut in (0..bytes.len() - 1024).step_by(37) {
        assert!(read_back(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn an_extended_header_that_announces_gigabytes_is_refused() {
    let header = raw_header(b"x", b"", EntryType::XHeader, 0, 1 << 33, 0);
    assert!(matches!(
        read_back(header.as_bytes()),
        Err(FilesError::Archive(_))
    ));
    let header = raw_header(b"x", b"", EntryType::GNULongName, 0, 1 << 33, 0);
    assert!(matches!(
        read_back(header.as_bytes()),
        Err(FilesError::Archive(_))
    ));
}

#[test]
fn extended_headers_without_end_are_refused() {
    let bytes = raw_header(b"x", b"", EntryType::XGlobalHeader, 0, 0, 0)
        .as_bytes()
        .repeat(100);
    assert!(matches!(read_back(&bytes), Err(FilesError::Archive(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..3000), fix in any::<bool>()) {
        if fix && bytes.len() >= BLOCK {
            // Get past the checksum, to the code behind it.
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = read_back(&bytes);
    }
}
