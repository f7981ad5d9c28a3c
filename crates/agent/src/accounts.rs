//! `/etc/passwd` and `/etc/group` (passwd(5), group(5)), read without the C library: see the crate's words.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of an account file that are looked at.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The user of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name; the number where there is none.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, the first included.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Finds an account by `name`, `uid`, `name:group` or `uid:gid`, below `root`. A number needs no entry.
///
/// # Errors
/// A fragment that names what does not exist.
pub fn find(root: &Path, wanted: &str) -> Result<Account, String> {
    // An empty part is as if it was not said, as container engines have it.
    let (user, group) = wanted.split_once(':').unwrap_or((wanted, ""));
    let user = if user.is_empty() { "root" } else { user };
    let group = (!group.is_empty()).then_some(group);
    let passwd = read(&root.join("etc/passwd"));
    let groups = read(&root.join("etc/group"));
    let number = user.parse::<u32>().ok();
    let entry = passwd
        .lines()
        .filter_map(parse_user)
        .find(|entry| entry.name == user || number == Some(entry.uid));
    let mut account = match (entry, number) {
        (Some(entry), _) => entry,
        // root exists, whatever the image says.
        (None, None) if user == "root" => stranger(0),
        (None, Some(uid)) => stranger(uid),
        (None, None) => return Err(format!("user {user:?} does not exist in the guest")),
    };
    if let Some(group) = group {
        account.gid = find_group(&groups, group)
            .ok_or_else(|| format!("group {group:?} does not exist in the guest"))?;
    }
    account.groups = vec![account.gid];
    for (gid, members) in groups.lines().filter_map(parse_group) {
        if gid != account.gid && members.split(',').any(|member| member == account.name) {
            account.groups.push(gid);
        }
    }
    Ok(account)
}

fn stranger(uid: u32) -> Account {
    let (name, home) = if uid == 0 {
        ("root".to_owned(), "/root")
    } else {
        (uid.to_string(), "/")
    };
    Account {
        name,
        uid,
        gid: uid,
        groups: vec![],
        home: home.to_owned(),
        shell: "/bin/sh".to_owned(),
    }
}

fn find_group(groups: &str, wanted: &str) -> Option<u32> {
    let by_name = groups
        .lines()
        .find(|line| line.split(':').next() == Some(wanted))
        .and_then(parse_group);
    by_name.map(|(gid, _)| gid).or_else(|| wanted.parse().ok())
}

fn parse_user(line: &str) -> Option<Account> {
    // Lines are written by hand in small images: what is missing at the end is as if it was empty.
    let mut fields = line.trim_end().split(':');
    let (name, _, uid) = (fields.next()?, fields.next()?, fields.next()?);
    let mut rest = || fields.next().unwrap_or_default();
    let (gid, _, home, shell) = (rest(), rest(), rest(), rest());
    if name.is_empty() {
        return None;
    }
    let or = |text: &str, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text.to_owned()
        }
    };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: if gid.is_empty() { 0 } else { gid.parse().ok()? },
        groups: vec![],
        home: or(home, "/"),
        shell: or(shell, "/bin/sh"),
    })
}

fn parse_group(line: &str) -> Option<(u32, &str)> {
    let mut fields = line.trim_end().split(':');
    let (_, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
    Some((gid.parse().ok()?, fields.next().unwrap_or_default()))
}

/// A missing or unreadable file is an empty one: images without accounts work, as root.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nbroken line\nann:x:1000:1000:,,,:/home/ann:\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(
            root.path().join("etc/group"),
            "root:x:0:\nann:x:1000:\ndocker:x:999:bob,ann\n",
        )
        .unwrap();
        root
    }

    #[test]
    fn an_account_is_found_by_name_and_by_number() {
        let root = guest();
        let ann = find(root.path(), "ann").unwrap();
        assert_eq!(
            (ann.uid, ann.gid, ann.groups.clone()),
            (1000, 1000, vec![1000, 999])
        );
        assert_eq!(
            (ann.home.as_str(), ann.shell.as_str()),
            ("/home/ann", "/bin/sh")
        );
        assert_eq!(find(root.path(), "1000").unwrap(), ann);
        assert_eq!(find(root.path(), "ann:docker").unwrap().gid, 999);
        assert_eq!(find(root.path(), "77:88").unwrap().gid, 88);
    }

    #[test]
    fn lines_with_fewer_fields_and_empty_parts_are_taken() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "app:x:1001:1001::/srv/app\nshort:x:1002\nbad:x:many:0:::\n:x:5:5:::\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.path().join("etc/group"), "web:x:80\nlog:x:4:app\n").unwrap();
        let app = find(root.path(), "app").unwrap();
        assert_eq!(
            (app.uid, app.home.as_str(), app.shell.as_str()),
            (1001, "/srv/app", "/bin/sh")
        );
        assert_eq!(app.groups, [1001, 4]);
        let short = find(root.path(), "short").unwrap();
        assert_eq!((short.uid, short.gid, short.home.as_str()), (1002, 0, "/"));
        assert_eq!(find(root.path(), "app:web").unwrap().gid, 80);
        assert_eq!(find(root.path(), "app:").unwrap(), app);
        let group_only = find(root.path(), ":web").unwrap();
        assert_eq!((group_only.uid, group_only.gid), (0, 80));
        assert_eq!(find(root.path(), "").unwrap().uid, 0);
        assert!(find(root.path(), "bad").is_err());
    }

    #[test]
    fn an_unknown_name_is_named() {
        let error = find(guest().path(), "eve").unwrap_err();
        assert!(error.contains("\"eve\""), "{error}");
        assert!(find(guest().path(), "ann:nobody").is_err());
    }

    #[test]
    fn root_exists_in_an_image_without_accounts() {
        let empty = tempfile::tempdir().unwrap();
        let root = find(empty.path(), "root").unwrap();
        assert_eq!((root.uid, root.home.as_str()), (0, "/root"));
    }
}
