//! The part of the work that only the program around the server can do.

use std::future::Future;
use std::path::Path;

use banger_api::ApiError;
use banger_api::vm::Vm;
use banger_client::Client;

/// Changes in a guest's copy of a repository, checked by the rules for patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPatch {
    /// The patch.
    pub bytes: Vec<u8>,
    /// Paths that it changes.
    pub files: Vec<String>,
    /// Paths that need the user's approval, with the reason.
    pub needs_approval: Vec<String>,
    /// Paths in the guest that no patch can hold.
    pub left_behind: Vec<String>,
}

/// The program around the server. Its futures stay on its thread.
pub trait Host {
    /// Calls to a daemon that is there: started when none answers.
    fn client(&self) -> impl Future<Output = Result<Client, ApiError>>;

    /// Sends a repository to a VM and sets it up. The path in the guest.
    fn send(&self, vm: &Vm, repository: &Path) -> impl Future<Output = Result<String, ApiError>>;

    /// The changes in a VM since the repository was sent.
    fn changes(&self, vm: &Vm) -> impl Future<Output = Result<HostPatch, ApiError>>;

    /// Applies them to the repository here: all or nothing. Files that need the user's approval are refused.
    fn apply(&self, vm: &Vm) -> impl Future<Output = Result<HostPatch, ApiError>>;
}
