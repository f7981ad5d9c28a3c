//! A repository's configuration: the parts that may be sent to a guest, and those that must not.

use std::collections::{BTreeMap, BTreeSet};

/// Settings by key; the last one wins, as git has it.
#[derive(Debug, Clone, Default)]
pub struct Config {
    all: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
}

impl Config {
    /// From `git config --list -z --show-scope`.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut config = Self::default();
        let mut fields = bytes.split(|byte| *byte == 0);
        while let (Some(scope), Some(setting)) = (fields.next(), fields.next()) {
            let setting = String::from_utf8_lossy(setting);
            // A key alone stands for true (git-config(1)).
            let (key, value) = setting.split_once('\n').unwrap_or((&setting, "true"));
            config.all.insert(key.to_owned(), value.to_owned());
            if matches!(scope, b"local" | b"worktree") {
                config.local.insert(key.to_owned(), value.to_owned());
            }
        }
        config
    }

    /// A setting, from any configuration file.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all.get(key).map(String::as_str)
    }

    /// A setting of the repository itself.
    pub fn local(&self, key: &str) -> Option<&str> {
        self.local.get(key).map(String::as_str)
    }

    /// True when a setting is off, in any spelling (git-config(1)).
    pub(crate) fn is_off(&self, key: &str) -> bool {
        self.get(key).is_some_and(crate::attributes::is_off)
    }

    /// True when objects may be missing here that a remote has (partial clone).
    pub(crate) fn is_partial(&self) -> bool {
        let promisor = |key: &String| key.starts_with("remote.") && key.ends_with(".promisor");
        self.get("extensions.partialclone").is_some() || self.all.keys().any(promisor)
    }

    /// Names of content filters that are set up.
    pub(crate) fn filters(&self) -> BTreeSet<String> {
        let name = |key: &String| {
            let rest = key.strip_prefix("filter.")?;
            Some(rest.rsplit_once('.')?.0.to_owned())
        };
        self.all.keys().filter_map(name).collect()
    }

    /// URL of the repository's origin without secrets: without a user name or password that a URL carries, and without
    /// a query; `None` for a path of this host or a helper program.
    pub fn origin(&self) -> Option<String> {
        public_url(self.get("remote.origin.url")?)
    }
}

/// The part of a remote's address that a guest may see.
pub(crate) fn public_url(url: &str) -> Option<String> {
    if url.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        // user@host:path: the part before the @ is a login name, as ssh has no place for a password there.
        let (host, path) = url.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "@.-_".contains(c);
        let remote = host.chars().all(plain) && !host.is_empty() && !path.starts_with(':');
        return remote.then(|| url.to_owned());
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, host)| (user, host));
    if host.is_empty() {
        return None;
    }
    match scheme {
        "https" | "http" | "git" => Some(format!("{scheme}://{host}{path}")),
        "ssh" | "git+ssh" | "ssh+git" => {
            let login = user.split(':').next().unwrap_or_default();
            let at = if login.is_empty() { "" } else { "@" };
            Some(format!("{scheme}://{login}{at}{host}{path}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_what_is_secret_and_what_is_of_this_host() {
        let cases = [
            (
                "https://example.org/a/b.git",
                Some("https://example.org/a/b.git"),
            ),
            (
                "https://me:tok3n@example.org/a",
                Some("https://example.org/a"),
            ),
            (
                "https://ghp_secret@example.org/a",
                Some("https://example.org/a"),
            ),
            ("https://a@b:c@example.org/a", Some("https://example.org/a")),
            (
                "https://example.org/a?access_token=x#y",
                Some("https://example.org/a"),
            ),
            (
                "ssh://git:pw@example.org:22/a",
                Some("ssh://git@example.org:22/a"),
            ),
            ("git@example.org:a/b.git", Some("git@example.org:a/b.git")),
            ("/home/me/a", None),
            ("../a", None),
            ("file:///home/me/a", None),
            ("ext::sh -c id", None),
            ("ext::id", None),
            ("https:///a", None),
            ("https://example.org/a\nb", None),
        ];
        for (url, public) in cases {
            assert_eq!(public_url(url).as_deref(), public, "{url}");
        }
    }

    #[test]
    fn the_last_setting_wins_and_local_ones_are_told_apart() {
        let config = Config::parse(
            b"global\0user.name\nG\0local\0user.name\nL\0global\0core.bare\0local\0filter.a.b.clean\nx\ny\0",
        );
        assert_eq!(config.get("user.name"), Some("L"));
        assert_eq!(config.local("core.bare"), None);
        assert_eq!(config.get("core.bare"), Some("true"));
        assert_eq!(config.get("filter.a.b.clean"), Some("x\ny"));
        assert_eq!(config.filters().into_iter().collect::<Vec<_>>(), ["a.b"]);
    }
}
