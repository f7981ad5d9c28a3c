//! Requests of a repository's files, done in the guest.
//!
//! ```text
//! files arrived ──► owner ──► probe ──► tools ──► the record: env, user ──► commands, once ──► the record: done
//! ```
//!
//! The record on the host has what has been done, written when it is done: what is cut off in the middle is done again
//! by the next `prepare`.

use banger_api::vm::{Exec, Vm};
use banger_api::{ApiError, ErrorCode};
use banger_workspace::devcontainer::Commands;
use banger_workspace::{Head, RepoPath};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::requests::RepositoryRequests;
use super::tools::{self, Manager, Probe};
use super::{Sent, record, side_command};
use crate::context::Context;
use crate::failure::{Failure, chain};

/// Files that are given to a user by name, at most.
const MAX_OWNED: usize = 256;

/// The outcome for the tools that a repository pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tools {
    /// They were installed now.
    Installed,
    /// They were installed before, and nothing has changed since.
    Present,
    /// The VM has no outbound network.
    NoNetwork,
    /// The guest has no tool manager that can read what is pinned.
    NoManager,
    /// The tool manager failed.
    Failed,
    /// It was not wanted.
    Skipped,
}

/// The outcome for commands that run once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ran {
    /// They ran now.
    Now,
    /// They ran before.
    Before,
}

/// The outcome of setting up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Done {
    /// Of pinned tools, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// Of `postCreateCommand` and its kin, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Ran>,
}

/// One workspace that is being set up.
struct Setting<'a> {
    vm: &'a Vm,
    requests: &'a RepositoryRequests,
    context: &'a Context,
    head: Head,
}

impl RepositoryRequests {
    /// Knowledge of a workspace's record before its files go.
    pub fn write_into(&self, head: &mut Head) {
        let asks = self
            .devcontainer
            .as_ref()
            .map(|devcontainer| &devcontainer.asks);
        head.env = asks.map(|asks| asks.env.clone()).unwrap_or_default();
        let user = asks.and_then(|asks| asks.user.clone());
        head.user = self.user.clone().or(user);
    }

    /// Does what is asked for, in a guest that has the files; answers with the record as it stands then.
    ///
    /// # Errors
    /// A command that the repository asks for fails, or the guest does. Tools that cannot be installed are a warning.
    pub async fn set_up(
        &self,
        vm: &Vm,
        sent: &Sent,
        reaches_out: bool,
        context: &Context,
    ) -> Result<(Head, Done), Failure> {
        let mut setting = Setting {
            vm,
            requests: self,
            context,
            head: sent.head.clone(),
        };
        self.write_into(&mut setting.head);
        setting.chown(sent.done.is_some()).await?;
        let tools = setting.install_tools(reaches_out).await?;
        setting.keep(&sent.head).await?;
        let commands = setting.commands().await?;
        Ok((setting.head, Done { tools, commands }))
    }
}

/// Gives files that went to the user who has the rest of the workspace.
///
/// # Errors
/// The guest fails.
pub async fn own(vm: &Vm, sent: &Sent, context: &Context) -> Result<(), Failure> {
    let Some(owner) = &sent.head.set_up.owner else {
        return Ok(());
    };
    let top = &sent.head.guest_path;
    let below = |path: &RepoPath| Some(format!("{top}/{}", std::str::from_utf8(path).ok()?));
    // A name that is no text, and very many: all of it is given anew.
    let few = sent.paths.len() <= MAX_OWNED;
    let named = few.then(|| sent.paths.iter().map(below).collect::<Option<Vec<_>>>());
    let mut argv = ["chown", "-Rh", &with_group(owner), "--"]
        .map(str::to_owned)
        .to_vec();
    match named.flatten() {
        Some(named) => argv.extend([format!("{top}/.git")].into_iter().chain(named)),
        None => argv.push(top.clone()),
    }
    let chown = Exec {
        argv,
        user: Some("root".to_owned()),
        cwd: Some("/".to_owned()),
        ..Exec::default()
    };
    let what = format!("cannot give the files to user {owner}");
    let hint = "banger vm workspace prepare tries again";
    side_command::show(&vm.id.to_string(), &what, hint, &chown, context).await
}

/// With a colon the user's own group comes along; a number may have none, and an image may say which.
fn with_group(owner: &str) -> String {
    match owner.contains(':') || owner.bytes().all(|byte| byte.is_ascii_digit()) {
        true => owner.to_owned(),
        false => format!("{owner}:"),
    }
}

impl Setting<'_> {
    fn reference(&self) -> String {
        self.vm.id.to_string()
    }

    /// A command in the workspace, as the user who works there.
    fn exec(&self, argv: Vec<String>) -> Exec {
        Exec {
            argv,
            env: self.head.env.clone(),
            cwd: Some(self.head.guest_path.clone()),
            user: self.head.user.clone(),
            ..Exec::default()
        }
    }

    /// The user that the VM's image names; empty for none. An image that is gone has none.
    async fn image_user(&self) -> String {
        let name = self.vm.image.as_str();
        let found = self
            .context
            .session
            .read(|client| async move { client.image(name).await })
            .await;
        let details = found.ok().and_then(|image| image.details);
        let user = details.map(|details| details.run.user).unwrap_or_default();
        // It is an argument of a program in the guest.
        if user.starts_with('-') {
            String::new()
        } else {
            user
        }
    }

    /// The files belong to the user who works there.
    async fn chown(&mut self, sent: bool) -> Result<(), Failure> {
        let owner = match &self.head.user {
            Some(user) => user.clone(),
            None => self.image_user().await,
        };
        let is_root = matches!(&owner[..], "" | "root" | "0" | "root:root" | "0:0");
        let was = self.head.set_up.owner.clone().unwrap_or_default();
        if is_root && was.is_empty() || (owner == was && !sent) {
            return Ok(());
        }
        let owner = if is_root { "root" } else { &owner };
        let wanted = with_group(owner);
        let chown = Exec {
            argv: ["chown", "-Rh", &wanted, &self.head.guest_path]
                .map(str::to_owned)
                .to_vec(),
            user: Some("root".to_owned()),
            cwd: Some("/".to_owned()),
            ..Exec::default()
        };
        let what = format!("cannot give the workspace to user {owner}");
        let hint = "The user must exist in the guest and the guest needs chown. Run banger vm workspace prepare to retry";
        match side_command::show(&self.reference(), &what, hint, &chown, self.context).await {
            Ok(()) => {}
            // Nobody has asked for it, and images without chown may still be read.
            Err(failure) if self.head.user.is_none() => {
                let why = failure.error().map(ToString::to_string);
                let why = why.unwrap_or_default();
                self.context.output.warn(&format!("{why}; it is root's"));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        self.head.set_up.owner = (!is_root).then(|| owner.to_owned());
        Ok(())
    }

    /// Variables with values of the guest, and tools.
    async fn install_tools(&mut self, reaches_out: bool) -> Result<Option<Tools>, Failure> {
        let asks = self.requests.devcontainer.as_ref().map(|file| &file.asks);
        let variables = asks.map(|asks| asks.asks_guest()).unwrap_or_default();
        let pins = self.requests.pins.as_ref();
        // What was installed once is to be found, whether more of it is wanted or not.
        let pins = pins.filter(|_| self.requests.bootstrap || self.head.set_up.tools.is_some());
        if variables.is_empty() && pins.is_none() {
            let skipped = self.requests.pins.as_ref().map(|_| Tools::Skipped);
            return Ok(skipped);
        }
        let probe = self.exec(tools::probe(variables.iter().cloned()));
        let (vm, what) = (self.reference(), "the guest's environment");
        let answer = match side_command::ask(&vm, what, &probe, self.context).await {
            // Tools alone are no reason to fail: a guest without a shell has no tool manager either.
            Err(failure) if variables.is_empty() && failure.is(ErrorCode::GuestFailed) => {
                Vec::new()
            }
            other => other?,
        };
        let mut probe = Probe::parse(&answer);
        if let Some(asks) = asks.filter(|_| !variables.is_empty()) {
            probe.variables.retain(|name, _| variables.contains(name));
            let told = asks.told(&probe.variables).map_err(|error| {
                Failure::from(ApiError::new(ErrorCode::InvalidArgument, chain(&error)))
            })?;
            if let Some(path) = told.get("PATH") {
                probe.found_in(path);
            }
            self.head.env.extend(told);
        }
        let Some(pins) = pins else {
            return Ok(self.requests.pins.as_ref().map(|_| Tools::Skipped));
        };
        let Some(manager) = probe.manager(pins, &self.head.guest_path) else {
            self.context.output.warn(&format!(
                "the guest has {}: {} is not installed. Use --no-bootstrap to hide this warning",
                match probe.has_asdf() {
                    true => "asdf and not mise",
                    false => "neither mise nor asdf",
                },
                pins.told()
            ));
            return Ok(Some(Tools::NoManager));
        };
        self.head.env.extend(manager.env.clone());
        self.install(&manager, reaches_out).await.map(Some)
    }

    async fn install(&mut self, manager: &Manager, reaches_out: bool) -> Result<Tools, Failure> {
        let Some(pins) = self
            .requests
            .pins
            .as_ref()
            .filter(|_| self.requests.bootstrap)
        else {
            return Ok(Tools::Skipped);
        };
        if self.head.set_up.tools.as_ref() == Some(&pins.digest) {
            return Ok(Tools::Present);
        }
        if !reaches_out {
            return Ok(Tools::NoNetwork);
        }
        let (name, told) = (manager.name, pins.told());
        self.context.output.note(&format!("{name} installs {told}"));
        let mut exec = self.exec(manager.install.clone());
        exec.env.extend(manager.while_installing.clone());
        let what = format!("{name} install");
        match side_command::show(&self.reference(), &what, "", &exec, self.context).await {
            Ok(()) => {
                self.head.set_up.tools = Some(pins.digest.clone());
                Ok(Tools::Installed)
            }
            Err(failure) => {
                let why = failure.error().map(ToString::to_string).unwrap_or_default();
                self.context.output.warn(&format!(
                    "{why}: going on without. The next prepare retries; --no-bootstrap skips it"
                ));
                Ok(Tools::Failed)
            }
        }
    }

    /// Runs what is to run once, unless it has run.
    async fn commands(&mut self) -> Result<Option<Ran>, Failure> {
        let Some(devcontainer) = &self.requests.devcontainer else {
            return Ok(None);
        };
        let (file, commands) = (&devcontainer.file, &devcontainer.asks.commands);
        if commands.is_empty() {
            return Ok(None);
        }
        let digest = digest(commands);
        if let Some(ran) = &self.head.set_up.commands {
            if *ran != digest {
                let names: Vec<_> = commands.iter().map(|(name, _)| &name[..]).collect();
                let names = names.join(", ");
                self.context.output.note(&format!(
                    "{names} of {file} changed since it ran in this VM, where it runs once"
                ));
            }
            return Ok(Some(Ran::Before));
        }
        for (name, commands) in commands {
            self.context
                .output
                .note(&format!("running {name} of {file}"));
            let exec = self.exec(commands.argv());
            let what = format!("{name} of {file}");
            let hint = "banger vm workspace prepare runs it again, --no-devcontainer leaves it out";
            side_command::show(&self.reference(), &what, hint, &exec, self.context).await?;
        }
        let before = self.head.clone();
        self.head.set_up.commands = Some(digest);
        self.keep(&before).await?;
        Ok(Some(Ran::Now))
    }

    /// Has the record kept when it says something new.
    async fn keep(&self, before: &Head) -> Result<(), Failure> {
        if self.head == *before {
            return Ok(());
        }
        record::change(&self.reference(), &self.head, self.context).await
    }
}

fn digest(commands: &[(String, Commands)]) -> String {
    let mut digest = Sha256::new();
    for word in commands.iter().flat_map(|(_, commands)| commands.argv()) {
        digest.update((word.len() as u64).to_le_bytes());
        digest.update(word);
    }
    digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
