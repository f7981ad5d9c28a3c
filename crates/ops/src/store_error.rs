//! Errors of the store as users see them: the cause, and what to do on the host.

use banger_api::{ApiError, ErrorCode};
use banger_store::{ClaimKind, StoreError, Trouble};

/// The refusal of a resource that has an owner, by the name that users know it by.
fn claimed(kind: ClaimKind, resource: &str, owner: &str, vm: Option<&str>) -> ApiError {
    let owner = vm.map_or_else(|| owner.to_owned(), |name| format!("VM \"{name}\""));
    let what = match kind {
        ClaimKind::HostPort => format!("port {resource} of this host"),
        ClaimKind::Directory => format!("folder {resource}"),
        ClaimKind::Process => format!("process {resource}"),
        ClaimKind::Address => format!("address {resource} of this host"),
        ClaimKind::User => format!("user {resource} of this host"),
    };
    let error = ApiError::new(ErrorCode::InUse, format!("{what} is in use by {owner}"));
    match (kind, vm) {
        (ClaimKind::HostPort, Some(name)) => error.hint(format!(
            "publish another port of this host, or stop that VM: banger stop {name}"
        )),
        _ => error,
    }
}

/// The store's errors as users see them.
pub fn store_error(error: StoreError) -> ApiError {
    match &error {
        StoreError::NameTaken { .. } => ApiError::new(ErrorCode::NameTaken, error.to_string())
            .hint("choose another name, or delete the one that has it"),
        StoreError::Claimed {
            kind,
            resource,
            owner,
            vm,
        } => claimed(*kind, resource, owner, vm.as_deref()),
        StoreError::Changed { .. } => ApiError::new(ErrorCode::InUse, error.to_string())
            .hint("something else changed it at the same time; try again"),
        StoreError::Gone { .. } => ApiError::new(ErrorCode::NotFound, error.to_string()),
        _ => match error.trouble() {
            Some(trouble) => of_trouble(trouble, &with_cause(&error)),
            None => ApiError::new(ErrorCode::Internal, with_cause(&error)),
        },
    }
}

fn with_cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Faults of the host that keep the store from being used.
fn of_trouble(trouble: Trouble, why: &str) -> ApiError {
    let (code, message, hint) = match trouble {
        Trouble::NoSpace => (
            ErrorCode::NoSpace,
            "the store cannot be written: no space left on its disk".to_owned(),
            "free some space on the disk that holds banger's state",
        ),
        Trouble::ReadOnly => (
            ErrorCode::HostNotReady,
            format!("the store cannot be written ({why})"),
            "make the state folder and its file system writable again (banger daemon status names the folder)",
        ),
        Trouble::Locked => (
            ErrorCode::HostNotReady,
            format!("another program holds the lock of the store ({why})"),
            "end the program that has banger.db open (fuser banger.db names it), then try again",
        ),
        Trouble::Damaged => (
            ErrorCode::HostNotReady,
            format!("the store is damaged ({why})"),
            "put a whole banger.db in its place, or move it away: then VMs are unknown, their disks stay in state/vms",
        ),
        Trouble::Disk => (
            ErrorCode::HostNotReady,
            format!("the store's disk fails ({why})"),
            "look at the kernel's log (dmesg) for the disk that holds banger's state",
        ),
    };
    ApiError::new(code, message).hint(hint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
mod tests {
    use banger_store::Connection;

    use super::*;

    /// Answer of SQLite to `sql` on a database that `prepare` has made so.
    fn refused(prepare: impl FnOnce(&std::path::Path) -> Connection, sql: &str) -> ApiError {
        let dir = tempfile::tempdir().unwrap();
        let db = prepare(&dir.path().join("banger.db"));
        store_error(StoreError::from(db.execute_batch(sql).unwrap_err()))
    }

    #[test]
    fn a_store_that_the_host_keeps_from_being_used_names_the_cause_and_the_next_step() {
        let read_only = refused(
            |path| {
                let db = Connection::open(path).unwrap();
                db.execute_batch("CREATE TABLE t (n); PRAGMA query_only = ON")
                    .unwrap();
                db
            },
            "INSERT INTO t VALUES (1)",
        );
        assert!(
            read_only.message.contains("cannot be written"),
            "{read_only}"
        );
        let damaged = refused(
            |path| {
                std::fs::write(
                    path,
                    "no database, but long enough to be looked at".repeat(40),
                )
                .unwrap();
                Connection::open(path).unwrap()
            },
            "SELECT * FROM sqlite_schema",
        );
        assert!(damaged.message.contains("is damaged"), "{damaged}");
        let mut other = None;
        let locked = refused(
            |path| {
                let holder = Connection::open(path).unwrap();
                holder
                    .execute_batch("CREATE TABLE t (n); BEGIN EXCLUSIVE")
                    .unwrap();
                other = Some(holder);
                let db = Connection::open(path).unwrap();
                db.busy_timeout(std::time::Duration::ZERO).unwrap();
                db
            },
            "INSERT INTO t VALUES (1)",
        );
        assert!(locked.message.contains("holds the lock"), "{locked}");
        let full = refused(
            |path| {
                let db = Connection::open(path).unwrap();
                db.execute_batch(
                    "PRAGMA page_size = 512; CREATE TABLE t (n); PRAGMA max_page_count = 2",
                )
                .unwrap();
                db
            },
            "INSERT INTO t VALUES (zeroblob(100000))",
        );
        assert_eq!(full.code, ErrorCode::NoSpace);
        for error in [read_only, damaged, locked] {
            assert_eq!(error.code, ErrorCode::HostNotReady, "{error}");
            assert!(error.hint.is_some(), "{error}");
        }
    }

    fn of_port(vm: Option<&str>) -> ApiError {
        store_error(StoreError::Claimed {
            kind: ClaimKind::HostPort,
            resource: "127.0.0.1:18081".to_owned(),
            owner: "vm:01a2180a".to_owned(),
            vm: vm.map(str::to_owned),
        })
    }

    #[test]
    fn a_port_of_another_vm_is_told_with_its_name_and_what_frees_it() {
        let error = of_port(Some("web"));
        assert_eq!(
            error.message,
            "port 127.0.0.1:18081 of this host is in use by VM \"web\""
        );
        assert!(error.hint.unwrap().ends_with("banger stop web"));
    }

    #[test]
    fn an_owner_without_a_name_is_told_as_it_is_stored() {
        let error = of_port(None);
        assert!(error.message.ends_with("in use by vm:01a2180a"), "{error}");
        assert_eq!(error.hint, None);
    }
}
