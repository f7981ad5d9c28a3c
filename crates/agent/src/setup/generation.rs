//! The name of this boot or waking, for programs that keep what must not be repeated.

use std::fs;
use std::io;
use std::path::Path;

use banger_guest::Configure;

/// In the guest's own root.
pub(super) const PATH: &str = "/run/banger/generation";

/// Writes it. Whoever reads sees the old one or the new one.
///
/// # Errors
/// It cannot be written.
pub fn write(configure: &Configure) -> io::Result<()> {
    write_to(Path::new(PATH), &configure.generation)
}

fn write_to(path: &Path, generation: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, format!("{generation}\n"))?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_generation_takes_the_place_of_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation");
        for generation in ["aa", "b"] {
            write_to(&path, generation).unwrap();
            assert_eq!(
                fs::read_to_string(&path).unwrap(),
                format!("{generation}\n")
            );
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
