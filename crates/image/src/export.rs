//! An image as an OCI archive: one layer, its configuration, and the documents that lead to them.
//!
//! ```text
//!  base.ext4 ─► tree ─► layer, first only its digest and length, then its bytes ─┐
//!  image.json ─► configuration ─► manifest ─► index.json ────────────────────────┴─► archive, in one go
//! ```
//! There is no temporary file: the layer is made twice, which costs less than a disk's write and read of it.

use std::io::{self, Write};
use std::path::Path;

use banger_disk::tree::Tree;
use banger_oci::Digest;
use banger_tar::{Entry, Kind, Writer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::ImageError;
use crate::layer;
use crate::metadata::{BASE, ImageMetadata};
use crate::progress::Watch;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image that is ready for export: everything is known except the bytes of its layer.
#[derive(Debug)]
pub struct Export {
    tree: Tree,
    metadata: ImageMetadata,
    layer: Blob,
    documents: Vec<(String, Vec<u8>)>,
}

/// Digest and length of something.
#[derive(Debug, Clone)]
struct Blob {
    digest: String,
    bytes: u64,
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
        Self {
            digest: Digest::of(bytes).to_string(),
            bytes: bytes.len() as u64,
        }
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.bytes })
    }
}

impl Export {
    /// Reads the image in `folder` and makes its layer once, to know its digest; `name` becomes its tag.
    ///
    /// # Errors
    /// The base is a disk image that others have made, or cannot be read.
    pub fn prepare(folder: &Path, name: &str, watch: &mut Watch<'_>) -> Result<Self, ImageError> {
        let metadata = ImageMetadata::read(folder)?;
        if !metadata.is_ours() {
            return Err(ImageError::NotOurs {
                name: name.to_owned(),
            });
        }
        let tree = banger_disk::read_tree(&folder.join(BASE))?;
        let layer = layer::write(&tree, Counting::default(), watch)?.blob();
        let documents = documents(&metadata, name, &layer)?;
        Ok(Self {
            tree,
            metadata,
            layer,
            documents,
        })
    }

    /// Length of the archive in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let file = |len: u64| 512 + len.next_multiple_of(512);
        let documents = self
            .documents
            .iter()
            .map(|(_, bytes)| file(bytes.len() as u64));
        // Two directories, and the two blocks of the end.
        documents.sum::<u64>() + file(self.layer.bytes) + 2 * 512 + 2 * 512
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// The archive cannot be written, or the base changed since `prepare`.
    pub fn write(&self, to: impl Write, watch: &mut Watch<'_>) -> Result<(), ImageError> {
        let failed = |source| ImageError::io("write", Path::new("the archive"), source);
        let mtime = (self.metadata.created_at.as_second(), 0);
        let mut archive = Writer::new(to);
        for folder in ["blobs/", "blobs/sha256/"] {
            // The computed length assumes that these headers have no records.
            archive
                .header(&entry(folder, Kind::Directory, mtime))
                .map_err(failed)?;
        }
        for (path, bytes) in &self.documents {
            let size = bytes.len() as u64;
            archive
                .header(&entry(path, Kind::File { size }, mtime))
                .and_then(|()| archive.content(bytes))
                .and_then(|()| archive.end_content())
                .map_err(failed)?;
        }
        let (path, size) = (self.layer.path(), self.layer.bytes);
        archive
            .header(&entry(&path, Kind::File { size }, mtime))
            .map_err(failed)?;
        let mut hashing = Through {
            archive: &mut archive,
            counting: Counting::default(),
        };
        layer::write(&self.tree, &mut hashing, watch)?;
        let written = hashing.counting.blob();
        if written.digest != self.layer.digest {
            let source = io::Error::other("the base changed while it was read");
            return Err(failed(source));
        }
        archive.end_content().map_err(failed)?;
        archive.finish().map_err(failed)?;
        Ok(())
    }
}

fn entry<'a>(path: &'a str, kind: Kind<'a>, mtime: (i64, u32)) -> Entry<'a> {
    let mode = if kind == Kind::Directory {
        0o755
    } else {
        0o644
    };
    Entry {
        path: path.as_bytes(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime,
        xattrs: &[],
    }
}

/// Everything but the layer, by path.
fn documents(
    metadata: &ImageMetadata,
    name: &str,
    layer: &Blob,
) -> Result<Vec<(String, Vec<u8>)>, ImageError> {
    let encode = |value: &Value| {
        serde_json::to_vec(value).map_err(|source| ImageError::Metadata {
            path: name.into(),
            source,
        })
    };
    let config = encode(&config(metadata, layer))?;
    let config_blob = Blob::of(&config);
    let manifest = encode(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config_blob.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    }))?;
    let manifest_blob = Blob::of(&manifest);
    let mut descriptor = manifest_blob.descriptor(MANIFEST);
    descriptor["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    let index = encode(&json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [descriptor],
    }))?;
    let layout = encode(&json!({ "imageLayoutVersion": "1.0.0" }))?;
    Ok(vec![
        ("oci-layout".to_owned(), layout),
        ("index.json".to_owned(), index),
        (manifest_blob.path(), manifest),
        (config_blob.path(), config),
    ])
}

/// The image's configuration (OCI image specification, "Image Configuration"); unset fields are left out.
fn config(metadata: &ImageMetadata, layer: &Blob) -> Value {
    let own = &metadata.defaults;
    let mut run = serde_json::Map::new();
    let mut say = |key: &str, value: Value| {
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            other => other.is_null(),
        };
        if !empty {
            run.insert(key.to_owned(), value);
        }
    };
    say("User", json!(own.user));
    say("Env", json!(own.env));
    say("Entrypoint", json!(own.entrypoint));
    say("Cmd", json!(own.cmd));
    say("WorkingDir", json!(own.working_dir));
    say("StopSignal", json!(own.stop_signal));
    let labels = metadata.provenance.as_ref().map(|source| &source.labels);
    say("Labels", json!(labels));
    let created = metadata.created_at.to_string();
    let made_of = format!("{} {}", metadata.source.kind, metadata.source.name);
    json!({
        "created": created,
        "architecture": "amd64",
        "os": "linux",
        "config": run,
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        "history": [{ "created": created, "created_by": "banger image export", "comment": made_of }],
    })
}

/// A writer that computes the digest and the number of bytes.
#[derive(Default)]
struct Counting {
    hash: Sha256,
    bytes: u64,
}

impl Counting {
    fn blob(self) -> Blob {
        Blob {
            digest: format!("sha256:{}", banger_durable::hex(&self.hash.finalize())),
            bytes: self.bytes,
        }
    }
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer to an entry of an archive that also computes the digest.
struct Through<'a, W> {
    archive: &'a mut Writer<W>,
    counting: Counting,
}

impl<W: Write> Write for Through<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.archive.content(bytes)?;
        self.counting.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
