//! A new VM in the place of one that exists: only with the user's consent.

use banger_api::vm::VmState;
use banger_api::{ErrorCode, VmName};

use super::change::find;
use crate::consent;
use crate::context::Context;
use crate::failure::Failure;

/// Whether a VM that exists is replaced.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Replacing {
    /// Delete the VM that has the name, with all its files, when the new one is made
    #[arg(long, requires = "name", help_heading = None)]
    replace: bool,
    /// Do not ask before that; needed where there is no terminal to ask at, and with --json
    #[arg(short, long, requires = "replace", help_heading = None)]
    yes: bool,
}

impl Replacing {
    /// True when the user wants it.
    pub fn is_asked(&self) -> bool {
        self.replace
    }

    /// Whether a VM of this name is to be replaced, with the user's consent when there is one.
    ///
    /// # Errors
    /// The user does not want it, or cannot be asked.
    pub async fn agreed(self, name: Option<&VmName>, context: &Context) -> Result<bool, Failure> {
        let Some(name) = name.filter(|_| self.replace) else {
            return Ok(false);
        };
        if self.yes {
            return Ok(true);
        }
        let old = match find(name.as_str(), context).await {
            Ok(old) if old.name == *name => old,
            Ok(_) => return Ok(true),
            Err(failure) if failure.is(ErrorCode::NotFound) => return Ok(true),
            Err(failure) => return Err(failure),
        };
        let runs = match old.state {
            VmState::Running => ", which runs,",
            _ => "",
        };
        let question = format!("Delete VM {name}{runs} with all its files, and make it anew?");
        consent::asked(
            &question,
            "--yes says so without a question",
            &context.output,
        )?;
        Ok(true)
    }
}
