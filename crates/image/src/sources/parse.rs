//! The two forms of sources.list(5). Invalid entries are skipped: apt itself complains about them.

/// Fields that travel with a source into the image.
const KEPT_OPTIONS: [&str; 3] = ["signed-by", "trusted", "check-valid-until"];

/// A binary package source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) uris: Vec<String>,
    pub(super) suites: Vec<String>,
    pub(super) components: Vec<String>,
    /// Names in lower case; values as they stand, with the lines of an embedded key.
    pub(super) options: Vec<(String, String)>,
}

impl Entry {
    pub(super) fn to_deb822(&self) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n",
            self.uris.join(" "),
            self.suites.join(" "),
            self.components.join(" ")
        );
        for (name, value) in &self.options {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }
}

/// Parses the one-line form: `deb [option=value …] URI suite component…`.
pub(super) fn one_line(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one_entry).collect()
}

fn one_entry(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    let mut rest = line.strip_prefix(|c: char| c.is_whitespace())?.trim_start();
    let mut options = Vec::new();
    if let Some(bracket) = rest.strip_prefix('[') {
        let (inside, after) = bracket.split_once(']')?;
        options = inside
            .split_whitespace()
            .filter_map(|option| option.split_once('='))
            .map(owned)
            .collect();
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let entry = Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        options: Vec::new(),
    };
    usable(entry, options)
}

/// Parses stanzas of `Field: value` lines; a line that begins with a blank continues the field before it.
pub(super) fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .chain([""])
    {
        if line.trim().is_empty() {
            entries.extend(stanza(std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push(owned((name.trim(), value.trim())));
        }
    }
    entries
}

fn stanza(fields: Vec<(String, String)>) -> Option<Entry> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let words = |name| {
        field(name)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let enabled = !field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if !enabled || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    let entry = Entry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        options: Vec::new(),
    };
    usable(entry, fields)
}

/// Keeps the options that travel; `None` for a source of other architectures.
fn usable(mut entry: Entry, options: Vec<(String, String)>) -> Option<Entry> {
    for (name, value) in options {
        let architectures = matches!(name.as_str(), "arch" | "architectures");
        if architectures
            && !value
                .split([',', ' '])
                .any(|architecture| architecture == "amd64")
        {
            return None;
        }
        if KEPT_OPTIONS.contains(&name.as_str()) {
            entry.options.push((name, value));
        }
    }
    Some(entry)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_ascii_lowercase(), value.to_owned())
}
