use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::*;

/// Authorities of another crate's tests.
const NAMES: &str = include_str!("../../../../authorities/tests/names.pem");

fn certificates() -> Vec<Certificate> {
    read_pem(NAMES.as_bytes(), 100).certificates
}

fn pem(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::pem).collect()
}

struct Guest {
    root: tempfile::TempDir,
    memory: tempfile::TempDir,
}

impl Guest {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            memory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn start(&self, trusted: &[Certificate], added: &[Certificate]) {
        let wanted = Authorities {
            trusted: pem(trusted),
            added: pem(added),
        };
        try_apply(self.root.path(), self.memory.path(), Some(&wanted)).unwrap();
    }

    fn start_without(&self) {
        try_apply(self.root.path(), self.memory.path(), None).unwrap();
    }

    /// Everything in the root but `/run`: paths, and what is in files and links.
    fn tree(&self) -> Vec<(String, String)> {
        let mut tree = Vec::new();
        let mut ahead = vec![self.root.path().to_path_buf()];
        while let Some(dir) = ahead.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.root.path()).unwrap();
                let name = name.to_str().unwrap().to_owned();
                if let Ok(target) = fs::read_link(&path) {
                    tree.push((name, target.to_str().unwrap().to_owned()));
                } else if path.is_dir() && name != "run" {
                    ahead.push(path);
                } else if path.is_file() {
                    tree.push((name, fs::read_to_string(path).unwrap()));
                }
            }
        }
        tree.sort();
        tree
    }
}

#[test]
fn a_bundle_gets_what_it_lacks_and_the_folder_the_names_that_openssl_looks_for() {
    let (guest, all) = (Guest::new(), certificates());
    let own = format!("# its own\n{}", pem(&all[..1]));
    guest.put(BUNDLES[0], &own);
    guest.put("etc/ssl/certs/c.pem", "");
    // Another one of the name of the third.
    let hash = |one: &Certificate| format!("{:08x}", one.subject_hash());
    symlink(
        "c.pem",
        guest.path(&format!("etc/ssl/certs/{}.0", hash(&all[2]))),
    )
    .unwrap();
    for _ in 0..2 {
        guest.start(&all[..3], &all[2..3]);
        let now = guest.read(BUNDLES[0]);
        assert!(now.starts_with(&own), "{now}");
        assert_eq!(read_pem(now.as_bytes(), 10).certificates, all[..3]);
        assert_eq!(now.matches("BEGIN").count(), 3, "each once");
        let linked = |name: String| guest.read(&format!("etc/ssl/certs/{name}"));
        assert_eq!(linked(format!("{}.0", hash(&all[1]))), all[1].pem());
        assert_eq!(linked(format!("{}.1", hash(&all[2]))), all[2].pem());
        assert!(
            !guest
                .path(&format!("etc/ssl/certs/{}.0", hash(&all[0])))
                .exists()
        );
        let told = format!("{}/banger-{}.crt", TOOLS[0], all[2].short_digest());
        assert_eq!(guest.read(&told), all[2].pem());
        assert_eq!(
            fs::read_link(guest.path("run/banger/ca-bundle.pem")).unwrap(),
            Path::new("/").join(BUNDLES[0])
        );
    }
}

#[test]
fn what_the_host_no_longer_trusts_goes_and_all_of_it_when_nothing_is_asked_for() {
    let (guest, all) = (Guest::new(), certificates());
    guest.put(BUNDLES[0], &pem(&all[..1]));
    fs::set_permissions(guest.path(BUNDLES[0]), fs::Permissions::from_mode(0o640)).unwrap();
    guest.put("usr/local/share/ca-certificates/users.crt", "a");
    let before = guest.tree();
    guest.start(&all[1..4], &all[1..2]);
    guest.start(&all[3..5], &[]);
    assert_eq!(
        read_pem(guest.read(BUNDLES[0]).as_bytes(), 10).certificates,
        [all[0].clone(), all[3].clone(), all[4].clone()]
    );
    guest.start_without();
    assert_eq!(guest.tree(), before);
    let mode = fs::metadata(guest.path(BUNDLES[0]))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read_dir(guest.memory.path()).unwrap().count(), 0);
}

#[test]
fn what_a_user_adds_stays_and_what_a_tool_writes_of_ours_goes_with_the_rest() {
    let (guest, all) = (Guest::new(), certificates());
    guest.put(BUNDLES[0], &pem(&all[..1]));
    guest.start(&all[1..3], &all[2..3]);
    // update-ca-certificates: all of its folders, in an order of its own; and a user's line after that.
    let by_tool = pem(&[all[2].clone(), all[0].clone()]) + "# mine\n" + &pem(&all[5..6]);
    guest.put(BUNDLES[0], &by_tool);
    guest.start(&all[1..3], &all[2..3]);
    let now = guest.read(BUNDLES[0]);
    assert!(now.contains("# mine\n"), "{now}");
    assert_eq!(now.matches("BEGIN").count(), 4, "{now}");
    guest.start_without();
    assert_eq!(
        guest.read(BUNDLES[0]),
        pem(&all[..1]) + "# mine\n" + &pem(&all[5..6])
    );
}

#[test]
fn an_image_without_any_bundle_gets_one_and_loses_it_again() {
    let (guest, all) = (Guest::new(), certificates());
    guest.start(&all, &[]);
    assert_eq!(
        read_pem(guest.read(BUNDLES[0]).as_bytes(), 20).certificates,
        all
    );
    guest.start_without();
    assert_eq!(guest.tree(), []);
    guest.start_without();
}

#[test]
fn links_of_the_image_lead_inside_it_and_stay() {
    let (guest, all) = (Guest::new(), certificates());
    let outside = tempfile::tempdir().unwrap();
    // As Fedora has it, and a link that would lead out of the root.
    guest.put("etc/pki/ca-trust/extracted/pem/tls.pem", "");
    fs::create_dir_all(guest.path("etc/pki/tls/certs")).unwrap();
    symlink(
        "/etc/pki/ca-trust/extracted/pem/tls.pem",
        guest.path(BUNDLES[1]),
    )
    .unwrap();
    fs::create_dir_all(guest.path("etc/ssl")).unwrap();
    symlink(outside.path(), guest.path(HASHED)).unwrap();
    guest.start(&all[..2], &all[..1]);
    assert_eq!(
        read_pem(
            guest
                .read("etc/pki/ca-trust/extracted/pem/tls.pem")
                .as_bytes(),
            10
        )
        .certificates,
        all[..2]
    );
    assert!(guest.path(BUNDLES[1]).is_symlink());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let inside = guest.path(outside.path().to_str().unwrap().trim_start_matches('/'));
    assert_eq!(fs::read_dir(inside).unwrap().count(), 4);
}

#[test]
fn a_guest_that_stands_against_it_is_told_with_the_place() {
    let all = certificates();
    let wanted = Authorities {
        trusted: pem(&all[..1]),
        added: String::new(),
    };
    let fails = |guest: &Guest| {
        let error = try_apply(guest.root.path(), guest.memory.path(), Some(&wanted));
        error.unwrap_err().to_string()
    };
    let guest = Guest::new();
    guest.put(
        BUNDLES[0],
        &"x".repeat(usize::try_from(BUNDLE_MAX).unwrap() + 1),
    );
    let error = fails(&guest);
    assert!(error.contains("/etc/ssl/certs/ca-certificates.crt") && error.contains("longer"));
    let guest = Guest::new();
    guest.put(HASHED, "a file");
    let error = fails(&guest);
    assert!(error.contains("ot a directory"), "{error}");
}

#[test]
fn hostile_texts_are_no_certificates() {
    let guest = Guest::new();
    let wanted = Authorities {
        trusted: "-----BEGIN CERTIFICATE-----\n../../x\n-----END CERTIFICATE-----\n".repeat(5000),
        added: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
    };
    try_apply(guest.root.path(), guest.memory.path(), Some(&wanted)).unwrap();
    assert_eq!(guest.tree(), []);
}
