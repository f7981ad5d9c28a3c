//! Banger's own list of host keys (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! ```text
//! web.vm,0199….vm ssh-ed25519 AAAA… 0199…      one line for each VM; the comment is its id
//! ```
//!
//! A line is written before the first byte of a connection, when ssh has not asked for it yet: keys come from the VM's
//! folder on this host, so no key is ever learnt from a guest, and ssh never asks the user to accept one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::client_config::DOMAIN;
use crate::error::SshError;
use crate::files::{make_folder, replace};

/// Names that one VM's line keeps: its own two, and the newest others by which it was called.
const MAX_NAMES: usize = 16;
/// Largest file that is read, in bytes; a larger one is not ours and is made anew.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The list.
#[derive(Debug, Clone)]
pub struct KnownHosts {
    path: PathBuf,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    names: Vec<String>,
    key: String,
    id: String,
}

impl KnownHosts {
    /// The list at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Path of the list.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the VM `id` is known by these names (without [`DOMAIN`]) with this public key, and by no other
    /// key. VMs that no longer `exist` are forgotten.
    ///
    /// # Errors
    /// The list cannot be read or written.
    pub fn note(
        &self,
        id: &str,
        names: &[&str],
        public_key: &str,
        exists: impl Fn(&str) -> bool,
    ) -> Result<(), SshError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        make_folder(folder).map_err(SshError::io("make", folder))?;
        let lock_path = self.path.with_extension("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .and_then(|lock| Ok(flock(&lock, FlockOperation::LockExclusive).map(|()| lock)?))
            .map_err(SshError::io("lock", &lock_path))?;
        let old = self.read().map_err(SshError::io("read", &self.path))?;
        let new = noted(&old, id, names, public_key, exists);
        if new != old {
            replace(&self.path, new.as_bytes(), 0o600)
                .map_err(SshError::io("write", &self.path))?;
        }
        drop(lock);
        Ok(())
    }

    fn read(&self) -> io::Result<String> {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.len() > MAX_BYTES => Ok(String::new()),
            Ok(_) => Ok(String::from_utf8_lossy(&fs::read(&self.path)?).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

fn noted(
    old: &str,
    id: &str,
    names: &[&str],
    public_key: &str,
    exists: impl Fn(&str) -> bool,
) -> String {
    let mut lines: Vec<Line> = old.lines().filter_map(parse).collect();
    let before = lines.iter().position(|line| line.id == id);
    let mut own = before.map_or_else(
        || Line {
            names: Vec::new(),
            key: String::new(),
            id: id.to_owned(),
        },
        |at| lines.remove(at),
    );
    // Type and key; the rest is a comment.
    own.key = public_key
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    let mut wanted: Vec<String> = [&[id], names]
        .concat()
        .into_iter()
        .filter(|name| is_name(name))
        .map(|name| format!("{name}{DOMAIN}"))
        .collect();
    wanted.dedup();
    for line in &mut lines {
        line.names.retain(|name| !wanted.contains(name));
    }
    let others = own.names.iter().filter(|name| !wanted.contains(name));
    wanted.extend(others.cloned().collect::<Vec<_>>());
    wanted.truncate(MAX_NAMES);
    own.names = wanted;
    lines.retain(|line| !line.names.is_empty() && exists(&line.id));
    lines.push(own);
    lines.sort_by(|a, b| a.id.cmp(&b.id));
    lines
        .iter()
        .map(|line| format!("{} {} {}\n", line.names.join(","), line.key, line.id))
        .collect()
}

fn parse(line: &str) -> Option<Line> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [names, kind, key, id] = fields[..] else {
        return None;
    };
    Some(Line {
        names: names.split(',').map(str::to_owned).collect(),
        key: format!("{kind} {key}"),
        id: id.to_owned(),
    })
}

/// Tells whether a name has only small letters, digits and hyphens, which mean nothing else in a list of hosts.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_id: &str) -> bool {
        true
    }

    #[test]
    fn a_vm_is_known_by_id_and_name_and_by_what_it_was_called() {
        let first = noted("", "01-a", &["web", "01"], "ssh-ed25519 AAAA c\n", any);
        assert_eq!(first, "01-a.vm,web.vm,01.vm ssh-ed25519 AAAA 01-a\n");
        let again = noted(&first, "01-a", &["web", "web"], "ssh-ed25519 AAAA c", any);
        assert_eq!(again, first);
    }

    #[test]
    fn a_name_belongs_to_the_last_vm_that_had_it() {
        let first = noted("", "01", &["web"], "ssh-ed25519 AAAA", any);
        let second = noted(&first, "02", &["web"], "ssh-ed25519 BBBB", any);
        assert_eq!(
            second,
            "01.vm ssh-ed25519 AAAA 01\n02.vm,web.vm ssh-ed25519 BBBB 02\n"
        );
    }

    #[test]
    fn vms_that_are_gone_are_forgotten() {
        let first = noted("", "01", &["web"], "ssh-ed25519 AAAA", any);
        let second = noted(&first, "02", &["db"], "ssh-ed25519 BBBB", |id| id == "02");
        assert_eq!(second, "02.vm,db.vm ssh-ed25519 BBBB 02\n");
    }

    #[test]
    fn a_name_that_is_a_pattern_is_left_out() {
        let text = noted("", "01", &["*", "!x", "a,b", "a b", "Web"], "k v", any);
        assert_eq!(text, "01.vm k v 01\n");
    }

    #[test]
    fn one_vm_keeps_a_bounded_number_of_names() {
        let mut text = String::new();
        for number in 0..100 {
            let name = format!("n{number}");
            text = noted(&text, "01", &["web", &name], "k v", any);
        }
        assert_eq!(text.matches(".vm").count(), MAX_NAMES);
        assert!(text.contains("n99.vm") && !text.contains("n1.vm"), "{text}");
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let list = KnownHosts::new(folder.path().join("ssh/known_hosts"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let list = &list;
                scope.spawn(move || {
                    let id = format!("id{number}");
                    list.note(&id, &["x"], "ssh-ed25519 AAAA", any).unwrap();
                });
            }
        });
        let text = fs::read_to_string(list.path()).unwrap();
        assert_eq!(text.lines().count(), 8, "{text}");
        assert_eq!(text.matches("x.vm").count(), 1, "{text}");
    }
}
