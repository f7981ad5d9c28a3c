//! Calls about workspaces: the records of sent workspaces, and files of a guest by name.

use banger_api::files::{FoundFile, KeptWorkspace, TreeFiles};
use banger_api::routes::{self, fill};
use hyper::Method;

use crate::bytestream::ByteStream;
use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// The records of all workspaces of a VM, the one that was kept last first.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn workspaces(&self, reference: &str) -> Result<Vec<KeptWorkspace>, ClientError> {
        let path = fill(routes::VM_WORKSPACES, reference);
        self.get(path).answer().await
    }

    /// Record of the workspace that was sent to a VM, as stored by [`Self::keep_workspace`]. `None`: none was sent.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn workspace(
        &self,
        reference: &str,
        key: Option<&str>,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        let mut stream = ByteStream::new(self.get(keyed(reference, key)).stream().await?);
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await? {
            if bytes.len() + chunk.len() > routes::MAX_WORKSPACE_RECORD {
                return Err(ClientError::TooLarge {
                    request: stream.request().to_owned(),
                    limit: routes::MAX_WORKSPACE_RECORD,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// Stores the record of the workspace that was sent to a VM, for as long as the VM exists.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn keep_workspace(
        &self,
        reference: &str,
        key: &str,
        record: Vec<u8>,
    ) -> Result<(), ClientError> {
        let path = keyed(reference, Some(key));
        self.call(Method::PUT, path).bytes(record).answer().await
    }

    /// Forgets the record of a workspace.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn forget_workspace(
        &self,
        reference: &str,
        key: Option<&str>,
    ) -> Result<(), ClientError> {
        let path = keyed(reference, key);
        self.call(Method::DELETE, path).answer().await
    }

    /// Type and digest of files of a guest, in the order asked.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn digest_files(
        &self,
        reference: &str,
        files: &TreeFiles,
    ) -> Result<Vec<FoundFile>, ClientError> {
        self.post(fill(routes::VM_DIGEST_FILES, reference))
            .json(files)?
            .slow_answer()
            .await
    }

    /// Removes files of a guest, and directories that this leaves empty; answers how many were there.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn remove_files(
        &self,
        reference: &str,
        files: &TreeFiles,
    ) -> Result<u64, ClientError> {
        self.post(fill(routes::VM_REMOVE_FILES, reference))
            .json(files)?
            .slow_answer()
            .await
    }
}

fn keyed(reference: &str, key: Option<&str>) -> String {
    let path = fill(routes::VM_WORKSPACE, reference);
    match key {
        Some(key) => format!("{path}?key={key}"),
        None => path,
    }
}
