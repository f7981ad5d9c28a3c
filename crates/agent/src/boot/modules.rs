//! Kernel modules: `/modules/order` names the files beside it, in the order in which they can be loaded.

use std::fs::File;
use std::io;

use rustix::io::Errno;

const FOLDER: &str = "/modules";

/// Loads all modules. One that does not load is told about and does not stop the others: whether the guest can do
/// without it shows where it is used, with a better message.
///
/// # Errors
/// When the order cannot be read. A missing one is fine: then everything is built in.
pub fn load_all(mut complain: impl FnMut(&str, io::Error)) -> io::Result<()> {
    let order = match std::fs::read_to_string(format!("{FOLDER}/order")) {
        Ok(order) => order,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in order.lines().map(str::trim).filter(|name| !name.is_empty()) {
        if let Err(error) = load(name) {
            complain(name, error);
        }
    }
    Ok(())
}

fn load(name: &str) -> io::Result<()> {
    let file = File::open(format!("{FOLDER}/{name}"))?;
    match rustix::system::finit_module(&file, c"", 0) {
        // Built in, or loaded as what another one needs.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
