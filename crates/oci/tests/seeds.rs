//! The stored documents of the fuzz targets match their names; `crates/seeds` replays them, and all others.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fs;
use std::path::Path;

use banger_oci::{ImageConfig, manifest};

#[test]
fn stored_documents_are_understood_when_they_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/image_documents");
    let mut understood = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_manifest = matches!(name, "index" | "manifest" | "sizes");
        assert_eq!(manifest::parse(&bytes).is_ok(), is_manifest, "{name}");
        let is_config = name == "config";
        assert_eq!(ImageConfig::parse(&bytes).is_ok(), is_config, "{name}");
        understood += usize::from(is_manifest || is_config);
    }
    assert_eq!(understood, 4);
}
