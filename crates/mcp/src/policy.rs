//! The user's rules for one agent, fixed when the server is registered.

use std::path::{Component, Path, PathBuf};

use banger_api::vm::{Egress, NetMode, NetStack};
use banger_api::{ByteSize, ImageName, LabelFilter, Labels};

/// Label of the VMs that were made under a policy; its value is the policy's name.
pub const LABEL: &str = "banger.mcp";

/// Limits of an agent. It can ask for less, never for more.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name. VMs of one policy belong together, whichever agent made them.
    pub name: String,
    /// Images that VMs are made from, the default one first. Empty: those that are there, and the configuration's default.
    pub images: Vec<ImageName>,
    /// Largest number of virtual CPUs of a VM.
    pub cpus: u32,
    /// Largest memory of a VM.
    pub memory: ByteSize,
    /// Largest work disk of a VM.
    pub disk: ByteSize,
    /// Largest number of VMs at a time.
    pub vms: usize,
    /// Network mode of VMs.
    pub net: NetMode,
    /// Addresses that VMs may reach without a rule.
    pub egress: Egress,
    /// Rules of what they may reach besides.
    pub allow: Vec<String>,
    /// Folder of the host from and to which files may be copied.
    pub folder: Option<PathBuf>,
    /// Repository that may be sent, and whose changes may be read.
    pub workspace: Option<PathBuf>,
    /// Changes in a guest may be applied to that repository.
    pub apply: bool,
    /// The VMs are deleted when the agent goes.
    pub remove: bool,
}

/// A wish that the policy forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An image that is not among those of the policy.
    #[error("image \"{0}\" is not allowed here; allowed: {1}")]
    Image(String, String),
    /// A size over the policy's.
    #[error("{what} of {wanted} is more than the {allowed} allowed here")]
    Size {
        /// The quantity.
        what: &'static str,
        /// The wish.
        wanted: String,
        /// The largest.
        allowed: String,
    },
    /// The policy's number of VMs is there.
    #[error("{0} VMs are allowed here at a time, and that many exist: delete one first")]
    Vms(usize),
    /// No folder is shared.
    #[error("this server copies no files of the host: it was registered without --folder")]
    NoFolder,
    /// A path outside of the folder.
    #[error("{path} is outside of {folder}, which is all that may be copied here")]
    Outside {
        /// The path as it was given.
        path: String,
        /// The folder.
        folder: String,
    },
    /// No repository is shared.
    #[error("no repository is shared here: this server was registered without --workspace")]
    NoWorkspace,
    /// Changes may be read and not applied.
    #[error("changes may be read here and not applied: this server was registered without --apply")]
    NoApply,
}

impl Policy {
    /// Label of its VMs.
    ///
    /// # Errors
    /// Its name cannot be a label's value.
    pub fn labels(&self) -> Result<Labels, banger_api::InvalidLabel> {
        Labels::new([format!("{LABEL}={}", self.name).parse()?])
    }

    /// Filter that selects its VMs.
    ///
    /// # Errors
    /// Its name cannot be a label's value.
    pub fn filter(&self) -> Result<LabelFilter, banger_api::InvalidLabel> {
        format!("{LABEL}={}", self.name).parse()
    }

    /// The image of a VM: the wish, else the policy's first.
    ///
    /// # Errors
    /// It is not among the policy's.
    pub fn image(&self, wanted: Option<ImageName>) -> Result<Option<ImageName>, Refusal> {
        match wanted {
            None => Ok(self.images.first().cloned()),
            Some(image) if self.images.is_empty() || self.images.contains(&image) => {
                Ok(Some(image))
            }
            Some(image) => {
                let allowed: Vec<&str> = self.images.iter().map(ImageName::as_str).collect();
                Err(Refusal::Image(image.to_string(), allowed.join(", ")))
            }
        }
    }

    /// Virtual CPUs of a VM: the wish, else the smaller one of 2 and the largest number.
    ///
    /// # Errors
    /// It is more than that.
    pub fn cpus(&self, wanted: Option<u32>) -> Result<u32, Refusal> {
        let wanted = wanted.unwrap_or_else(|| self.cpus.min(2));
        match wanted <= self.cpus {
            true => Ok(wanted),
            false => Err(too_much("a number of CPUs", &wanted, &self.cpus)),
        }
    }

    /// Memory of a VM: the wish, else the smaller one of 2 GiB and the largest.
    ///
    /// # Errors
    /// It is more than that.
    pub fn memory(&self, wanted: Option<ByteSize>) -> Result<ByteSize, Refusal> {
        size("memory", wanted, self.memory, ByteSize::mib(2048))
    }

    /// Work disk of a VM: the wish, else the smaller one of 8 GiB and the largest.
    ///
    /// # Errors
    /// It is more than that.
    pub fn disk(&self, wanted: Option<ByteSize>) -> Result<ByteSize, Refusal> {
        size("a disk", wanted, self.disk, ByteSize::mib(8192))
    }

    /// The carrier of a VM's packets: banger's own network where rules are to hold, which the user network of QEMU cannot
    /// do; else the configuration's.
    pub fn stack(&self, narrowed: bool) -> Option<NetStack> {
        let plain = matches!(self.egress, Egress::All | Egress::None) && self.allow.is_empty();
        let user = self.net == NetMode::User;
        (user && (narrowed || !plain)).then_some(NetStack::Own)
    }

    /// A path on the host, as it is below the shared folder. Links are followed first: one that leads out is outside.
    ///
    /// # Errors
    /// No folder is shared, or the path is outside of it.
    pub fn host_path(&self, path: &str) -> Result<PathBuf, Refusal> {
        let folder = self.folder.as_deref().ok_or(Refusal::NoFolder)?;
        let outside = || Refusal::Outside {
            path: path.to_owned(),
            folder: folder.display().to_string(),
        };
        let folder = folder.canonicalize().map_err(|_gone| outside())?;
        let wanted = folder.join(path);
        // What is not there yet is made in a folder that is.
        let whole = match wanted.canonicalize() {
            Ok(whole) => whole,
            Err(_new) => {
                let name = last_name(&wanted).ok_or_else(outside)?;
                let parent = wanted.parent().unwrap_or(&folder);
                parent.canonicalize().map_err(|_gone| outside())?.join(name)
            }
        };
        // The name of a link that leads nowhere is taken, and what is made there would be made elsewhere.
        let dangles = whole.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        match whole.starts_with(&folder) && !dangles {
            true => Ok(whole),
            false => Err(outside()),
        }
    }

    /// The repository that is shared.
    ///
    /// # Errors
    /// None is.
    pub fn workspace(&self) -> Result<&Path, Refusal> {
        self.workspace.as_deref().ok_or(Refusal::NoWorkspace)
    }
}

fn last_name(path: &Path) -> Option<&std::ffi::OsStr> {
    match path.components().next_back()? {
        Component::Normal(name) => Some(name),
        _ => None,
    }
}

fn size(
    what: &'static str,
    wanted: Option<ByteSize>,
    most: ByteSize,
    usual: ByteSize,
) -> Result<ByteSize, Refusal> {
    let wanted = wanted.unwrap_or_else(|| ByteSize(usual.0.min(most.0)));
    match wanted.0 <= most.0 {
        true => Ok(wanted),
        false => Err(too_much(what, &wanted, &most)),
    }
}

fn too_much(
    what: &'static str,
    wanted: &impl std::fmt::Display,
    most: &impl std::fmt::Display,
) -> Refusal {
    Refusal::Size {
        what,
        wanted: wanted.to_string(),
        allowed: most.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
pub(crate) mod tests {
    use super::*;

    pub(crate) fn policy() -> Policy {
        Policy {
            name: "tests".to_owned(),
            images: Vec::new(),
            cpus: 4,
            memory: ByteSize::mib(4096),
            disk: ByteSize::mib(16384),
            vms: 2,
            net: NetMode::User,
            egress: Egress::Public,
            allow: Vec::new(),
            folder: None,
            workspace: None,
            apply: false,
            remove: false,
        }
    }

    #[test]
    fn sizes_and_images_can_only_be_narrowed() {
        let mut policy = policy();
        assert_eq!(policy.cpus(None), Ok(2));
        assert_eq!(policy.cpus(Some(4)), Ok(4));
        assert!(policy.cpus(Some(5)).is_err());
        assert_eq!(policy.memory(None), Ok(ByteSize::mib(2048)));
        policy.memory = ByteSize::mib(512);
        assert_eq!(policy.memory(None), Ok(ByteSize::mib(512)));
        let refused = policy.memory(Some(ByteSize::mib(513))).unwrap_err();
        assert!(refused.to_string().contains("more than the"), "{refused}");
        let (one, other): (ImageName, ImageName) =
            ("one".parse().unwrap(), "other".parse().unwrap());
        assert_eq!(policy.image(Some(other.clone())), Ok(Some(other.clone())));
        policy.images = vec![one.clone()];
        assert_eq!(policy.image(None), Ok(Some(one)));
        let refused = policy.image(Some(other)).unwrap_err();
        assert!(refused.to_string().contains("allowed: one"), "{refused}");
    }

    #[test]
    fn rules_are_given_to_a_network_that_can_hold_a_guest_to_them() {
        let mut policy = policy();
        assert_eq!(
            policy.stack(false),
            Some(NetStack::Own),
            "public is the default"
        );
        policy.egress = Egress::All;
        assert_eq!(policy.stack(false), None);
        assert_eq!(policy.stack(true), Some(NetStack::Own));
        policy.allow = vec!["@pypi".to_owned()];
        assert_eq!(policy.stack(false), Some(NetStack::Own));
        policy.net = NetMode::None;
        assert_eq!(policy.stack(true), None);
    }

    #[test]
    fn only_what_is_really_below_the_folder_may_be_copied() {
        let dir = tempdir();
        let (folder, secret) = (dir.join("shared"), dir.join("secret"));
        std::fs::create_dir_all(folder.join("in")).unwrap();
        std::fs::write(&secret, "x").unwrap();
        std::fs::write(folder.join("in/file"), "x").unwrap();
        std::os::unix::fs::symlink(&secret, folder.join("link")).unwrap();
        std::os::unix::fs::symlink(&dir, folder.join("up")).unwrap();
        std::os::unix::fs::symlink(dir.join("not-yet"), folder.join("dangling")).unwrap();
        std::os::unix::fs::symlink("in/file", folder.join("own")).unwrap();
        let mut policy = policy();
        assert_eq!(policy.host_path("in"), Err(Refusal::NoFolder));
        policy.folder = Some(folder.clone());
        let shared = folder.canonicalize().unwrap();
        assert_eq!(policy.host_path("in/file"), Ok(shared.join("in/file")));
        assert_eq!(policy.host_path("own"), Ok(shared.join("in/file")));
        assert_eq!(policy.host_path("in/new"), Ok(shared.join("in/new")));
        assert_eq!(policy.host_path("."), Ok(shared.clone()));
        let absolute = secret.display().to_string();
        for bad in [
            "..",
            "../secret",
            "link",
            "up/secret",
            "up/new",
            "dangling",
            "in/../../secret",
            "in/new/..",
            "none/new",
            "/etc/passwd",
            &absolute,
        ] {
            let refused = policy.host_path(bad);
            assert!(
                matches!(refused, Err(Refusal::Outside { .. })),
                "{bad}: {refused:?}"
            );
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    fn tempdir() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("banger-mcp-policy-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
}
