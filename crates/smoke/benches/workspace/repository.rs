//! A repository of a given size, with a dozen commits.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_measure::{half_noise, timed};
use banger_smoke::Sandbox;

const COMMITS: usize = 12;
/// Files that each commit after the first changes.
const CHANGED: usize = 20;

/// A repository of the host.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
    files: usize,
}

impl Repository {
    /// `files` files of `len` bytes each, in folders of about a hundred.
    pub fn make(sandbox: &Sandbox, name: &str, files: usize, len: usize) -> io::Result<Self> {
        let path = sandbox.home().join(name);
        let repository = Self { path, files };
        let block = half_noise(len + files * 32, 1);
        for number in 0..files {
            let file = repository.path.join(name_of(number));
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(file, &block[number * 32..number * 32 + len])?;
        }
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("all");
        for commit in 1..COMMITS {
            for number in 0..CHANGED {
                let which = (commit * 7919 + number * 104_729) % files;
                append(&repository.path.join(name_of(which)), commit)?;
            }
            repository.commit("some");
        }
        Ok(repository)
    }

    /// Path of the repository.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of some of its files, spread over it.
    pub fn some(&self, count: usize) -> impl Iterator<Item = String> + '_ {
        (0..count).map(move |nth| name_of(nth * self.files / count))
    }

    /// Changes one file, another in each round, without a commit.
    pub fn change_one(&self, round: usize) -> io::Result<()> {
        append(&self.path.join(name_of(round * 31 + 1)), round)
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    fn git(&self, args: &[&str]) {
        let person = ["-c", "user.name=B", "-c", "user.email=b@example.org"];
        timed(
            Command::new("git")
                .args(person)
                .args(["-c", "gc.auto=0"])
                .args(args)
                .current_dir(&self.path)
                .env("GIT_CONFIG_GLOBAL", "/dev/null"),
        );
    }
}

fn name_of(number: usize) -> String {
    format!(
        "d{:02}/e{:02}/file-{number:05}",
        number % 20,
        number / 20 % 20
    )
}

fn append(path: &Path, number: usize) -> io::Result<()> {
    writeln!(File::options().append(true).open(path)?, "change {number}")
}
