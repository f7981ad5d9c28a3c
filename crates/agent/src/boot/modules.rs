//! Kernel modules: `/modules/serves` names the files beside it, in the order in which they can be loaded, each with the
//! capabilities that need it. Only those that serve a device of this machine are loaded, or what no device stands for
//! (file systems): in emulation each module costs milliseconds of every start.

use std::fs::File;
use std::io;

use rustix::io::Errno;

use super::hardware::Hardware;

const FOLDER: &str = "/modules";

/// Loads all modules that `hardware` has use for. One that does not load is told about and does not stop the others:
/// whether the guest can do without it shows where it is used, with a better message.
///
/// # Errors
/// When the list cannot be read. A missing one is fine: then everything is built in.
pub fn load_all(hardware: &Hardware, mut complain: impl FnMut(&str, io::Error)) -> io::Result<()> {
    let list = match std::fs::read_to_string(format!("{FOLDER}/serves")) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in useful(&list, hardware) {
        if let Err(error) = load(name) {
            complain(name, error);
        }
    }
    Ok(())
}

/// The files of a list that this machine has use for, in its order.
fn useful<'a>(list: &'a str, hardware: &'a Hardware) -> impl Iterator<Item = &'a str> {
    list.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        words
            .any(|capability| hardware.may_use(capability))
            .then_some(name)
    })
}

fn load(name: &str) -> io::Result<()> {
    let file = File::open(format!("{FOLDER}/{name}"))?;
    match rustix::system::finit_module(&file, c"", 0) {
        // Built in, or loaded as what another one needs.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "00-virtio.ko virtio_pci virtio_mmio virtio_net\n01-virtio_pci.ko virtio_pci\n\
        02-virtio_net.ko virtio_net\n03-virtio_mmio.ko virtio_mmio\n04-overlay.ko overlay\n";

    fn useful_to(hardware: &Hardware) -> Vec<&str> {
        useful(LIST, hardware).collect()
    }

    #[test]
    fn a_machine_without_network_loads_no_driver_for_it() {
        let hardware = Hardware::of_pci(["pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00"]);
        assert_eq!(
            useful_to(&hardware),
            ["00-virtio.ko", "01-virtio_pci.ko", "04-overlay.ko"]
        );
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_loads_everything() {
        assert_eq!(useful_to(&Hardware::unknown()).len(), 5);
    }
}
