//! Makes the kernel and the images that the scenarios use, once, through the built `banger`.

use std::process::ExitCode;

use banger_smoke::{Distributions, PreparedGuests, sweep_dead_sandboxes};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    sweep_dead_sandboxes();
    Distributions::make(&PreparedGuests::make()?)?;
    Ok(ExitCode::SUCCESS)
}
