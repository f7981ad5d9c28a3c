//! `~/.ssh/config` in every state that users bring it in: uninstall takes away install's additions, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test helper fails the test")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use banger_ssh::{SshError, UserConfig};

const LINE: &str = "Include \"/state dir/ssh/config\"";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// A home with `~/.ssh/config` of this content and mode.
fn home(content: &[u8], mode: u32) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config"), content).unwrap();
    fs::set_permissions(folder.join("config"), fs::Permissions::from_mode(mode)).unwrap();
    home
}

#[test]
fn whatever_the_file_holds_it_comes_back_to_the_byte() {
    let contents: [&[u8]; 7] = [
        b"",
        b"Host a\n  User b\n",
        b"Host a\n  User b",
        b"Host a\r\n  User b\r\n",
        b"\n\n# only a comment\n\n",
        b"Host \xff\xfe\n\0\n",
        b"# <<< banger <<<\nHost a\n",
    ];
    for content in contents {
        let home = home(content, 0o640);
        let config = UserConfig::of_home(home.path());
        assert!(config.install(LINE).unwrap());
        assert!(config.has(LINE).unwrap());
        let installed = fs::read(config.path()).unwrap();
        assert!(
            installed.starts_with(b"# >>> banger >>>\nInclude "),
            "{content:?}"
        );
        assert!(installed.ends_with(content));
        assert_eq!(mode(config.path()), 0o640);
        assert!(
            !config.install(LINE).unwrap(),
            "a second time changes nothing"
        );
        assert_eq!(fs::read(config.path()).unwrap(), installed);
        assert!(config.uninstall().unwrap());
        assert_eq!(fs::read(config.path()).unwrap(), content);
        assert_eq!(mode(config.path()), 0o640);
        assert!(
            !config.uninstall().unwrap(),
            "a second time changes nothing"
        );
    }
}

#[test]
fn a_file_and_a_folder_that_banger_made_go_again() {
    let home = tempfile::tempdir().unwrap();
    let config = UserConfig::of_home(home.path());
    config.install(LINE).unwrap();
    assert_eq!(mode(config.path()), 0o600);
    assert_eq!(mode(&home.path().join(".ssh")), 0o700);
    config.install("Include \"/elsewhere\"").unwrap();
    config.uninstall().unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn what_the_user_added_meanwhile_stays() {
    let home = tempfile::tempdir().unwrap();
    let config = UserConfig::of_home(home.path());
    config.install(LINE).unwrap();
    let mut bytes = fs::read(config.path()).unwrap();
    bytes.extend_from_slice(b"Host mine\n");
    fs::write(config.path(), &bytes).unwrap();
    fs::write(home.path().join(".ssh/id"), "key").unwrap();
    config.uninstall().unwrap();
    assert_eq!(fs::read(config.path()).unwrap(), b"Host mine\n");
}

#[test]
fn a_folder_that_holds_keys_by_now_stays() {
    let home = tempfile::tempdir().unwrap();
    let config = UserConfig::of_home(home.path());
    config.install(LINE).unwrap();
    fs::write(home.path().join(".ssh/id"), "key").unwrap();
    config.uninstall().unwrap();
    assert!(home.path().join(".ssh/id").exists());
    assert!(!config.path().exists());
}

#[test]
fn a_link_stays_a_link_and_its_file_is_changed() {
    let home = home(b"", 0o600);
    let dotfiles = home.path().join("dotfiles");
    fs::write(&dotfiles, "Host a\n").unwrap();
    let config = UserConfig::of_home(home.path());
    fs::remove_file(config.path()).unwrap();
    symlink("../dotfiles", config.path()).unwrap();
    config.install(LINE).unwrap();
    assert!(fs::symlink_metadata(config.path()).unwrap().is_symlink());
    assert!(fs::read_to_string(&dotfiles).unwrap().contains(LINE));
    config.uninstall().unwrap();
    assert_eq!(fs::read(&dotfiles).unwrap(), b"Host a\n");
    assert!(fs::symlink_metadata(config.path()).unwrap().is_symlink());
}

#[test]
fn what_must_not_be_changed_is_refused_by_name() {
    let read_only = home(b"Host a\n", 0o444);
    let config = UserConfig::of_home(read_only.path());
    let error = config.install(LINE).unwrap_err();
    assert!(matches!(error, SshError::ReadOnly(_)), "{error}");
    assert_eq!(fs::read(config.path()).unwrap(), b"Host a\n");

    let dangling = home(b"", 0o600);
    let config = UserConfig::of_home(dangling.path());
    fs::remove_file(config.path()).unwrap();
    symlink("nowhere", config.path()).unwrap();
    let error = config.install(LINE).unwrap_err();
    assert!(matches!(error, SshError::Dangling(_)), "{error}");

    let folder = home(b"", 0o600);
    let config = UserConfig::of_home(folder.path());
    fs::remove_file(config.path()).unwrap();
    fs::create_dir(config.path()).unwrap();
    let error = config.install(LINE).unwrap_err();
    assert!(matches!(error, SshError::NotAFile(_)), "{error}");

    let unfenced = home(b"Host a\n# >>> banger >>>\nInclude x\nHost b\n", 0o600);
    let error = UserConfig::of_home(unfenced.path())
        .uninstall()
        .unwrap_err();
    assert!(
        matches!(error, SshError::Unfenced { line: 2, .. }),
        "{error}"
    );
}

#[test]
fn a_block_of_another_line_is_replaced_where_it_is() {
    let home = home(b"Host a\n", 0o600);
    let config = UserConfig::of_home(home.path());
    config.install("Include \"/old\"").unwrap();
    assert!(!config.has(LINE).unwrap());
    config.install(LINE).unwrap();
    let text = fs::read_to_string(config.path()).unwrap();
    assert!(!text.contains("/old") && text.matches("banger >>>").count() == 1);
    config.uninstall().unwrap();
    assert_eq!(fs::read(config.path()).unwrap(), b"Host a\n");
}
