//! POSIX access control lists: the kernel's form, and the shorter one that ext4 stores.
//!
//! ext4 stores a list in the kernel's form without an error, `e2fsck` accepts it, and the kernel then answers `EINVAL`
//! to each reader. So this module, and no other, converts it.

/// `POSIX_ACL_XATTR_VERSION`: header of the kernel's form.
const KERNEL_VERSION: u32 = 2;
/// `EXT4_ACL_VERSION`: header of ext4's form.
const DISK_VERSION: u32 = 1;
const KERNEL_ENTRY: usize = 8;
const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;
/// Tags without an id: owner, owning group, mask, others.
const WITHOUT_ID: [u16; 4] = [0x01, 0x04, 0x10, 0x20];

/// Reason why a value is not an access control list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its access control list is broken: {why}")]
pub struct AclError {
    why: String,
}

/// ext4's form of `kernel`, the value of `system.posix_acl_access` or `_default`.
pub(crate) fn to_disk(kernel: &[u8]) -> Result<Vec<u8>, AclError> {
    let broken = |why: String| Err(AclError { why });
    let Some((version, entries)) = kernel.split_first_chunk::<4>() else {
        return broken(format!("{} bytes", kernel.len()));
    };
    if u32::from_le_bytes(*version) != KERNEL_VERSION {
        return broken(format!("version {}", u32::from_le_bytes(*version)));
    }
    if !entries.len().is_multiple_of(KERNEL_ENTRY) {
        return broken(format!("{} bytes of entries", entries.len()));
    }
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(KERNEL_ENTRY) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        match tag {
            ACL_USER | ACL_GROUP => disk.extend_from_slice(entry),
            _ if WITHOUT_ID.contains(&tag) => disk.extend_from_slice(&entry[..4]),
            _ => return broken(format!("tag {tag:#x}")),
        }
    }
    Ok(disk)
}

/// The kernel's form of `disk`, which [`to_disk`] has made.
pub(crate) fn from_disk(disk: &[u8]) -> Result<Vec<u8>, AclError> {
    let broken = |why: String| Err(AclError { why });
    let Some((version, mut rest)) = disk.split_first_chunk::<4>() else {
        return broken(format!("{} bytes", disk.len()));
    };
    if u32::from_le_bytes(*version) != DISK_VERSION {
        return broken(format!("version {}", u32::from_le_bytes(*version)));
    }
    let mut kernel = KERNEL_VERSION.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let tag = rest.first_chunk::<2>().map(|tag| u16::from_le_bytes(*tag));
        let (len, id) = match tag {
            Some(ACL_USER | ACL_GROUP) => (KERNEL_ENTRY, &[][..]),
            Some(tag) if WITHOUT_ID.contains(&tag) => (4, &[0xFF; 4][..]),
            other => return broken(format!("tag {other:x?}")),
        };
        let Some((entry, after)) = rest.split_at_checked(len) else {
            return broken(format!("{} bytes of an entry", rest.len()));
        };
        kernel.extend_from_slice(entry);
        kernel.extend_from_slice(id);
        rest = after;
    }
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_only_where_there_are_any() {
        let mut kernel = KERNEL_VERSION.to_le_bytes().to_vec();
        for (tag, perm, id) in [
            (1_u16, 7_u16, u32::MAX),
            (2, 5, 1000),
            (4, 5, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 4, u32::MAX),
        ] {
            kernel.extend(tag.to_le_bytes());
            kernel.extend(perm.to_le_bytes());
            kernel.extend(id.to_le_bytes());
        }
        let disk = to_disk(&kernel).unwrap();
        assert_eq!(disk.len(), 4 + 4 * 4 + 8);
        assert_eq!(disk[..4], [1, 0, 0, 0]);
        assert_eq!(disk[8..16], [2, 0, 5, 0, 0xE8, 3, 0, 0]);
        assert_eq!(from_disk(&disk).unwrap(), kernel);
        assert!(from_disk(&disk[..disk.len() - 1]).is_err());
    }

    #[test]
    fn broken_lists_are_refused() {
        for bad in [
            &b""[..],
            b"\x02\0\0",
            b"\x01\0\0\0",
            b"\x02\0\0\0\x01",
            b"\x02\0\0\0\x77\0\0\0\0\0\0\0",
        ] {
            assert!(to_disk(bad).is_err(), "{bad:?}");
        }
    }
}
