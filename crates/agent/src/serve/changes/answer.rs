//! The call itself: walk, then send.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use banger_guest::files::archive::{ArchiveWriter, Entry, EntryKind};
use banger_guest::files::{
    CHANGED, FilesError, GONE, LEFT, LeftKind, Manifest, answer_changes, pack_entry,
};
use banger_guest::{GetChanges, TransferDone};
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncWriteExt;

use super::failed::{as_path, failed};
use super::walk::{Changes, walk};
use crate::guest_state::Guest;
use crate::serve::files::{path_in, refused};
use crate::serve::reply::CallIo;
use crate::serve::tree::parent_of;

/// Answers a call.
pub(in crate::serve) async fn answer(mut io: CallIo, request: GetChanges, guest: &Arc<Guest>) {
    if refused(&mut io, &request.root, guest).await {
        return;
    }
    let root = path_in(guest, &request.root);
    let make = move |manifest: Manifest, to: &mut dyn Write| {
        let changes = walk(&root, &manifest)?;
        send(&root, changes, request.max_bytes, to)
    };
    // A broken call is a host that is gone.
    let _ = answer_changes(&mut io, make).await;
    let _ = io.shutdown().await;
}

fn send(
    root: &Path,
    changes: Changes,
    max_bytes: u64,
    to: &mut dyn Write,
) -> Result<TransferDone, FilesError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|error| failed("open", root, error.into()))?;
    let mut writer = ArchiveWriter::new(to);
    let mut all = TransferDone::default();
    let mut gone = changes.gone;
    for path in changes.changed {
        let relative = as_path(&path);
        let shown = root.join(relative);
        let found = parent_of(&top, relative)
            .map_err(|error| failed("open", &shown, error.into()))?
            .map(|(dir, name)| {
                let packed = [CHANGED, &path].concat();
                pack_entry(&mut writer, dir.as_fd(), name, (&packed, &shown))
            });
        match found {
            Some(Ok(done)) => {
                all.entries += done.entries;
                all.bytes += done.bytes;
                all.skipped += done.skipped;
            }
            // It was there a moment ago.
            Some(Err(FilesError::Io { source, .. }))
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                gone.push(path);
            }
            Some(Err(error)) => return Err(error),
            None => gone.push(path),
        }
        if all.bytes > max_bytes {
            return Err(FilesError::Limit {
                what: "bytes",
                limit: max_bytes,
            });
        }
    }
    let gone = gone.iter().flat_map(|path| [&path[..], b"\0"].concat());
    list(&mut writer, GONE, gone.collect(), &mut all)?;
    let letter = |(kind, path): &(LeftKind, Vec<u8>)| [&[kind.letter()], &path[..], b"\0"].concat();
    let left = changes.left.iter().flat_map(letter);
    list(&mut writer, LEFT, left.collect(), &mut all)?;
    writer.finish().map_err(FilesError::Stream)?;
    Ok(all)
}

/// Writes an entry that is a list.
fn list(
    writer: &mut ArchiveWriter<&mut dyn Write>,
    name: &[u8],
    list: Vec<u8>,
    all: &mut TransferDone,
) -> Result<(), FilesError> {
    let size = list.len() as u64;
    let header = Entry {
        path: name.to_vec(),
        kind: EntryKind::File { size },
        mode: 0o644,
        mtime: 0,
        mtime_nanos: 0,
    };
    let written = writer
        .header(&header)
        .and_then(|()| writer.content(&list))
        .and_then(|()| writer.pad(size));
    written.map_err(FilesError::Stream)?;
    all.entries += 1;
    all.bytes += size;
    Ok(())
}
