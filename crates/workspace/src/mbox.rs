//! Commits that were made in a guest as a mailbox that `git am` reads.
//!
//! The mailbox is composed here: of the guest's words only the author, the date and the message go in, each made
//! harmless, and patches that passed the checker. A line of a message that `git am` would take for the beginning of a
//! patch or of another mail is moved by one space.

use std::collections::BTreeSet;

use crate::patch::{Checker, FileChange, Patch, PatchError, PatchLimits};
use crate::repository::is_oid;
use crate::tracked::RepoPath;

/// Longest line between commits, in bytes.
const MAX_LINE: usize = 256;
/// Largest author, date and message together, in bytes.
const MAX_HEAD: usize = 1 << 20;
/// Commits, at most.
const MAX_COMMITS: usize = 10_000;

/// Why commits are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MboxError {
    /// The guest's answer is not what its script writes.
    #[error("the guest's commits: {0}")]
    Format(&'static str),
    /// One commit's patch.
    #[error("commit {commit}: {source}")]
    Patch {
        /// Which.
        commit: String,
        /// Why.
        source: PatchError,
    },
}

/// Commits as mails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mbox {
    /// The mailbox.
    pub bytes: Vec<u8>,
    /// Commits in it.
    pub commits: usize,
    /// All that they do, in order.
    pub patch: Patch,
}

/// Reads what the guest's script wrote.
///
/// # Errors
/// See [`MboxError`].
pub fn compose(
    answer: &[u8],
    limits: PatchLimits,
    links: &BTreeSet<RepoPath>,
) -> Result<Mbox, MboxError> {
    let mut commits = Vec::new();
    let mut rest = answer;
    while !rest.is_empty() {
        let end = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
        let end = end.ok_or(MboxError::Format("a line is missing"))?;
        let (oid, head, diff) =
            sizes(&rest[..end]).ok_or(MboxError::Format("a line is damaged"))?;
        rest = &rest[end + 1..];
        if head > MAX_HEAD || commits.len() == MAX_COMMITS {
            return Err(MboxError::Format("there is too much of it"));
        }
        let all = head.checked_add(diff).filter(|all| *all <= rest.len());
        let all = all.ok_or(MboxError::Format("it ends in the middle of a commit"))?;
        commits.push((oid, &rest[..head], &rest[head..all]));
        rest = &rest[all..];
    }
    let mut mbox = Mbox::default();
    let mut links = links.clone();
    let count = commits.len();
    for (n, (oid, head, diff)) in commits.into_iter().enumerate() {
        let checked = |diff: &[u8]| {
            let mut checker = Checker::new(limits, links.clone());
            checker.push(diff)?;
            checker.finish()
        };
        let patch = checked(diff).map_err(|source| MboxError::Patch {
            commit: oid.clone(),
            source,
        })?;
        mail(&mut mbox.bytes, &oid, head, diff, (n + 1, count))
            .ok_or(MboxError::Format("a commit's head is damaged"))?;
        follow(&mut links, &patch.files);
        mbox.commits += 1;
        mbox.patch.bytes += patch.bytes;
        mbox.patch.files.extend(patch.files);
    }
    Ok(mbox)
}

/// The next commit is applied where this one's links are.
fn follow(links: &mut BTreeSet<RepoPath>, files: &[FileChange]) {
    for file in files {
        if file.new_mode == crate::tracked::LINK {
            links.insert(file.path.clone());
        } else {
            links.remove(&file.path);
        }
    }
}

fn sizes(line: &[u8]) -> Option<(String, usize, usize)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    if words.next()? != "commit" {
        return None;
    }
    let oid = words.next().filter(|oid| is_oid(oid))?;
    let (head, diff) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then(|| (oid.to_owned(), head, diff))
}

fn mail(
    out: &mut Vec<u8>,
    oid: &str,
    head: &[u8],
    diff: &[u8],
    (n, count): (usize, usize),
) -> Option<()> {
    let mut fields = head
        .splitn(4, |byte| *byte == 0)
        .map(String::from_utf8_lossy);
    let (author, address, date, message) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let date_is_plain = date.len() < 64
        && date
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || " ,:+-".contains(c));
    if !date_is_plain {
        return None;
    }
    let message = message.trim_end().replace('\r', "");
    let (subject, body) = message.split_once("\n\n").unwrap_or((&message, ""));
    let address: String = address
        .chars()
        .filter(|c| !c.is_control() && !"<> ".contains(*c))
        .collect();
    let width = count.to_string().len();
    // The date of the first line is fixed: with it git knows a mail of its own (git-format-patch(1)).
    let mail = format!(
        "From {oid} Mon Sep 17 00:00:00 2001\nFrom: {} <{address}>\nDate: {date}\nSubject: [PATCH {n:0width$}/{count}] {}\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n",
        encoded(&author),
        encoded(&subject.split_whitespace().collect::<Vec<_>>().join(" ")),
    );
    out.extend_from_slice(mail.as_bytes());
    let mut begun = false;
    for line in body.lines() {
        // At its beginning a message may have headers of its own (git-am(1)).
        let is_header = ["From:", "Date:", "Subject:"]
            .iter()
            .any(|word| line.starts_with(word));
        let moved = is_boundary(line) || (is_header && !begun);
        begun |= !line.trim().is_empty();
        if moved {
            out.push(b' ');
        }
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"---\n\n");
    out.extend_from_slice(diff);
    out.extend_from_slice(b"-- \nbanger\n\n");
    Some(())
}

/// A line at which `git mailinfo` or `git mailsplit` would end the message.
fn is_boundary(line: &str) -> bool {
    let begins = ["diff -", "Index: ", "---", "From ", ">From "];
    begins.iter().any(|word| line.starts_with(word))
}

/// A text as a header carries it: printable ASCII as it is, all else as an encoded word (RFC 2047, Q).
fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        && !text.contains("=?")
        && !text.contains(['<', '>', '"', '(', ')']);
    if plain {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        let mut bytes = [0; 4];
        let letters: String = c
            .encode_utf8(&mut bytes)
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                byte => format!("={byte:02X}"),
            })
            .collect();
        // An encoded word has at most 75 characters.
        if word.len() + letters.len() > 60 {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(&letters);
    }
    words.push(word);
    words
        .into_iter()
        .map(|word| format!("=?UTF-8?q?{word}?="))
        .collect::<Vec<_>>()
        .join("\n ")
}
