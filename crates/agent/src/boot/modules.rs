//! Kernel modules: `/modules/serves` names the files beside it, in the order in which they can be loaded, each with the
//! capabilities that need it. Only those that serve a device of this machine are loaded, or what no device stands for
//! (file systems): in emulation each module costs milliseconds of every start. What leads to the host comes first, so
//! that the rest loads while the host is met.

use std::fs::File;
use std::io;

use rustix::io::Errno;

use super::hardware::Hardware;

const FOLDER: &str = "/modules";

/// Modules that the channel to the host may need.
const CHANNEL: [&str; 3] = ["virtio_pci", "virtio_mmio", "virtio_console"];

/// The modules that a machine has use for, in the order in which they can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    /// Those that the channel to the host needs.
    pub channel: Vec<String>,
    /// All others.
    pub rest: Vec<String>,
}

impl Modules {
    /// Reads the list of the initramfs.
    ///
    /// # Errors
    /// When it cannot be read. A missing one is fine: then everything is built in.
    pub fn of(hardware: &Hardware) -> io::Result<Self> {
        match std::fs::read_to_string(format!("{FOLDER}/serves")) {
            Ok(list) => Ok(Self::useful(&list, hardware)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::useful("", hardware)),
            Err(error) => Err(error),
        }
    }

    fn useful(list: &str, hardware: &Hardware) -> Self {
        let mut modules = Self {
            channel: Vec::new(),
            rest: Vec::new(),
        };
        for line in list.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            let mut wanted = words
                .filter(|capability| hardware.may_use(capability))
                .peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let leads_to_host = wanted.any(|capability| CHANNEL.contains(&capability));
            let part = if leads_to_host {
                &mut modules.channel
            } else {
                &mut modules.rest
            };
            part.push(name.to_owned());
        }
        modules
    }
}

/// Loads modules. One that does not load is told about and does not stop the others: whether the guest can do without it
/// shows where it is used, with a better message.
pub fn load_all(names: &[String], mut complain: impl FnMut(&str, io::Error)) {
    for name in names {
        if let Err(error) = load(name) {
            complain(name, error);
        }
    }
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

    fn useful_to(hardware: &Hardware) -> Modules {
        Modules::useful(LIST, hardware)
    }

    #[test]
    fn a_machine_without_network_loads_no_driver_for_it() {
        let hardware = Hardware::of_pci(["pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00"]);
        let modules = useful_to(&hardware);
        assert_eq!(modules.channel, ["00-virtio.ko", "01-virtio_pci.ko"]);
        assert_eq!(modules.rest, ["04-overlay.ko"]);
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_loads_everything() {
        let modules = useful_to(&Hardware::unknown());
        assert_eq!(modules.channel.len() + modules.rest.len(), 5);
    }
}
