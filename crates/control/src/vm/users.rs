//! Users of the host for VMMs, where the daemon is root: each VMM is somebody else.
//!
//! No account is made: a user is a number, claimed in the store while its VMM runs. The numbers are those that no
//! distribution gives to anybody (systemd's "Users, Groups, UIDs and GIDs on systemd Systems": 1879048192 and above are
//! unused).

use std::ops::Range;

use banger_api::ApiError;
use banger_ops::steps::user_claim;
use banger_store::claim;
use uuid::Uuid;

use crate::Control;

/// The numbers.
pub const VMM_USERS: Range<u32> = 0x7000_0000..0x7100_0000;
/// Numbers that are looked at before the last is taken as it is: its claim then says who has it.
const TRIES: u32 = 64;

/// A user that no VMM is, for the machine with this id: the same one each time, unless somebody has it. `None` where
/// VMMs have no users of their own.
///
/// # Errors
/// Only the store's.
pub(crate) fn free(control: &Control, machine: Uuid) -> Result<Option<u32>, ApiError> {
    if !control.environment().vmms_have_users() {
        return Ok(None);
    }
    let start = wish(machine);
    let taken = |uid| control.read(|db| claim::is_taken(db, &user_claim(uid)));
    let mut uid = at(start);
    for step in 1..TRIES {
        if !taken(uid)? {
            break;
        }
        uid = at(start.wrapping_add(step));
    }
    Ok(Some(uid))
}

fn at(number: u32) -> u32 {
    VMM_USERS.start + number % (VMM_USERS.end - VMM_USERS.start)
}

/// The last bytes of an id are random in every version of UUIDs that banger makes.
fn wish(machine: Uuid) -> u32 {
    let [.., a, b, c, d] = *machine.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_wishes_for_one_user_that_no_distribution_gives() {
        let machine = Uuid::from_u128(0x01a2_1896_6f72_74c6_8388_26c9_ffff_fffe);
        assert_eq!(wish(machine), wish(machine));
        for number in [0, 1, 0xff_ffff, 0x100_0000, wish(machine), u32::MAX] {
            assert!(VMM_USERS.contains(&at(number)), "{number}");
        }
        // 2^31 - 1 is the last that signed numbers have.
        const { assert!(VMM_USERS.end < 0x7fff_ffff) };
        assert_ne!(at(wish(machine)), at(wish(machine).wrapping_add(1)));
    }
}
