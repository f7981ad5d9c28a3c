//! A repository's attributes of files (gitattributes(5)): the conversions of their content on its way into git.

use std::collections::BTreeMap;

use crate::error::GitError;
use crate::git::Git;
use crate::tracked::RepoPath;

/// Attributes that convert, without programs.
const CONVERTING: &[&str] = &["text", "crlf", "eol", "ident", "working-tree-encoding"];
/// The attribute that names a program.
const FILTER: &str = "filter";
/// Settings beside them that decide about line ends.
const LINE_ENDS: &[&str] = &["core.autocrlf", "core.eol"];

/// Attributes of one file: values by attribute; `set` and `unset` are git's words for a name with and without a dash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(BTreeMap<String, String>);

/// Configured settings about line ends.
pub(crate) type LineEnds = BTreeMap<String, String>;

/// Settings of a repository that decide the form in which git stores its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// About line ends.
    pub(crate) line_ends: LineEnds,
    /// Links are plain files here that hold their text.
    pub(crate) no_links: bool,
}

/// Reads the attributes of files from the repository's work tree, as they are now.
pub(crate) fn of(
    git: &Git,
    paths: &[&RepoPath],
) -> Result<BTreeMap<RepoPath, Attributes>, GitError> {
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut args = vec!["check-attr", "--stdin", "-z"];
    args.extend(CONVERTING);
    args.push(FILTER);
    let mut names = Vec::new();
    for path in paths {
        names.extend_from_slice(path);
        names.push(0);
    }
    let answer = git.fed(&args, names)?;
    let mut found: BTreeMap<RepoPath, Attributes> = BTreeMap::new();
    let mut fields = answer.split(|byte| *byte == 0);
    while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next())
    {
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        if value != "unspecified" {
            let of = found.entry(path.to_vec()).or_default();
            of.0.insert(name.into_owned(), value.into_owned());
        }
    }
    Ok(found)
}

/// Values of these settings, from every configuration file.
pub(crate) fn settings(git: &Git) -> Result<Settings, GitError> {
    let mut found = Settings::default();
    let names = r"^core\.(autocrlf|eol|symlinks)$";
    let listing = match git.output(&["config", "-z", "--get-regexp", names]) {
        Err(GitError::Failed { code: Some(1), .. }) => return Ok(found),
        other => other?,
    };
    for setting in listing.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(setting);
        let (key, value) = text.split_once('\n').unwrap_or((&text, "true"));
        if key == "core.symlinks" {
            found.no_links = is_off(value);
        }
        if LINE_ENDS.contains(&key) {
            found.line_ends.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(found)
}

/// Tells whether a setting's value means no (git-config(1)).
pub(crate) fn is_off(value: &str) -> bool {
    matches!(&value.to_lowercase()[..], "false" | "no" | "off" | "0" | "")
}

impl Attributes {
    fn is_on(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value != "unset")
    }

    /// The filter that it goes through.
    pub(crate) fn filter(&self) -> Option<&str> {
        let name = self.0.get(FILTER)?;
        (!matches!(&name[..], "set" | "unset")).then_some(name)
    }

    /// True when nothing but its line ends can be converted.
    pub(crate) fn only_line_ends(&self) -> bool {
        !self.is_on("ident") && !self.is_on("working-tree-encoding")
    }

    /// Tells whether git converts a file's content. A file with a filter counts as not converted: only the filter knows
    /// its output.
    pub(crate) fn convert(&self, has_crlf: bool, settings: &LineEnds) -> bool {
        if self.filter().is_some() {
            return false;
        }
        let auto = settings.get("core.autocrlf");
        let auto = auto.is_some_and(|value| !is_off(value));
        let is_text = match self.0.get("text").or(self.0.get("crlf")) {
            Some(value) => value != "unset",
            None => self.0.contains_key("eol") || auto,
        };
        !self.only_line_ends() || has_crlf && is_text
    }

    /// A line of a `.gitattributes` that says the same of a file with a number for a name. A value that is no plain word
    /// is left out.
    pub(crate) fn rule(&self, number: usize) -> String {
        let plain = |value: &str| {
            let word = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
            !value.is_empty() && value.chars().all(word)
        };
        let mut line = format!("/{number}");
        for name in CONVERTING {
            match self.0.get(*name).map(String::as_str) {
                Some("set") => line.push_str(&format!(" {name}")),
                Some("unset") => line.push_str(&format!(" -{name}")),
                Some(value) if plain(value) => line.push_str(&format!(" {name}={value}")),
                _ => {}
            }
        }
        line + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(all: &[(&str, &str)]) -> Attributes {
        let all = all.iter();
        Attributes(
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn a_rule_says_the_same_and_nothing_that_is_no_plain_word() {
        let of = attributes(&[
            ("text", "auto"),
            ("ident", "set"),
            ("eol", "crlf"),
            ("working-tree-encoding", "x y\n* filter=evil"),
            ("filter", "lfs"),
        ]);
        assert_eq!(of.rule(7), "/7 text=auto eol=crlf ident\n");
        assert_eq!(attributes(&[("text", "unset")]).rule(0), "/0 -text\n");
    }

    #[test]
    fn only_what_git_would_convert_is_converted() {
        let none = LineEnds::new();
        let auto = LineEnds::from([("core.autocrlf".to_owned(), "input".to_owned())]);
        assert!(!attributes(&[]).convert(true, &none));
        assert!(attributes(&[]).convert(true, &auto));
        assert!(!attributes(&[("text", "unset")]).convert(true, &auto));
        assert!(attributes(&[("text", "set")]).convert(true, &none));
        assert!(!attributes(&[("text", "set")]).convert(false, &none));
        assert!(attributes(&[("ident", "set")]).convert(false, &none));
        assert!(!attributes(&[("ident", "set"), ("filter", "x")]).convert(true, &auto));
    }
}
