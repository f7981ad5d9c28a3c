//! OCI layouts (OCI image layout specification): writing one from layers, and reading one that banger exported.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::sandbox::Sandbox;

/// Writes a layout of one image, which has no tag. The layers become part of it.
pub fn write(folder: &Path, layers: &[PathBuf]) -> io::Result<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut described = Vec::new();
    for layer in layers {
        let mut digest = Sha256::new();
        let mut bytes = BufReader::with_capacity(1 << 20, File::open(layer)?);
        let mut size = 0;
        while let read @ 1.. = bytes.fill_buf().map(<[u8]>::len)? {
            digest.update(bytes.buffer());
            size += read;
            bytes.consume(read);
        }
        let hex = hex(digest);
        fs::rename(layer, blobs.join(&hex))?;
        described.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{hex}"),
            "size": size,
        }));
    }
    let ids: Vec<Value> = described
        .iter()
        .map(|layer| layer["digest"].clone())
        .collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(&blobs, &config, "application/vnd.oci.image.config.v1+json")?,
        "layers": described,
    });
    let manifest = blob(
        &blobs,
        &manifest,
        "application/vnd.oci.image.manifest.v1+json",
    )?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
}

fn blob(blobs: &Path, document: &Value, kind: &str) -> io::Result<Value> {
    let text = document.to_string();
    let hex = hex(Sha256::new_with_prefix(&text));
    fs::write(blobs.join(&hex), &text)?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{hex}"), "size": text.len()}))
}

fn hex(digest: Sha256) -> String {
    digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The one layer of an image that banger exports.
pub fn exported_layer(sandbox: &Sandbox, image: &str, scratch: &Path) -> io::Result<PathBuf> {
    let (archive, layer) = (
        scratch.join("export.tar"),
        scratch.join(format!("{image}.layer")),
    );
    let to = archive.display().to_string();
    sandbox.banger(&["image", "export", image, "-o", &to]).ok();
    let mut largest = 0;
    let mut entries = tar::Archive::new(File::open(&archive)?);
    for entry in entries.entries_with_seek()? {
        let mut entry = entry?;
        // The manifest and the configuration are smaller.
        if entry.size() > largest {
            largest = entry.size();
            io::copy(&mut entry, &mut File::create(&layer)?)?;
        }
    }
    fs::remove_file(&archive)?;
    Ok(layer)
}
