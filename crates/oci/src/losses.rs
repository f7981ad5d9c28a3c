//! Losses of an archive or image: properties that cannot be kept, counted, with a few names of each kind for people.

use std::fmt;

use banger_disk::tree::printable;

/// Names of each kind that are kept.
const EXAMPLES: usize = 3;

/// Kind of loss of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its access control list names accounts that the image does not have.
    AclAccounts,
    /// Its access control list is broken, or too long.
    Acl,
    /// Extended attributes that ext4 cannot hold.
    Xattrs,
    /// It is a further name of a file that has as many as ext4 takes, and becomes a copy.
    Links,
    /// Its owner or group has a number that no file system holds, and becomes `nobody`'s.
    Owner,
    /// It is a device with a number that Linux does not have, and is left out.
    Device,
}

impl Loss {
    const ALL: [Self; 6] = [
        Self::AclAccounts,
        Self::Acl,
        Self::Xattrs,
        Self::Links,
        Self::Owner,
        Self::Device,
    ];

    fn told(self) -> &'static str {
        match self {
            Self::AclAccounts => {
                "access control lists that name accounts the image does not have are left out"
            }
            Self::Acl => "broken access control lists are left out",
            Self::Xattrs => "extended attributes that ext4 cannot hold are left out",
            Self::Links => {
                "further names of a file that has 65,000 names, the most that ext4 takes, are copies of it"
            }
            Self::Owner => "owners with numbers beyond 32 bits become 65534 (nobody)",
            Self::Device => "devices with numbers that Linux does not have are left out",
        }
    }
}

/// All that an archive or image loses. However much it is, this stays small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    kinds: [Count; Loss::ALL.len()],
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    entries: u64,
    examples: Vec<String>,
}

impl Losses {
    /// Counts one of the entry at `path`.
    pub(crate) fn add(&mut self, loss: Loss, path: &[u8]) {
        self.add_printable(loss, || printable(path));
    }

    /// As [`Losses::add`], for a path that is made only when it is kept.
    pub(crate) fn add_printable(&mut self, loss: Loss, path: impl FnOnce() -> String) {
        let count = &mut self.kinds[loss as usize];
        count.entries += 1;
        if count.examples.len() < EXAMPLES {
            count.examples.push(path());
        }
    }

    /// True when nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.kinds.iter().all(|count| count.entries == 0)
    }

    /// One sentence for each kind, with its number and the first names.
    pub fn sentences(&self) -> Vec<String> {
        let told = |loss: &Loss| {
            let count = &self.kinds[*loss as usize];
            (count.entries > 0).then(|| Told { loss: *loss, count }.to_string())
        };
        Loss::ALL.iter().filter_map(told).collect()
    }
}

struct Told<'a> {
    loss: Loss,
    count: &'a Count,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { entries, examples } = self.count;
        write!(f, "{}: ", self.loss.told())?;
        write!(f, "{}", examples.join(", "))?;
        match *entries - examples.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_losses_of_one_kind_are_one_sentence() {
        let mut losses = Losses::default();
        assert!(losses.is_empty());
        for number in 0..1000 {
            losses.add(Loss::Xattrs, format!("x/{number}\n").as_bytes());
        }
        losses.add(Loss::Acl, b"one");
        assert_eq!(
            losses.sentences(),
            [
                "broken access control lists are left out: one",
                "extended attributes that ext4 cannot hold are left out: x/0\\n, x/1\\n, x/2\\n and 997 more"
            ]
        );
    }
}
