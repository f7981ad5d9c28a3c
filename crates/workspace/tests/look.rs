//! Files of a repository that are looked at on the host before anything goes.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod fixture;

use std::os::unix::fs::symlink;
use std::path::Path;

use banger_workspace::devcontainer::{DevcontainerError, find};
use banger_workspace::{Look, Survey, Wanted, pins};
use fixture::{Place, commit, git, write};

fn survey(path: &Path, from: Option<&str>) -> Survey {
    let wanted = Wanted {
        branch: from.map(|_| "try".to_owned()),
        from: from.map(str::to_owned),
        ..Wanted::default()
    };
    Survey::take(path, wanted).unwrap()
}

fn file(survey: &Survey) -> Option<(String, String)> {
    let found = find(survey, None).unwrap()?;
    Some((found.file, String::from_utf8(found.bytes).unwrap()))
}

#[test]
fn a_devcontainer_is_the_one_that_goes_in_the_order_of_the_specification() {
    let place = Place::new();
    let repo = place.repository("repo");
    assert_eq!(file(&survey(&repo, None)), None);
    write(&repo.join(".devcontainer/only/devcontainer.json"), "only");
    let only = ".devcontainer/only/devcontainer.json".to_owned();
    assert_eq!(
        file(&survey(&repo, None)),
        Some((only.clone(), "only".to_owned()))
    );
    commit(&repo, "a folder");
    write(&repo.join(".devcontainer.json"), "top");
    let top = (".devcontainer.json".to_owned(), "top".to_owned());
    assert_eq!(file(&survey(&repo, None)), Some(top));
    write(&repo.join(".devcontainer/devcontainer.json"), "first");
    let first = (
        ".devcontainer/devcontainer.json".to_owned(),
        "first".to_owned(),
    );
    assert_eq!(file(&survey(&repo.join("src"), None)), Some(first));
    commit(&repo, "all");
    assert_eq!(
        file(&survey(&repo, Some("HEAD~1"))),
        Some((only, "only".to_owned()))
    );
    assert_eq!(file(&survey(&repo, Some("HEAD~2"))), None);
}

#[test]
fn what_is_no_file_of_the_repository_is_not_read() {
    let place = Place::new();
    let repo = place.repository("repo");
    let outside = place.at("outside.json");
    write(&outside, "secret");
    symlink(&outside, repo.join(".devcontainer.json")).unwrap();
    let refused = find(&survey(&repo, None), None).unwrap_err();
    assert!(matches!(refused, DevcontainerError::NoFile(_)), "{refused}");
    commit(&repo, "a link");
    write(&repo.join("README"), "later\n");
    commit(&repo, "later");
    let refused = find(&survey(&repo, Some("HEAD~1")), None).unwrap_err();
    assert!(matches!(refused, DevcontainerError::NoFile(_)), "{refused}");

    std::fs::remove_file(repo.join(".devcontainer.json")).unwrap();
    symlink(place.0.path(), repo.join(".devcontainer")).unwrap();
    write(&place.at("x/devcontainer.json"), "secret");
    assert_eq!(file(&survey(&repo, None)), None);
    for chosen in [
        "../outside.json",
        outside.to_str().unwrap(),
        "a/../../outside.json",
    ] {
        let refused = find(&survey(&repo, None), Some(chosen)).unwrap_err();
        assert!(
            matches!(refused, DevcontainerError::Outside(_)),
            "{refused}"
        );
    }
    let refused = find(&survey(&repo, None), Some(".devcontainer/outside.json")).unwrap_err();
    assert!(matches!(refused, DevcontainerError::Absent(_)), "{refused}");

    let fifo = repo.join(".devcontainer.json");
    std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    let refused = find(&survey(&repo, None), None).unwrap_err();
    assert!(matches!(refused, DevcontainerError::NoFile(_)), "{refused}");
    std::fs::remove_file(&fifo).unwrap();
    write(&fifo, &" ".repeat(300_000));
    let refused = find(&survey(&repo, None), None).unwrap_err();
    assert!(
        matches!(refused, DevcontainerError::TooLarge { .. }),
        "{refused}"
    );
}

#[test]
fn a_file_of_a_commit_is_read_up_to_its_limit() {
    let place = Place::new();
    let repo = place.repository("repo");
    write(&repo.join("big"), "12345");
    commit(&repo, "big");
    write(&repo.join("big"), "in the work tree");
    commit(&repo, "other");
    let before = survey(&repo, Some("HEAD~1"));
    assert_eq!(
        before.look("big", 5).unwrap(),
        Look::File(b"12345".to_vec())
    );
    assert_eq!(before.look("big", 4).unwrap(), Look::TooLarge);
    assert_eq!(before.look("src", 4).unwrap(), Look::Absent);
    assert_eq!(before.look("link", 99).unwrap(), Look::Other);
}

#[test]
fn tools_are_pinned_by_files_that_go() {
    let place = Place::new();
    let repo = place.repository("repo");
    write(&repo.join("mise.toml"), "[tools]\nnode = '20'\n");
    write(&repo.join(".tool-versions"), "ruby 3.3\n");
    assert_eq!(pins::find(&survey(&repo, None)).unwrap(), None);
    git(&repo, &["add", "mise.toml"]);
    let found = pins::find(&survey(&repo, None)).unwrap().unwrap();
    assert_eq!(found.told(), "node 20 (mise.toml)");
    let wanted = Wanted {
        include_untracked: true,
        ..Wanted::default()
    };
    let both = pins::find(&Survey::take(&repo, wanted).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(both.told(), "node 20, ruby 3.3 (mise.toml, .tool-versions)");
    assert_eq!(both.asdf, ["ruby"]);
    assert_ne!(both.digest, found.digest);
    commit(&repo, "tools");
    write(&repo.join("mise.toml"), "[tools]\nnode = '22'\n");
    commit(&repo, "newer");
    let before = pins::find(&survey(&repo, Some("HEAD~1"))).unwrap().unwrap();
    assert_eq!(before.tools["node"], "20");
}
