//! A repository that goes into a guest: for the first time, or what changed since.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use banger_api::files::FoundFile;
use banger_api::{ApiError, ErrorCode};
use banger_guest::files::{FilesError, upload_made};
use banger_guest::{Found, GuestPath, TransferDone, TreePath};
use banger_workspace::{
    Changes, Head, Record, RepoPath, SendError, Shipment, Survey, WorkspaceError,
};

use super::choice::has_moved;
use super::record::{self, Kept};
use super::{RepositoryRequests, guest_files, source_flags};
use crate::commands::vm::cp::shown;
use crate::context::Context;
use crate::counting::Counting;
use crate::failure::Failure;

/// Directory of workspaces.
const HOME: &str = "/root";
/// Number of entries that are shown of a list that may be long.
const SHOWN: usize = 10;

/// A repository that goes into a guest.
#[derive(Debug)]
pub struct Outgoing {
    survey: Arc<Survey>,
    dest: GuestPath,
    /// For commands that run there later.
    head: Head,
}

/// The outcome of sending.
#[derive(Debug)]
pub struct Sent {
    /// The record of what was sent; none: there was nothing to send.
    pub done: Option<TransferDone>,
    /// Files that went, or all.
    pub files: usize,
    /// Files that were removed.
    pub removed: u64,
    /// Those that went into a workspace that the guest had already: files, and folders that are new there.
    pub paths: Vec<RepoPath>,
    /// State of the guest's copy now.
    pub head: Head,
}

/// The outcome of sending what changed.
#[derive(Debug)]
pub enum Updated {
    /// It went.
    Sent(Box<Sent>),
    /// Nothing went: these files changed in the guest, and also here.
    HeldBack(Vec<RepoPath>),
}

impl Updated {
    /// Sending, or the refusal that names the files.
    fn or_refuse(self) -> Result<Sent, Failure> {
        match self {
            Self::Sent(sent) => Ok(*sent),
            Self::HeldBack(conflicts) => Err(refusal(&conflicts)
                .hint("banger vm workspace export brings that work here first")
                .into()),
        }
    }
}

impl Outgoing {
    /// The repository's own name names the workspace, unless another one is given.
    ///
    /// # Errors
    /// Its name cannot be one in a guest.
    pub fn new(survey: Arc<Survey>, name: Option<&str>) -> Result<Self, Failure> {
        let top = survey.top().repository.top();
        let own = top
            .file_name()
            .map_or("workspace".into(), |name| name.to_string_lossy());
        let name = name.unwrap_or(&own);
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return Err(Failure::usage(format!(
                "\"{name}\" is not a folder's name: --as NAME gives the workspace another one"
            )));
        }
        let dest = GuestPath::new(&format!("{HOME}/{name}"))
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            survey,
            dest,
            head: Head::default(),
        })
    }

    /// Its target.
    pub fn dest(&self) -> &str {
        self.dest.as_str()
    }

    /// The content that goes.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Writes into the record what the repository's files ask for.
    pub fn with(&mut self, requests: &RepositoryRequests) {
        requests.write_into(&mut self.head);
    }

    /// Starts making the packs of a first time, while the guest is not there yet.
    pub fn start(&self) -> Shipment {
        Shipment::whole(&self.survey)
    }

    /// Sends everything into a guest that has nothing there.
    ///
    /// # Errors
    /// The stream broke, or something on this host.
    pub async fn whole(
        &self,
        vm: &str,
        shipment: Shipment,
        context: &Context,
    ) -> Result<Sent, Failure> {
        let top = self.survey.top();
        let begun = Record {
            head: Head {
                source: top.repository.top().to_string_lossy().into_owned(),
                guest_path: self.dest().to_owned(),
                ..self.head.clone()
            },
            ..Record::default()
        };
        // Before anything is there: what is cut off may be begun again.
        record::keep(vm, &begun, context).await?;
        self.send(vm, shipment, (0, false), context).await
    }

    /// Sends what is needed into a guest that may have it, or something else, already.
    ///
    /// # Errors
    /// The guest has work there that would be lost; the stream broke, or something on this host.
    pub async fn update(
        &mut self,
        vm: &str,
        force: bool,
        context: &Context,
    ) -> Result<Sent, Failure> {
        let all = match record::all(vm, context).await {
            Err(_damaged) if force => Vec::new(),
            other => other?,
        };
        let here = all
            .into_iter()
            .find(|kept| kept.head.guest_path == self.dest());
        let ours = match here {
            Some(kept) => self.ours(vm, kept, force, context).await?,
            None => None,
        };
        if let Some((_, record)) = &ours {
            self.head.set_up.clone_from(&record.head.set_up);
        }
        let Some((kept, record)) = ours.filter(|(_, record)| record.head.complete || !force) else {
            self.refuse_what_is_there(vm, force, context).await?;
            return self.whole(vm, self.start(), context).await;
        };
        let sent = match record.head.complete {
            true => self
                .changes(vm, record, force, context)
                .await?
                .or_refuse()?,
            false => self.whole(vm, self.start(), context).await?,
        };
        if sent.done.is_some() {
            record::forget_old(vm, &kept, context).await?;
        }
        Ok(sent)
    }

    /// Sends what changed since the last time into a guest that has the workspace, and changes nothing else of it.
    ///
    /// # Errors
    /// The guest has no such workspace any more; the stream broke, or something on this host.
    pub async fn follow_up(&mut self, vm: &str, context: &Context) -> Result<Updated, Failure> {
        let all = record::all(vm, context).await?;
        let mut all = all.into_iter();
        let here = all.find(|kept| kept.head.guest_path == self.dest());
        let ours = match here {
            Some(kept) => self.ours(vm, kept, false, context).await?,
            None => None,
        };
        let Some((_, record)) = ours.filter(|(_, record)| record.head.complete) else {
            let message = format!("{} is no workspace of the VM any more", self.dest);
            return Err(ApiError::new(ErrorCode::WrongState, message)
                .hint("banger vm workspace prepare sends it again")
                .into());
        };
        self.head.env.clone_from(&record.head.env);
        self.head.user.clone_from(&record.head.user);
        self.head.set_up.clone_from(&record.head.set_up);
        self.changes(vm, record, false, context).await
    }

    /// The record of what is in this folder of the guest, when it was sent from this repository.
    async fn ours(
        &self,
        vm: &str,
        kept: Kept,
        force: bool,
        context: &Context,
    ) -> Result<Option<(Kept, Record)>, Failure> {
        let top = self.survey.top().repository.top().to_owned();
        let is_same = Path::new(&kept.head.source) == top;
        if !is_same {
            let (was, to) = (kept.clone(), top.clone());
            let moved = tokio::task::spawn_blocking(move || has_moved(&was, &to)).await;
            if !moved.unwrap_or_default() {
                if force {
                    return Ok(None);
                }
                let message = format!("{} is the workspace of {}", self.dest, kept.head.source);
                return Err(ApiError::new(ErrorCode::WrongState, message)
                    .hint("--as NAME gives this one another folder in the guest")
                    .into());
            }
            context.output.note(&format!(
                "{} is now {}: its workspace goes on",
                kept.head.source,
                top.display()
            ));
        }
        let mut record = match record::whole(vm, &kept, context).await {
            Err(_damaged) if force => return Ok(None),
            other => other?,
        };
        record.head.source = top.to_string_lossy().into_owned();
        Ok(Some((kept, record)))
    }

    async fn changes(
        &self,
        vm: &str,
        record: Record,
        force: bool,
        context: &Context,
    ) -> Result<Updated, Failure> {
        let known = Arc::new(record);
        let (survey, before) = (Arc::clone(&self.survey), Arc::clone(&known));
        let finding = tokio::task::spawn_blocking(move || Changes::find(&survey, &before));
        let changes = finding.await.map_err(|panic| {
            Failure::from(ApiError::new(ErrorCode::Internal, panic.to_string()))
        })?;
        let changes = changes.map_err(|error| source_flags::failure(&error))?;
        if changes.is_empty() {
            return Ok(Updated::Sent(Box::new(Sent {
                done: None,
                files: 0,
                removed: 0,
                paths: Vec::new(),
                head: known.head.clone(),
            })));
        }
        if !force {
            let found = guest_files::digest(vm, self.dest(), changes.asked(), context).await?;
            let found: Vec<_> = found.into_iter().map(of_api).collect();
            let conflicts = changes.conflicts(&found);
            if !conflicts.is_empty() {
                return Ok(Updated::HeldBack(conflicts));
            }
        }
        let removing: BTreeSet<_> = changes
            .removed
            .iter()
            .filter_map(|path| TreePath::new(&path[..]).ok())
            .collect();
        let removed =
            guest_files::remove(vm, self.dest(), removing.into_iter().collect(), context).await?;
        let paths: BTreeSet<_> = changes
            .sent
            .keys()
            .map(|path| new_top(&known, path).to_vec())
            .collect();
        let sent = self.send(vm, changes.into_shipment(), (removed, !force), context);
        Ok(Updated::Sent(Box::new(Sent {
            paths: paths.into_iter().collect(),
            ..sent.await?
        })))
    }

    /// A directory that was not sent from here is somebody's work.
    async fn refuse_what_is_there(
        &self,
        vm: &str,
        force: bool,
        context: &Context,
    ) -> Result<(), Failure> {
        if force {
            return Ok(());
        }
        let name = self.dest.file_name().unwrap_or_default();
        let path = TreePath::new(name).map_err(|error| Failure::usage(error.to_string()))?;
        let found = guest_files::digest(vm, HOME, vec![path], context).await?;
        if found.first() == Some(&FoundFile::Absent) {
            return Ok(());
        }
        let message = format!(
            "{} exists in the guest and was not sent from here",
            self.dest
        );
        Err(ApiError::new(ErrorCode::WrongState, message)
            .hint("--as NAME takes another folder in the guest; banger cp brings out what is there")
            .into())
    }

    async fn send(
        &self,
        vm: &str,
        shipment: Shipment,
        (removed, unchanged): (u64, bool),
        context: &Context,
    ) -> Result<Sent, Failure> {
        let dest = self.dest();
        let known = shipment.unchanged.len();
        let opened = context
            .session
            .change(|client| async move { client.vm_update_files(vm, dest, unchanged).await });
        let (stream, moved) = Counting::new(opened.await?);
        let slot: Arc<Mutex<Option<Result<Record, WorkspaceError>>>> = Arc::default();
        let (kept, guest_path) = (Arc::clone(&slot), dest.to_owned());
        let make = move |to: &mut dyn io::Write| {
            let written = shipment.write(&guest_path, to);
            let mut slot = kept.lock().unwrap_or_else(PoisonError::into_inner);
            match written {
                Ok((done, record)) => {
                    *slot = Some(Ok(record));
                    Ok(done)
                }
                Err(SendError::Stream(error)) => Err(FilesError::Stream(error)),
                Err(SendError::Workspace(error)) => {
                    let shown = error.to_string();
                    *slot = Some(Err(error));
                    Err(FilesError::Stream(io::Error::other(shown)))
                }
            }
        };
        let sent = shown(upload_made(stream, make), moved, context).await;
        let made = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = &made {
            return Err(source_flags::failure(error));
        }
        let done = sent?;
        let Some(Ok(mut record)) = made else {
            return Err(ApiError::new(
                ErrorCode::Internal,
                "the workspace was sent without a record",
            )
            .into());
        };
        record.head.env.clone_from(&self.head.env);
        record.head.user.clone_from(&self.head.user);
        record.head.set_up.clone_from(&self.head.set_up);
        record::keep(vm, &record, context).await?;
        Ok(Sent {
            done: Some(done),
            files: record.files.len().saturating_sub(known),
            removed,
            paths: Vec::new(),
            head: record.head,
        })
    }
}

/// The outermost folder of a file that holds nothing that was sent before, or else the file.
fn new_top<'a>(known: &Record, path: &'a [u8]) -> &'a [u8] {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut folders = slashes.map(|(at, _)| at);
    let is_new = |at: &usize| {
        let folder = &path[..=*at];
        let mut behind = known.files.range(folder.to_vec()..);
        !behind
            .next()
            .is_some_and(|(next, _)| next.starts_with(folder))
    };
    folders.find(is_new).map_or(path, |at| &path[..at])
}

fn of_api(found: FoundFile) -> Found {
    match found {
        FoundFile::Absent => Found::Absent,
        FoundFile::File { sha256, executable } => Found::File { sha256, executable },
        FoundFile::Link { sha256 } => Found::Link { sha256 },
        FoundFile::Directory => Found::Directory,
        FoundFile::Other => Found::Other,
    }
}

/// Refusal to write over these files.
pub fn refusal(conflicts: &[RepoPath]) -> ApiError {
    let mut names: Vec<_> = conflicts
        .iter()
        .take(SHOWN)
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    if conflicts.len() > SHOWN {
        names.push(format!("and {} more", conflicts.len() - SHOWN));
    }
    let moved = conflicts
        .iter()
        .any(|path| path.starts_with(b".git/") || path.windows(6).any(|part| part == b"/.git/"));
    let why = if moved {
        " (.git: commits were made there)"
    } else {
        ""
    };
    let message = format!(
        "changed in the guest since it was sent, and also here: {}{why}",
        names.join(", ")
    );
    ApiError::new(ErrorCode::WrongState, message)
}
