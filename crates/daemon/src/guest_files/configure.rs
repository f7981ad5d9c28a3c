//! Joins what the contributors say into one `Configure`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use banger_api::{ApiError, ErrorCode};
use banger_control::vm::{BASE, MODULES, SYSTEM, WORK};
use banger_guest::{
    Authorities, Configure, Content, GuestFile, GuestPath, InitMode, ModulesPlan, OwnKernel,
    RootPlan, TmpMode,
};
use banger_ops::{GuestDefaults, GuestSetup};
use sha2::{Digest, Sha256};

use super::{Identity, fstab, git, identity, network, shell, ssh};

/// Link of the agent's to the guest's own bundle of authorities, wherever its image has it.
const GUEST_BUNDLE: &str = "/run/banger/ca-bundle.pem";
/// Bytes of entropy that a guest gets.
const ENTROPY_BYTES: usize = 64;
/// Bytes of the name of one start of a guest.
const GENERATION_BYTES: usize = 16;

/// Context of contributors.
pub(crate) struct Context<'a> {
    /// The VM.
    pub(crate) setup: &'a GuestSetup,
    /// The line of banger's own key for `authorized_keys`.
    pub(crate) authorized_key: &'a str,
    /// The VM's SSH host key, private, in OpenSSH's format.
    pub(crate) host_key: &'a str,
    /// Its public half.
    pub(crate) host_key_public: &'a str,
    /// The name server that the user has configured.
    pub(crate) dns: Option<IpAddr>,
    /// The user's identity in git.
    pub(crate) git: &'a Identity,
    /// Place of `/tmp`.
    pub(crate) tmp: TmpMode,
    /// Authorities that the guest trusts beside its image's.
    pub(crate) authorities: Option<Authorities>,
}

/// A path that is written in this program.
pub(super) fn path(text: &str) -> Result<GuestPath, ApiError> {
    GuestPath::new(text).map_err(|error| {
        ApiError::new(
            ErrorCode::Internal,
            format!("guest path \"{text}\": {error}"),
        )
    })
}

/// A root-owned file of the guest.
pub(super) fn file(at: &str, mode: u32, content: String) -> Result<GuestFile, ApiError> {
    Ok(GuestFile::Write {
        path: path(at)?,
        mode,
        uid: 0,
        gid: 0,
        content: content.into(),
    })
}

/// A file that is root's until its user edits it.
pub(super) fn editable(at: &str, content: String) -> Result<GuestFile, ApiError> {
    Ok(GuestFile::WriteUnlessEdited {
        path: path(at)?,
        mode: 0o644,
        content: content.into(),
    })
}

/// Everything that the guest is told.
pub(crate) fn configure(cx: &Context<'_>) -> Result<Configure, ApiError> {
    let mut files = Vec::new();
    if cx.setup.bare {
        return bare(cx);
    }
    files.extend(identity::files(cx)?);
    files.extend(network::files(cx)?);
    files.extend(fstab::files(cx)?);
    files.extend(ssh::files(cx)?);
    files.extend(git::files(cx)?);
    files.extend(shell::files()?);
    Ok(Configure {
        hostname: cx.setup.name.to_string(),
        machine_id: machine_id(cx),
        machine_uuid: cx.setup.vm.0.to_string(),
        generation: generation()?,
        clock_unix_ns: now_ns(),
        entropy: entropy()?,
        root: root(cx),
        init: InitMode::Auto,
        tmp: cx.tmp,
        files,
        authorities: cx.authorities.clone(),
        mounts: Vec::new(),
        net: network::interfaces(cx),
        relays: network::relays(cx),
        door: network::door(cx),
        kernel_line: Some(kernel_line(cx.setup)),
        own_kernel: cx
            .setup
            .own_kernel
            .clone()
            .map(|sha256| OwnKernel { sha256 }),
        env: env(cx),
        cwd: directory(&cx.setup.defaults),
        user: cx.setup.defaults.user.clone(),
        entrypoint: cx.setup.defaults.entrypoint.clone(),
        cmd: cx.setup.defaults.cmd.clone(),
    })
}

/// A guest whose root is only looked at.
fn bare(cx: &Context<'_>) -> Result<Configure, ApiError> {
    Ok(Configure {
        hostname: cx.setup.name.to_string(),
        machine_id: machine_id(cx),
        machine_uuid: cx.setup.vm.0.to_string(),
        generation: generation()?,
        clock_unix_ns: now_ns(),
        entropy: entropy()?,
        root: root(cx),
        init: InitMode::Agent,
        tmp: TmpMode::Disk,
        files: Vec::new(),
        authorities: None,
        mounts: Vec::new(),
        net: None,
        relays: Vec::new(),
        door: None,
        kernel_line: None,
        own_kernel: None,
        env: BTreeMap::new(),
        cwd: None,
        user: None,
        entrypoint: Vec::new(),
        cmd: Vec::new(),
    })
}

/// The words that packages of kernels say when they are installed in the guest.
fn kernel_line(setup: &GuestSetup) -> String {
    let name = &setup.name;
    match setup.own_kernel {
        Some(_) => {
            "the next start of this VM, or its reboot, boots the kernel of its own root".to_owned()
        }
        None => format!(
            "this VM boots {}, a kernel of its host; to boot the one of its own root: banger vm set {name} --kernel image, then \
             banger vm restart {name}",
            setup.kernel
        ),
    }
}

fn root(cx: &Context<'_>) -> RootPlan {
    RootPlan {
        base: BASE.to_owned(),
        system: SYSTEM.to_owned(),
        work: Some(WORK.to_owned()),
        grow_system: true,
        grow_work: true,
        modules: cx.setup.modules.as_ref().map(|layer| ModulesPlan {
            disk: MODULES.to_owned(),
            layer: layer.clone(),
        }),
    }
}

/// The image's variables win over ours.
fn env(cx: &Context<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]);
    if cx.authorities.is_some() {
        // Node and Python's requests have authorities of their own, and look nowhere else by themselves.
        for name in ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"] {
            env.insert(name.to_owned(), GUEST_BUNDLE.to_owned());
        }
    }
    env.extend(cx.setup.defaults.env.clone());
    env
}

/// The image's directory. One that is no path is as if it said none: whoever made the image made it wrong, and the VM's
/// commands still have the user's home.
fn directory(defaults: &GuestDefaults) -> Option<GuestPath> {
    let directory = defaults.cwd.as_deref()?;
    GuestPath::new(&format!("/{}", directory.trim_start_matches('/')))
        .inspect_err(|error| tracing::warn!(directory, %error, "the image's working directory"))
        .ok()
}

/// Own to the VM and the same at every start: 32 hex digits (machine-id(5)), not the VM's id itself, which is no secret
/// but names it elsewhere.
fn machine_id(cx: &Context<'_>) -> String {
    let digest = Sha256::new()
        .chain_update(b"banger machine-id ")
        .chain_update(cx.setup.vm.0)
        .finalize();
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Nanoseconds since 1970, as the guest's clock is set by them: taken when they are sent.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn entropy() -> Result<Content, ApiError> {
    Ok(Content(random(ENTROPY_BYTES)?))
}

/// Own to this start.
fn generation() -> Result<String, ApiError> {
    let bytes = random(GENERATION_BYTES)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// At most 256 bytes, which come at once and whole (getrandom(2)).
fn random(count: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = vec![0; count];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).map_err(
        |error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("no random bytes from the kernel: {error}"),
            )
        },
    )?;
    Ok(bytes)
}
