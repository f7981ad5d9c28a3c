//! The superblock of an ext4 image that a user registers, and the tables of partitions of what is none.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let image = dir.path().join("image");
    if std::fs::write(&image, bytes).is_ok() {
        let _ = banger_disk::superblock::read(&image);
        if let Ok(file) = std::fs::File::open(&image) {
            let _ = banger_disk::foreign::recognise(&file);
        }
    }
});
