//! Files: texts, and copies between the shared folder and a VM.

use std::io::Write;

use banger_client::Client;
use banger_guest::files::archive::{ArchiveReader, ArchiveWriter, Entry, EntryKind};
use banger_guest::files::{
    FilesError, PackOptions, Target, TransferError, UnpackLimits, download, download_stream,
    upload, upload_made,
};
use banger_guest::{GuestPath, TransferDone};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::{tool, tool_router};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, ToolError, json};
use crate::host::Host;
use crate::server::Server;

/// Largest file that is read, in bytes; longer ones are read by `vm_exec`, in parts.
const MAX_READ: u64 = 1 << 20;
/// Room for what surrounds one file in a tar stream, in bytes.
const FRAME: u64 = 64 * 1024;
/// Largest copy out of a VM, in bytes of content and in files.
const MAX_COPY: UnpackLimits = UnpackLimits {
    entries: 1_000_000,
    bytes: 64 << 30,
};

/// A file to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// The VM: its name or its id.
    vm: String,
    /// Path in the VM; one that does not begin with "/" is below /root.
    path: String,
}

/// A file to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    /// The VM: its name or its id.
    vm: String,
    /// Path in the VM; one that does not begin with "/" is below /root. Missing folders are made.
    path: String,
    /// The file's text. Either this or "base64".
    text: Option<String>,
    /// Its bytes in base64.
    base64: Option<String>,
    /// Anybody may run it.
    #[serde(default)]
    executable: bool,
}

/// A copy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    /// The VM: its name or its id.
    vm: String,
    /// Path on the host, below the shared folder.
    host_path: String,
    /// Path in the VM.
    vm_path: String,
}

/// A file that was read.
#[derive(Debug, Serialize)]
struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    bytes: usize,
    mode: String,
}

#[tool_router(router = files, vis = "pub(crate)")]
impl<H: Host + 'static> Server<H> {
    #[tool(
        name = "vm_read_file",
        description = "Read a file of a VM, up to 1 MiB. A text comes as it is, other bytes in base64.",
        annotations(read_only_hint = true)
    )]
    async fn read_file(&self, Parameters(wish): Parameters<ReadFile>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let path = guest_path(&wish.path)?;
        let stream = client
            .vm_get_files(&vm.id.to_string(), path.as_str(), true)
            .await?;
        let mut tar = Vec::new();
        let read = download_stream(stream, &mut tar, MAX_READ + FRAME, &mut |_| {}).await;
        let too_large = || {
            ToolError::Argument(format!(
                "{path} has more than {MAX_READ} bytes: read a part of it with vm_exec (head, tail, sed)"
            ))
        };
        match read {
            Ok(_) => {}
            Err(TransferError::Unexpected(_)) => return Err(too_large()),
            Err(error) => return Err(error.into()),
        }
        let (entry, content) = only_file(&tar)
            .map_err(|why| ToolError::Argument(format!("{path} cannot be read: {why}")))?;
        if content.len() as u64 > MAX_READ {
            return Err(too_large());
        }
        let bytes = content.len();
        let (text, base64) = match String::from_utf8(content) {
            Ok(text) => (Some(text), None),
            Err(other) => (None, Some(BASE64.encode(other.as_bytes()))),
        };
        json(&Content {
            text,
            base64,
            bytes,
            mode: format!("{:o}", entry.mode),
        })
    }

    #[tool(
        name = "vm_write_file",
        description = "Write a file in a VM, in place of one that is there. Missing folders are made."
    )]
    async fn write_file(&self, Parameters(wish): Parameters<WriteFile>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let path = guest_path(&wish.path)?;
        let content = match (wish.text, wish.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => BASE64
                .decode(base64)
                .map_err(|error| ToolError::Argument(format!("base64: {error}")))?,
            _ => {
                let message = "give \"text\" or \"base64\", and not both";
                return Err(ToolError::Argument(message.to_owned()));
            }
        };
        let mode = if wish.executable { 0o755 } else { 0o644 };
        let bytes = content.len();
        put(&client, &vm.id.to_string(), &path, content, mode).await?;
        json(&serde_json::json!({ "path": path.as_str(), "bytes": bytes }))
    }

    #[tool(
        name = "vm_copy_in",
        description = "Copy a file or folder of the host's shared folder into a VM, as cp -a does."
    )]
    async fn copy_in(&self, Parameters(wish): Parameters<Copy>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let from = self.policy.host_path(&wish.host_path)?;
        let to = guest_path(&wish.vm_path)?;
        let stream = client
            .vm_put_files(&vm.id.to_string(), to.as_str(), false)
            .await?;
        let done = upload(stream, from, PackOptions::default()).await?;
        json(&done)
    }

    #[tool(
        name = "vm_copy_out",
        description = "Copy a file or folder of a VM into the host's shared folder, as cp -a does."
    )]
    async fn copy_out(&self, Parameters(wish): Parameters<Copy>) -> Answer {
        let (_permit, client, vm) = self.begin_with(&wish.vm).await?;
        let to = self.policy.host_path(&wish.host_path)?;
        let from = guest_path(&wish.vm_path)?;
        let name = from.file_name().ok_or_else(|| {
            ToolError::Argument("\"/\" as a whole cannot be copied: name a folder".to_owned())
        })?;
        let target = Target {
            dest: to,
            must_be_dir: false,
            contents: false,
            parents: false,
            name: Some(name.into()),
            owner: None,
        };
        let stream = client
            .vm_get_files(&vm.id.to_string(), from.as_str(), false)
            .await?;
        let done = download(stream, target, MAX_COPY).await?;
        json(&done)
    }
}

/// Sends one file. Its folder is the destination: a folder that has the file's name is not gone into.
async fn put(
    client: &Client,
    vm: &str,
    path: &GuestPath,
    content: Vec<u8>,
    mode: u32,
) -> Result<(), ToolError> {
    let not_a_file = || ToolError::Argument("\"/\" is no file".to_owned());
    let name = path.file_name().ok_or_else(not_a_file)?.to_owned();
    let folder = path.parent().ok_or_else(not_a_file)?;
    let stream = client.vm_put_into(vm, folder.as_str()).await?;
    upload_made(stream, move |to| pack(to, &name, &content, mode)).await?;
    Ok(())
}

/// A folder with one file in it.
fn pack(
    to: &mut dyn Write,
    name: &str,
    content: &[u8],
    mode: u32,
) -> Result<TransferDone, FilesError> {
    let bytes = content.len() as u64;
    let mut archive = ArchiveWriter::new(to);
    let written = archive
        .header(&entry(b"into", EntryKind::Directory, 0o755))
        .and_then(|()| {
            let path = format!("into/{name}");
            archive.header(&entry(
                path.as_bytes(),
                EntryKind::File { size: bytes },
                mode,
            ))
        })
        .and_then(|()| archive.content(content))
        .and_then(|()| archive.pad(bytes))
        .and_then(|()| archive.finish());
    written.map_err(FilesError::Stream)?;
    Ok(TransferDone {
        entries: 2,
        bytes,
        skipped: 0,
    })
}

fn entry(path: &[u8], kind: EntryKind, mode: u32) -> Entry {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Entry {
        path: path.to_vec(),
        kind,
        mode,
        mtime: now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0)),
        mtime_nanos: 0,
    }
}

/// The file that a stream consists of.
fn only_file(tar: &[u8]) -> Result<(Entry, Vec<u8>), String> {
    let mut archive = ArchiveReader::new(tar);
    let entry = archive.next_entry().map_err(|error| error.to_string())?;
    let entry = entry.ok_or("there is nothing")?;
    let EntryKind::File { size } = entry.kind else {
        return Err("it is no file".to_owned());
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut content = vec![0; size.min(tar.len())];
    let mut filled = 0;
    while filled < content.len() {
        match archive.read_content(&mut content[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) => return Err(error.to_string()),
        }
    }
    content.truncate(filled);
    Ok((entry, content))
}

/// A path in a VM: below /root unless it begins with "/".
fn guest_path(text: &str) -> Result<GuestPath, ToolError> {
    let whole = match text.strip_prefix('/') {
        Some(_) => text.to_owned(),
        None => format!("/root/{text}"),
    };
    GuestPath::new(&whole).map_err(|error| ToolError::Argument(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
mod tests {
    use super::*;

    #[test]
    fn one_file_is_read_and_nothing_else_is() {
        let tar = |entry: &Entry, content: &[u8]| {
            let mut bytes = Vec::new();
            let mut archive = ArchiveWriter::new(&mut bytes);
            archive.header(entry).unwrap();
            archive.content(content).unwrap();
            archive.pad(content.len() as u64).unwrap();
            archive.finish().unwrap();
            bytes
        };
        let file = entry(b"x", EntryKind::File { size: 5 }, 0o640);
        let (read, content) = only_file(&tar(&file, b"hello")).unwrap();
        assert_eq!((read.mode, &content[..]), (0o640, &b"hello"[..]));
        let folder = entry(b"x", EntryKind::Directory, 0o755);
        assert_eq!(only_file(&tar(&folder, b"")).unwrap_err(), "it is no file");
        // A size that is a lie takes no memory, and is told.
        let mut lie = tar(&entry(b"x", EntryKind::File { size: 1 << 40 }, 0o644), b"");
        lie.truncate(1024);
        assert!(only_file(&lie).is_err());
        assert!(only_file(b"").is_err());
    }

    #[test]
    fn a_path_is_below_root_unless_it_is_absolute() {
        assert_eq!(guest_path("a/b").unwrap().as_str(), "/root/a/b");
        assert_eq!(guest_path("/srv//x").unwrap().as_str(), "/srv/x");
        assert!(guest_path("../etc").is_err());
        assert!(guest_path("/srv/\0").is_err());
    }
}
