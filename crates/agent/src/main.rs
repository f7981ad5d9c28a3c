//! `/init`: see the library.

use std::process::ExitCode;

use banger_agent::keeper::Keeper;
use banger_agent::{
    console, init, keeper, listen, main_loop, modprobe, power, program, revival, serve, sftp,
};
use banger_guest::LISTEN;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    if modprobe::is_called(&name) {
        return modprobe::main(&arguments);
    }
    if let Some(name) = power::called_as(&name) {
        return power::main(name, &arguments);
    }
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [program::FRESH] => main_loop::run(program::FRESH),
        [program::AGAIN] => {
            revival::leave();
            main_loop::run(program::AGAIN)
        }
        [keeper::KEEP] => keeper::keep(Keeper::OfInit),
        [keeper::GUARD] => keeper::keep(Keeper::OfSystemd),
        [revival::FREED] => keeper::keep(Keeper::OfKernel),
        ["detached", folder] => serve::watch(folder),
        [LISTEN, ref what @ ..] => listen::serve(what),
        ["sftp-server"] => sftp::serve(std::io::stdin(), std::io::stdout()),
        _ => Err(std::io::Error::other(
            "this program is started by banger inside a guest",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::say(format_args!("agent: {error}"));
            ExitCode::FAILURE
        }
    }
}
