//! Image layouts, archives of them and `docker save`, whole and damaged.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on has failed

mod forge;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_disk::tree::Tree;
use banger_oci::{Digest, Limits, LocalImage, LocalImageError, Platform};
use forge::{Forged, told};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn layers() -> [Vec<u8>; 3] {
    [
        Forged::new()
            .entry(b'0', b"a", b"", b"lower")
            .entry(b'0', b"b", b"", b"hidden")
            .end(),
        Forged::new()
            .entry(b'0', b".wh.b", b"", b"")
            .entry(b'0', b"c", b"", &[b'x'; 9000])
            .end(),
        Forged::new().entry(b'1', b"d", b"a", b"").end(),
    ]
}

/// An image layout in `root`: a plain, a gzip and a zstd layer.
struct Layout {
    root: PathBuf,
}

impl Layout {
    fn new(root: PathBuf) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let layout = Self { root };
        let plain = layers();
        let stored = [
            plain[0].clone(),
            gzip(&plain[1]),
            zstd::encode_all(&plain[2][..], 1).unwrap(),
        ];
        let manifest = layout.image("amd64", &plain, &stored);
        let other = layout.image("riscv64", &plain[..1], &stored[..1]);
        let nested = format!(r#"{{"manifests":[{other},{manifest}]}}"#);
        let nested = layout.blob(nested.as_bytes());
        let tagged = nested.replace(
            '}',
            r#","annotations":{"org.opencontainers.image.ref.name":"v1"}}"#,
        );
        fs::write(
            layout.root.join("index.json"),
            format!(r#"{{"schemaVersion":2,"manifests":[{tagged}]}}"#),
        )
        .unwrap();
        layout
    }

    /// Stores `bytes`; returns its descriptor.
    fn blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        fs::write(self.root.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        format!(r#"{{"digest":"{digest}","size":{}}}"#, bytes.len())
    }

    /// Stores an image; returns its descriptor, with its platform.
    fn image(&self, architecture: &str, plain: &[Vec<u8>], stored: &[Vec<u8>]) -> String {
        let config = self.blob(config(architecture, plain).as_bytes());
        let blobs: Vec<String> = stored.iter().map(|layer| self.blob(layer)).collect();
        let manifest = self
            .blob(format!(r#"{{"config":{config},"layers":[{}]}}"#, blobs.join(",")).as_bytes());
        manifest.replace(
            '}',
            &format!(r#","platform":{{"architecture":"{architecture}","os":"linux"}}}}"#),
        )
    }

    fn blob_path(&self, bytes: &[u8]) -> PathBuf {
        self.root.join("blobs/sha256").join(Digest::of(bytes).hex())
    }
}

fn config(architecture: &str, plain: &[Vec<u8>]) -> String {
    let ids: Vec<String> = plain
        .iter()
        .map(|layer| format!("\"{}\"", Digest::of(layer)))
        .collect();
    format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{"Cmd":["/bin/sh"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
}

fn amd64() -> Platform {
    Platform {
        architecture: "amd64".into(),
        os: "linux".into(),
        variant: None,
    }
}

fn open(path: &Path, name: Option<&str>) -> Result<LocalImage, LocalImageError> {
    LocalImage::open(path, name, &amd64(), &std::env::temp_dir())
}

fn tree(image: &LocalImage) -> Result<Tree, LocalImageError> {
    image
        .tree(&std::env::temp_dir(), Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .map(|files| files.tree)
}

fn check(image: &LocalImage) {
    assert_eq!(image.config().command_line(), ["/bin/sh"]);
    assert_eq!(image.config().platform.architecture, "amd64");
    let tree = tree(image).unwrap();
    assert_eq!(tree.entry_count(), 3);
    assert!(tree.lookup_path(b"b").is_none());
    assert_eq!(tree.lookup_path(b"a"), tree.lookup_path(b"d"));
}

fn refusal<T>(result: Result<T, LocalImageError>) -> String {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(error) => told(&error),
    }
}

#[test]
fn a_layout_is_read_as_folder_and_as_archive() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("layout"));
    let from_folder = open(&layout.root, Some("v1")).unwrap();
    check(&from_folder);
    for option in ["-cf", "-czf"] {
        let archive = dir.path().join("layout.tar");
        let packed = Command::new("tar")
            .arg("-C")
            .arg(&layout.root)
            .arg(option)
            .arg(&archive)
            .arg(".")
            .status()
            .unwrap();
        assert!(packed.success());
        let from_archive = open(&archive, None).unwrap();
        check(&from_archive);
        assert_eq!(from_archive.digests(), from_folder.digests());
    }
}

#[test]
fn what_docker_save_writes_is_read_links_between_layers_too() {
    let [one, two, three] = layers();
    let config = config("amd64", &[one.clone(), two.clone(), three.clone()]);
    let list = r#"[{"Config":"c.json","RepoTags":["app:1"],"Layers":["l1/layer.tar","l2/layer.tar","l3/layer.tar"]}]"#;
    let archive = Forged::new()
        .entry(b'0', b"c.json", b"", config.as_bytes())
        .entry(b'0', b"store/one.tar", b"", &one)
        .entry(b'2', b"l1/layer.tar", b"../store/one.tar", b"")
        .entry(b'0', b"l2/layer.tar", b"", &two)
        .entry(b'0', b"l3/layer.tar", b"", &three)
        .entry(b'0', b"manifest.json", b"", list.as_bytes())
        .end();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("saved.tar");
    fs::write(&path, archive).unwrap();
    check(&open(&path, Some("app:1")).unwrap());
    let missing = refusal(open(&path, Some("app:2")));
    assert!(
        missing.ends_with("it has no image \"app:2\"; it has: app:1"),
        "{missing}"
    );
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_never_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("layout"));
    let [one, two, _] = layers();
    let mut changed = one.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    fs::write(layout.blob_path(&one), changed).unwrap();
    let said = refusal(tree(&open(&layout.root, None).unwrap()));
    assert!(
        said.contains(&format!("\"{}\" of it is damaged", Digest::of(&one))),
        "{said}"
    );

    let layout = Layout::new(dir.path().join("longer"));
    let stored = gzip(&two);
    fs::write(
        layout.blob_path(&stored),
        [&stored[..], b"trailing"].concat(),
    )
    .unwrap();
    let said = refusal(tree(&open(&layout.root, None).unwrap()));
    assert!(said.contains("cannot unpack image"), "{said}");
}

#[test]
fn a_layer_that_unpacks_to_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("layout"));
    let [one, two, _] = layers();
    // The stored layer has the manifest's digest; the configuration names another one.
    let manifest = layout.image("amd64", &[two], &[gzip(&one)]);
    fs::write(
        layout.root.join("index.json"),
        format!(r#"{{"manifests":[{manifest}]}}"#),
    )
    .unwrap();
    let said = refusal(tree(&open(&layout.root, None).unwrap()));
    assert!(said.contains("the configuration says"), "{said}");
}

#[test]
fn missing_and_inconsistent_parts_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(refusal(open(&empty, None)).ends_with("neither an index.json nor a manifest.json"));

    let layout = Layout::new(dir.path().join("layout"));
    let said = refusal(open(&layout.root, Some("v9")));
    assert!(
        said.ends_with("it has no image \"v9\"; it has: v1"),
        "{said}"
    );
    fs::remove_file(layout.blob_path(&layers()[0])).unwrap();
    assert!(refusal(open(&layout.root, None)).contains("there is no \"blobs/sha256/"));

    let layout = Layout::new(dir.path().join("counts"));
    let [one, two, _] = layers();
    let manifest = layout.image("amd64", &[one.clone(), two], &[one]);
    fs::write(
        layout.root.join("index.json"),
        format!(r#"{{"manifests":[{manifest}]}}"#),
    )
    .unwrap();
    assert!(
        refusal(open(&layout.root, None))
            .ends_with("is inconsistent: its manifest lists 1 layers, its configuration 2")
    );
}

#[test]
fn indexes_that_lead_in_a_circle_or_too_deep_end() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("layout"));
    let mut descriptor = layout.image("amd64", &[], &[]);
    for _ in 0..6 {
        descriptor = layout.blob(format!(r#"{{"manifests":[{descriptor}]}}"#).as_bytes());
    }
    fs::write(
        layout.root.join("index.json"),
        format!(r#"{{"manifests":[{descriptor}]}}"#),
    )
    .unwrap();
    assert!(refusal(open(&layout.root, None)).ends_with("it has no image at all"));
}

#[test]
fn layers_together_stop_at_the_limit_and_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("layout"));
    let image = open(&layout.root, None).unwrap();
    let limits = Limits {
        unpacked_bytes: 5000,
        ..Limits::default()
    };
    let said = refusal(image.tree(dir.path(), limits, &mut |_| ControlFlow::Continue(())));
    assert!(
        said.ends_with("it unpacks to more than 5000 bytes"),
        "{said}"
    );
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the layout: {left:?}");
}

/// A layout with one image: what `manifest` makes of the descriptors of its configuration and of its layer.
fn single(root: PathBuf, manifest: impl Fn(&str, &str) -> String) -> Layout {
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    let layout = Layout { root };
    let [one, ..] = layers();
    let config = layout.blob(config("amd64", std::slice::from_ref(&one)).as_bytes());
    let layer = layout.blob(&gzip(&one));
    let manifest = layout.blob(manifest(&config, &layer).as_bytes());
    let index = format!(r#"{{"manifests":[{manifest}]}}"#);
    fs::write(layout.root.join("index.json"), index).unwrap();
    layout
}

#[test]
fn what_is_no_image_is_called_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let helm = single(dir.path().join("helm"), |config, layer| {
        let config = config.replace(
            '}',
            r#","mediaType":"application/vnd.cncf.helm.config.v1+json"}"#,
        );
        format!(r#"{{"config":{config},"layers":[{layer}]}}"#)
    });
    let said = refusal(open(&helm.root, None));
    assert_eq!(
        said,
        format!(
            "cannot use {}: it is a Helm chart, not an image",
            helm.root.display()
        )
    );

    let exported = dir.path().join("exported.tar");
    let root = Forged::new()
        .entry(b'5', b"etc/", b"", b"")
        .entry(b'0', b"bin/sh", b"", b"x")
        .end();
    fs::write(&exported, root).unwrap();
    let said = refusal(open(&exported, None));
    assert!(
        said.ends_with("banger image register NAME --rootfs PATH`"),
        "{said}"
    );
}

#[test]
fn an_index_that_leads_nowhere_gives_way_to_the_list_of_docker_save() {
    let dir = tempfile::tempdir().unwrap();
    let layout = single(dir.path().join("v25"), |config, _| {
        format!(r#"{{"config":{config},"layers":[]}}"#)
    });
    let [one, ..] = layers();
    layout.blob(&one);
    let config = Digest::of(config("amd64", std::slice::from_ref(&one)).as_bytes());
    let list = format!(
        r#"[{{"Config":"blobs/sha256/{}","RepoTags":["app:latest"],"Layers":["blobs/sha256/{}"]}}]"#,
        config.hex(),
        Digest::of(&one).hex()
    );
    assert!(refusal(open(&layout.root, None)).contains("inconsistent"));
    fs::write(layout.root.join("manifest.json"), list).unwrap();
    for name in [None, Some("app"), Some("docker.io/library/app:latest")] {
        let opened = open(&layout.root, name).unwrap();
        assert_eq!(tree(&opened).unwrap().entry_count(), 2);
    }
}

#[test]
fn a_layer_that_is_kept_elsewhere_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let layout = single(dir.path().join("foreign"), |config, layer| {
        let layer = layer.replace('}', r#","urls":["https://example.invalid/l"]}"#);
        format!(r#"{{"config":{config},"layers":[{layer}]}}"#)
    });
    assert!(open(&layout.root, None).is_ok(), "it is there as well");
    fs::remove_file(layout.blob_path(&gzip(&layers()[0]))).unwrap();
    let said = refusal(open(&layout.root, None));
    assert!(
        said.contains("kept elsewhere (https://example.invalid/l)"),
        "{said}"
    );
}

#[test]
fn a_layer_of_no_bytes_is_an_empty_one_in_an_archive_as_well() {
    let [one, ..] = layers();
    let empty: Vec<u8> = Vec::new();
    let config = config("amd64", &[one.clone(), empty.clone()]);
    let list = r#"[{"Config":"c.json","RepoTags":null,"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    let archive = Forged::new()
        .entry(b'0', b"c.json", b"", config.as_bytes())
        .entry(b'0', b"1/layer.tar", b"", &one)
        .entry(b'0', b"2/layer.tar", b"", &empty)
        .entry(b'0', b"manifest.json", b"", list.as_bytes())
        .end();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("saved.tar");
    fs::write(&path, archive).unwrap();
    assert_eq!(tree(&open(&path, None).unwrap()).unwrap().entry_count(), 2);
}

#[test]
fn a_layer_that_is_compressed_with_bzip2_is_named_so() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("layout"));
    let packed = b"BZh91AY&SY\x12\x34\x56".to_vec();
    let manifest = layout.image("amd64", &layers()[..1], &[packed]);
    fs::write(
        layout.root.join("index.json"),
        format!(r#"{{"manifests":[{manifest}]}}"#),
    )
    .unwrap();
    let said = refusal(tree(&open(&layout.root, None).unwrap()));
    assert!(
        said.contains("it is compressed with bzip2, which is not supported"),
        "{said}"
    );
}
