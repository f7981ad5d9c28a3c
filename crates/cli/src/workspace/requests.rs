//! Requests of a repository's files for its VM, and the part of them that the user wants.

use std::collections::BTreeSet;
use std::sync::Arc;

use banger_api::network::NarrowNetwork;
use banger_api::vm::{Egress, NetMode, NetStack, Publish, Vm};
use banger_api::{ApiError, ErrorCode};
use banger_workspace::Survey;
use banger_workspace::devcontainer::{
    self, Devcontainer, DevcontainerError, Host, Image, Resolved,
};
use banger_workspace::pins::{self, Pins};

use super::forwards;
use super::source_flags::failure;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// Names that are shown of a list that may be long.
const SHOWN: usize = 12;
/// Characters of each.
const MAX_SHOWN: usize = 200;

/// The flags that grant or withhold what a repository asks for.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "The repository")]
pub struct RepositoryFlags {
    /// Leave the repository's devcontainer.json alone
    #[arg(long)]
    no_devcontainer: bool,
    /// Use this devcontainer.json, a path in the repository [default: where the specification says]
    #[arg(long, value_name = "FILE", conflicts_with = "no_devcontainer")]
    devcontainer: Option<String>,
    /// Let devcontainer.json have this variable of the host's environment
    #[arg(long, value_name = "NAME", value_parser = variable)]
    local_env: Vec<String>,
    /// Do not install the tools that the repository pins
    #[arg(long)]
    no_bootstrap: bool,
}

/// A `devcontainer.json` in use.
#[derive(Debug)]
pub struct InUse {
    /// Its path in the repository.
    pub file: String,
    /// Its requests.
    pub asks: Resolved,
}

/// Requests of a repository's files for its VM.
#[derive(Debug, Default)]
pub struct RepositoryRequests {
    /// Of its `devcontainer.json`.
    pub devcontainer: Option<InUse>,
    /// Tools that it pins.
    pub pins: Option<Pins>,
    /// The tools are to be installed.
    pub bootstrap: bool,
    /// The user that commands run as, whatever the files say.
    pub user: Option<String>,
}

impl RepositoryFlags {
    /// The first of these arguments that was given: without a repository none means anything.
    pub fn given(&self) -> Option<&'static str> {
        [
            (self.no_devcontainer, "--no-devcontainer"),
            (self.devcontainer.is_some(), "--devcontainer"),
            (!self.local_env.is_empty(), "--local-env"),
            (self.no_bootstrap, "--no-bootstrap"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }

    /// Reads the files, and says what is used of them and what is not.
    ///
    /// # Errors
    /// A file cannot be read or makes no sense, or there are several to choose from.
    pub async fn requests(
        self,
        survey: &Arc<Survey>,
        guest_folder: &str,
        context: &Context,
    ) -> Result<RepositoryRequests, Failure> {
        let (survey, guest_folder) = (Arc::clone(survey), guest_folder.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let devcontainer = self.read_devcontainer(&survey, &guest_folder)?;
            let pins = pins::find(&survey).map_err(|error| failure(&error))?;
            Ok::<_, Failure>(RepositoryRequests {
                devcontainer,
                pins,
                bootstrap: !self.no_bootstrap,
                user: None,
            })
        });
        let requests = match reading.await {
            Ok(requests) => requests?,
            Err(panic) => return Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into()),
        };
        if let Some(devcontainer) = &requests.devcontainer {
            devcontainer.say(context);
        }
        Ok(requests)
    }

    fn read_devcontainer(
        &self,
        survey: &Survey,
        guest_folder: &str,
    ) -> Result<Option<InUse>, Failure> {
        if self.no_devcontainer {
            return Ok(None);
        }
        let found = devcontainer::find(survey, self.devcontainer.as_deref());
        let Some(found) = found.map_err(|error| unusable(None, &error))? else {
            return Ok(None);
        };
        let file = found.file;
        let top = survey.top().repository.top();
        let folder = top.file_name().unwrap_or_default().to_string_lossy();
        let named: BTreeSet<_> = self.local_env.iter().cloned().collect();
        let host = Host {
            folder: &folder,
            guest_folder,
            variable: &|name| std::env::var(name).ok(),
            named: &named,
        };
        let asks = Devcontainer::parse(&found.bytes).and_then(|parsed| parsed.resolve(&host));
        let asks = asks.map_err(|error| unusable(Some(&file), &error))?;
        Ok(Some(InUse { file, asks }))
    }
}

impl InUse {
    /// Used requests in one line; then those that are not used, and those that are not granted.
    fn say(&self, context: &Context) {
        let asks = &self.asks;
        let mut used = Vec::new();
        if let Image::Named(image) = &asks.image {
            used.push(format!("image {image}"));
        }
        used.extend(asks.user.iter().map(|user| format!("user {user}")));
        if !asks.env.is_empty() {
            used.push(format!("{} variables", asks.env.len()));
        }
        used.extend(asks.ports.iter().map(|port| format!("port {port}")));
        used.extend(asks.commands.iter().map(|(name, _)| name.clone()));
        let used = match used.is_empty() {
            true => String::new(),
            false => format!(": {}", some_of(&used)),
        };
        let file = &self.file;
        context.output.note(&format!("using {file}{used}"));
        if !asks.unused.is_empty() {
            let unused = some_of(&asks.unused);
            context
                .output
                .warn(&format!("not used of {file}: {unused}"));
        }
        if !asks.withheld.is_empty() {
            let names: Vec<_> = asks.withheld.iter().cloned().collect();
            let flags = names.iter().map(|name| format!("--local-env {name}"));
            let flags: Vec<_> = flags.collect();
            context.output.warn(&format!(
                "{file} asks for variables of this host, which stay here: {} ({})",
                some_of(&names),
                some_of(&flags).replace(", ", " "),
            ));
        }
    }
}

impl RepositoryRequests {
    /// The file that names an image, and the image; `None`: no wish.
    ///
    /// # Errors
    /// The file wants one built.
    pub fn image(&self) -> Result<Option<(&str, &str)>, Failure> {
        let Some(InUse { file, asks }) = &self.devcontainer else {
            return Ok(None);
        };
        match &asks.image {
            Image::Unsaid => Ok(None),
            Image::Named(name) => Ok(Some((file, name))),
            Image::Built(property) => {
                let message = format!(
                    "{file}: \"{property}\" wants an image built from a recipe for containers, which banger does not do"
                );
                let error = ApiError::new(ErrorCode::InvalidArgument, message);
                let hint = "--image NAME takes another image and the rest of the file; an image that another tool has \
                            built comes in by banger image pull ARCHIVE; --no-devcontainer leaves the file alone";
                Err(error.hint(hint).into())
            }
        }
    }

    /// Tells whether what it asks for comes to nothing in a VM without a network.
    pub fn need_network(&self) -> bool {
        let ports = self
            .devcontainer
            .iter()
            .any(|file| !file.asks.ports.is_empty());
        ports || self.bootstrap && self.pins.is_some()
    }

    /// Says which ports cannot be reached, for there is no network.
    pub fn no_ports(&self, context: &Context) {
        let ports = self.devcontainer.iter().flat_map(|file| &file.asks.ports);
        let ports: Vec<_> = ports.map(u16::to_string).collect();
        if !ports.is_empty() {
            let ports = ports.join(", ");
            context.output.warn(&format!(
                "forwardPorts {ports}: not published, for the VM has no network"
            ));
        }
    }

    /// Ports to publish beside those that the user publishes; says where each of them is.
    pub fn forwards(&self, explicit: &[Publish], context: &Context) -> Vec<Publish> {
        let wanted = self.devcontainer.as_ref().map(|file| &file.asks.ports[..]);
        let (publish, told) = forwards::choose(
            wanted.unwrap_or_default(),
            explicit,
            &forwards::is_free,
            &forwards::any_free,
        );
        for line in told {
            context.output.note(&line);
        }
        publish
    }

    /// What the repository wants to be left of the network.
    ///
    /// # Errors
    /// It names no egress.
    pub fn narrow(&self) -> Result<Option<NarrowNetwork>, Failure> {
        let Some(file) = &self.devcontainer else {
            return Ok(None);
        };
        let Some(wishes) = file.asks.network.clone() else {
            return Ok(None);
        };
        let egress = wishes
            .egress
            .map_or(Ok(Egress::Public), |text| text.parse());
        let egress = egress.map_err(|error| {
            Failure::usage(format!(
                "{}: customizations.banger.network: {error}",
                file.file
            ))
        })?;
        Ok(Some(NarrowNetwork {
            egress,
            allow: wishes.allow,
            deny: wishes.deny,
        }))
    }

    /// Ports that nothing can be done about any more, for the VM is there already.
    pub fn warn_of_ports(&self, vm: &Vm, context: &Context) {
        let wanted = self.devcontainer.iter().flat_map(|file| &file.asks.ports);
        let missing = wanted.filter(|port| !vm.publish.iter().any(|one| one.guest_port == **port));
        let missing: Vec<_> = missing.map(u16::to_string).collect();
        if !missing.is_empty() {
            let name = &vm.name;
            let way = match vm.stack {
                NetStack::Own => format!(
                    "banger vm port add {name} {} does it at once",
                    missing.join(" ")
                ),
                NetStack::Slirp => {
                    format!("banger vm set {name} --publish does it at the next start")
                }
            };
            context.output.warn(&format!(
                "forwardPorts {} are not published by this VM: {way}",
                missing.join(", ")
            ));
        }
    }

    /// Says which tools will be missing where the VM has no outbound network; answers whether it has one.
    pub fn reaches_out(&self, net: NetMode, egress: Egress, context: &Context) -> bool {
        let why = match (net, egress) {
            (NetMode::None, _) => "no network",
            (_, Egress::None) => "--allow none",
            (NetMode::User, Egress::All | Egress::Public | Egress::List) => return true,
        };
        if let Some(pins) = self.pins.as_ref().filter(|_| self.bootstrap) {
            context.output.warn(&format!(
                "the repository pins {}, which cannot be installed: this VM has no outbound network ({why}). Use --no-bootstrap \
                 to hide this warning",
                pins.told()
            ));
        }
        false
    }
}

fn variable(name: &str) -> Result<String, String> {
    match devcontainer::is_name(name) {
        true => Ok(name.to_owned()),
        false => Err("use the name of a variable".to_owned()),
    }
}

fn unusable(file: Option<&str>, error: &DevcontainerError) -> Failure {
    let (code, hint) = match error {
        DevcontainerError::Workspace(error) => return failure(error),
        DevcontainerError::Several(files) => {
            let first = files.first().map(String::as_str).unwrap_or_default();
            let hint = format!("--devcontainer {first} takes that one, --no-devcontainer none");
            (ErrorCode::InvalidArgument, hint)
        }
        DevcontainerError::Absent(_) => (
            ErrorCode::NotFound,
            "give its path below the repository's top folder".to_owned(),
        ),
        _ => (
            ErrorCode::InvalidArgument,
            "--no-devcontainer leaves the file alone".to_owned(),
        ),
    };
    let message = match (file, error) {
        (Some(file), error) => format!("{file}: {}", chain(error)),
        (None, DevcontainerError::Several(_)) => format!("devcontainer.json: {error}"),
        (None, error) => chain(error),
    };
    ApiError::new(code, message).hint(hint).into()
}

/// The first of a list, and how many more there are. They are a stranger's words: each stays one short line.
fn some_of(all: &[String]) -> String {
    let plain = |word: &String| {
        let word = word.chars().filter(|c| !c.is_control());
        word.take(MAX_SHOWN).collect::<String>()
    };
    let mut shown: Vec<_> = all.iter().take(SHOWN).map(plain).collect();
    if all.len() > SHOWN {
        shown.push(format!("and {} more", all.len() - SHOWN));
    }
    shown.join(", ")
}
