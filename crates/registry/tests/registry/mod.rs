//! Debian's own registry on loopback, and images that skopeo has pushed to it.

#![allow(dead_code)] // each test file is its own crate and uses some

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_oci::Digest;
use banger_registry::{
    Cache, CertificateFolders, CredentialFiles, Fetched, RegistryError, Request, Watch, fetch,
};

use crate::mock::amd64;

/// `user` with the password `secret` (bcrypt, cost 4).
const HTPASSWD: &str = "user:$2b$04$6j1K2L9Jjo75GEsM0pZ/1uTmSfeD2.w29pBoWCjtTASIwoBh0zk9q\n";

/// A registry that ends with its test.
pub struct Registry {
    pub port: u16,
    pub certificates: CertificateFolders,
    dir: PathBuf,
    pub process: Child,
}

impl Registry {
    pub fn start(dir: &Path, password: bool) -> Self {
        Self::start_with(dir, password, "")
    }

    /// Starts a registry; `http` is appended to the `http` section of its configuration.
    pub fn start_with(dir: &Path, password: bool, http: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'{http}}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            dir.join("store").display()
        );
        if password {
            let path = dir.join("htpasswd");
            fs::write(&path, HTPASSWD).unwrap();
            config.push_str(&format!(
                "auth: {{htpasswd: {{realm: test, path: '{}'}}}}\n",
                path.display()
            ));
        }
        fs::write(dir.join("config.yml"), config).unwrap();
        let process = run(dir, port);
        Self {
            port,
            certificates: CertificateFolders::default(),
            dir: dir.to_path_buf(),
            process,
        }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.process = run(&self.dir, self.port);
    }

    pub fn push(&self, layout: &Path, creds: &[&str]) {
        let target = format!("docker://127.0.0.1:{}/team/app:v1", self.port);
        let output = Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy", "--preserve-digests"])
            .arg("--dest-tls-verify=false")
            .args(creds)
            .arg(format!("oci:{}:v1", layout.display()))
            .arg(target)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "skopeo: {said}");
    }

    pub fn pull(
        &self,
        cache: &Cache,
        files: &CredentialFiles,
        watch: &dyn Watch,
    ) -> Result<Fetched, RegistryError> {
        self.pull_as("team/app:v1", cache, files, watch)
    }

    pub fn pull_as(
        &self,
        name: &str,
        cache: &Cache,
        files: &CredentialFiles,
        watch: &dyn Watch,
    ) -> Result<Fetched, RegistryError> {
        let reference = format!("127.0.0.1:{}/{name}", self.port);
        let (reference, platform) = (reference.parse().unwrap(), amd64());
        let mut request = Request::new(&reference, &platform, files).impatient();
        request.certificates = self.certificates.clone();
        fetch(&request, cache, watch)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(dir: &Path, port: u16) -> Child {
    let mut process = Command::new("docker-registry")
        .args(["serve", "config.yml"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("docker-registry: {error}; run `make host-packages`"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(process.try_wait().unwrap().is_none(), "the registry ended");
        assert!(Instant::now() < deadline, "the registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

/// A plain layer, how it is stored, and the end of its media type.
pub type Stored<'a> = (Vec<u8>, fn(&[u8]) -> Vec<u8>, &'a str);

/// A layout with the tag `v1` of these layers.
pub fn layout(root: &Path, layers: &[Stored<'_>]) {
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let blob = |bytes: &[u8], kind: &str| {
        let digest = Digest::of(bytes);
        fs::write(root.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        let len = bytes.len();
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{len}"#
        )
    };
    let ids: Vec<String> = layers
        .iter()
        .map(|(plain, ..)| format!("\"{}\"", Digest::of(plain)))
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let stored: Vec<String> = layers
        .iter()
        .map(|(plain, store, kind)| blob(&store(plain), &format!("layer.v1.tar{kind}")) + "}")
        .collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{}}},"layers":[{}]}}"#,
        blob(config.as_bytes(), "config.v1+json"),
        stored.join(",")
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
        blob(manifest.as_bytes(), "manifest.v1+json")
    );
    fs::write(root.join("index.json"), index).unwrap();
}

/// A tar archive of a folder with these files, whose names may lie in folders.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let output = Command::new("tar")
        .args(["-c", "--sort=name", "--owner=0", "--group=0", "-C"])
        .arg(dir.path())
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// Three layers, stored in three ways; the upper ones hide and replace what is below.
pub fn three_layers(root: &Path) {
    let lower = tar(&[
        ("etc/kept", b"kept"),
        ("etc/hidden", b"hidden"),
        ("opaque/old", b"old"),
        ("replaced/by-a-file", b"x"),
    ]);
    let middle = tar(&[
        ("etc/.wh.hidden", b""),
        ("opaque/.wh..wh..opq", b""),
        ("opaque/new", b"new"),
    ]);
    let upper = tar(&[(".wh.replaced", b""), ("replaced", b"a file now")]);
    layout(
        root,
        &[
            (lower, gzip, "+gzip"),
            (middle, zstd, "+zstd"),
            (upper, plain, ""),
        ],
    );
}
