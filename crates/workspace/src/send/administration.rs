//! A repository's `.git`: the pack before its index, and git's own index last.

use std::collections::HashMap;
use std::io;

use sha2::{Digest as _, Sha256};

use super::stream::Stream;
use super::{GitPart, SendError};
use crate::compose::Composed;
use crate::error::WorkspaceError;
use crate::gitdir;
use crate::index::{self, SentStat};
use crate::survey::Part;
use crate::tracked::RepoPath;

impl Stream<'_> {
    /// As much of it as is asked for.
    pub(super) fn git(
        &mut self,
        part: &Part,
        composed: Composed,
        stats: &HashMap<RepoPath, SentStat>,
        what: GitPart,
    ) -> Result<(), SendError> {
        if what == GitPart::Nothing {
            return Ok(());
        }
        let git = [&part.prefix[..], b".git"].concat();
        let at = |name: &str| [&git[..], b"/", name.as_bytes()].concat();
        if let Some(pack) = &composed.pack {
            if composed.history.is_promised {
                self.text(
                    &at(&format!("objects/pack/pack-{}.promisor", pack.name)),
                    b"",
                )?;
            }
            // git looks for packs by their indexes: the pack must be there first.
            for (extension, file) in [("pack", &pack.pack), ("idx", &pack.index)] {
                self.opened(
                    file,
                    &at(&format!("objects/pack/pack-{}.{extension}", pack.name)),
                )?;
            }
        }
        self.text(
            &at(gitdir::SENT_REF),
            format!("{}\n", composed.tree).as_bytes(),
        )?;
        if what == GitPart::Tree {
            return Ok(());
        }
        if let Some(shallow) = gitdir::shallow(&composed) {
            self.text(&at("shallow"), shallow.as_bytes())?;
        }
        if what == GitPart::Whole {
            for folder in [
                "objects/info",
                "objects/pack",
                "refs/heads",
                "refs/tags",
                "info",
            ] {
                self.directory(&at(folder))?;
            }
            self.text(
                &at("packed-refs"),
                gitdir::packed_refs(&composed).as_bytes(),
            )?;
            self.text(&at("config"), gitdir::config(part, &composed).as_bytes())?;
            self.text(&at("info/exclude"), &part.excludes()?)?;
            if let Some(attributes) = part.own_attributes()? {
                self.text(&at("info/attributes"), &attributes)?;
            }
        }
        if let (Some(branch), Some(commit)) = (&part.branch, &part.commit) {
            self.text(
                &at(&format!("refs/heads/{branch}")),
                format!("{commit}\n").as_bytes(),
            )?;
        }
        self.text(&at("HEAD"), gitdir::head(part).as_bytes())?;
        let index = index::write(part.repository.format, &part.tracked, stats);
        self.text(&at("index"), &index)
    }
}

impl Part {
    /// Its path below the workspace as the protocol writes it; empty for the outermost.
    pub fn name(&self) -> String {
        let path = self.prefix.strip_suffix(b"/").unwrap_or(&self.prefix);
        banger_guest::TreePath::new(path)
            .map(String::from)
            .unwrap_or_default()
    }

    /// A digest of all that its index lists.
    pub fn index_digest(&self) -> String {
        let mut digest = Sha256::new();
        for entry in &self.tracked {
            digest.update(format!(
                "{:o} {} {} {} ",
                entry.mode, entry.oid, entry.stage, entry.flags.skip_worktree
            ));
            if entry.flags.assume_unchanged || entry.flags.intent_to_add {
                let flags = (entry.flags.assume_unchanged, entry.flags.intent_to_add);
                digest.update(format!("{flags:?} "));
            }
            digest.update(&entry.path);
            digest.update([0]);
        }
        banger_durable::hex(&digest.finalize())
    }
}

impl Part {
    /// Attributes of the repository that are in none of its files: they decide how contents are compared.
    fn own_attributes(&self) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let path = self.repository.dirs.common.join("info/attributes");
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WorkspaceError::file("read", path)(error)),
        }
    }

    /// Rules to ignore files in the guest that are ignored here by other rules than the repository's own files.
    fn excludes(&self) -> Result<Vec<u8>, WorkspaceError> {
        let mut rules = Vec::new();
        let own = self.repository.dirs.common.join("info/exclude");
        let global =
            self.repository
                .git
                .line(&["config", "--type=path", "--get", "core.excludesFile"])?;
        let default = std::env::var_os("XDG_CONFIG_HOME")
            .map(std::path::PathBuf::from)
            .or_else(|| {
                std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".config"))
            })
            .map(|config| config.join("git/ignore"));
        // The repository's own rules come last, because the last one decides (gitignore(5)).
        let global = global.map(std::path::PathBuf::from).or(default);
        for path in global.into_iter().chain([own]) {
            match std::fs::read(&path) {
                Ok(text) => {
                    rules.extend(text);
                    rules.push(b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(WorkspaceError::file("read", path)(error)),
            }
        }
        Ok(rules)
    }
}
