//! `/root/.gitconfig`: the user's name and address, when the guest has none.
//!
//! The host's own configuration is read as a file (git-config(1), "FILES"): no process is spawned at a VM's start. A
//! value that only an include or a condition gives is not seen.

use std::path::Path;

use banger_api::ApiError;
use banger_guest::{Content, GuestFile};

use super::configure::{Context, path};

/// Largest configuration file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Identity of the user in git.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// `user.name`.
    pub(crate) name: Option<String>,
    /// `user.email`.
    pub(crate) email: Option<String>,
}

impl Identity {
    /// The identity in `~/.gitconfig`, else in git's XDG file.
    pub(crate) fn of_user(home: Option<&Path>) -> Self {
        let Some(home) = home else {
            return Self::default();
        };
        let files = [home.join(".config/git/config"), home.join(".gitconfig")];
        files
            .iter()
            .filter_map(|file| read(file))
            .fold(Self::default(), |before, text| {
                let found = Self::parse(&text);
                Self {
                    name: found.name.or(before.name),
                    email: found.email.or(before.email),
                }
            })
    }

    fn parse(text: &str) -> Self {
        let mut identity = Self::default();
        let mut in_user = false;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                in_user = section
                    .trim_end()
                    .trim_end_matches(']')
                    .trim()
                    .eq_ignore_ascii_case("user");
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| in_user) else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            // A control character would break out of the line that we write.
            if value.is_empty() || value.chars().any(char::is_control) {
                continue;
            }
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => identity.name = Some(value.to_owned()),
                "email" => identity.email = Some(value.to_owned()),
                _ => {}
            }
        }
        identity
    }
}

fn read(file: &Path) -> Option<String> {
    let small = std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_BYTES);
    small.then(|| std::fs::read_to_string(file).ok()).flatten()
}

pub(super) fn files(cx: &Context<'_>) -> Result<Vec<GuestFile>, ApiError> {
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let line = |key: &str, value: &Option<String>| {
        value
            .as_deref()
            .map(|value| format!("\t{key} = {}\n", quoted(value)))
            .unwrap_or_default()
    };
    let lines = line("name", &cx.git.name) + &line("email", &cx.git.email);
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![GuestFile::WriteIfAbsent {
        path: path("/root/.gitconfig")?,
        mode: 0o644,
        uid: 0,
        gid: 0,
        content: Content::from(format!("[user]\n{lines}")),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_read_from_the_user_section_alone() {
        let text = "[core]\n\tname = no\n[user]\n\tName = \"A B\"\n\temail = a@b\n[user \"x\"]\nname = no\n";
        let expected = Identity {
            name: Some("A B".to_owned()),
            email: Some("a@b".to_owned()),
        };
        assert_eq!(Identity::parse(text), expected);
    }

    #[test]
    fn a_value_with_control_characters_is_left_out() {
        assert_eq!(
            Identity::parse("[user]\nname = a\u{1b}b\n"),
            Identity::default()
        );
    }
}
