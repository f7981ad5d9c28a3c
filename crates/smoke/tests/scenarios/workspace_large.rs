//! Real repositories: this project itself, and twenty thousand files with odd names. Both go into an existing guest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use banger_smoke::{Finished, Sandbox, step};

use crate::workspace::git;

const FILES: usize = 20_000;
const DEADLINE: Duration = Duration::from_secs(180);

fn workspace(sandbox: &Sandbox, words: &[&str]) -> Finished {
    let invocation = sandbox.banger(&[&["vm", "workspace"], words].concat());
    invocation.deadline(DEADLINE).ok()
}

/// Runs a script in the workspace of a repository: the VM has several, and the folder selects one.
fn in_guest(sandbox: &Sandbox, vm: &str, repo: &Path, script: &str) -> String {
    let invocation = sandbox.banger(&["exec", vm, "--", "sh", "-c", script]);
    invocation.within(repo).deadline(DEADLINE).ok().out()
}

/// Id of the tree of all current files, by git.
const TREE: &str = "git add -A && git write-tree";

fn tree(repo: &Path) -> String {
    git(repo, &["add", "-A"]);
    git(repo, &["write-tree"])
}

/// Exports the guest's changes and applies them here with `git apply`; both trees must be equal then.
fn comes_back(sandbox: &Sandbox, vm: &str, repo: &Path) {
    let patch = sandbox.home().join("large.patch").display().to_string();
    let words = [
        "vm",
        "workspace",
        "export",
        vm,
        "-o",
        &patch,
        "--allow-exec",
    ];
    // The VM has other workspaces as well: the folder selects one.
    let exported = sandbox.banger(&words).within(repo);
    exported.deadline(DEADLINE).ok();
    git(repo, &["apply", "--whitespace=nowarn", &patch]);
    assert_eq!(tree(repo), in_guest(sandbox, vm, repo, TREE));
}

/// This project, as it is checked out here: perhaps shallow, perhaps without a branch.
pub fn this_project(sandbox: &Sandbox, vm: &str) -> io::Result<()> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repo = sandbox.home().join("project");
    let (from, to) = (checkout.display().to_string(), repo.display().to_string());
    git(&sandbox.home(), &["clone", "-q", &from, &to]);
    step("this project arrives clean", || {
        workspace(sandbox, &["prepare", vm, &to]);
        assert_eq!(in_guest(sandbox, vm, &repo, "git status --porcelain"), "");
        let head = git(&repo, &["rev-parse", "HEAD"]);
        assert_eq!(in_guest(sandbox, vm, &repo, "git rev-parse HEAD"), head);
    });
    step("what was done to it comes back", || {
        let work = "echo more >> README.md; rm Makefile; mkdir new; echo n > new/file; chmod +x LICENSE* 2>/dev/null; \
                    cp crates/cli/Cargo.toml crates/cli/copy.toml; sed -i s/a/b/ docs/guide.md";
        in_guest(sandbox, vm, &repo, work);
        comes_back(sandbox, vm, &repo);
    });
    fs::remove_dir_all(repo)
}

/// Two files of each pair differ in case alone.
fn name_of(number: usize) -> Vec<u8> {
    let odd: [&[u8]; 8] = [
        b"plain-x",
        b"with space x",
        b"new\nline x",
        b"\xff\xfex",
        b"back\\slash x",
        b"-dash x",
        b"quote\"x",
        b"tab\tx",
    ];
    let pair = number / 2;
    let name = match number % 2 {
        0 => odd[pair % 8].to_vec(),
        _ => odd[pair % 8].to_ascii_uppercase(),
    };
    let folder = format!("d{:02}/", pair % 50);
    [folder.as_bytes(), &name, pair.to_string().as_bytes()].concat()
}

/// Many files: spaces, line ends, bytes that are no text, names that differ in case alone.
pub fn many_odd_names(sandbox: &Sandbox, vm: &str) -> io::Result<()> {
    let repo = sandbox.home().join("many");
    fs::create_dir(&repo)?;
    git(&repo, &["init", "-q", "-b", "main"]);
    for folder in 0..50 {
        fs::create_dir(repo.join(format!("d{folder:02}")))?;
    }
    for number in 0..FILES {
        let path = repo.join(OsStr::from_bytes(&name_of(number)));
        writeln!(File::create_new(path)?, "file {number}")?;
    }
    let expected = tree(&repo);
    git(&repo, &["commit", "-q", "-m", "all"]);
    let path = repo.display().to_string();

    step("twenty thousand odd names arrive", || {
        workspace(sandbox, &["prepare", vm, &path]);
        assert_eq!(in_guest(sandbox, vm, &repo, "git status --porcelain"), "");
        let listed = in_guest(sandbox, vm, &repo, "git rev-parse HEAD^{tree}");
        assert_eq!(listed, expected);
    });
    step("then only what changed goes", || -> io::Result<()> {
        let odd = repo.join(OsStr::from_bytes(&name_of(3)));
        fs::write(&odd, "changed\n")?;
        fs::remove_file(repo.join(OsStr::from_bytes(&name_of(10))))?;
        let sent = workspace(sandbox, &["prepare", vm, &path, "--json"]).json();
        let counts = (sent["files"].as_u64(), sent["removed"].as_u64());
        assert_eq!(counts, (Some(1), Some(1)), "{sent}");
        Ok(())
    })?;
    step("and what was done there comes back", || {
        let work = "git ls-files -z d0[2-9] | head -z -n 9 | while IFS= read -r -d '' f; do echo more >> \"$f\"; done; \
                    rm d11/*; printf 'a\\0b' > \"$(printf 'odd\\n\\377 name')\"";
        let words = ["exec", vm, "--", "bash", "-c", work];
        sandbox.banger(&words).within(&repo).deadline(DEADLINE).ok();
        comes_back(sandbox, vm, &repo);
    });
    fs::remove_dir_all(repo)
}
