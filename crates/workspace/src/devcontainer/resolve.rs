//! Gives variables their values: first those of the host that may be told, then those of the guest.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::Commands;
use super::error::DevcontainerError;
use super::parse::{Devcontainer, Image, NetworkWishes, check_variables};
use super::variables::{is_name, replace};

/// Longest name of an image, in bytes: the limit of registries, a tag and a digest.
const MAX_IMAGE: usize = 512;
/// Longest name of a user, in bytes (`useradd`(8) takes 32; others take more).
const MAX_USER: usize = 64;

/// The part of the host that a file may learn.
pub struct Host<'a> {
    /// The folder's own name.
    pub folder: &'a str,
    /// The repository's path in the guest.
    pub guest_folder: &'a str,
    /// A variable that the user has named; `None` for one that is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Variables that the user has named.
    pub named: &'a BTreeSet<String>,
}

impl std::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("folder", &self.folder)
            .field("guest_folder", &self.guest_folder)
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

/// A file's wishes, with all values but those of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The image.
    pub image: Image,
    /// Variables that are known before there is a guest.
    pub env: BTreeMap<String, String>,
    /// The user that commands run as; none: the image's.
    pub user: Option<String>,
    /// Commands that run once, in order, with the names of their properties.
    pub commands: Vec<(String, Commands)>,
    /// Ports of the guest to be reached from the host.
    pub ports: Vec<u16>,
    /// What of the network the repository wants to be left: it can only narrow.
    pub network: Option<NetworkWishes>,
    /// Properties that are not supported, in the file's own words.
    pub unused: Vec<String>,
    /// Variables of the host that the file asks for and does not get.
    pub withheld: BTreeSet<String>,
    /// Variables that need values of the guest.
    of_guest: BTreeMap<String, String>,
}

impl Devcontainer {
    /// Replaces variables by their values.
    ///
    /// # Errors
    /// A property has grown too large by that, or is invalid now.
    pub fn resolve(&self, host: &Host<'_>) -> Result<Resolved, DevcontainerError> {
        let mut withheld = BTreeSet::new();
        let mut value = |name: &str, args: &[&str]| host.value(name, args, &mut withheld);
        let mut text = |text: &str| replace(text, &mut value);

        let image = match &self.image {
            Image::Named(name) => Image::Named(text(name)),
            other => other.clone(),
        };
        let mut env = all(&self.env, &mut text);
        let remote = all(&self.remote_env, &mut text);
        let user = self.user.as_deref().map(&mut text);
        let commands = self.commands.iter().map(|(name, commands)| {
            let commands = commands.map(name, &mut text)?;
            Ok((name.clone(), commands))
        });
        let commands = commands.collect::<Result<_, DevcontainerError>>()?;

        if let Image::Named(name) = &image {
            check_image(name)?;
        }
        if let Some(user) = &user {
            check_user(user)?;
        }
        let (of_guest, known) = remote
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, value)| !asked(value).is_empty());
        env.extend(known);
        check_variables("containerEnv and remoteEnv", &env)?;
        check_variables("remoteEnv", &of_guest)?;
        Ok(Resolved {
            image,
            env,
            user: user.filter(|user| !user.is_empty()),
            commands,
            ports: self.ports.clone(),
            network: self.network.clone(),
            unused: self.unused.clone(),
            withheld,
            of_guest,
        })
    }
}

impl Resolved {
    /// Variables of the guest whose values are needed.
    pub fn asks_guest(&self) -> BTreeSet<String> {
        self.of_guest
            .values()
            .flat_map(|value| asked(value))
            .collect()
    }

    /// Variables that need values of the guest, with these values.
    ///
    /// # Errors
    /// They are too large.
    pub fn told(
        &self,
        guest: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, DevcontainerError> {
        let mut value = |name: &str, args: &[&str]| match (name, args.first()) {
            ("containerEnv", Some(name)) => {
                let default = args.get(1).copied().unwrap_or_default();
                let value = guest.get(*name).map_or(default, String::as_str);
                Some(value.to_owned())
            }
            _ => None,
        };
        let told = all(&self.of_guest, &mut |text| replace(text, &mut value));
        check_variables("remoteEnv", &told)?;
        Ok(told)
    }
}

impl Host<'_> {
    fn value(&self, name: &str, args: &[&str], withheld: &mut BTreeSet<String>) -> Option<String> {
        match (name, args.first()) {
            ("localEnv" | "env", Some(variable)) if is_name(variable) => {
                let default = args.get(1).copied().unwrap_or_default();
                if !self.named.contains(*variable) {
                    withheld.insert((*variable).to_owned());
                    return Some(default.to_owned());
                }
                Some((self.variable)(variable).unwrap_or_else(|| default.to_owned()))
            }
            ("localWorkspaceFolderBasename", None) => Some(self.folder.to_owned()),
            // For a file, the host's folder is the place where programs find the repository. A guest has none of the
            // host's own folders, and does not learn their names.
            ("containerWorkspaceFolder" | "localWorkspaceFolder", None) => {
                Some(self.guest_folder.to_owned())
            }
            ("containerWorkspaceFolderBasename", None) => {
                let name = self.guest_folder.rsplit('/').next();
                Some(name.unwrap_or_default().to_owned())
            }
            _ => None,
        }
    }
}

fn all(
    texts: &BTreeMap<String, String>,
    change: &mut dyn FnMut(&str) -> String,
) -> BTreeMap<String, String> {
    let changed = texts
        .iter()
        .map(|(name, text)| (name.clone(), change(text)));
    changed.collect()
}

/// Variables of the guest in a text.
fn asked(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    replace(text, &mut |name, args| {
        let asked = args
            .first()
            .filter(|asked| name == "containerEnv" && is_name(asked));
        names.extend(asked.map(|asked| (*asked).to_owned()));
        None
    });
    names
}

/// Checks that an image's name is one short word. The reader of references checks the rest.
fn check_image(image: &str) -> Result<(), DevcontainerError> {
    let word = image.bytes().all(|byte| byte.is_ascii_graphic());
    if image.is_empty() || image.len() > MAX_IMAGE || !word {
        return Err(DevcontainerError::property(
            "image",
            "must be the name of an image",
        ));
    }
    Ok(())
}

fn check_user(user: &str) -> Result<(), DevcontainerError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if user.len() > MAX_USER || user.starts_with('-') || !user.bytes().all(plain) {
        let why = "must be the name or number of a user";
        return Err(DevcontainerError::property("remoteUser", why));
    }
    Ok(())
}
