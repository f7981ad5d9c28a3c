//! Access control lists as archives write them (text, as `getfacl` shows it) in the kernel's form.

use crate::accounts::Accounts;

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
/// Most entries of one list: more do not fit an extended attribute.
const MAX_ENTRIES: usize = 500;
/// The id of entries that have none.
const NO_ID: u32 = u32::MAX;
/// The tag of the owning group.
const GROUP_OBJ: u16 = 0x04;

/// Fault of a text that is no access control list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AclError {
    /// Not of the form `kind:name:permissions`.
    #[error("an access control entry is broken")]
    Broken,
    /// A name that is none of the image's accounts.
    #[error("an access control entry names an unknown user or group")]
    Named,
    /// More entries than an extended attribute holds.
    #[error("an access control list has more than {MAX_ENTRIES} entries")]
    TooLong,
}

/// One entry: a user or group, and its permissions.
#[derive(Debug)]
struct AclEntry<'t> {
    tag: u16,
    who: Who<'t>,
    permissions: u16,
}

#[derive(Debug)]
enum Who<'t> {
    Id(u32),
    Name(&'t str),
}

/// The kernel's form of `text`: entries separated by commas or newlines, comments left aside. Names are those of
/// `accounts`.
pub(crate) fn from_text(text: &[u8], accounts: &Accounts) -> Result<Vec<u8>, AclError> {
    let text = String::from_utf8_lossy(text);
    let mut entries = Vec::new();
    for entry in entries_of(&text)? {
        let known = match entry.tag {
            USER => &accounts.users,
            _ => &accounts.groups,
        };
        let id = match entry.who {
            Who::Id(id) => id,
            Who::Name(name) => *known.get(name).ok_or(AclError::Named)?,
        };
        entries.push((entry.tag, id, entry.permissions));
    }
    // The kernel wants owner, users, group, groups, mask, others: the order of their tags.
    entries.sort_unstable();
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    Ok(list)
}

/// Permissions of the owning group in the list `text`. The mode of a file with a list shows the mask in the group's
/// place: without the list, the mask would give the group more than it had.
pub(crate) fn group_permissions(text: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(text);
    let entries = entries_of(&text).ok()?;
    let of_group = entries.iter().find(|entry| entry.tag == GROUP_OBJ);
    of_group.map(|entry| entry.permissions)
}

fn entries_of(text: &str) -> Result<Vec<AclEntry<'_>>, AclError> {
    let mut entries = Vec::new();
    for line in text.split(['\n', ',']) {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if !entry.is_empty() {
            entries.push(parse(entry)?);
        }
        if entries.len() > MAX_ENTRIES {
            return Err(AclError::TooLong);
        }
    }
    Ok(entries)
}

const USER: u16 = 0x02;

/// Reads `kind:name:rwx` or star's `kind:name:rwx:id`.
fn parse(entry: &str) -> Result<AclEntry<'_>, AclError> {
    let fields: Vec<&str> = entry.split(':').map(str::trim).collect();
    let (kind, name, permissions, id) = match fields[..] {
        [kind, name, permissions] => (kind, name, permissions, name),
        [kind, name, permissions, id] => (kind, name, permissions, id),
        // The mask and the others have no name, and some leave its colon out.
        [kind @ ("mask" | "m" | "other" | "o"), permissions] => (kind, "", permissions, ""),
        _ => return Err(AclError::Broken),
    };
    let (plain, named) = match kind {
        "user" | "u" => (0x01, Some(USER)),
        "group" | "g" => (GROUP_OBJ, Some(0x08)),
        "mask" | "m" => (0x10, None),
        "other" | "o" => (0x20, None),
        _ => return Err(AclError::Broken),
    };
    let permissions = rwx(permissions).ok_or(AclError::Broken)?;
    let (tag, who) = match (name, named) {
        ("", _) => (plain, Who::Id(NO_ID)),
        (name, Some(tag)) => (tag, id.parse().map_or(Who::Name(name), Who::Id)),
        (_, None) => return Err(AclError::Broken),
    };
    Ok(AclEntry {
        tag,
        who,
        permissions,
    })
}

fn rwx(text: &str) -> Option<u16> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    text.chars().try_fold(0, |bits, c| match c {
        'r' => Some(bits | 4),
        'w' => Some(bits | 2),
        'x' => Some(bits | 1),
        '-' => Some(bits),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(u16, u16, u32)> {
        let list = from_text(text.as_bytes(), &Accounts::default()).unwrap();
        assert_eq!(list[..4], VERSION.to_le_bytes());
        let entry = |e: &[u8]| {
            let id = u32::from_le_bytes([e[4], e[5], e[6], e[7]]);
            (
                u16::from_le_bytes([e[0], e[1]]),
                u16::from_le_bytes([e[2], e[3]]),
                id,
            )
        };
        list[4..].chunks(8).map(entry).collect()
    }

    #[test]
    fn gnu_and_star_forms_are_read_in_the_kernel_s_order() {
        let expected = [
            (1, 7, NO_ID),
            (2, 6, 1001),
            (4, 5, NO_ID),
            (0x10, 7, NO_ID),
            (0x20, 4, NO_ID),
        ];
        assert_eq!(
            entries("user::rwx\nuser:1001:rw-\ngroup::r-x\nmask::rwx\nother::r--\n"),
            expected
        );
        assert_eq!(
            entries("other::r--,u::rwx,user:lisa:rw-:1001,g::r-x,m:rwx"),
            expected
        );
    }

    #[test]
    fn names_are_those_of_the_image_s_accounts() {
        let accounts = Accounts::new("lisa:x:7:7\n", "adm:x:4:\n");
        let text = b"user::rwx,user:lisa:rw-,group::r-x,group:adm:r-x,mask::rwx,other::r--";
        let list = from_text(text, &accounts).unwrap();
        assert_eq!(list[4 + 8..][..8], [2, 0, 6, 0, 7, 0, 0, 0]);
        assert_eq!(list[4 + 3 * 8..][..8], [8, 0, 5, 0, 4, 0, 0, 0]);
        assert_eq!(from_text(text, &Accounts::default()), Err(AclError::Named));
        assert_eq!(group_permissions(text), Some(5));
        assert_eq!(group_permissions(b"group::rw-z"), None);
    }

    #[test]
    fn broken_lists_are_refused() {
        for bad in [
            "user",
            "user::",
            "user::rwxx",
            "user::rwz",
            "mask:5:rwx",
            "nobody::rwx",
            "a:b:c:d:e",
        ] {
            assert!(
                from_text(bad.as_bytes(), &Accounts::default()).is_err(),
                "{bad}"
            );
        }
    }
}
