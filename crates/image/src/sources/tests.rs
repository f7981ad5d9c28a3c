use super::*;

fn sources(files: &[(&str, &str)]) -> Result<String, ImageError> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sources.list.d")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    DebianSources::of_host(folder.path(), "bookworm").map(|sources| sources.to_deb822())
}

const DEBIAN: &str = "\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
";

#[test]
fn debian_sources_are_kept_with_their_keys() {
    let kept = sources(&[("sources.list.d/debian.sources", DEBIAN)]).unwrap();
    assert_eq!(
        kept,
        "Types: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm bookworm-updates\nComponents: main contrib\n\
         signed-by: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
         Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n"
    );
}

#[test]
fn one_line_sources_are_read_too() {
    let kept = sources(&[(
        "sources.list",
        "# deb http://mirror.example/debian bookworm main\n\
         deb [arch=amd64,arm64 signed-by=/k.gpg] http://mirror.example/debian bookworm main non-free-firmware # why\n\
         deb-src http://mirror.example/debian bookworm main\n\
         deb [arch=arm64] http://mirror.example/debian bookworm-updates main\n",
    )])
    .unwrap();
    assert_eq!(
        kept,
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main non-free-firmware\nsigned-by: /k.gpg\n"
    );
}

#[test]
fn what_is_not_debian_stays_out() {
    let kept = sources(&[
        ("sources.list.d/debian.sources", DEBIAN),
        (
            "sources.list.d/vendor.list",
            "deb https://vendor.example/linux/debian bookworm stable\n",
        ),
        (
            "sources.list.d/vendor2.list",
            "deb https://vendor.example/apt bookworm main\n",
        ),
        (
            "sources.list.d/other.list",
            "deb http://mirror.example/debian trixie main\n",
        ),
        (
            "sources.list.d/off.sources",
            &format!("Enabled: no\n{DEBIAN}"),
        ),
        (
            "sources.list.d/ignored.disabled",
            "deb http://mirror.example/debian bookworm main\n",
        ),
    ])
    .unwrap();
    assert!(
        !kept.contains("vendor") && !kept.contains("trixie"),
        "{kept}"
    );
    assert_eq!(
        kept.matches("Types:").count(),
        3,
        "the disabled file ends with one enabled stanza: {kept}"
    );
}

#[test]
fn a_host_of_another_kind_is_told_what_to_do() {
    let error = sources(&[(
        "sources.list",
        "deb http://archive.example/ubuntu jammy main\n",
    )])
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("bookworm") && error.contains("banger image register"),
        "{error}"
    );
    let security_alone = "deb http://mirror.example/debian-security bookworm-security main\n";
    assert!(sources(&[("sources.list", security_alone)]).is_err());
    assert!(DebianSources::of_host(Path::new("/nonexistent"), "bookworm").is_err());
}

#[test]
fn a_list_of_mirrors_is_replaced_by_its_mirrors() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("mirrors.list");
    fs::write(
        &list,
        "# mirrors\nhttps://one.example/debian\thttps\nhttps://two.example/debian\n",
    )
    .unwrap();
    let kept = sources(&[(
        "sources.list",
        &format!("deb mirror+file:{} bookworm main\n", list.display()),
    )])
    .unwrap();
    assert!(
        kept.contains("URIs: https://one.example/debian https://two.example/debian\n"),
        "{kept}"
    );
}

#[test]
fn an_embedded_key_keeps_its_lines() {
    let text = "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n key\n";
    let kept = sources(&[("sources.list.d/a.sources", text)]).unwrap();
    assert!(
        kept.ends_with("signed-by: \n -----BEGIN\n .\n key\n"),
        "{kept}"
    );
}

#[test]
fn rubbish_is_passed_over() {
    let rubbish = "deb\ndeb [\ndeb [x] \ndeb http://x\n\u{0}\u{fffd}: :\n  leading\n:::\n";
    assert!(
        sources(&[
            ("sources.list", rubbish),
            ("sources.list.d/r.sources", rubbish)
        ])
        .is_err()
    );
}
