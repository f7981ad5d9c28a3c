//! Description of a new VM: the arguments that `run` and `create` share.

mod differences;

use std::str::FromStr;

use banger_api::kernel::KernelChoice;
use banger_api::network::NarrowNetwork;
use banger_api::vm::{CreateVm, Egress, NetMode, Publish, RestartPolicy};
use banger_api::{ByteSize, EngineName, InvalidName, Label, Labels, NetworkName, VmName};
use banger_client::Client;
use banger_egress::Rule;
use banger_secret::SecretUse;

use super::image::Wanted;
use crate::context::Context;
use crate::failure::Failure;
use crate::workspace::RepositoryRequests;

/// Description of a new VM.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "The VM")]
pub struct Spec {
    /// Its name [default: one is made up]
    #[arg(long, value_name = "NAME")]
    name: Option<VmName>,
    /// Its image: a name, a recipe (built when it is missing) or a registry's reference (pulled when it is missing)
    #[arg(long, value_name = "IMAGE")]
    image: Option<Wanted>,
    /// Its kernel, or `image` for the one that is installed in its root
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<KernelChoice>,
    /// Engine that runs it: auto or qemu
    #[arg(long, value_name = "ENGINE")]
    engine: Option<EngineName>,
    /// Virtual CPUs
    #[arg(long, alias = "cpus", value_name = "N", value_parser = vcpu)]
    vcpu: Option<u32>,
    /// Memory, like 2G
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Work disk, like 16G: the user's data at /root
    #[arg(long, value_name = "SIZE")]
    disk_size: Option<ByteSize>,
    /// System overlay, like 8G: what the guest changes outside /root
    #[arg(long, value_name = "SIZE")]
    overlay_size: Option<ByteSize>,
    /// Restart policy after a crash or reboot of the host: no or always
    #[arg(long, value_name = "WHEN")]
    restart: Option<RestartPolicy>,
    /// A label, to find it by; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Boot a kernel, also where there is a template to wake from
    #[arg(long)]
    no_template: bool,
    #[command(flatten)]
    network: Network,
    /// What a repository wants to be left of the network.
    #[arg(skip)]
    narrow: Option<NarrowNetwork>,
}

/// Network of a VM.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// Its network: user (no privileges needed), none, or the NAME of one in which VMs see each other (db.vm)
    #[arg(long, value_name = "MODE")]
    pub net: Option<NetWish>,
    /// What it reaches without a rule: public (the internet alone), all, none or list (only what rules allow)
    #[arg(long, value_name = "WHAT")]
    pub egress: Option<Egress>,
    /// A rule of what it may reach besides, like host:5432; or all, none, public, as --egress; repeatable
    #[arg(long, value_name = "RULE", value_parser = allowed)]
    pub allow: Vec<Allowed>,
    /// A rule of what it may not reach, whatever allows it; repeatable
    #[arg(long, value_name = "RULE")]
    pub deny: Vec<Rule>,
    /// A secret that it uses without having it, at http://NAME.secret.internal; FORM is bearer (as without one), basic, or a header's
    /// name like x-api-key; repeatable
    #[arg(long = "secret", value_name = "NAME=HOST[:PORT][:FORM]")]
    pub secrets: Vec<SecretUse>,
    /// Reach a port of the guest on this host, at loopback unless an address is given
    #[arg(short, long, value_name = "[ADDRESS:]HOSTPORT:GUESTPORT")]
    pub publish: Vec<Publish>,
}

/// A word of `--net`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetWish {
    /// A mode, and no network of VMs.
    Mode(NetMode),
    /// A network of VMs.
    Join(NetworkName),
}

impl FromStr for NetWish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(mode) => Ok(Self::Mode(mode)),
            Err(_) => text
                .parse()
                .map(Self::Join)
                .map_err(|error: InvalidName| format!("{error}; or say none or user")),
        }
    }
}

impl NetWish {
    /// The mode.
    pub fn mode(&self) -> NetMode {
        match self {
            Self::Mode(mode) => *mode,
            Self::Join(_) => NetMode::User,
        }
    }

    /// The network of VMs.
    pub fn join(&self) -> Option<&NetworkName> {
        match self {
            Self::Mode(_) => None,
            Self::Join(name) => Some(name),
        }
    }
}

/// A word of `--allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// What needs no rule, as older builds had it here.
    Egress(Egress),
    /// A rule.
    Rule(Rule),
}

impl Network {
    /// The mode, as far as the user has said.
    pub fn mode(&self) -> Option<NetMode> {
        self.net.as_ref().map(NetWish::mode)
    }

    /// The network of VMs that it is to be in.
    pub fn join(&self) -> Option<NetworkName> {
        self.net.as_ref().and_then(NetWish::join).cloned()
    }

    /// What needs no rule, as far as the user has said.
    pub fn egress(&self) -> Option<Egress> {
        let said = self.allow.iter().rev().find_map(|one| match one {
            Allowed::Egress(egress) => Some(*egress),
            Allowed::Rule(_) => None,
        });
        self.egress.or(said)
    }

    /// Rules that allow.
    pub fn allowed(&self) -> Vec<String> {
        let rules = self.allow.iter().filter_map(|one| match one {
            Allowed::Egress(_) => None,
            Allowed::Rule(rule) => Some(rule.to_string()),
        });
        rules.collect()
    }

    /// Secrets that it uses.
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.iter().map(ToString::to_string).collect()
    }

    /// Rules that deny.
    pub fn denied(&self) -> Vec<String> {
        self.deny.iter().map(ToString::to_string).collect()
    }
}

impl Spec {
    /// Takes over what a repository asks for, where the user has not said otherwise.
    ///
    /// # Errors
    /// It asks for an image that cannot be had, or there is no daemon.
    pub async fn fill(
        &mut self,
        requests: &RepositoryRequests,
        context: &Context,
    ) -> Result<(), Failure> {
        if self.image.is_none()
            && let Some((file, image)) = requests.image()?
        {
            self.image = Some(Wanted::of_repository(file, image, context).await?);
        }
        self.narrow = requests.narrow()?;
        if self.network.net.is_none() && requests.need_network() {
            let status = |client: Client| async move { client.daemon_status().await };
            let mode = context.session.read(status).await?.default_net;
            self.network.net = Some(NetWish::Mode(mode));
        }
        if self.network.mode() == Some(NetMode::None) {
            requests.no_ports(context);
        } else {
            let forwards = requests.forwards(&self.network.publish, context);
            self.network.publish.extend(forwards);
        }
        Ok(())
    }

    /// Takes the image that was named without `--image`.
    ///
    /// # Errors
    /// There is another one.
    pub fn made_of(&mut self, image: Wanted) -> Result<(), Failure> {
        if let Some(other) = &self.image {
            return Err(Failure::usage(format!(
                "two images are named: {} and {}",
                image.name(),
                other.name()
            )));
        }
        self.image = Some(image);
        Ok(())
    }

    /// The name that it is to have, as far as the user has said.
    pub fn name(&self) -> Option<&VmName> {
        self.name.as_ref()
    }

    /// Its network, as far as the user has said.
    pub fn connection(&self) -> (NetMode, Egress) {
        let egress = self.network.egress();
        (
            self.network.mode().unwrap_or_default(),
            egress.unwrap_or_default(),
        )
    }

    /// Makes the image be there that a reference names.
    ///
    /// # Errors
    /// It cannot be pulled.
    pub async fn pull(&self, context: &Context) -> Result<(), Failure> {
        match &self.image {
            Some(image) => image.pull(context).await,
            None => Ok(()),
        }
    }

    /// The request to make it.
    ///
    /// # Errors
    /// It has too many labels.
    pub fn into_request(self, start: bool, ephemeral: bool) -> Result<CreateVm, Failure> {
        let labels = Labels::new(self.labels);
        let labels = labels.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(CreateVm {
            name: self.name,
            image: self.image.map(|image| image.name().clone()),
            kernel: self.kernel,
            engine: self.engine,
            vcpu: self.vcpu,
            memory: self.memory,
            disk_size: self.disk_size,
            overlay_size: self.overlay_size,
            net: self.network.mode(),
            join: self.network.join(),
            stack: None,
            egress: self.network.egress(),
            allow: self.network.allowed(),
            deny: self.network.denied(),
            secrets: self.network.secrets(),
            narrow: self.narrow,
            publish: self.network.publish,
            start,
            ephemeral,
            restart: self.restart,
            labels,
            replace: false,
            no_template: self.no_template,
        })
    }
}

/// A number of virtual CPUs; the daemon knows how many an engine gives at most.
pub fn vcpu(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("use a number from 1".to_owned()),
    }
}

fn allowed(text: &str) -> Result<Allowed, String> {
    match text.parse() {
        Ok(egress) => Ok(Allowed::Egress(egress)),
        Err(_) => match text.parse() {
            Ok(rule) => Ok(Allowed::Rule(rule)),
            Err(error) => Err(format!("{error}; use all, none, public or a rule")),
        },
    }
}
