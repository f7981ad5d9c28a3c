//! Names that have an address of their own.
//!
//! ```text
//! lookup of an allowed name ─► row { name, 198.18.x.y, fd62:…:1::198.18.x.y, addresses that the host found }
//! connection to 198.18.x.y ──► row ─► the name ─► policy, and the host's addresses
//! ```
//!
//! The permission is the address: whatever the protocol, a connection is bound to the name that was asked. A row goes ten
//! minutes after its last use, unless a connection needs it.
//!
//! Where addresses are not bound to names, the names of the last answers are remembered for the log.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use banger_egress::Name;

use crate::limits::NAMES_MAX;

/// The first address (RFC 2544: benchmarks; no host has one).
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 16);
/// Addresses of 198.18.0.0/15 behind the first.
const COUNT: u32 = (1 << 17) - 32;
/// The network of the IPv6 forms.
const V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 1, 0, 0, 0, 0);
/// A row that was not used for so long goes.
const UNUSED: Duration = Duration::from_secs(600);
/// Time for which the addresses that the host found are good.
const FRESH: Duration = Duration::from_secs(30);
/// Answers that are remembered for the log.
const SEEN_MAX: usize = 4096;

/// A name with an address.
#[derive(Debug)]
struct Row {
    name: Name,
    used: Instant,
    found: Vec<IpAddr>,
    found_at: Instant,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Names {
    rows: BTreeMap<Ipv4Addr, Row>,
    by_name: HashMap<Name, Ipv4Addr>,
    next: u32,
    seen: HashMap<IpAddr, Name>,
}

/// Addresses of a name, for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

fn given(v4: Ipv4Addr) -> Given {
    Given {
        v4,
        v6: Ipv6Addr::from_bits(V6.to_bits() | u128::from(v4.to_bits())),
    }
}

/// The row's address of what a guest connects to.
fn row_address(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => {
            let low = u32::try_from(v6.to_bits() & u128::from(u32::MAX)).ok()?;
            let v4 = Ipv4Addr::from_bits(low);
            (given(v4).v6 == v6).then_some(v4)
        }
    }
}

impl Names {
    /// Gives a name its address, and notes what the host found for it. `None`: the table is full.
    pub(crate) fn give(&mut self, name: &Name, found: Vec<IpAddr>, now: Instant) -> Option<Given> {
        let v4 = match self.by_name.get(name) {
            Some(v4) => *v4,
            None => self.free(now)?,
        };
        self.by_name.insert(name.clone(), v4);
        let row = Row {
            name: name.clone(),
            used: now,
            found,
            found_at: now,
        };
        self.rows.insert(v4, row);
        Some(given(v4))
    }

    fn free(&mut self, now: Instant) -> Option<Ipv4Addr> {
        if self.rows.len() >= NAMES_MAX {
            self.expire(now, |_| false);
        }
        if self.rows.len() >= NAMES_MAX {
            return None;
        }
        // One after the other, so that an address is not another name's soon after.
        loop {
            let v4 = Ipv4Addr::from_bits(FIRST.to_bits() + self.next % COUNT);
            self.next = self.next.wrapping_add(1);
            if !self.rows.contains_key(&v4) {
                return Some(v4);
            }
        }
    }

    /// The name of an address that a guest connects to, and what the host found for it when that is fresh.
    pub(crate) fn of(
        &mut self,
        address: IpAddr,
        now: Instant,
    ) -> Option<(Name, Option<Vec<IpAddr>>)> {
        let row = self.rows.get_mut(&row_address(address)?)?;
        if now.saturating_duration_since(row.used) > UNUSED {
            return None;
        }
        row.used = now;
        let is_fresh = now.saturating_duration_since(row.found_at) < FRESH && !row.found.is_empty();
        Some((row.name.clone(), is_fresh.then(|| row.found.clone())))
    }

    /// Notes what the host found for a name that has a row.
    pub(crate) fn found(&mut self, name: &Name, found: &[IpAddr], now: Instant) {
        let row = self.by_name.get(name).and_then(|v4| self.rows.get_mut(v4));
        if let Some(row) = row {
            row.found = found.to_vec();
            row.found_at = now;
        }
    }

    /// Removes rows that were not used for long and whose name is not `needed`.
    pub(crate) fn expire(&mut self, now: Instant, needed: impl Fn(&Name) -> bool) {
        self.retain(|row| now.saturating_duration_since(row.used) <= UNUSED || needed(&row.name));
    }

    /// Keeps the rows of names that are still allowed.
    pub(crate) fn keep(&mut self, allowed: impl Fn(&Name) -> bool) {
        self.retain(|row| allowed(&row.name));
    }

    fn retain(&mut self, keep: impl Fn(&Row) -> bool) {
        let by_name = &mut self.by_name;
        self.rows.retain(|_, row| {
            let keeps = keep(row);
            if !keeps {
                by_name.remove(&row.name);
            }
            keeps
        });
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Remembers an answer that the guest got.
    pub(crate) fn saw(&mut self, name: &Name, addresses: &[IpAddr]) {
        if self.seen.len() + addresses.len() > SEEN_MAX {
            self.seen.clear();
        }
        for address in addresses {
            self.seen.insert(*address, name.clone());
        }
    }

    /// The name whose answer had this address last.
    pub(crate) fn seen(&self, address: IpAddr) -> Option<&Name> {
        self.seen.get(&address)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_keeps_its_address_and_no_other_name_has_it() {
        let now = Instant::now();
        let mut names = Names::default();
        let a = names.give(&name("a.example"), Vec::new(), now).unwrap();
        let b = names.give(&name("b.example"), Vec::new(), now).unwrap();
        assert_ne!(a, b);
        assert_eq!(names.give(&name("a.example"), Vec::new(), now), Some(a));
        for address in [IpAddr::V4(a.v4), a.v6.into()] {
            assert_eq!(names.of(address, now).unwrap().0, name("a.example"));
        }
        for other in [
            "198.18.9.9",
            "fd62:616e:6765:2::c612:10",
            "fd62:616e:6765:1:0:1:c612:10",
            "::ffff:198.18.0.16",
        ] {
            assert!(names.of(other.parse().unwrap(), now).is_none(), "{other}");
        }
    }

    #[test]
    fn a_row_goes_when_it_was_not_used_for_long_or_is_not_allowed_any_more() {
        let now = Instant::now();
        let mut names = Names::default();
        let a = names
            .give(&name("a.example"), vec!["192.0.2.1".parse().unwrap()], now)
            .unwrap();
        assert!(names.of(a.v4.into(), now).unwrap().1.is_some());
        assert!(names.of(a.v4.into(), now + FRESH).unwrap().1.is_none());
        let late = now + FRESH + UNUSED + Duration::from_secs(1);
        assert!(names.of(a.v4.into(), late).is_none());
        names.expire(late, |_| true);
        assert_eq!(names.len(), 1);
        names.expire(late, |_| false);
        assert_eq!(names.len(), 0);
        let a = names.give(&name("a.example"), Vec::new(), late).unwrap();
        names.keep(|one| *one != name("a.example"));
        assert!(names.of(a.v4.into(), late).is_none());
    }

    #[test]
    fn a_full_table_gives_no_more_until_rows_have_gone() {
        let now = Instant::now();
        let mut names = Names::default();
        for n in 0..NAMES_MAX {
            assert!(
                names
                    .give(&name(&format!("n{n}.example")), Vec::new(), now)
                    .is_some()
            );
        }
        assert!(names.give(&name("more.example"), Vec::new(), now).is_none());
        let late = now + UNUSED + Duration::from_secs(1);
        assert!(
            names
                .give(&name("more.example"), Vec::new(), late)
                .is_some()
        );
        assert_eq!(names.len(), 1);
    }
}
