//! Scripts for the guest's git: a patch against the sent workspace, without a change of its index, files or objects.
//!
//! New objects go to a folder that is gone afterwards; a copy of the index keeps git's knowledge of files, so that
//! only changed ones are read.

use crate::record::{Head, PartRecord};
use crate::repository::is_oid;

/// Exit code of the script when the guest has no git.
pub const NO_GIT: i32 = 97;
/// Exit code of the script when the workspace is not there.
pub const NO_WORKSPACE: i32 = 98;

/// Fixes every setting that could change a diff's form, or run a program.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.quotePath", "true"),
    ("core.pager", "cat"),
    ("core.safecrlf", "false"),
    ("core.splitIndex", "false"),
    ("diff.suppressBlankEmpty", "false"),
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
    ("diff.algorithm", "myers"),
    ("advice.addEmbeddedRepo", "false"),
];
/// Form of a patch.
pub(crate) const DIFF: &str = "-p --binary --full-index --no-renames --no-ext-diff --no-textconv --no-color \
--unified=3 --inter-hunk-context=0 --no-relative --ignore-submodules=all";

/// Groups of three arguments: directory, base, prefix.
const WORKTREE: &str = r#"set -eu
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0
command -v git >/dev/null 2>&1 || exit 97
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
mkdir "$tmp/objects"
while [ $# -ge 3 ]; do
  cd "$1" 2>/dev/null || exit 98
  if [ -d .git ]; then dir=$PWD/.git; else dir=$(git rev-parse --absolute-git-dir); fi
  rm -f "$tmp/index"
  if [ -f "$dir/index" ]; then cp -p "$dir/index" "$tmp/index"; fi
  export GIT_INDEX_FILE="$tmp/index" GIT_OBJECT_DIRECTORY="$tmp/objects"
  export GIT_ALTERNATE_OBJECT_DIRECTORIES="\"$dir/objects\""
  GIT add -A >&2
  GIT diff-index --cached DIFF --src-prefix="a/$3" --dst-prefix="b/$3" "$2" --
  unset GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
  shift 3
done
"#;

/// Arguments: directory, base. For each commit a line `commit OID HEAD-BYTES DIFF-BYTES`, its head (author, address,
/// date, message; NUL between them), its diff; a merge is `merge OID HEAD-BYTES 0`. Where there are merges a line
/// `linear` follows, and the commits of the first parents' line, each with its diff to its first parent. The last line
/// is the resulting tree.
const COMMITS: &str = r#"set -eu
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 TZ=UTC
command -v git >/dev/null 2>&1 || exit 97
cd "$1" 2>/dev/null || exit 98
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT TERM
one() {
  GIT log -1 --no-show-signature --no-notes --encoding=UTF-8 --date=raw --format='%an%x00%ae%x00%aD%x00%B' "$2" > "$tmp/head"
  : > "$tmp/diff"
  if [ "$1" = linear ] && [ -n "${3-}" ]; then
    GIT diff-tree DIFF --src-prefix=a/ --dst-prefix=b/ "$3" "$2" > "$tmp/diff"
  elif [ "$1" != merge ]; then
    GIT diff-tree --root --no-commit-id DIFF --src-prefix=a/ --dst-prefix=b/ "$2" > "$tmp/diff"
  fi
  word=commit
  if [ "$1" = merge ]; then word=merge; fi
  echo "$word $2 $(wc -c < "$tmp/head") $(wc -c < "$tmp/diff")"
  cat "$tmp/head" "$tmp/diff"
}
merges=
GIT rev-list --reverse --topo-order --parents HEAD --not "$2" > "$tmp/list"
while read -r commit first second rest; do
  if [ -n "$second" ]; then merges=1; one merge "$commit"; else one commit "$commit"; fi
done < "$tmp/list"
if [ -n "$merges" ]; then
  echo linear
  GIT rev-list --reverse --first-parent --parents HEAD --not "$2" > "$tmp/list"
  while read -r commit first rest; do one linear "$commit" "$first"; done < "$tmp/list"
fi
echo "tree $(GIT rev-parse 'HEAD^{tree}')"
"#;

/// The base of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The sent files, uncommitted changes of the host included: the patch fits the host's files.
    Sent,
    /// The commit that was sent: the patch fits a clean checkout of it.
    Commit,
    /// Another commit, by its full name; submodules are compared with their sent state.
    Other(String),
}

/// Refusal of a base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// Nothing was sent.
    #[error("nothing was sent to this VM")]
    NothingSent,
    /// The sent workspace has no commit.
    #[error("the sent workspace has no commit")]
    NoCommit,
    /// It is no commit's full name.
    #[error("\"{0}\" is not the full name of a commit")]
    NoOid(String),
    /// A submodule's path is no text.
    #[error("submodule {0}: its path is not UTF-8")]
    NoText(String),
}

/// The command whose output is the patch.
///
/// # Errors
/// See [`BaseError`].
pub fn worktree(head: &Head, base: &Base) -> Result<Vec<String>, BaseError> {
    if head.parts.is_empty() {
        return Err(BaseError::NothingSent);
    }
    let mut command = shell(WORKTREE);
    for (name, part) in &head.parts {
        let base = match base {
            Base::Other(oid) if name.is_empty() => checked(oid)?,
            Base::Commit if name.is_empty() => commit_of(part)?,
            Base::Sent | Base::Commit | Base::Other(_) => part.known.tree.clone(),
        };
        let name = plain(name)?;
        let (slash, prefix) = if name.is_empty() {
            ("", String::new())
        } else {
            ("/", format!("{name}/"))
        };
        command.extend([format!("{}{slash}{name}", head.guest_path), base, prefix]);
    }
    Ok(command)
}

/// The command whose output is the commits that were made in the guest.
///
/// # Errors
/// See [`BaseError`].
pub fn commits(head: &Head, base: &Base) -> Result<Vec<String>, BaseError> {
    let part = head.parts.get("").ok_or(BaseError::NothingSent)?;
    let base = match base {
        Base::Other(oid) => checked(oid)?,
        Base::Sent | Base::Commit => commit_of(part)?,
    };
    let mut command = shell(COMMITS);
    command.extend([head.guest_path.clone(), base]);
    Ok(command)
}

fn shell(script: &str) -> Vec<String> {
    let settings = SETTINGS
        .iter()
        .map(|(key, value)| format!("-c {key}={value} "));
    // Root asks in the guest, about files that may belong to the user of its commands.
    let git = ["git -c 'safe.directory=*' ".to_owned()];
    let git: String = git.into_iter().chain(settings).collect();
    let verbs = [
        "add",
        "diff-index",
        "diff-tree",
        "rev-list",
        "rev-parse",
        "log",
    ];
    let script = verbs.iter().fold(script.to_owned(), |script, verb| {
        script.replace(&format!("GIT {verb}"), &format!("{git}{verb}"))
    });
    let script = script.replace(" DIFF ", &format!(" {DIFF} "));
    vec![
        "sh".to_owned(),
        "-c".to_owned(),
        script,
        "banger-export".to_owned(),
    ]
}

/// A submodule's path; a command line carries text alone.
pub(crate) fn plain(name: &str) -> Result<String, BaseError> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let path = banger_guest::TreePath::try_from(name.to_owned()).ok();
    let text = path.and_then(|path| String::from_utf8(path.as_bytes().to_vec()).ok());
    text.ok_or_else(|| BaseError::NoText(name.to_owned()))
}

fn commit_of(part: &PartRecord) -> Result<String, BaseError> {
    part.known.commit.clone().ok_or(BaseError::NoCommit)
}

fn checked(oid: &str) -> Result<String, BaseError> {
    if is_oid(oid) {
        Ok(oid.to_owned())
    } else {
        Err(BaseError::NoOid(oid.to_owned()))
    }
}
