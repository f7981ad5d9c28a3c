use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder with programs of the given scripts, to be used as PATH.
fn programs(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in scripts {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn apt(cache: &str, get: &str) -> (Apt, tempfile::TempDir) {
    let folder = programs(&[("apt-cache", cache), ("apt-get", get)]);
    (Apt::find(Some(folder.path().as_os_str())).unwrap(), folder)
}

#[test]
fn a_host_without_apt_is_told_what_to_do() {
    let folder = programs(&[("apt-cache", "")]);
    let error = Apt::find(Some(folder.path().as_os_str()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no apt-get") && error.contains("kernel import --host"),
        "{error}"
    );
    assert!(matches!(
        Apt::find(None),
        Err(KernelError::NoApt {
            program: "apt-cache"
        })
    ));
}

#[test]
fn the_concrete_package_is_behind_the_first_known_meta_package() {
    let (apt, _folder) = apt(
        r#"for last; do :; done
        if [ "$last" = linux-image-6.12-cloud-amd64 ]; then
            echo "$last"; echo "  Depends: linux-base"; echo "  Depends: linux-image-6.12.117+deb12-cloud-amd64"
        else echo "N: Unable to locate package $last" >&2; exit 100; fi"#,
        "",
    );
    assert_eq!(
        apt.default_kernel(&|| false).unwrap(),
        "linux-image-6.12.117+deb12-cloud-amd64"
    );
}

#[test]
fn empty_lists_are_explained() {
    let (apt, _folder) = apt("exit 100", "");
    let error = apt.default_kernel(&|| false).unwrap_err().to_string();
    assert!(
        error.contains("`linux-image-cloud-amd64`") && error.contains("apt-get update"),
        "{error}"
    );
}

#[test]
fn only_a_package_of_one_version_is_concrete() {
    let of = |line: &str| concrete_package(&[line.to_owned()]);
    assert_eq!(
        of("  Depends: linux-image-6.1.0-56-cloud-amd64").as_deref(),
        Some("linux-image-6.1.0-56-cloud-amd64")
    );
    for line in [
        "  Depends: linux-image-cloud-amd64",
        "  Depends: <linux-image-6.1>",
        " |Depends: linux-image-6",
        "x",
        "  Depends: linux-image-6; rm",
    ] {
        assert_eq!(of(line), None, "{line}");
    }
}

/// As apt does: `--print-uris` names the file unless one of its size is here already, else it is downloaded unless it is.
const DOWNLOADS: &str = r#"for last; do :; done
    there() { [ "$(stat -c %s p_1.3_amd64.deb 2>/dev/null)" = 3 ]; }
    if [ "$last" = --print-uris ]; then
        echo "W: a warning"
        there || echo "'http://x/p_1.3_amd64.deb' p_1.3_amd64.deb 3 SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    elif ! there; then echo "Get:1 $last"; printf abc > "${last}_1.3_amd64.deb"; fi"#;

/// Downloads `p` into `folder`; the file and the lines of progress.
fn download(script: &str, folder: &Path) -> Result<(PathBuf, Vec<String>), KernelError> {
    let (apt, _programs) = apt("", script);
    let mut seen = Vec::new();
    let mut progress = |progress: crate::progress::Progress| seen.push(progress.detail);
    let path = apt.download("p", folder, &mut Watch::new(&mut progress, &|| false))?;
    Ok((path, seen))
}

#[test]
fn the_download_lands_in_the_folder_and_its_lines_are_progress() {
    let folder = tempfile::tempdir().unwrap();
    // Of an earlier time.
    fs::write(folder.path().join("p_1.2_amd64.deb"), "old").unwrap();
    let (path, seen) = download(DOWNLOADS, folder.path()).unwrap();
    assert_eq!(path, folder.path().join("p_1.3_amd64.deb"));
    assert_eq!(seen, ["p", "Get:1 p"]);
}

#[test]
fn a_package_that_is_there_is_taken_without_a_second_download() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = download(DOWNLOADS, folder.path()).unwrap();
    let (second, seen) = download(DOWNLOADS, folder.path()).unwrap();
    assert_eq!((second, seen), (first, vec!["p".to_owned()]));
}

#[test]
fn a_damaged_package_of_the_right_size_is_downloaded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p_1.3_amd64.deb");
    for damaged in ["abd", "ab", "abcd"] {
        fs::write(&file, damaged).unwrap();
        download(DOWNLOADS, folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "abc", "{damaged}");
    }
}

#[test]
fn a_failed_or_empty_download_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let download = |script| download(script, folder.path()).unwrap_err();
    let error = download("echo 'E: no network' >&2; exit 100");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.to_string(), "cannot ask apt for the file of p");
    assert_eq!(source, "apt-get ended with status 100: E: no network");
    let names_it =
        "for last; do :; done; [ $last != --print-uris ] || echo \"'u' p_1_amd64.deb 1 SHA256:00\"";
    assert!(download(names_it).to_string().contains("it is not there"));
    let names_none = download("true").to_string();
    assert!(names_none.contains("names no file") && names_none.contains("apt-get update"));
    let fails =
        format!("{names_it}; [ $last = --print-uris ] || {{ echo 'E: broken' >&2; exit 100; }}");
    assert_eq!(download(&fails).to_string(), "cannot download p with apt");
}
