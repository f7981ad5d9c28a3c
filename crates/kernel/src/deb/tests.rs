use std::io::Write;

use super::*;
use crate::fixture::{ar, tar, xz};

fn package(members: &[(&str, Vec<u8>)]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&ar(members)).unwrap();
    file
}

fn names(package: &tempfile::NamedTempFile) -> Result<Vec<(String, u64)>, KernelError> {
    let mut seen = Vec::new();
    walk(package.path(), &mut |file| {
        seen.push((file.name.to_owned(), file.size));
        Ok(())
    })?;
    Ok(seen)
}

fn with_data(name: &str, data: Vec<u8>) -> tempfile::NamedTempFile {
    package(&[
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", vec![1, 2, 3]),
        (name, data),
    ])
}

#[test]
fn files_of_a_package_are_visited_whatever_its_packing() {
    let long = format!("./lib/modules/{}/x.ko", "d".repeat(150));
    let archive = tar(&[("./boot/vmlinuz-1", b"kernel"), (&long, b"module")]);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&archive).unwrap();
        encoder.finish().unwrap()
    };
    let expected = [("boot/vmlinuz-1".to_owned(), 6), (long[2..].to_owned(), 6)];
    for (name, data) in [
        ("data.tar", archive.clone()),
        ("data.tar.gz", gzip),
        ("data.tar.xz", xz(&archive)),
        ("data.tar.zst", zstd::encode_all(&archive[..], 1).unwrap()),
    ] {
        assert_eq!(names(&with_data(name, data)).unwrap(), expected, "{name}");
    }
}

#[test]
fn content_is_read_up_to_its_limit() {
    let package = with_data("data.tar", tar(&[("./a", b"12345"), ("./b", b"67890")]));
    let mut seen = Vec::new();
    walk(package.path(), &mut |file| {
        seen.push(file.read(5)?);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [b"12345".to_vec(), b"67890".to_vec()]);
    let error = walk(package.path(), &mut |file| file.read(4).map(drop)).unwrap_err();
    assert_eq!(error.to_string(), "a is larger than the limit of 4 bytes");
}

#[test]
fn things_that_are_no_package_say_so() {
    for (members, expected) in [
        (vec![], "the ar archive is empty"),
        (vec![("rubbish", vec![])], "its first member is `rubbish`"),
        (
            vec![("debian-binary", vec![])],
            "it has no member `data.tar`",
        ),
        (
            vec![("debian-binary", vec![]), ("data.tar.bz2", vec![1])],
            "its data is packed as `.bz2`",
        ),
    ] {
        let error = names(&package(&members)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"PK\x03\x04 something else").unwrap();
    assert!(
        names(&file)
            .unwrap_err()
            .to_string()
            .contains("no ar archive")
    );
}

#[test]
fn every_cut_of_a_package_is_an_error_or_a_clean_end_but_never_a_panic() {
    let archive = tar(&[("./boot/vmlinuz-1", &[7; 700]), ("./x", b"y")]);
    let whole = ar(&[("debian-binary", b"2.0\n".to_vec()), ("data.tar", archive)]);
    for length in 0..whole.len() - 1024 {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&whole[..length]).unwrap();
        let result = walk(file.path(), &mut |file| file.read(1 << 20).map(drop));
        // Between two whole entries a cut cannot be told from a lax end, as in tar itself.
        let between_entries = length >= 72 + 60 && (length - (72 + 60)) % 512 == 0;
        assert!(result.is_err() || between_entries, "cut at {length}");
    }
}

#[test]
fn every_damaged_header_byte_is_noticed_or_harmless() {
    let archive = tar(&[("./boot/vmlinuz-1", b"kernel")]);
    for at in 0..512 {
        let mut damaged = archive.clone();
        damaged[at] ^= 0x55;
        let error = names(&with_data("data.tar", damaged))
            .unwrap_err()
            .to_string();
        assert!(error.contains("checksum"), "byte {at}: {error}");
    }
}

#[test]
fn an_absurd_size_or_name_is_refused() {
    let mut archive = tar(&[("./a", b"1")]);
    archive[124..136].copy_from_slice(b"77777777777\0");
    crate::fixture::set_tar_checksum(&mut archive);
    assert!(
        names(&with_data("data.tar", archive))
            .unwrap_err()
            .to_string()
            .contains("absurd")
    );
    let archive = tar(&[(&"n".repeat(5000), b"1")]);
    assert!(
        names(&with_data("data.tar", archive))
            .unwrap_err()
            .to_string()
            .contains("longer than 4096")
    );
}
