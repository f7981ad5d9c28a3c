//! Choice of one image of the several in an index, a layout or an archive, by the same rules for all.
//!
//! ```text
//!  candidates ─► by name: digest, full name, tag, last part of the name, platform ─► by platform ─► one
//!       ▲                                                                              │
//!       └──────────────── kind of an entry without a platform, when it matters ◄───────┘
//! ```

use crate::artifact::Kind;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Platform};
use crate::reference::Reference;

/// Most entries that are opened to learn their kind.
const MAX_LOOKS: usize = 32;
/// Most names that messages tell.
const MAX_TOLD: usize = 20;
/// Fewest digits of a digest that name an image.
const MIN_DIGITS: usize = 7;

/// One entry of a list.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// Its names: tags, full names.
    pub names: Vec<String>,
    /// Its digest, when known.
    pub digest: Option<Digest>,
    /// The platform that it is made for, when known.
    pub platform: Option<Platform>,
    /// Its kind, when known.
    pub kind: Option<Kind>,
}

impl From<&Descriptor> for Candidate {
    fn from(descriptor: &Descriptor) -> Self {
        let names = [&descriptor.image_name, &descriptor.ref_name];
        Self {
            names: names.into_iter().flatten().cloned().collect(),
            digest: Some(descriptor.digest),
            platform: descriptor.platform.clone(),
            kind: descriptor.kind(),
        }
    }
}

/// Outcome of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Found(usize),
    /// The choice depends on the kind of this entry: the caller opens it and asks again.
    Look(usize),
}

/// Refusal to choose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// None is called so.
    #[error("it has no image \"{wanted}\"; it has: {has}")]
    NoName {
        /// The name that the user asked for.
        wanted: String,
        /// The names that exist, for the message.
        has: String,
    },
    /// None is made for the platform.
    #[error("it is not made for {wanted}; there is: {has}")]
    NoPlatform {
        /// The platform that the user asked for.
        wanted: String,
        /// The platforms that exist, for the message.
        has: String,
    },
    /// Several could be meant.
    #[error("it has several images, name one of: {has}")]
    Several {
        /// The names that exist, for the message.
        has: String,
    },
    /// There is something, and no image.
    #[error("it is {kind}, not an image")]
    NoImage {
        /// Its kind.
        kind: Kind,
    },
    /// There is nothing.
    #[error("it has no image at all")]
    Nothing,
}

/// Chooses by `name`, where one is given, and by `platform`.
///
/// # Errors
/// None is meant, or more than one could be.
pub fn choose(
    list: &[Candidate],
    name: Option<&str>,
    platform: &Platform,
) -> Result<Choice, ChoiceError> {
    let all: Vec<usize> = (0..list.len()).collect();
    let named = match name {
        Some(name) => by_name(list, &all, name),
        None => all,
    };
    if named.is_empty() {
        return Err(match name {
            Some(name) => ChoiceError::NoName {
                wanted: name.to_owned(),
                has: told(list),
            },
            None => ChoiceError::Nothing,
        });
    }
    let images: Vec<usize> = named
        .iter()
        .copied()
        .filter(|&at| list[at].may_be_image())
        .collect();
    let Some(&first) = images.first() else {
        return Err(match &list[named[0]].kind {
            Some(kind) => ChoiceError::NoImage { kind: kind.clone() },
            None => ChoiceError::Nothing,
        });
    };
    let fitting: Vec<usize> = images
        .iter()
        .copied()
        .filter(|&at| {
            list[at]
                .platform
                .as_ref()
                .is_some_and(|other| platform.runs(other))
        })
        .collect();
    if !fitting.is_empty() {
        return one(list, &fitting, |at| {
            list[at]
                .platform
                .as_ref()
                .is_some_and(|other| other.variant == platform.variant)
        });
    }
    // An entry without a platform may be an image all the same, or an artifact that belongs to one.
    let silent: Vec<usize> = images
        .iter()
        .copied()
        .filter(|&at| list[at].platform.is_none())
        .collect();
    if images.len() == 1 && list.len() == 1 && silent.len() == 1 {
        return Ok(Choice::Found(first));
    }
    let unknown = silent.iter().copied().find(|&at| list[at].kind.is_none());
    let looked = list
        .iter()
        .filter(|candidate| candidate.kind.is_some())
        .count();
    match unknown {
        Some(at) if looked < MAX_LOOKS => Ok(Choice::Look(at)),
        _ if silent.is_empty() => Err(ChoiceError::NoPlatform {
            wanted: platform.to_string(),
            has: platforms(list, &images),
        }),
        _ => one(list, &silent, |_| true),
    }
}

/// One of `these`, of which the user would take any: the same image under several names, or variants of one platform.
fn one(
    list: &[Candidate],
    these: &[usize],
    is_best: impl Fn(usize) -> bool,
) -> Result<Choice, ChoiceError> {
    let first = these[0];
    let is_same = |at: usize| list[at].digest.is_some() && list[at].digest == list[first].digest;
    if these.iter().all(|&at| is_same(at)) {
        return Ok(Choice::Found(first));
    }
    // Of one name, or of none at all, with platforms: variants. Else they are different images.
    let variants = these
        .iter()
        .all(|&at| list[at].names == list[first].names && list[at].platform.is_some());
    match these {
        [only] => Ok(Choice::Found(*only)),
        _ if variants => {
            let best = these.iter().copied().find(|&at| is_best(at));
            Ok(Choice::Found(best.unwrap_or(first)))
        }
        _ => Err(ChoiceError::Several { has: told(list) }),
    }
}

/// Those of `these` that `name` means, in the first way in which it means any.
fn by_name(list: &[Candidate], these: &[usize], name: &str) -> Vec<usize> {
    let reference = name.parse::<Reference>().ok();
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let is_short_digest =
        digits.len() >= MIN_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let platform = name.parse::<Platform>().ok();
    let ways: [&dyn Fn(&Candidate) -> bool; 7] = [
        &|candidate| candidate.names.iter().any(|known| known == name),
        &|candidate| {
            candidate
                .digest
                .is_some_and(|digest| digest.to_string() == name)
        },
        &|candidate| {
            candidate
                .names
                .iter()
                .any(|known| tag_of(known) == Some(name))
        },
        &|candidate| {
            let full = |known: &String| known.parse::<Reference>().ok();
            reference.is_some() && candidate.names.iter().any(|known| full(known) == reference)
        },
        // `app:1.2`, or `app` with any tag, for `registry.example/team/app:1.2`.
        &|candidate| {
            candidate.names.iter().any(|known| {
                let last = known.rsplit('/').next().unwrap_or(known);
                last == name
                    || last
                        .split_once(':')
                        .is_some_and(|(repository, _)| repository == name)
            })
        },
        &|candidate| {
            is_short_digest
                && candidate
                    .digest
                    .is_some_and(|digest| digest.hex().starts_with(digits))
        },
        &|candidate| {
            platform
                .as_ref()
                .zip(candidate.platform.as_ref())
                .is_some_and(|(wanted, other)| wanted == other)
        },
    ];
    for way in ways {
        let meant: Vec<usize> = these.iter().copied().filter(|&at| way(&list[at])).collect();
        if !meant.is_empty() {
            return meant;
        }
    }
    Vec::new()
}

fn tag_of(name: &str) -> Option<&str> {
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.contains('/')).then_some(tag)
}

impl Candidate {
    fn may_be_image(&self) -> bool {
        let is_unknown = |platform: &Platform| platform.os == "unknown";
        !self.platform.as_ref().is_some_and(is_unknown)
            && !matches!(self.kind, Some(Kind::Artifact(_)))
    }

    /// A name that chooses it among `list`.
    fn told(&self, list: &[Self]) -> Option<String> {
        let is_own = |name: &&String| {
            let having = list.iter().filter(|other| other.names.contains(name));
            having.count() == 1
        };
        let name = self.names.iter().find(is_own).or(self.names.first());
        let platform = || {
            let platform = self.platform.as_ref()?;
            let alike = list
                .iter()
                .filter(|other| other.platform.as_ref() == Some(platform));
            (alike.count() == 1).then(|| platform.to_string())
        };
        name.cloned()
            .or_else(platform)
            .or_else(|| self.digest.map(|digest| digest.to_string()))
    }
}

fn told(list: &[Candidate]) -> String {
    let images = list.iter().filter(|candidate| candidate.may_be_image());
    joined(
        images
            .filter_map(|candidate| candidate.told(list))
            .collect(),
    )
}

fn platforms(list: &[Candidate], these: &[usize]) -> String {
    let all = these.iter().filter_map(|&at| list[at].platform.as_ref());
    joined(all.map(Platform::to_string).collect())
}

fn joined(mut names: Vec<String>) -> String {
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let more = names.len().saturating_sub(MAX_TOLD);
    names.truncate(MAX_TOLD);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
