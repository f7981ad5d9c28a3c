//! The address of the host's loopback network that a VM has for its life, and the door into its guest.
//!
//! Every process of the host can use the whole of 127.0.0.0/8 without asking. A VM's address is derived from its id, so that VMs of
//! different users, whose stores know nothing of each other, meet rarely; within one store it is claimed.

use std::net::Ipv4Addr;

use banger_api::ApiError;
use banger_ops::{NetPlan, store_error};
use banger_store::{Claim, ClaimKind, Connection, Owner, StoreError, VmRecord, claim, vm};
use uuid::Uuid;

use super::on_vm::gone;
use crate::Control;

/// The addresses are 127.83.x.y: 83 is the S of sandbox, and no program of a usual distribution has it.
const NETWORK: [u8; 2] = [127, 83];
/// Addresses that are tried before the last is taken as it is: its claim then says who has it.
const TRIES: u16 = 256;

/// The record of a VM that is about to start: with its address, and the door that its guest will have.
///
/// # Errors
/// `not_found`; the store's.
pub(super) fn prepared(control: &Control, record: &VmRecord) -> Result<VmRecord, ApiError> {
    if !record.has_net_process() {
        return Ok(record.clone());
    }
    let (id, door) = (record.id, NetPlan::door_of(record));
    if record.network.address.is_some() && record.network.door == door {
        // As at its last start: a commit less.
        return Ok(record.clone());
    }
    let prepared = control.store().write(move |tx| {
        let Some(mut now) = vm::by_id(tx, id)? else {
            return Ok(None);
        };
        let address = match now.network.address {
            Some(address) => address,
            None => free(tx, id.0)?,
        };
        claim::add(tx, &claim_of(address), &Owner::Vm(id))?;
        now.network.address = Some(address);
        now.network.door = door;
        vm::update(tx, &now)?;
        Ok(Some(now))
    });
    prepared.map_err(store_error)?.ok_or_else(gone)
}

fn claim_of(address: Ipv4Addr) -> Claim {
    Claim::new(ClaimKind::Address, address.to_string())
}

/// An address that no VM has, the same one each time unless somebody has it.
fn free(db: &Connection, machine: Uuid) -> Result<Ipv4Addr, StoreError> {
    let start = wish(machine);
    let mut address = at(start);
    for step in 1..TRIES {
        if !claim::is_taken(db, &claim_of(address))? {
            break;
        }
        address = at(start.wrapping_add(step));
    }
    Ok(address)
}

/// One of the network's addresses; neither its first nor its last.
fn at(number: u16) -> Ipv4Addr {
    let [a, b] = NETWORK;
    let [c, d] = (1 + number % (u16::MAX - 1)).to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// The last bytes of an id are random in every version of UUIDs that banger makes.
fn wish(machine: Uuid) -> u16 {
    let [.., c, d] = *machine.as_bytes();
    u16::from_be_bytes([c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_wishes_for_one_address_which_is_neither_the_first_nor_the_last() {
        let machine = Uuid::from_u128(0x01a2_1896_6f72_74c6_8388_26c9_ffff_0102);
        assert_eq!(at(wish(machine)), Ipv4Addr::new(127, 83, 1, 3));
        let all: std::collections::BTreeSet<Ipv4Addr> = (0..u16::MAX - 1).map(at).collect();
        assert_eq!(all.len(), usize::from(u16::MAX - 1));
        for address in [at(0), at(u16::MAX - 2), at(u16::MAX)] {
            assert!(address.is_loopback(), "{address}");
            assert_ne!(address.octets()[2..], [0, 0]);
            assert_ne!(address.octets()[2..], [255, 255]);
        }
    }
}
