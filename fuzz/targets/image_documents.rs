//! Indexes, manifests and configurations of container images.
#![no_main]
use banger_oci::manifest::{self, Document, Platform};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Document::Index(list)) = manifest::parse(bytes) {
        let _ = manifest::for_platform(&list, &Platform::host());
        let _ = manifest::names(&list);
    }
    let _ = banger_oci::ImageConfig::parse(bytes);
    if let Ok(platform) = String::from_utf8_lossy(bytes).parse::<Platform>() {
        assert_eq!(
            platform.to_string().parse::<Platform>().ok(),
            Some(platform)
        );
    }
});
