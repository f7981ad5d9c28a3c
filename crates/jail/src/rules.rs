//! The rules of landlock(7), made before the fork.

use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};

use crate::error::Layer;
use crate::{Access, Item, JailError, Network, Spec};

/// A ruleset that holds a process to `spec`, for a kernel with version `abi` of landlock.
pub(crate) fn ruleset(spec: &Spec, abi: u32) -> Result<OwnedFd, JailError> {
    let abi = ABI::from(i32::try_from(abi).unwrap_or(i32::MAX));
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .map_err(refused)?;
    let tcp = handled(&spec.network, abi);
    if !tcp.is_empty() {
        rules = rules.handle_access(tcp).map_err(refused)?;
    }
    let scopes = Scope::from_all(abi);
    if !scopes.is_empty() {
        rules = rules.scope(scopes).map_err(refused)?;
    }
    let mut rules = rules.create().map_err(refused)?;
    for item in &spec.items {
        if let Some((file, access)) = opened(item, abi)? {
            rules = rules
                .add_rule(PathBeneath::new(file, access))
                .map_err(refused)?;
        }
    }
    if tcp.contains(AccessNet::BindTcp) {
        for port in spec.network.ports() {
            rules = rules
                .add_rule(NetPort::new(*port, AccessNet::BindTcp))
                .map_err(refused)?;
        }
    }
    let fd: Option<OwnedFd> = rules.into();
    fd.ok_or(JailError::Absent {
        layer: Layer::Landlock,
    })
}

/// The accesses to the network that are refused unless a rule allows them.
fn handled(network: &Network, abi: ABI) -> BitFlags<AccessNet> {
    let tcp = AccessNet::BindTcp | AccessNet::ConnectTcp;
    let known = AccessNet::from_all(abi);
    match network {
        Network::None => known,
        Network::Listen(_) => known & tcp,
        Network::Connect(_) => known & AccessNet::BindTcp,
    }
}

fn opened(item: &Item, abi: ABI) -> Result<Option<(OwnedFd, BitFlags<AccessFs>)>, JailError> {
    let failed = |source: rustix::io::Errno| JailError::Path {
        path: item.path.clone(),
        source: source.into(),
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&item.path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(_) if item.optional => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    let mut access = rights(item.access) & AccessFs::from_all(abi);
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        access &= AccessFs::from_file(abi);
    }
    Ok(Some((file, access)))
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read | AccessFs::WriteFile | AccessFs::Truncate;
    match access {
        Access::Read => read,
        Access::Execute => read | AccessFs::Execute,
        Access::Write => write,
        Access::MakeSockets => write | AccessFs::MakeSock | AccessFs::RemoveFile,
        Access::MakeFiles => {
            write
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::Refer
        }
        Access::Device => write | AccessFs::IoctlDev,
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> JailError {
    JailError::Step {
        layer: Layer::Landlock,
        step: "make its rules",
        path: None,
        source: std::io::Error::other(error),
    }
}
