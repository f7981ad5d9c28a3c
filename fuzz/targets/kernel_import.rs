//! A whole Debian kernel package, or an image.
#![no_main]
use banger_kernel::{ImportOptions, KernelSource, Watch, import};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let (package, into) = (dir.path().join("kernel.deb"), dir.path().join("into"));
    if std::fs::write(&package, bytes).is_err() || std::fs::create_dir(&into).is_err() {
        return;
    }
    let _ = import(
        &KernelSource::Deb(package),
        ImportOptions::default(),
        &into,
        &mut Watch::new(&mut |_| {}, &|| false),
    );
});
