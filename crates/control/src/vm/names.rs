//! Made-up names: an adjective and an animal, and a number when both are taken.

use banger_api::{ApiError, ErrorCode, VmName};

const ADJECTIVES: [&str; 32] = [
    "agile", "amber", "bold", "brave", "bright", "calm", "clever", "cosmic", "daring", "eager",
    "fleet", "gentle", "golden", "happy", "keen", "kind", "lively", "lucid", "merry", "mighty",
    "nimble", "noble", "patient", "proud", "quick", "quiet", "rapid", "silver", "smart", "sunny",
    "swift", "wise",
];
const ANIMALS: [&str; 32] = [
    "badger", "bear", "beaver", "bison", "crane", "dolphin", "eagle", "falcon", "ferret", "finch",
    "fox", "gecko", "hare", "hawk", "heron", "ibex", "jackal", "koala", "lemur", "lynx", "marten",
    "mole", "newt", "otter", "owl", "panda", "puffin", "raven", "seal", "stoat", "wolf", "wren",
];

/// A random name that `taken` does not know.
///
/// # Errors
/// None in practice: every such name is valid.
pub(super) fn make_up(taken: &dyn Fn(&str) -> bool) -> Result<VmName, ApiError> {
    let random = uuid::Uuid::new_v4();
    // Its first bytes are random (RFC 9562, 5.4).
    let bytes = random.as_bytes();
    let adjective = ADJECTIVES[usize::from(bytes[0]) % ADJECTIVES.len()];
    let animal = ANIMALS[usize::from(bytes[1]) % ANIMALS.len()];
    let plain = format!("{adjective}-{animal}");
    let name = match taken(&plain) {
        false => plain,
        true => format!("{plain}-{}", u16::from_le_bytes([bytes[2], bytes[3]])),
    };
    name.parse()
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("{error}")))
}

/// A name that shows to which one it belongs, for a VM that has that one later or had it before.
///
/// # Errors
/// None in practice: every such name is valid.
pub(super) fn beside(name: &VmName, word: &str) -> Result<VmName, ApiError> {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let end = format!("-{word}-{}", random.get(..8).unwrap_or(&random));
    let kept = VmName::MAX_LEN - end.len();
    let start = name.as_str().get(..kept).unwrap_or(name.as_str());
    format!("{start}{end}")
        .parse()
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_the_longest_one_is_a_name_of_its_own() {
        for length in [1, 40, VmName::MAX_LEN] {
            let name: VmName = "x".repeat(length).parse().unwrap();
            let beside = beside(&name, "new").unwrap();
            assert!(beside.as_str().contains("-new-"), "{beside}");
        }
    }

    #[test]
    fn every_made_up_name_is_a_name_and_a_taken_one_gets_a_number() {
        let name = make_up(&|_| false).unwrap();
        assert_eq!(name.as_str().matches('-').count(), 1);
        let name = make_up(&|_| true).unwrap();
        assert_eq!(name.as_str().matches('-').count(), 2);
    }
}
