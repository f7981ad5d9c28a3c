//! One `Host` for each VM, for programs that list the hosts of a configuration: editors and their like.
//!
//! The way to VMs is `Host *.vm` in the configuration that includes this file. The names stand alone here, so that a
//! file of an older moment says nothing wrong of a VM.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::client_config::DOMAIN;
use crate::error::SshError;
use crate::files::write_anew;

const HEAD: &str = "# Written by banger when VMs come, go or are renamed: changes are lost.\n";

/// The file with the hosts.
#[derive(Debug)]
pub struct Hosts {
    path: PathBuf,
    /// Held from the look at the names to the end of the writing, so that the last one who writes has seen the newest
    /// names.
    writing: Mutex<()>,
}

impl Hosts {
    /// The hosts in this file.
    pub fn new(path: PathBuf) -> Self {
        let writing = Mutex::default();
        Self { path, writing }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file say the names that `names` finds. What is no host name, as that of a damaged record, is left out.
    ///
    /// # Errors
    /// The error of `names`, or that of writing.
    pub fn keep<E: From<SshError>>(
        &self,
        names: impl FnOnce() -> Result<Vec<String>, E>,
    ) -> Result<(), E> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = HEAD.to_owned();
        for name in names()?.iter().filter(|name| is_label(name)) {
            let host = format!("{name}{DOMAIN}");
            text.push_str(&format!("Host {host}\n    HostName {host}\n"));
        }
        write_anew(&self.path, &text)?;
        Ok(())
    }
}

/// Tells whether this is a name of the domain name system, which stands for itself in a configuration.
fn is_label(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && !name.starts_with('-') && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(hosts: &Hosts, names: &[&str]) -> String {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        hosts.keep(|| Ok::<_, SshError>(names)).unwrap();
        std::fs::read_to_string(hosts.path()).unwrap()
    }

    #[test]
    fn every_name_is_a_host_and_one_that_is_gone_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(dir.path().join("ssh/hosts"));
        assert_eq!(kept(&hosts, &[]), HEAD);
        assert!(
            kept(&hosts, &["db", "web"])
                .ends_with("Host db.vm\n    HostName db.vm\nHost web.vm\n    HostName web.vm\n")
        );
        assert!(!kept(&hosts, &["web"]).contains("db"));
    }

    #[test]
    fn a_name_that_would_say_something_else_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(dir.path().join("hosts"));
        let bad = [
            "",
            "*",
            "-a",
            "a b",
            "a\nProxyCommand evil",
            "a%h",
            "!a",
            "A",
        ];
        assert_eq!(kept(&hosts, &bad), HEAD);
    }

    #[test]
    fn names_that_cannot_be_told_leave_the_file_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(dir.path().join("hosts"));
        let before = kept(&hosts, &["web"]);
        let failed = hosts.keep(|| Err(SshError::ReadOnly("no".into())));
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(hosts.path()).unwrap(), before);
    }
}
