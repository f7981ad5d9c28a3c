//! The store's errors as users see them.

use banger_api::{ApiError, ErrorCode};
use banger_store::{ClaimKind, StoreError};

/// The refusal of a resource that has an owner, by the name that users know it by.
fn claimed(kind: ClaimKind, resource: &str, owner: &str, vm: Option<&str>) -> ApiError {
    let owner = vm.map_or_else(|| owner.to_owned(), |name| format!("VM \"{name}\""));
    let what = match kind {
        ClaimKind::HostPort => format!("port {resource} of this host"),
        ClaimKind::Directory => format!("folder {resource}"),
        ClaimKind::Process => format!("process {resource}"),
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
        _ if error.is_no_space() => ApiError::new(
            ErrorCode::NoSpace,
            "the store cannot be written: no space left on its disk",
        )
        .hint("free some space on the disk that holds banger's state"),
        _ => {
            let mut message = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                message = format!("{message}: {source}");
            }
            ApiError::new(ErrorCode::Internal, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
