//! Sets of rules: hosts that belong together, under one word.
//!
//! ```text
//! @github ──────────────────────────► a file of this crate
//! @debian @pypi @npm @crates ───────► the configuration of apt, pip, npm and cargo on this host, read when a rule names
//!                                     the set: whoever has a mirror means the mirror
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Name, Ports, Protocol, Rule, RuleError, Target};

const GITHUB: &str = include_str!("../sets/github.rules");
/// Longest configuration file that is read, bytes; the rest of a longer one is not looked at.
const FILE_MAX_BYTES: usize = 256 * 1024;
/// Most hosts of a set.
const HOSTS_MAX: usize = 64;

/// Name of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetName {
    /// Sources of apt.
    Debian,
    /// Indexes of pip.
    Pypi,
    /// Registries of npm.
    Npm,
    /// Registries of cargo.
    Crates,
    /// GitHub.
    Github,
}

impl SetName {
    fn word(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Crates => "crates",
            Self::Github => "github",
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for SetName {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let all = [
            Self::Debian,
            Self::Pypi,
            Self::Npm,
            Self::Crates,
            Self::Github,
        ];
        let found = all.into_iter().find(|set| set.word() == text);
        found.ok_or_else(|| RuleError::Set(text.chars().take(40).collect()))
    }
}

/// Files of the host, as [`read_set`] sees them.
pub trait HostFiles {
    /// The text of a file; `None` when there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    fn read(&self, path: &Path) -> io::Result<Option<String>>;

    /// The files in a folder, in the order of their names; none when there is no folder.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A set that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetError {
    /// A file cannot be read.
    #[error("set @{set} cannot be read: {}: {source}", path.display())]
    File {
        /// The set.
        set: SetName,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The configuration names no host.
    #[error("set @{set} is empty: {asked} names no host; write the hosts as rules of their own")]
    Empty {
        /// The set.
        set: SetName,
        /// The files that were asked, in words.
        asked: &'static str,
    },
}

/// The sets that rules name, each with its rules from `read`, which is called once for each.
///
/// # Errors
/// The first of `read`.
pub fn named_sets<'a, E>(
    rules: impl IntoIterator<Item = &'a Rule>,
    mut read: impl FnMut(SetName) -> Result<Vec<Rule>, E>,
) -> Result<BTreeMap<SetName, Vec<Rule>>, E> {
    let mut sets = BTreeMap::new();
    for rule in rules {
        if let Target::Set(set) = rule.target
            && let Entry::Vacant(place) = sets.entry(set)
        {
            place.insert(read(set)?);
        }
    }
    Ok(sets)
}

/// The rules of a set, read now.
///
/// # Errors
/// [`SetError`]: a file cannot be read, or the host's configuration names no host.
pub fn read_set(set: SetName, home: &Path, files: &dyn HostFiles) -> Result<Vec<Rule>, SetError> {
    let in_home = |path: &str| home.join(path);
    let of = |paths: Vec<PathBuf>, urls: fn(&str) -> Vec<String>| texts(set, &paths, files, urls);
    let (found, asked) = match set {
        SetName::Github => return Ok(rules_in(GITHUB)),
        SetName::Debian => {
            let folder = Path::new("/etc/apt/sources.list.d");
            let listed = files.list(folder).map_err(failed(set, folder))?;
            let is = |path: &&PathBuf, wanted: &str| path.extension().is_some_and(|e| e == wanted);
            let plain = |path: &&PathBuf| is(path, "list");
            let mut lists = vec![PathBuf::from("/etc/apt/sources.list")];
            lists.extend(listed.iter().filter(plain).cloned());
            let fields = listed.iter().filter(|path| is(path, "sources")).cloned();
            let mut found = of(lists, apt_lines)?;
            found.extend(of(fields.collect(), apt_fields)?);
            (found, "apt's sources")
        }
        SetName::Pypi => {
            let mut paths = vec![PathBuf::from("/etc/pip.conf")];
            paths.extend([in_home(".config/pip/pip.conf"), in_home(".pip/pip.conf")]);
            (of(paths, pip)?, "pip's configuration")
        }
        SetName::Npm => {
            let paths = vec![PathBuf::from("/etc/npmrc"), in_home(".npmrc")];
            (of(paths, npm)?, "npm's configuration")
        }
        SetName::Crates => {
            let paths = vec![in_home(".cargo/config.toml"), in_home(".cargo/config")];
            (of(paths, cargo)?, "cargo's configuration")
        }
    };
    let mut rules: Vec<Rule> = Vec::new();
    for rule in found.iter().filter_map(|url| rule_of(url)) {
        if rules.len() < HOSTS_MAX && !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    match rules.is_empty() {
        true => Err(SetError::Empty { set, asked }),
        false => Ok(rules),
    }
}

fn failed(set: SetName, path: &Path) -> impl FnOnce(io::Error) -> SetError {
    let path = path.to_owned();
    move |source| SetError::File { set, path, source }
}

fn texts(
    set: SetName,
    paths: &[PathBuf],
    files: &dyn HostFiles,
    urls: fn(&str) -> Vec<String>,
) -> Result<Vec<String>, SetError> {
    let mut found = Vec::new();
    for path in paths {
        if let Some(text) = files.read(path).map_err(failed(set, path))? {
            let end = text.floor_char_boundary(FILE_MAX_BYTES);
            found.extend(urls(&text[..end]));
        }
    }
    Ok(found)
}

fn rules_in(text: &str) -> Vec<Rule> {
    let lines = text.lines().map(str::trim);
    let rules = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    rules.filter_map(|line| line.parse().ok()).collect()
}

/// The rule for the host of a URL with http or https. Credentials in it are left out.
fn rule_of(url: &str) -> Option<Rule> {
    let at = url.find("://")?;
    let scheme = url[..at].rsplit('+').next()?;
    let standard = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let rest = &url[at + 3..];
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (host, standard),
    };
    let name: Name = host.parse().ok()?;
    Some(Rule::new(
        Protocol::Tcp,
        Target::Name(name),
        Ports::one(port),
    ))
}

fn words_with_url(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text
        .split_ascii_whitespace()
        .map(|word| word.trim_matches(['"', '\'']));
    words.filter(|word| word.contains("://")).map(str::to_owned)
}

/// sources.list(5), "one-line-style".
fn apt_lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim_start);
    let sources = lines.filter(|line| line.starts_with("deb ") || line.starts_with("deb-src "));
    sources.flat_map(words_with_url).collect()
}

/// sources.list(5), "deb822-style".
fn apt_fields(text: &str) -> Vec<String> {
    keyed(text, &[":"], |key| key.eq_ignore_ascii_case("uris"))
}

fn pip(text: &str) -> Vec<String> {
    keyed(text, &["=", ":"], |key| {
        matches!(key, "index-url" | "extra-index-url")
    })
}

fn npm(text: &str) -> Vec<String> {
    keyed(text, &["="], |key| {
        key == "registry" || key.ends_with(":registry")
    })
}

/// Values of wanted keys, continued on lines that begin with a space.
fn keyed(text: &str, separators: &[&str], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_wanted = false;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let mut value = line;
        if !line.starts_with([' ', '\t']) {
            let at = separators.iter().filter_map(|one| line.find(one)).min();
            // The scope of npm has a colon of its own: a key ends at the first separator of its file's form.
            let (key, rest) = at.map_or((line, ""), |at| (&line[..at], &line[at + 1..]));
            is_wanted = wanted(key.trim());
            value = rest;
        }
        if is_wanted {
            found.extend(words_with_url(value));
        }
    }
    found
}

fn cargo(text: &str) -> Vec<String> {
    let Ok(table) = text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let inner = |table: &toml::Table, key: &str| table.get(key)?.as_table().cloned();
    let mut found = Vec::new();
    for (section, key) in [("registries", "index"), ("source", "registry")] {
        let section = inner(&table, section).unwrap_or_default();
        for one in section.values() {
            let url = one.get(key).and_then(toml::Value::as_str);
            found.extend(url.map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl HostFiles for Files {
        fn read(&self, path: &Path) -> io::Result<Option<String>> {
            let text = self.0.get(path.to_str().unwrap());
            Ok(text.map(|text| (*text).to_owned()))
        }

        fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
            let all = self.0.keys().map(PathBuf::from);
            Ok(all.filter(|path| path.parent() == Some(folder)).collect())
        }
    }

    fn read(set: SetName, files: &[(&'static str, &'static str)]) -> Result<Vec<String>, SetError> {
        let files = Files(files.iter().copied().collect());
        let rules = read_set(set, Path::new("/home/u"), &files)?;
        Ok(rules.iter().map(Rule::to_string).collect())
    }

    #[test]
    fn apt_names_its_mirrors_in_both_of_its_forms() {
        let files = [
            (
                "/etc/apt/sources.list",
                "# deb http://old.example/ x\ndeb [signed-by=/k] http://mirror.example/debian stable main\ndeb-src http://mirror.example/debian stable main\ndeb cdrom:[x]/ y\n",
            ),
            (
                "/etc/apt/sources.list.d/a.sources",
                "Types: deb\nURIs: https://one.example/d\n https://two.example:8443/d\nSuites: stable\n",
            ),
            (
                "/etc/apt/sources.list.d/b.save",
                "deb http://saved.example x\n",
            ),
        ];
        assert_eq!(
            read(SetName::Debian, &files).unwrap(),
            ["mirror.example:80", "one.example:443", "two.example:8443"]
        );
    }

    #[test]
    fn pip_npm_and_cargo_name_their_indexes_and_no_credentials_are_kept() {
        let files = [
            (
                "/home/u/.config/pip/pip.conf",
                "[global]\nproxy = http://proxy.example:3128\nindex-url = https://user:secret@pip.example/simple\nextra-index-url =\n    https://two.example/simple\n    http://three.example/simple\n",
            ),
            (
                "/home/u/.npmrc",
                "//npm.example/:_authToken=secret\n@scope:registry=https://scoped.example/\nregistry = https://npm.example/\n",
            ),
            (
                "/home/u/.cargo/config.toml",
                "[registries.own]\nindex = \"sparse+https://crates.example/index/\"\n[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"https://mirror.example/git/index\"\n[build]\njobs = 2\n",
            ),
        ];
        assert_eq!(
            read(SetName::Pypi, &files).unwrap(),
            ["pip.example:443", "two.example:443", "three.example:80"]
        );
        assert_eq!(
            read(SetName::Npm, &files).unwrap(),
            ["scoped.example:443", "npm.example:443"]
        );
        assert_eq!(
            read(SetName::Crates, &files).unwrap(),
            ["crates.example:443", "mirror.example:443"]
        );
    }

    #[test]
    fn a_set_without_hosts_says_where_they_were_looked_for() {
        let error = read(SetName::Npm, &[("/home/u/.npmrc", "fund=false\n")]).unwrap_err();
        assert!(error.to_string().contains("npm's configuration"), "{error}");
    }

    #[test]
    fn every_line_of_the_file_of_github_is_a_rule() {
        let lines = GITHUB.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(read(SetName::Github, &[]).unwrap().len(), lines);
        assert!(lines > 3);
    }
}
