//! The text files of the guest's `.git`: written by us, line by line, so that nothing of the host's is sent unseen.

use std::fmt::Write as _;

use crate::compose::Composed;
use crate::config::public_url;
use crate::repository::ObjectFormat;
use crate::survey::Part;

/// The ref that keeps the tree as it was sent, so that no clean-up in the guest takes it.
pub const SENT_REF: &str = "refs/banger/sent";

/// Settings of the host that decide how contents are compared, and so must be the same in the guest.
const COMPARING: &[&str] = &["core.autocrlf", "core.eol"];
/// Settings of the repository itself that name its author.
const PERSON: &[&str] = &["user.name", "user.email"];

/// `HEAD`.
pub(crate) fn head(part: &Part) -> String {
    match (&part.branch, &part.commit) {
        (Some(branch), _) => format!("ref: refs/heads/{branch}\n"),
        (None, Some(commit)) => format!("{commit}\n"),
        // Detached without a commit does not exist; a branch that is not born yet is what git init makes.
        (None, None) => "ref: refs/heads/main\n".to_owned(),
    }
}

/// `config`.
pub(crate) fn config(part: &Part, composed: &Composed) -> String {
    let config = &part.repository.config;
    let sha256 = part.repository.format == ObjectFormat::Sha256;
    let mut text = String::from("[core]\n");
    // Writing to a string does not fail.
    let is_promised = composed.history.is_promised;
    let extended = u8::from(sha256 || is_promised);
    let _ = writeln!(text, "\trepositoryformatversion = {extended}");
    text.push_str("\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n");
    // The index that we write knows sizes and times, and nothing else of files in the guest.
    text.push_str("\ttrustctime = false\n\tcheckStat = minimal\n");
    for key in COMPARING {
        if let Some(value) = config.get(key) {
            setting(&mut text, key, value);
        }
    }
    if sha256 {
        text.push_str("[extensions]\n\tobjectformat = sha256\n");
    }
    if is_promised {
        // Objects that are missing here are missing there; the remote has them (git-clone(1), --filter).
        text.push_str("[extensions]\n\tpartialClone = origin\n");
        text.push_str("[remote \"origin\"]\n\tpromisor = true\n\tpartialclonefilter = blob:none\n");
    }
    if PERSON.iter().any(|key| config.local(key).is_some()) {
        text.push_str("[user]\n");
        for key in PERSON {
            if let Some(value) = config.local(key) {
                setting(&mut text, key, value);
            }
        }
    }
    if let Some(url) = config.origin() {
        text.push_str("[remote \"origin\"]\n");
        let _ = writeln!(text, "\turl = {}", quoted(&url));
        text.push_str("\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
        let merges = part
            .branch
            .as_deref()
            .filter(|branch| config.get(&format!("branch.{branch}.remote")) == Some("origin"));
        if let Some(branch) = merges
            && let Some(merge) = config.get(&format!("branch.{branch}.merge"))
        {
            let _ = writeln!(text, "[branch {}]", quoted(branch));
            let _ = writeln!(text, "\tremote = origin\n\tmerge = {}", quoted(merge));
        }
    }
    submodules(&mut text, part);
    text
}

/// Submodules that are checked out are active (gitsubmodules(7)).
fn submodules(text: &mut String, part: &Part) {
    let config = &part.repository.config;
    for (name, _path) in &part.submodules {
        let Some(url) = config.local(&format!("submodule.{name}.url")) else {
            continue;
        };
        let _ = writeln!(text, "[submodule {}]", quoted(name));
        text.push_str("\tactive = true\n");
        if let Some(url) = public_url(url) {
            let _ = writeln!(text, "\turl = {}", quoted(&url));
        }
    }
}

fn setting(text: &mut String, key: &str, value: &str) {
    let name = key.rsplit('.').next().unwrap_or(key);
    let _ = writeln!(text, "\t{name} = {}", quoted(value));
}

/// A value in quotes, which git reads back unchanged for any content.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `packed-refs` (gitrepository-layout(5)); git wants it sorted when it says so.
pub(crate) fn packed_refs(composed: &Composed) -> String {
    let mut text = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for (name, (oid, peeled)) in &composed.refs {
        let _ = writeln!(text, "{oid} {name}");
        if let Some(peeled) = peeled {
            let _ = writeln!(text, "^{peeled}");
        }
    }
    text
}

/// `shallow`; `None` when all history is there.
pub(crate) fn shallow(composed: &Composed) -> Option<String> {
    let lines = composed
        .history
        .shallow
        .iter()
        .map(|commit| format!("{commit}\n"));
    let text: String = lines.collect();
    (!text.is_empty()).then_some(text)
}
