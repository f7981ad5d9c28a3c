//! A new VM in the place of one that exists: only with the user's consent.

use banger_api::VmName;
use banger_api::vm::VmState;

use super::change::of_name;
use crate::consent;
use crate::context::Context;
use crate::failure::Failure;

/// Replacing of a VM that exists.
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

    /// Tells whether a VM of this name is to be replaced, with the user's consent when there is one.
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
        let Some(old) = of_name(name, context).await? else {
            return Ok(true);
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
