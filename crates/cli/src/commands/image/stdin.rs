//! An image on standard input: kept in a file without a name, which the daemon reads by way of this process.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsRawFd as _;

use crate::context::Context;
use crate::failure::{Failure, host_error};

/// Content of standard input.
#[derive(Debug)]
pub struct Spooled {
    file: File,
}

impl Spooled {
    /// Reads standard input to its end. The file goes with this process, however that ends.
    ///
    /// # Errors
    /// It is a terminal, or it cannot be kept.
    pub fn read(context: &Context) -> Result<Self, Failure> {
        let input = io::stdin();
        if input.is_terminal() {
            return Err(
                Failure::usage("standard input is a terminal: there is no image on it")
                    .hint("docker save IMAGE | banger image pull - --name NAME"),
            );
        }
        let failed =
            |source: io::Error| host_error("cannot keep what comes on standard input", &source);
        let folder = context.session.endpoint().paths.cache();
        fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
        io::copy(&mut input.lock(), &mut file).map_err(failed)?;
        Ok(Self { file })
    }

    /// Path at which the daemon finds it as long as this lives (proc_pid_fd(5)).
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}
