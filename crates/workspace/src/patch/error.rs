//! Errors of a patch.

/// Paths that are listed.
const LISTED: usize = 20;
/// Characters of each.
const SHOWN: usize = 200;

/// Refusal of a patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Paths that lead out of the repository or into its `.git`, or break another rule.
    #[error("the guest's patch names {}", told(listed, *more))]
    Paths {
        /// The first of them.
        listed: Vec<Offence>,
        /// Number of further paths.
        more: usize,
    },
    /// A line is not one that git writes there.
    #[error("the guest's patch: line {line}: {why}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// The fault, in words.
        why: &'static str,
    },
    /// It is too large.
    #[error("the guest's patch has more than the {limit} {what} allowed")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// It ends too early.
    #[error("the guest's patch ends in the middle of a file")]
    Cut,
}

/// A path that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The path, as far as it can be shown.
    pub path: String,
    /// Reason of the refusal.
    pub why: &'static str,
}

impl PatchError {
    pub(crate) fn path(path: &[u8], why: &'static str) -> Self {
        Self::Paths {
            listed: vec![Offence::new(path, why)],
            more: 0,
        }
    }

    /// The paths that are refused, as far as they are listed.
    pub fn paths(&self) -> &[Offence] {
        match self {
            Self::Paths { listed, .. } => listed,
            _ => &[],
        }
    }
}

impl Offence {
    fn new(path: &[u8], why: &'static str) -> Self {
        let path = String::from_utf8_lossy(path).chars().take(SHOWN).collect();
        Self { path, why }
    }
}

/// Paths that broke a rule, until all have been seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offences {
    listed: Vec<Offence>,
    more: usize,
}

impl Offences {
    pub(crate) fn add(&mut self, error: PatchError) -> Result<(), PatchError> {
        let PatchError::Paths { listed, more } = error else {
            return Err(error);
        };
        self.more += more;
        for offence in listed {
            let known = self.listed.iter().any(|other| other.path == offence.path);
            if known {
                continue;
            }
            match self.listed.len() < LISTED {
                true => self.listed.push(offence),
                false => self.more += 1,
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), PatchError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        Err(PatchError::Paths {
            listed: self.listed,
            more: self.more,
        })
    }
}

fn told(listed: &[Offence], more: usize) -> String {
    let one = |offence: &Offence| format!("{:?}: {}", offence.path, offence.why);
    let mut told: Vec<_> = listed.iter().map(one).collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}
