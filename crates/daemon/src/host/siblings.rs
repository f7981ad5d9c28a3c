//! The identities of guests, checked when one has been configured.
//!
//! A guest says what it reads back ([`IdentityRow`]); the host knows what most of it must be, and that some of it no other guest
//! may have. Guests that woke from one saved machine are equal in all that nobody renewed: so a row that is missing, wrong or
//! another's means that this guest is not itself, and it is not to be reached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use banger_api::VmId;
use banger_guest::{Configure, IdentityName, IdentityRow};

use crate::guest_files::now_ns;

/// Offset of a guest's clock that its own setting allows, in nanoseconds.
const CLOCK_OFF_NS: u64 = 5_000_000_000;
/// VMs whose rows are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 4_096;

/// Rows of the VMs that this daemon has configured. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Siblings(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// Values that no two guests may share, with the VM that had each, and the turn in which it came.
    values: HashMap<(IdentityName, String), (VmId, u64)>,
    turn: u64,
}

/// A row that is not what it must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotItself {
    /// The guest does not tell it.
    #[error("the guest does not tell its {0}")]
    Missing(IdentityName),
    /// It is not what was set.
    #[error("the guest's {name} is \"{found}\" and not \"{expected}\"")]
    Wrong {
        /// The row.
        name: IdentityName,
        /// The value that was set.
        expected: String,
        /// The value that the guest has.
        found: String,
    },
    /// Another guest has it, or had it before.
    #[error("the guest's {name} is that of another guest, of VM {of}")]
    Repeated {
        /// The row.
        name: IdentityName,
        /// The VM of the other guest.
        of: VmId,
    },
}

impl Siblings {
    /// Checks the rows of a guest that was configured just now, and remembers those that no other may have.
    ///
    /// # Errors
    /// The first row that is missing, wrong, or another's.
    pub(crate) fn check(
        &self,
        vm: VmId,
        configure: &Configure,
        rows: &[IdentityRow],
    ) -> Result<(), NotItself> {
        use IdentityName as Name;
        let macs = configure.net.iter().flat_map(|net| &net.interfaces);
        let mut expected = vec![
            (Name::Hostname, configure.hostname.clone()),
            (Name::MachineId, configure.machine_id.clone()),
            (Name::Generation, configure.generation.clone()),
        ];
        expected.extend(macs.map(|interface| (Name::MacAddress, interface.mac.to_string())));
        // A kernel that shows none tells none.
        if rows.iter().any(|row| row.name == Name::MachineUuid) {
            expected.push((Name::MachineUuid, configure.machine_uuid.clone()));
        }
        for (name, expected) in expected {
            let is_wanted = |row: &&IdentityRow| row.name == name && row.value == expected;
            if !rows.iter().any(|row| is_wanted(&row)) {
                let found = value(rows, name)?.to_owned();
                return Err(NotItself::Wrong {
                    name,
                    expected,
                    found,
                });
            }
        }
        check_clock(value(rows, Name::Clock)?, now_ns())?;
        let unique = [Name::Randomness, Name::BootId, Name::Generation];
        let unique = unique.map(|name| value(rows, name).map(|value| (name, value.to_owned())));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in unique {
            seen.add(row?, vm)?;
        }
        Ok(())
    }
}

impl Seen {
    fn add(&mut self, row: (IdentityName, String), vm: VmId) -> Result<(), NotItself> {
        if let Some((of, _)) = self.values.get(&row) {
            return Err(NotItself::Repeated {
                name: row.0,
                of: *of,
            });
        }
        self.turn += 1;
        self.values.insert(row, (vm, self.turn));
        if self.values.len() > 2 * REMEMBERED {
            let oldest = self.turn - REMEMBERED as u64;
            self.values.retain(|_, (_, turn)| *turn > oldest);
        }
        Ok(())
    }
}

fn value(rows: &[IdentityRow], name: IdentityName) -> Result<&str, NotItself> {
    let row = rows.iter().find(|row| row.name == name);
    row.map(|row| row.value.as_str())
        .ok_or(NotItself::Missing(name))
}

/// The guest read its clock before its answer came here.
fn check_clock(found: &str, now_ns: u64) -> Result<(), NotItself> {
    let off = found.parse().map(|found: u64| found.abs_diff(now_ns));
    match off {
        Ok(off) if off <= CLOCK_OFF_NS => Ok(()),
        _ => Err(NotItself::Wrong {
            name: IdentityName::Clock,
            expected: now_ns.to_string(),
            found: found.to_owned(),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use banger_guest::{Content, InitMode, RootPlan, TmpMode};

    use super::*;

    fn asked(generation: &str) -> Configure {
        Configure {
            hostname: "web".to_owned(),
            machine_id: "0a".repeat(16),
            machine_uuid: "01a21896".to_owned(),
            generation: generation.to_owned(),
            clock_unix_ns: now_ns(),
            entropy: Content(vec![7; 32]),
            root: RootPlan {
                base: "base".to_owned(),
                system: "system".to_owned(),
                work: None,
                grow_system: false,
                grow_work: false,
                modules: None,
            },
            init: InitMode::Auto,
            tmp: TmpMode::Disk,
            files: Vec::new(),
            authorities: None,
            mounts: Vec::new(),
            net: None,
            relays: Vec::new(),
            door: None,
            kernel_line: None,
            own_kernel: None,
            env: std::collections::BTreeMap::new(),
            cwd: None,
            user: None,
            entrypoint: Vec::new(),
            cmd: Vec::new(),
        }
    }

    fn told(random: &str, generation: &str) -> Vec<IdentityRow> {
        use IdentityName as Name;
        let rows = [
            (Name::Randomness, random.to_owned()),
            (Name::Clock, now_ns().to_string()),
            (Name::BootId, format!("boot {random}")),
            (Name::Hostname, "web".to_owned()),
            (Name::MachineId, "0a".repeat(16)),
            (Name::Generation, generation.to_owned()),
        ];
        rows.map(|(name, value)| IdentityRow { name, value }).into()
    }

    fn check(siblings: &Siblings, rows: &[IdentityRow]) -> Result<(), NotItself> {
        let generation = value(rows, IdentityName::Generation).unwrap_or("1");
        siblings.check(VmId::new(), &asked(generation), rows)
    }

    #[test]
    fn guests_with_values_of_their_own_are_themselves() {
        let siblings = Siblings::default();
        for number in 0..3 {
            let number = number.to_string();
            assert_eq!(check(&siblings, &told(&number, &number)), Ok(()));
        }
    }

    #[test]
    fn random_numbers_of_another_guest_are_found() {
        let siblings = Siblings::default();
        check(&siblings, &told("same", "1")).unwrap();
        let found = check(&siblings, &told("same", "2")).unwrap_err();
        let is_named = matches!(
            found,
            NotItself::Repeated {
                name: IdentityName::Randomness,
                ..
            }
        );
        assert!(is_named, "{found}");
    }

    #[test]
    fn each_row_that_is_missing_or_wrong_is_named() {
        let all = told("1", "1");
        for row in &all {
            let without: Vec<_> = all.iter().filter(|one| *one != row).cloned().collect();
            let found = Siblings::default().check(VmId::new(), &asked("1"), &without);
            assert_eq!(found, Err(NotItself::Missing(row.name)));
        }
        let known = [
            IdentityName::Clock,
            IdentityName::Hostname,
            IdentityName::MachineId,
            IdentityName::Generation,
        ];
        for name in known {
            let mut rows = all.clone();
            let row = rows.iter_mut().find(|row| row.name == name).unwrap();
            row.value = "12345".to_owned();
            let found = Siblings::default().check(VmId::new(), &asked("1"), &rows);
            let is_named =
                matches!(&found, Err(NotItself::Wrong { name: wrong, .. }) if *wrong == name);
            assert!(is_named, "{name}: {found:?}");
        }
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let siblings = Siblings::default();
        let mut seen = siblings.0.lock().unwrap();
        for number in 0..3 * REMEMBERED {
            let row = (IdentityName::Randomness, number.to_string());
            seen.add(row, VmId::new()).unwrap();
        }
        assert!(seen.values.len() <= 2 * REMEMBERED, "{}", seen.values.len());
    }
}
