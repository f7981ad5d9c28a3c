//! Against Debian's own registry on loopback, with images that skopeo has pushed.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod mock;

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use banger_oci::{Digest, Limits, LocalImage};
use banger_registry::{
    BlobProgress, Cache, CertificateFolders, CredentialFiles, Fetched, RegistryError, Request,
    Watch, fetch,
};
use mock::{Told, amd64, cache, names, noise};

/// `user` with the password `secret` (bcrypt, cost 4).
const HTPASSWD: &str = "user:$2b$04$6j1K2L9Jjo75GEsM0pZ/1uTmSfeD2.w29pBoWCjtTASIwoBh0zk9q\n";

/// A registry that ends with its test.
struct Registry {
    port: u16,
    certificates: CertificateFolders,
    dir: PathBuf,
    process: Child,
}

impl Registry {
    fn start(dir: &Path, password: bool) -> Self {
        Self::start_with(dir, password, "")
    }

    /// Its `http` section goes on with `http`.
    fn start_with(dir: &Path, password: bool, http: &str) -> Self {
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

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = run(&self.dir, self.port);
    }

    fn push(&self, layout: &Path, creds: &[&str]) {
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

    fn pull(
        &self,
        cache: &Cache,
        files: &CredentialFiles,
        watch: &dyn Watch,
    ) -> Result<Fetched, RegistryError> {
        let reference = format!("127.0.0.1:{}/team/app:v1", self.port);
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
type Stored<'a> = (Vec<u8>, fn(&[u8]) -> Vec<u8>, &'a str);

/// A layout with the tag `v1` of these layers.
fn layout(root: &Path, layers: &[Stored<'_>]) {
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
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// Three layers, stored in three ways; the upper ones hide and replace what is below.
fn three_layers(root: &Path) {
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

#[test]
fn gzip_zstd_and_plain_layers_come_from_a_real_registry() {
    let dir = tempfile::tempdir().unwrap();
    three_layers(&dir.path().join("layout"));
    let registry = Registry::start(dir.path(), false);
    registry.push(&dir.path().join("layout"), &[]);
    let cache = cache(dir.path());
    let files = CredentialFiles::default();
    let fetched = registry.pull(&cache, &files, &Told::default()).unwrap();
    let image = LocalImage::open_manifest(cache.dir(), fetched.manifest).unwrap();
    assert_eq!(image.stored_layers().count(), 3);
    let tree = image
        .tree(dir.path(), Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
    for (path, there) in [
        ("etc/kept", true),
        ("etc/hidden", false),
        ("opaque/old", false),
        ("opaque/new", true),
        ("replaced", true),
        ("replaced/by-a-file", false),
    ] {
        assert_eq!(tree.lookup_path(path.as_bytes()).is_some(), there, "{path}");
    }
}

#[test]
fn a_real_registry_wants_a_password_and_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    three_layers(&dir.path().join("layout"));
    let registry = Registry::start(dir.path(), true);
    registry.push(&dir.path().join("layout"), &["--dest-creds", "user:secret"]);
    let cache = cache(dir.path());
    let none = CredentialFiles::default();
    let refused = registry.pull(&cache, &none, &Told::default()).unwrap_err();
    assert!(
        matches!(
            refused,
            RegistryError::Denied {
                authenticated: false,
                ..
            }
        ),
        "{refused}"
    );
    let path = dir.path().join("auth.json");
    let files = CredentialFiles::new(vec![path.clone()]);
    // What `podman login` and `skopeo login` write.
    let login = Command::new("skopeo")
        .args(["login", "--tls-verify=false", "-u", "user", "-p", "secret"])
        .arg("--authfile")
        .arg(&path)
        .arg(format!("127.0.0.1:{}", registry.port))
        .output()
        .unwrap();
    assert!(
        login.status.success(),
        "{}",
        String::from_utf8_lossy(&login.stderr)
    );
    registry.pull(&cache, &files, &Told::default()).unwrap();
}

/// Kills the registry as soon as a part of the big layer is here.
struct Killing {
    registry: Mutex<Option<u32>>,
    first: Mutex<Vec<u64>>,
    big: Digest,
}

impl Watch for Killing {
    fn is_cancelled(&self) -> bool {
        false
    }
    fn layers(&self, _layers: &[(Digest, u64)]) {}
    fn progress(&self, progress: BlobProgress) {
        if progress.digest != self.big {
            return;
        }
        self.first.lock().unwrap().push(progress.done);
        if let Some(pid) = self.registry.lock().unwrap().take() {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
}

#[test]
fn a_registry_that_is_killed_in_the_middle_is_gone_on_with_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let big = noise(7, 96 << 20);
    let digest = Digest::of(&big);
    layout(&dir.path().join("layout"), &[(big, plain, "")]);
    let mut registry = Registry::start(dir.path(), false);
    registry.push(&dir.path().join("layout"), &[]);
    let (cache, files) = (cache(dir.path()), CredentialFiles::default());
    let watch = |pid| Killing {
        registry: Mutex::new(pid),
        first: Mutex::default(),
        big: digest,
    };
    let killing = watch(Some(registry.process.id()));
    let error = registry.pull(&cache, &files, &killing).unwrap_err();
    assert!(matches!(error, RegistryError::Transfer { .. }), "{error}");
    assert!(!cache.has(digest));
    let part = cache.dir().join("parts").join(digest.hex());
    let left = fs::metadata(&part).unwrap().len();
    assert!(left > 0 && left < 96 << 20, "{left}");

    registry.kill();
    registry.start_again();
    let going_on = watch(None);
    registry.pull(&cache, &files, &going_on).unwrap();
    assert!(cache.has(digest));
    assert_eq!(names(&cache, "parts"), [""; 0]);
    let log = going_on.first.lock().unwrap();
    assert!(
        log.windows(2).all(|pair| pair[0] <= pair[1]),
        "it began anew: {log:?}"
    );
}

/// An authority, and a certificate of it for 127.0.0.1: `NAME.crt` and `NAME.key` for `ca`, `server` and `client`.
fn certificates(dir: &Path) {
    let openssl = |words: &str| {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(dir)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {said}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=authority"
    ));
    for name in ["server", "client"] {
        openssl(&format!(
            "req -x509 {key} -CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.crt -subj /CN={name} \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ));
    }
}

#[test]
fn a_registry_with_a_certificate_of_the_user_s_own_authority_is_trusted_when_the_user_says_so() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    three_layers(&dir.path().join("layout"));
    let at = |name: &str| dir.path().join(name).display().to_string();
    // Filled in the clear: what is stored does not depend on how it is spoken to.
    let plain = Registry::start(dir.path(), false);
    plain.push(&dir.path().join("layout"), &[]);
    drop(plain);
    let tls = format!(
        ", tls: {{certificate: '{}', key: '{}', clientcas: ['{}']}}",
        at("server.crt"),
        at("server.key"),
        at("ca.crt")
    );
    let mut registry = Registry::start_with(dir.path(), false, &tls);
    let (cache, files) = (cache(dir.path()), CredentialFiles::default());

    let refused = registry.pull(&cache, &files, &Told::default()).unwrap_err();
    let host = format!("127.0.0.1:{}", registry.port);
    assert!(
        matches!(&refused, RegistryError::Untrusted { host: named, .. } if *named == host),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("not trusted"), "{refused}");

    let own = dir.path().join("certs.d").join(&host);
    fs::create_dir_all(&own).unwrap();
    registry.certificates = CertificateFolders::new(vec![dir.path().join("certs.d")]);
    fs::copy(dir.path().join("ca.crt"), own.join("ca.crt")).unwrap();
    let nameless = registry.pull(&cache, &files, &Told::default()).unwrap_err();
    assert!(
        matches!(&nameless, RegistryError::Untrusted { why, .. } if why.contains("ours")),
        "the registry wants to see a certificate: {nameless:?}"
    );

    fs::copy(dir.path().join("client.crt"), own.join("client.cert")).unwrap();
    fs::copy(dir.path().join("client.key"), own.join("client.key")).unwrap();
    registry.pull(&cache, &files, &Told::default()).unwrap();
}
