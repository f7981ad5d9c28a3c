//! Commits that were made in a guest as a mailbox that `git am` reads.
//!
//! The mailbox is composed here: of the guest's words only the author, the date and the message go in, each made
//! harmless, and patches that passed the checker. A line of a message that `git am` would take for the beginning of a
//! patch or of another mail is moved by one space.
//!
//! A mail without a diff would stop `git am`, and a merge is no mail: such commits are left out and named. The ends of
//! lines in a mail are not content: a mail whose diff has CR is quoted-printable.

use std::collections::BTreeSet;

use crate::patch::{Checker, FileChange, Patch, PatchError, PatchLimits};
use crate::pathspec::Pathspec;
use crate::repository::{Oid, is_oid};
use crate::tracked::RepoPath;

/// Longest line between commits, in bytes.
const MAX_LINE: usize = 256;
/// Largest author, date and message together, in bytes.
const MAX_HEAD: usize = 1 << 20;
/// Commits, at most.
const MAX_COMMITS: usize = 10_000;

/// Refusal of commits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MboxError {
    /// The guest's answer does not have the form of its script's output.
    #[error("the guest's commits: {0}")]
    Format(&'static str),
    /// One commit's patch.
    #[error("commit {commit}: {source}")]
    Patch {
        /// The commit.
        commit: String,
        /// Fault of its patch.
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
    /// Each commit's diff.
    pub diffs: Vec<Vec<u8>>,
    /// Commits that are in no mail.
    pub left_out: Vec<LeftOut>,
    /// Commits whose author's name a mail cannot carry as it is.
    pub renamed: Vec<Oid>,
}

/// A commit that is in no mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub commit: Oid,
    /// The first line of its message.
    pub subject: String,
    /// The reason.
    pub why: WhyLeftOut,
}

/// Reason for leaving a commit out of the mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// It changes no file.
    Empty,
    /// It is a merge.
    Merge,
}

/// Commits in the output of the guest's script.
#[derive(Debug, Clone, Default)]
pub struct Commits<'a> {
    all: Vec<Commit<'a>>,
    linear: Vec<Commit<'a>>,
    /// The resulting tree.
    pub tree: Option<Oid>,
}

#[derive(Debug, Clone)]
struct Commit<'a> {
    oid: Oid,
    is_merge: bool,
    head: &'a [u8],
    diff: &'a [u8],
}

/// Reads the output of the guest's script, and composes mails of all commits.
///
/// # Errors
/// See [`MboxError`].
pub fn compose(
    answer: &[u8],
    limits: PatchLimits,
    links: &BTreeSet<RepoPath>,
) -> Result<Mbox, MboxError> {
    Commits::read(answer)?.mails(limits, links, &Pathspec::default())
}

impl<'a> Commits<'a> {
    /// Reads the output of the guest's script.
    ///
    /// # Errors
    /// It does not have the form of that script's output.
    pub fn read(answer: &'a [u8]) -> Result<Self, MboxError> {
        let mut commits = Self::default();
        let mut rest = answer;
        let (mut count, mut is_linear) = (0, false);
        while !rest.is_empty() {
            let end = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
            let end = end.ok_or(MboxError::Format("a line is missing"))?;
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            if line == b"linear" && !is_linear {
                is_linear = true;
                continue;
            }
            if let Some(tree) = line.strip_prefix(b"tree ") {
                let tree = String::from_utf8_lossy(tree).into_owned();
                commits.tree = Some(tree).filter(|tree| is_oid(tree) && rest.is_empty());
                match commits.tree {
                    Some(_) => break,
                    None => return Err(MboxError::Format("a line is damaged")),
                }
            }
            let (commit, head, diff) = sizes(line).ok_or(MboxError::Format("a line is damaged"))?;
            count += 1;
            if head > MAX_HEAD || count > MAX_COMMITS {
                return Err(MboxError::Format("there is too much of it"));
            }
            let all = head.checked_add(diff).filter(|all| *all <= rest.len());
            let all = all.ok_or(MboxError::Format("it ends in the middle of a commit"))?;
            let list = if is_linear {
                &mut commits.linear
            } else {
                &mut commits.all
            };
            list.push(Commit {
                head: &rest[..head],
                diff: &rest[head..all],
                ..commit
            });
            rest = &rest[all..];
        }
        if commits.tree.is_none() {
            return Err(MboxError::Format("its end is missing"));
        }
        Ok(commits)
    }

    /// True when some of them are merges: then the others, one after the other, may give another result.
    pub fn has_merges(&self) -> bool {
        self.all.iter().any(|commit| commit.is_merge)
    }

    /// All that are no merges, as mails.
    ///
    /// # Errors
    /// One of them is refused.
    pub fn mails(
        &self,
        limits: PatchLimits,
        links: &BTreeSet<RepoPath>,
        selection: &Pathspec,
    ) -> Result<Mbox, MboxError> {
        mails(&self.all, limits, links, selection)
    }

    /// The line of first parents as mails: each merge is one, with all that it brought.
    ///
    /// # Errors
    /// One of them is refused.
    pub fn linear(
        &self,
        limits: PatchLimits,
        links: &BTreeSet<RepoPath>,
        selection: &Pathspec,
    ) -> Result<Mbox, MboxError> {
        mails(&self.linear, limits, links, selection)
    }
}

fn mails(
    commits: &[Commit<'_>],
    limits: PatchLimits,
    links: &BTreeSet<RepoPath>,
    selection: &Pathspec,
) -> Result<Mbox, MboxError> {
    let mut mbox = Mbox::default();
    let mut links = links.clone();
    let mut mailed = Vec::new();
    for commit in commits {
        let checked = || {
            let checker = Checker::new(limits, links.clone());
            let mut checker = checker.selecting(selection.clone());
            checker.push(commit.diff)?;
            checker.finish()
        };
        let patch = checked().map_err(|source| MboxError::Patch {
            commit: commit.oid.clone(),
            source,
        })?;
        let head =
            Head::parse(commit.head).ok_or(MboxError::Format("a commit's head is damaged"))?;
        if commit.is_merge || patch.files.is_empty() {
            mbox.left_out.push(LeftOut {
                commit: commit.oid.clone(),
                subject: head.subject(),
                why: match commit.is_merge {
                    true => WhyLeftOut::Merge,
                    false => WhyLeftOut::Empty,
                },
            });
            continue;
        }
        follow(&mut links, &patch.files);
        let diff = patch.cut(commit.diff.to_vec());
        mbox.patch.bytes += patch.bytes;
        mbox.patch.left_out += patch.left_out;
        mbox.patch.files.extend(patch.files);
        mailed.push((commit, head, diff));
    }
    mbox.commits = mailed.len();
    for (n, (commit, head, diff)) in mailed.into_iter().enumerate() {
        if !head.is_carried() {
            mbox.renamed.push(commit.oid.clone());
        }
        mail(
            &mut mbox.bytes,
            &commit.oid,
            &head,
            &diff,
            (n + 1, mbox.commits),
        );
        mbox.diffs.push(diff);
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

fn sizes(line: &[u8]) -> Option<(Commit<'static>, usize, usize)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let is_merge = match words.next()? {
        "commit" => false,
        "merge" => true,
        _ => return None,
    };
    let oid = words.next().filter(|oid| is_oid(oid))?.to_owned();
    let (head, diff) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let commit = Commit {
        oid,
        is_merge,
        head: &[],
        diff: &[],
    };
    words.next().is_none().then_some((commit, head, diff))
}

/// Author, date and subject of a commit.
struct Head {
    author: String,
    address: String,
    date: String,
    message: String,
}

impl Head {
    fn parse(head: &[u8]) -> Option<Self> {
        let fields = head.splitn(4, |byte| *byte == 0);
        let mut fields = fields.map(|field| String::from_utf8_lossy(field).into_owned());
        let mut next = || fields.next();
        let (author, address, date, message) = (next()?, next()?, next()?, next()?);
        let plain = |c: char| c.is_ascii_alphanumeric() || " ,:+-".contains(c);
        let address = address.chars();
        let address = address.filter(|c| !c.is_control() && !"<> ".contains(*c));
        (date.len() < 64 && date.chars().all(plain)).then_some(Self {
            author,
            address: address.collect(),
            date,
            message: message.trim_end().replace('\r', ""),
        })
    }

    fn parts(&self) -> (&str, &str) {
        self.message
            .split_once("\n\n")
            .unwrap_or((&self.message, ""))
    }

    /// The first paragraph of the message in one line.
    fn subject(&self) -> String {
        self.parts()
            .0
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Tells whether `git am` keeps the name: it replaces one that looks like an address, or is long, by the address
    /// (git, mailinfo.c get_sane_name).
    fn is_carried(&self) -> bool {
        self.author.len() <= 60 && !self.author.contains(['@', '<', '>'])
    }

    /// The author as a header carries one: quoted, and then encoded, as `git am` undoes it the other way round.
    fn from(&self) -> String {
        let special = |c: char| "\"\\()<>@,;:.[]".contains(c);
        if !self.author.contains(special) {
            return encoded(&self.author);
        }
        let quoted = self.author.replace('\\', "\\\\").replace('"', "\\\"");
        encoded(&format!("\"{quoted}\""))
    }
}

fn mail(out: &mut Vec<u8>, oid: &str, head: &Head, diff: &[u8], (n, count): (usize, usize)) {
    let width = count.to_string().len();
    let has_cr = diff.contains(&b'\r');
    let encoding = if has_cr { "quoted-printable" } else { "8bit" };
    // The date of the first line is fixed: with it git knows a mail of its own (git-format-patch(1)).
    let mail = format!(
        "From {oid} Mon Sep 17 00:00:00 2001\nFrom: {} <{}>\nDate: {}\nSubject: [PATCH {n:0width$}/{count}] {}\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: {encoding}\n\n",
        head.from(),
        head.address,
        head.date,
        encoded(&head.subject()),
    );
    out.extend_from_slice(mail.as_bytes());
    let mut body = Vec::new();
    let mut begun = false;
    for line in head.parts().1.lines() {
        // At its beginning a message may have headers of its own (git-am(1)).
        let is_header = ["From:", "Date:", "Subject:"]
            .iter()
            .any(|word| line.starts_with(word));
        let moved = is_boundary(line) || (is_header && !begun);
        begun |= !line.trim().is_empty();
        if moved {
            body.push(b' ');
        }
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    body.extend_from_slice(b"---\n\n");
    body.extend_from_slice(diff);
    body.extend_from_slice(b"-- \nbanger\n\n");
    match has_cr {
        true => quoted_printable(out, &body),
        false => out.extend_from_slice(&body),
    }
}

/// Content whose every byte counts (RFC 2045, 6.7).
fn quoted_printable(out: &mut Vec<u8>, body: &[u8]) {
    /// Characters of a line, at most, with the `=` that joins it to the next one.
    const LINE: usize = 76;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let (content, end) = match line.split_last() {
            Some((b'\n', content)) => (content, true),
            _ => (line, false),
        };
        let mut length = 0;
        for (n, byte) in content.iter().enumerate() {
            let is_last = n + 1 == content.len();
            // A line that begins with "From " would begin another mail.
            let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') && !(n == 0 && *byte == b'F')
                || *byte == b' ' && !is_last;
            let letters = match plain {
                true => char::from(*byte).to_string(),
                false => format!("={byte:02X}"),
            };
            if length + letters.len() > LINE - 1 {
                out.extend_from_slice(b"=\n");
                length = 0;
            }
            length += letters.len();
            out.extend_from_slice(letters.as_bytes());
        }
        if end {
            out.push(b'\n');
        }
    }
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
        && !text.contains(['<', '>', '"', '(', ')'])
        && text.trim() == text;
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
