//! Access control lists as archives write them (text, as `getfacl` shows it) in the kernel's form.

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
/// Most entries of one list: what fits an extended attribute.
const MAX_ENTRIES: usize = 500;
/// The id of entries that have none.
const NO_ID: u32 = u32::MAX;

/// Why a text is no access control list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// Not of the form `kind:name:permissions`.
    #[error("access control entry \"{entry}\" is broken")]
    Broken {
        /// The entry.
        entry: String,
    },
    /// A name where a number is needed: names of the archive's machine mean nothing here.
    #[error(
        "access control entry \"{entry}\" names its user or group: pack the archive with --numeric-owner"
    )]
    Named {
        /// The entry.
        entry: String,
    },
    /// More entries than an extended attribute holds.
    #[error("an access control list has more than {MAX_ENTRIES} entries")]
    TooLong,
}

/// The kernel's form of `text`: entries separated by commas or newlines, comments left aside.
pub(crate) fn from_text(text: &[u8]) -> Result<Vec<u8>, AclError> {
    let text = String::from_utf8_lossy(text);
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

/// (tag, id, permissions) of `kind:name:rwx` or star's `kind:name:rwx:id`.
fn parse(entry: &str) -> Result<(u16, u32, u16), AclError> {
    let broken = || AclError::Broken {
        entry: entry.to_owned(),
    };
    let fields: Vec<&str> = entry.split(':').map(str::trim).collect();
    let (kind, name, permissions, id) = match fields[..] {
        [kind, name, permissions] => (kind, name, permissions, name),
        [kind, name, permissions, id] => (kind, name, permissions, id),
        // The mask and the others have no name, and some leave its colon out.
        [kind @ ("mask" | "m" | "other" | "o"), permissions] => (kind, "", permissions, ""),
        _ => return Err(broken()),
    };
    let (plain, named) = match kind {
        "user" | "u" => (0x01, Some(0x02)),
        "group" | "g" => (0x04, Some(0x08)),
        "mask" | "m" => (0x10, None),
        "other" | "o" => (0x20, None),
        _ => return Err(broken()),
    };
    let permissions = rwx(permissions).ok_or_else(broken)?;
    match (name, named) {
        ("", _) => Ok((plain, NO_ID, permissions)),
        (_, Some(tag)) => match id.parse() {
            Ok(id) => Ok((tag, id, permissions)),
            Err(_not_a_number) => Err(AclError::Named {
                entry: entry.to_owned(),
            }),
        },
        (_, None) => Err(broken()),
    }
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
        let list = from_text(text.as_bytes()).unwrap();
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
    fn names_without_numbers_say_what_to_do() {
        let refused = from_text(b"user::rwx,user:lisa:rw-").unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("pack the archive with --numeric-owner")
        );
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
            assert!(from_text(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
