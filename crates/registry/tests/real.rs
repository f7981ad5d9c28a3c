//! Against Debian's own registry on loopback, with images that skopeo has pushed.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod mock;
mod registry;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use banger_oci::{Digest, Limits, LocalImage};
use banger_registry::{BlobProgress, CertificateFolders, CredentialFiles, RegistryError, Watch};
use mock::{Told, cache, names, noise};
use registry::{Registry, layout, plain, three_layers};

#[test]
fn gzip_zstd_and_plain_layers_come_from_a_real_registry() {
    let dir = tempfile::tempdir().unwrap();
    three_layers(&dir.path().join("layout"));
    let registry = Registry::start(dir.path(), false);
    registry.push(&dir.path().join("layout"), &[]);
    let cache = cache(dir.path());
    let files = CredentialFiles::default();
    let fetched = registry.pull(&cache, &files, &Told::default()).unwrap();
    let image = LocalImage::open_manifest(cache.dir(), fetched.manifest, "it").unwrap();
    assert_eq!(image.stored_layers().count(), 3);
    let tree = image
        .tree(dir.path(), Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
        .tree;
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
    let digest = format!("team/app@{}", fetched.manifest);
    let none = mock::cache(&dir.path().join("other"));
    let again = registry.pull_as(&digest, &none, &files, &Told::default());
    assert_eq!(again.unwrap().manifest, fetched.manifest);
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
    // The files that `podman login` and `skopeo login` write.
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
    fn warn(&self, _message: &str) {}
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
    // Filled over plain HTTP: the stored files do not depend on the protocol.
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
        matches!(&nameless, RegistryError::Untrusted { why, .. } if why.contains("client certificate")),
        "the registry wants to see a certificate: {nameless:?}"
    );

    fs::copy(dir.path().join("client.crt"), own.join("client.cert")).unwrap();
    fs::copy(dir.path().join("client.key"), own.join("client.key")).unwrap();
    registry.pull(&cache, &files, &Told::default()).unwrap();
}
