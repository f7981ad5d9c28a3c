//! Copying at a start.

use std::io;

use banger_engine::VmmIdentity;
use banger_guest::files::{PackOptions, upload};
use banger_guest::{Client, PutFiles};
use banger_ops::{Events, GuestSetup};

use super::entry::SyncEntry;
use super::survey::Survey;
use crate::channels::Channels;
use crate::failure;

/// Permission bits of a file whose entry names none: such files are often secrets.
const FILE_MODE: u32 = 0o600;

/// Copies every entry, in their order. What cannot be copied is a warning.
pub(crate) async fn sync(
    entries: &[SyncEntry],
    channels: &Channels,
    vmm: &VmmIdentity,
    setup: &GuestSetup,
    events: &dyn Events,
) {
    events.stage("sync_files", "");
    let client = match channels.client(setup.vm, &vmm.channel_socket).await {
        Ok(client) => client,
        Err(error) => return events.warn(&format!("file_sync: {}", error.message)),
    };
    for entry in entries {
        let place = format!("file_sync entry {}", entry.number);
        match copy(entry, &client).await {
            Ok(None) => {}
            Ok(Some(warning)) => events.warn(&format!("{place}: {warning}")),
            Err(why) => events.warn(&format!("{place}: {}: {why}", entry.host.display())),
        }
    }
}

/// Copies one entry; gives what is worth a warning all the same.
async fn copy(entry: &SyncEntry, client: &Client) -> Result<Option<String>, String> {
    let host = entry.host.clone();
    let survey = tokio::task::spawn_blocking(move || Survey::of(&host))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "not on this host, so not copied".to_owned(),
            _ => error.to_string(),
        })?;
    let put = PutFiles {
        unchanged: false,
        dest: entry.guest.clone(),
        must_be_dir: false,
        contents: survey.is_dir,
        parents: true,
        owner: None,
    };
    let options = PackOptions {
        follow: true,
        skip_links: true,
        file_mode: entry.mode.or((!survey.is_dir).then_some(FILE_MODE)),
    };
    let call = client
        .put_files(&put)
        .await
        .map_err(|error| failure::chain(&error))?;
    upload(call, entry.host.clone(), options)
        .await
        .map_err(|error| failure::chain(&error))?;
    Ok(survey.skipped_links())
}
