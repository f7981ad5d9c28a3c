//! The `banger` program: see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    banger_cli::main(std::env::args_os())
}
