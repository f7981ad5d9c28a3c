//! Changes of real repositories, as the watcher tells them. inotify queues an event before the change's own system
//! call returns, so nothing here waits.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod fixture;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_workspace::{Changes, Record, Seen, Survey, Wanted, WatchLimit, Watcher};
use fixture::edits::{edit, edits};
use fixture::{Place, commit, git, prepare, write};
use proptest::prelude::*;

/// A repository that is watched.
struct Watched {
    place: Place,
    host: PathBuf,
    wanted: Wanted,
    watcher: Watcher,
}

impl Watched {
    fn new(include_untracked: bool) -> Self {
        let place = Place::new();
        let host = place.repository("host");
        write(&host.join(".gitignore"), "ignored/\n*.o\n");
        commit(&host, "rules");
        let mut watched = Self {
            watcher: Watcher::new().unwrap(),
            wanted: Wanted {
                include_untracked,
                ..Wanted::default()
            },
            place,
            host,
        };
        watched.follow();
        watched
    }

    /// Follows, as a caller does after each change.
    fn follow(&mut self) {
        let survey = || Survey::take(&self.host, self.wanted.clone()).unwrap();
        while self.watcher.follow(&survey()).unwrap() {}
    }

    /// Sight of a change.
    fn sees(&mut self, change: impl FnOnce(&Path)) -> Seen {
        assert_eq!(self.watcher.seen().unwrap(), Seen::Nothing);
        change(&self.host);
        let seen = self.watcher.seen().unwrap();
        self.follow();
        self.watcher.seen().unwrap();
        seen
    }

    fn prepared(&self, name: &str) -> Record {
        prepare(&self.host, self.wanted.clone(), &self.place.at(name))
    }
}

#[test]
fn files_that_are_sent_are_seen_however_they_are_saved() {
    let mut watched = Watched::new(false);
    let changes: [fn(&Path); 6] = [
        |host| write(&host.join("src/tool.sh"), "written"),
        |host| {
            write(&host.join("src/.tool.sh.swp"), "beside");
            std::fs::rename(host.join("src/.tool.sh.swp"), host.join("src/tool.sh")).unwrap();
        },
        |host| {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(host.join("README"), mode).unwrap();
        },
        |host| std::fs::remove_file(host.join("link")).unwrap(),
        |host| std::fs::remove_dir_all(host.join("src")).unwrap(),
        |host| write(&host.join("src/tool.sh"), "there again"),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(watched.sees(change), Seen::Changed, "change {n}");
    }
    let again = |host: &Path| write(&host.join("src/tool.sh"), "in the new folder");
    assert_eq!(watched.sees(again), Seen::Changed);
}

#[test]
fn files_that_stay_here_are_no_news_and_cost_no_watch() {
    let mut watched = Watched::new(false);
    let folders = watched.watcher.folders();
    let nothing: [fn(&Path); 5] = [
        |host| write(&host.join("ignored/deep/er/file"), "x"),
        |host| write(&host.join("src/a.o"), "x"),
        |host| write(&host.join("untracked"), "x"),
        |host| drop(std::fs::read(host.join("README")).unwrap()),
        |host| drop(git(host, &["--no-optional-locks", "status"])),
    ];
    for (n, change) in nothing.into_iter().enumerate() {
        assert_eq!(watched.sees(change), Seen::Nothing, "change {n}");
    }
    assert_eq!(watched.watcher.folders(), folders);
}

#[test]
fn commits_branches_and_what_is_staged_are_seen() {
    let mut watched = Watched::new(false);
    let changes: [fn(&Path); 5] = [
        |host| {
            write(&host.join("new/file"), "x");
            git(host, &["add", "new"]);
        },
        |host| commit(host, "third"),
        |host| drop(git(host, &["checkout", "-q", "-b", "other", "HEAD~2"])),
        |host| drop(git(host, &["update-ref", "refs/heads/other", "main"])),
        |host| drop(git(host, &["pack-refs", "--all"])),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(watched.sees(change), Seen::Changed, "change {n}");
    }
    // A branch whose name makes a folder.
    let nested = |host: &Path| drop(git(host, &["checkout", "-q", "-b", "a/b/c", "main"]));
    assert_eq!(watched.sees(nested), Seen::Changed);
    let moved = |host: &Path| drop(git(host, &["update-ref", "refs/heads/a/b/c", "main~1"]));
    assert_eq!(watched.sees(moved), Seen::Changed);
    let edited = |host: &Path| write(&host.join("README"), "after all that");
    assert_eq!(watched.sees(edited), Seen::Changed);
}

#[test]
fn a_worktree_of_a_repository_is_watched_at_both_of_its_git_directories() {
    let place = Place::new();
    let host = place.repository("host");
    let tree = place.at("tree");
    git(
        &host,
        &["worktree", "add", "-q", "-b", "wt", tree.to_str().unwrap()],
    );
    let mut watcher = Watcher::new().unwrap();
    let follow = |watcher: &mut Watcher| {
        while watcher
            .follow(&Survey::take(&tree, Wanted::default()).unwrap())
            .unwrap()
        {}
        watcher.seen().unwrap();
    };
    follow(&mut watcher);
    git(&tree, &["commit", "-q", "--allow-empty", "-m", "there"]);
    assert_eq!(watcher.seen().unwrap(), Seen::Changed);
    follow(&mut watcher);
    git(&host, &["update-ref", "refs/heads/wt", "main"]);
    assert_eq!(watcher.seen().unwrap(), Seen::Changed);
}

#[test]
fn untracked_files_are_seen_where_they_are_sent_and_rules_that_change_count() {
    let mut watched = Watched::new(true);
    write(&watched.host.join("ignored/sub/file"), "x");
    watched.watcher.seen().unwrap();
    watched.follow();
    let deep = |host: &Path| write(&host.join("made/deep/file"), "x");
    assert_eq!(watched.sees(deep), Seen::Changed);
    let again = |host: &Path| write(&host.join("made/deep/other"), "x");
    assert_eq!(watched.sees(again), Seen::Changed);
    let moved = |host: &Path| std::fs::rename(host.join("made"), host.join("moved")).unwrap();
    assert_eq!(watched.sees(moved), Seen::Changed);
    let there = |host: &Path| write(&host.join("moved/deep/file"), "y");
    assert_eq!(watched.sees(there), Seen::Changed);
    let inside = |host: &Path| write(&host.join("ignored/sub/file"), "y");
    assert_eq!(watched.sees(inside), Seen::Nothing);
    let rules = |host: &Path| write(&host.join(".gitignore"), "nothing\n");
    assert_eq!(watched.sees(rules), Seen::Changed);
    let inside = |host: &Path| write(&host.join("ignored/sub/file"), "z");
    assert_eq!(watched.sees(inside), Seen::Changed);
    let exclude = |host: &Path| write(&host.join(".git/info/exclude"), "ignored/\n");
    assert_eq!(watched.sees(exclude), Seen::Changed);
    let inside = |host: &Path| write(&host.join("ignored/sub/file"), "a");
    assert_eq!(watched.sees(inside), Seen::Nothing);
}

#[test]
fn submodules_are_watched_and_found_when_they_come() {
    let mut watched = Watched::new(false);
    let inner = watched.place.repository("inner");
    let add = |host: &Path| {
        git(
            host,
            &["submodule", "-q", "add", inner.to_str().unwrap(), "sub"],
        );
    };
    assert_eq!(watched.sees(add), Seen::Changed);
    let edit = |host: &Path| write(&host.join("sub/README"), "edited");
    assert_eq!(watched.sees(edit), Seen::Changed);
    let deinit = |host: &Path| drop(git(host, &["submodule", "-q", "deinit", "-f", "sub"]));
    assert_eq!(watched.sees(deinit), Seen::Changed);
    let init = |host: &Path| drop(git(host, &["submodule", "-q", "update", "--init"]));
    assert_eq!(watched.sees(init), Seen::Changed);
    let edit = |host: &Path| write(&host.join("sub/README"), "edited again");
    assert_eq!(watched.sees(edit), Seen::Changed);
}

#[test]
fn more_events_than_the_kernel_queues_are_told_and_lose_nothing() {
    let queue = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: u32 = queue.trim().parse().unwrap();
    let mut watched = Watched::new(false);
    let many = |host: &Path| {
        // Alternately, for the kernel merges equal neighbours.
        for n in 0..queue + 2 {
            let name = ["README", ".gitignore"][n as usize % 2];
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(host.join(name), mode).unwrap();
        }
        write(&host.join("new/file"), "x");
        git(host, &["add", "new"]);
    };
    assert_eq!(watched.sees(many), Seen::Overflowed);
    let after = |host: &Path| write(&host.join("new/file"), "y");
    assert_eq!(watched.sees(after), Seen::Changed);
}

#[test]
fn limits_of_the_kernel_name_their_sysctl() {
    assert!(WatchLimit::Folders.now().unwrap() > 0);
    assert!(WatchLimit::Watchers.now().unwrap() > 0);
    assert_eq!(WatchLimit::Folders.sysctl(), "fs.inotify.max_user_watches");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// A change that a second prepare would send has been seen.
    #[test]
    fn no_change_is_missed(before in edits(), after in edits(), untracked in any::<bool>()) {
        let mut watched = Watched::new(untracked);
        for one in &before {
            edit(&watched.host, one);
        }
        watched.follow();
        let record = watched.prepared("guest");
        watched.watcher.seen().unwrap();
        let state = |watched: &Watched| {
            let survey = Arc::new(Survey::take(&watched.host, watched.wanted.clone()).unwrap());
            let changes = Changes::find(&survey, &record).unwrap();
            let sent = changes.sent.iter().map(|(path, sent)| (path.clone(), sent.mode, sent.sha256.clone()));
            (sent.collect::<Vec<_>>(), changes.removed.clone(), changes.is_empty())
        };
        let mut last = state(&watched);
        for one in &after {
            edit(&watched.host, one);
            let now = state(&watched);
            let seen = watched.watcher.seen().unwrap();
            prop_assert!(now == last || seen == Seen::Changed, "{one:?} was not seen: {last:?}, {now:?}");
            last = now;
            watched.follow();
        }
    }
}
