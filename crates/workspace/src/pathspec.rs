//! Selection of paths in a change, in git's notation (gitglossary(7), "pathspec").
//!
//! ```text
//! dir/file   *.log   :(exclude)x   :!x   :^x   :/x   :(top,glob)**/x   :(icase)readme   :(literal)a*
//! ```
//!
//! Must not: ask git. Paths that are left out here never reach it.

use gix_glob::wildmatch::Mode;

use crate::tracked::RepoPath;

/// Selected paths: all, or some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pathspec {
    include: Vec<Item>,
    exclude: Vec<Item>,
}

/// Refusal of a text that is no pathspec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathspecError {
    /// It leads out of the repository.
    #[error("\"{0}\" is outside of the repository")]
    Outside(String),
    /// It has magic that is not known here.
    #[error(
        "\"{word}\": unknown pathspec magic \"{magic}\"; known are top, exclude, glob, literal and icase"
    )]
    Magic {
        /// The word.
        word: String,
        /// Its magic.
        magic: String,
    },
    /// Its magic words have no end, or say nothing together.
    #[error("\"{0}\" is not a pathspec")]
    Form(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    path: RepoPath,
    /// True when wildcards in it are plain characters.
    literal: bool,
    /// A star does not match a slash.
    glob: bool,
    icase: bool,
}

impl Pathspec {
    /// From words, those of the second list excluded as if they were `:(exclude)`. `prefix` is the folder below the
    /// repository's top that they are relative to: empty, or a path without a slash at its end.
    ///
    /// # Errors
    /// See [`PathspecError`].
    pub fn parse(
        words: &[Vec<u8>],
        excluded: &[Vec<u8>],
        prefix: &[u8],
    ) -> Result<Self, PathspecError> {
        let mut spec = Self::default();
        for word in words {
            let (item, exclude) = Item::parse(word, prefix)?;
            let list = match exclude {
                true => &mut spec.exclude,
                false => &mut spec.include,
            };
            list.push(item);
        }
        for word in excluded {
            spec.exclude.push(Item::parse(word, prefix)?.0);
        }
        Ok(spec)
    }

    /// True when every path is selected.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Tells whether a path is selected.
    pub fn selects(&self, path: &[u8]) -> bool {
        let included = self.include.is_empty() || self.names(path);
        included && !self.exclude.iter().any(|item| item.matches(path))
    }

    /// Tells whether an included pattern matches a path; false when there are no patterns.
    pub fn names(&self, path: &[u8]) -> bool {
        self.include.iter().any(|item| item.matches(path))
    }
}

impl Item {
    /// An item, and whether it excludes.
    fn parse(word: &[u8], prefix: &[u8]) -> Result<(Self, bool), PathspecError> {
        let shown = || String::from_utf8_lossy(word).into_owned();
        let mut item = Self {
            path: Vec::new(),
            literal: false,
            glob: false,
            icase: false,
        };
        let (mut top, mut exclude) = (false, false);
        let mut rest = word;
        if let Some(long) = word.strip_prefix(b":(") {
            let end = long.iter().position(|byte| *byte == b')');
            let end = end.ok_or_else(|| PathspecError::Form(shown()))?;
            rest = &long[end + 1..];
            for magic in long[..end].split(|byte| *byte == b',') {
                match magic {
                    b"top" => top = true,
                    b"exclude" => exclude = true,
                    b"glob" => item.glob = true,
                    b"literal" => item.literal = true,
                    b"icase" => item.icase = true,
                    b"" => {}
                    other => {
                        let magic = String::from_utf8_lossy(other).into_owned();
                        return Err(PathspecError::Magic {
                            word: shown(),
                            magic,
                        });
                    }
                }
            }
            if item.glob && item.literal {
                return Err(PathspecError::Form(shown()));
            }
        } else if let Some(short) = word.strip_prefix(b":") {
            rest = short;
            loop {
                rest = match rest {
                    [b'/', tail @ ..] => {
                        top = true;
                        tail
                    }
                    [b'!' | b'^', tail @ ..] => {
                        exclude = true;
                        tail
                    }
                    [b':', tail @ ..] => {
                        rest = tail;
                        break;
                    }
                    _ => break,
                };
            }
        }
        let prefix = if top { &b""[..] } else { prefix };
        item.path = normal(prefix, rest).ok_or_else(|| PathspecError::Outside(shown()))?;
        item.literal |= !item.path.iter().any(|byte| b"*?[\\".contains(byte));
        Ok((item, exclude))
    }

    fn matches(&self, path: &[u8]) -> bool {
        let wanted = self.path.strip_suffix(b"/").unwrap_or(&self.path);
        let inside_only = wanted.len() < self.path.len();
        let same = |a: &[u8], b: &[u8]| match self.icase {
            true => a.eq_ignore_ascii_case(b),
            false => a == b,
        };
        if wanted.is_empty() {
            return true;
        }
        let below = path.len() > wanted.len()
            && path.get(wanted.len()) == Some(&b'/')
            && same(&path[..wanted.len()], wanted);
        if below || !inside_only && same(path, wanted) {
            return true;
        }
        if self.literal {
            return false;
        }
        let mut mode = Mode::empty();
        mode.set(Mode::NO_MATCH_SLASH_LITERAL, self.glob);
        mode.set(Mode::IGNORE_CASE, self.icase);
        gix_glob::wildmatch(self.path[..].into(), path.into(), mode)
    }
}

/// A path below the top, without `.`, `..` and doubled slashes; `None`: it leads out.
fn normal(prefix: &[u8], path: &[u8]) -> Option<RepoPath> {
    if path.starts_with(b"/") {
        return None;
    }
    let mut names: Vec<&[u8]> = Vec::new();
    let all = prefix.split(|byte| *byte == b'/');
    for name in all.chain(path.split(|byte| *byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    let mut joined = names.join(&b'/');
    if path.ends_with(b"/") && !joined.is_empty() {
        joined.push(b'/');
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(words: &[&str], prefix: &str) -> Pathspec {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Pathspec::parse(&words, &[], prefix.as_bytes()).unwrap()
    }

    #[test]
    fn paths_are_relative_to_the_folder_and_never_lead_out() {
        let here = spec(&["x", ":/y", "../z"], "a/b");
        for (path, meant) in [
            ("a/b/x", true),
            ("a/b/x/1", true),
            ("x", false),
            ("y", true),
            ("a/z", true),
            ("a/b/xy", false),
        ] {
            assert_eq!(here.selects(path.as_bytes()), meant, "{path}");
        }
        for word in ["../../x", "/etc", ":/../x"] {
            let words = [word.as_bytes().to_vec()];
            let told = Pathspec::parse(&words, &[], b"a");
            assert!(matches!(told, Err(PathspecError::Outside(_))), "{word}");
        }
    }

    #[test]
    fn what_is_excluded_wins_and_alone_leaves_the_rest() {
        assert!(!spec(&[":!.venv"], "").selects(b".venv/bin/python"));
        assert!(spec(&[":!.venv"], "").selects(b"src/x"));
        assert!(!spec(&["src", ":(exclude)src/gen"], "").selects(b"src/gen/x"));
        assert!(!spec(&["src", ":^*.log"], "").selects(b"src/a/b.log"));
        let excluded = Pathspec::parse(&[], &[b"x".to_vec()], b"").unwrap();
        assert!(!excluded.selects(b"x") && excluded.selects(b"y"));
        assert!(Pathspec::default().selects(b"anything"));
    }

    #[test]
    fn magic_that_is_not_known_is_named() {
        let words = [b":(attr:x)y".to_vec()];
        let told = Pathspec::parse(&words, &[], b"").unwrap_err().to_string();
        assert!(told.contains("attr:x"), "{told}");
        for word in [":(glob,literal)x", ":(exclude"] {
            assert!(Pathspec::parse(&[word.as_bytes().to_vec()], &[], b"").is_err());
        }
    }
}
