//! The configuration by which OpenSSH's client finds guests (ssh_config(5)).
//!
//! ssh reads this file so: the value of `ProxyCommand` goes to the user's shell after `%` tokens were
//! expanded; other values are split at white space outside double quotes, then `%` tokens and `${VARIABLE}` are expanded.
//! Versions differ in the meaning of a backslash inside quotes, so paths with one are refused.

use std::path::{Path, PathBuf};

use crate::error::SshError;

/// Host names of guests end with this.
pub const DOMAIN: &str = ".vm";

/// Inputs of the configuration. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The program that connects: `PROGRAM internal connect HOST`.
    pub program: PathBuf,
    /// Variables that this program is given: ssh may be started from anywhere.
    pub environment: Vec<(String, String)>,
    /// The private key that guests accept.
    pub identity: PathBuf,
    /// The keys of guests.
    pub known_hosts: PathBuf,
    /// One host for each VM; it need not be there.
    pub hosts: PathBuf,
}

impl ClientConfig {
    /// The text.
    ///
    /// # Errors
    /// [`SshError::Path`] names a path that ssh would not read back.
    pub fn text(&self) -> Result<String, SshError> {
        let mut proxy = String::new();
        if !self.environment.is_empty() {
            proxy.push_str("env ");
        }
        for (name, value) in &self.environment {
            proxy.push_str(&format!("{name}={} ", for_shell(value, Path::new(value))?));
        }
        let program = for_shell(text_of(&self.program)?, &self.program)?;
        let identity = quoted(&self.identity)?;
        let known_hosts = quoted(&self.known_hosts)?;
        // Where ssh would not read this path back, no program lists the VMs; they are reached all the same.
        let hosts = match include_line(&self.hosts) {
            Ok(line) => format!("{line}\n"),
            Err(_) => String::new(),
        };
        Ok(format!(
            "# Written by banger: changes are lost. `banger ssh-config --help` says how it is used.
{hosts}Host *{DOMAIN}
    User root
    ProxyCommand {proxy}{program} internal connect %h
    IdentityFile {identity}
    IdentitiesOnly yes
    PreferredAuthentications publickey
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    HostKeyAlgorithms ssh-ed25519
    StrictHostKeyChecking yes
    UpdateHostKeys no
    CheckHostIP no
    ForwardAgent no
    ForwardX11 no
"
        ))
    }
}

/// The line that brings a configuration at `path` into another one.
///
/// # Errors
/// [`SshError::Path`] when ssh would not read it back. `Include` also expands file name patterns (glob(7)).
pub fn include_line(path: &Path) -> Result<String, SshError> {
    if text_of(path)?.contains(['*', '?', '[', '%']) {
        return Err(refused(path, "one of * ? [ %"));
    }
    Ok(format!("Include {}", quoted(path)?))
}

fn refused(path: &Path, what: &'static str) -> SshError {
    SshError::Path {
        path: path.to_owned(),
        what,
    }
}

fn text_of(path: &Path) -> Result<&str, SshError> {
    path.to_str()
        .ok_or_else(|| refused(path, "bytes that are not UTF-8"))
}

/// A path as one argument of a directive.
fn quoted(path: &Path) -> Result<String, SshError> {
    let text = text_of(path)?;
    if text.contains(['"', '\\']) {
        return Err(refused(path, "a double quote or a backslash"));
    }
    if text.contains("${") {
        return Err(refused(path, "${, which ssh takes for a variable"));
    }
    if text.chars().any(char::is_control) {
        return Err(refused(path, "a control character"));
    }
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

/// A word of a shell command that ssh expands first.
fn for_shell(text: &str, path: &Path) -> Result<String, SshError> {
    if text.chars().any(char::is_control) {
        return Err(refused(path, "a control character"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let text = text.replace('\'', r"'\''").replace('%', "%%");
    Ok(format!("'{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(home: &str) -> ClientConfig {
        ClientConfig {
            program: "/usr/local/bin/banger".into(),
            environment: vec![("BANGER_HOME".to_owned(), home.to_owned())],
            identity: Path::new(home).join("id"),
            known_hosts: Path::new(home).join("known"),
            hosts: Path::new(home).join("hosts"),
        }
    }

    #[test]
    fn plain_paths_stay_plain_in_the_command() {
        let text = config("/b").text().unwrap();
        let line = "ProxyCommand env BANGER_HOME=/b /usr/local/bin/banger internal connect %h\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("IdentityFile \"/b/id\"\n"), "{text}");
        assert!(
            text.contains("\nInclude \"/b/hosts\"\nHost *.vm\n"),
            "{text}"
        );
    }

    #[test]
    fn spaces_quotes_and_percent_signs_are_quoted_for_their_reader() {
        let text = config("/my b%h/it's").text().unwrap();
        assert!(
            text.contains(r"env BANGER_HOME='/my b%%h/it'\''s' "),
            "{text}"
        );
        assert!(!text.contains("Include"), "% is none of Include's: {text}");
        assert!(
            text.contains("UserKnownHostsFile \"/my b%%h/it's/known\"\n"),
            "{text}"
        );
    }

    #[test]
    fn a_path_that_ssh_would_read_as_another_is_refused() {
        for home in [
            "/a\"b",
            "/a\\b",
            "/a${HOME}",
            "/a\nProxyCommand evil",
            "/a\tb",
        ] {
            let error = config(home).text().unwrap_err();
            assert!(matches!(error, SshError::Path { .. }), "{home}: {error}");
        }
    }

    #[test]
    fn an_include_takes_no_pattern() {
        assert_eq!(
            include_line(Path::new("/h/my state/config")).unwrap(),
            "Include \"/h/my state/config\""
        );
        assert!(include_line(Path::new("/h/*/config")).is_err());
        assert!(include_line(Path::new("/h/100%/config")).is_err());
    }
}
