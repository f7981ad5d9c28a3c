//! Credentials from helper programs, as Docker's command line and podman ask them.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod mock;
mod registry;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_oci::Digest;
use banger_registry::{BlobProgress, CredentialError, CredentialFiles, RegistryError, Watch};
use mock::{Told, cache};
use registry::{Registry, three_layers};

/// A helper `docker-credential-kept` that does `script`, and a configuration that says `config`, in `dir`.
fn helper(dir: &Path, script: &str, config: &str) -> CredentialFiles {
    let (folder, path) = (dir.join("bin"), dir.join("config.json"));
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("docker-credential-kept");
    // Written beside and renamed: a program that is open for writing cannot be run.
    let beside = folder.join("beside");
    fs::write(&beside, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&beside, program).unwrap();
    fs::write(&path, config).unwrap();
    let search = std::env::join_paths([folder, PathBuf::from("/usr/bin"), PathBuf::from("/bin")]);
    CredentialFiles::new(vec![path]).helpers_on(Some(search.unwrap()))
}

/// A helper that keeps `user` and `secret` for this registry alone, and records its input.
fn keeper(dir: &Path, registry: &str) -> String {
    format!(
        r#"[ "$1" = get ] || exit 2
read -r server
echo "$server" >> {}
[ "$server" = "{registry}" ] || {{ echo "credentials not found in native keychain"; exit 1; }}
printf '{{"ServerURL":"%s","Username":"user","Secret":"secret"}}' "$server""#,
        dir.join("asked").display()
    )
}

#[test]
fn a_real_registry_is_shown_what_a_helper_keeps() {
    let dir = tempfile::tempdir().unwrap();
    three_layers(&dir.path().join("layout"));
    let registry = Registry::start(dir.path(), true);
    registry.push(&dir.path().join("layout"), &["--dest-creds", "user:secret"]);
    let address = format!("127.0.0.1:{}", registry.port);
    for (name, config) in [
        (
            "its-own",
            format!(r#"{{"credHelpers":{{"{address}":"kept"}}}}"#),
        ),
        ("for-all", r#"{"auths":{},"credsStore":"kept"}"#.to_owned()),
        // An entry that names the registry without a password: `docker login` writes it when a store keeps the password.
        (
            "said-there",
            format!(r#"{{"auths":{{"{address}":{{}}}},"credsStore":"kept"}}"#),
        ),
    ] {
        let work = dir.path().join(name);
        fs::create_dir(&work).unwrap();
        let files = helper(&work, &keeper(&work, &address), &config);
        let fetched = registry.pull(&cache(&work), &files, &Told::default());
        fetched.unwrap_or_else(|error| panic!("{name}: {error}"));
        let asked = fs::read_to_string(work.join("asked")).unwrap();
        assert_eq!(asked, format!("{address}\n"), "{name}");
    }

    // The helper keeps nothing for this registry: the request goes without credentials.
    let work = dir.path().join("other");
    fs::create_dir(&work).unwrap();
    let files = helper(
        &work,
        &keeper(&work, "elsewhere.example"),
        r#"{"credsStore":"kept"}"#,
    );
    let refused = registry.pull(&cache(&work), &files, &Told::default());
    assert!(
        matches!(
            refused,
            Err(RegistryError::Denied {
                authenticated: false,
                ..
            })
        ),
        "{refused:?}"
    );
}

/// The error after a helper has run `script`, and the time that it took.
fn failure(script: &str, name: &str) -> (String, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let mock = mock::Mock::serving(mock::Image::new(&[10]));
    let config = format!(r#"{{"credsStore":"{name}"}}"#);
    let files = helper(dir.path(), script, &config);
    let started = Instant::now();
    let error = mock::pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap_err();
    let took = started.elapsed();
    let expected = dir.path().join("config.json");
    match &error {
        RegistryError::Credentials(CredentialError::Helper {
            helper,
            path,
            server,
            ..
        }) => {
            assert_eq!(*helper, format!("docker-credential-{name}"));
            assert_eq!((path, server), (&expected, &mock.address));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        mock.asked().len(),
        0,
        "nothing was asked without credentials"
    );
    (error.to_string(), took)
}

#[test]
fn a_helper_that_is_not_there_is_told_and_what_is_public_is_pulled() {
    let dir = tempfile::tempdir().unwrap();
    let mock = mock::Mock::serving(mock::Image::new(&[10]));
    let files = helper(dir.path(), "exit 0", r#"{"credsStore":"absent"}"#);
    let told = Told::default();
    mock::pull_with(&mock, &cache(dir.path()), &files, &told).unwrap();
    let told = told.warnings.lock().unwrap();
    assert!(
        told[0].starts_with("credential helper docker-credential-absent, which /")
            && told[0].ends_with("is not on the PATH: going on without credentials"),
        "{told:?}"
    );
}

#[test]
fn a_helper_that_fails_is_named_with_the_file_that_names_it() {
    for (script, end) in [
        (
            "echo 'the keychain is locked'; exit 1",
            "names, fails: the keychain is locked",
        ),
        (
            "echo 'no terminal' >&2; exit 3",
            "names, fails: no terminal",
        ),
        ("exit 7", "names, fails without a word"),
        ("kill -9 $$", "names, fails without a word"),
        ("echo '{\"Username\":'", "names, gives a malformed answer"),
        (
            "printf '\\377\\000garbage'",
            "names, gives a malformed answer",
        ),
        (
            "while :; do echo 0123456789; done",
            "names, answers more than 65536 bytes",
        ),
        (
            "trap '' PIPE; while :; do echo y; done 2>/dev/null",
            "names, answers more than 65536 bytes",
        ),
    ] {
        let (said, took) = failure(script, "kept");
        assert!(said.ends_with(end), "{script}: {said}");
        assert!(took < Duration::from_secs(3), "{script}: {took:?}");
    }
}

/// A helper that waits for ever, and the file in which it writes the id of the process that it waits for.
fn waiting(dir: &Path) -> (String, PathBuf) {
    let pid = dir.join("pid");
    // Renamed, so that there is a number in it as soon as it is there.
    let (beside, there) = (dir.join("beside"), pid.display().to_string());
    let beside = beside.display();
    let script = format!("sleep 1000 & echo $! > {beside}; mv {beside} {there}; wait");
    (script, pid)
}

fn has_ended(pid: &Path) {
    let pid = fs::read_to_string(pid).unwrap();
    let status = format!("/proc/{}/status", pid.trim());
    let deadline = Instant::now() + Duration::from_secs(10);
    // Until its new parent has reaped it.
    while fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        assert!(Instant::now() < deadline, "what it started runs on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_helper_that_never_ends_is_ended_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let (script, pid) = waiting(dir.path());
    let (said, took) = failure(&script, "kept");
    assert!(
        said.ends_with("names, has not answered after 3 seconds"),
        "{said}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    has_ended(&pid);
}

/// Cancels as soon as a file is there.
struct CancelledBy<'p>(&'p Path);

impl Watch for CancelledBy<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.exists()
    }
    fn warn(&self, _message: &str) {}
    fn layers(&self, _layers: &[(Digest, u64)]) {}
    fn progress(&self, _progress: BlobProgress) {}
}

#[test]
fn a_pull_that_is_cancelled_meanwhile_ends_the_helper() {
    let dir = tempfile::tempdir().unwrap();
    let (script, pid) = waiting(dir.path());
    let mock = mock::Mock::serving(mock::Image::new(&[10]));
    let files = helper(dir.path(), &script, r#"{"credsStore":"kept"}"#);
    let error = mock::pull_with(&mock, &cache(dir.path()), &files, &CancelledBy(&pid));
    assert!(matches!(error, Err(RegistryError::Cancelled)), "{error:?}");
    has_ended(&pid);
}
