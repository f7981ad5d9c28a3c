//! The kernel and the image that a VM is made from: here, or to be had.

use std::fs;
use std::path::Path;

use banger_api::doctor::Check;
use banger_command::find_in_path;
use banger_image::Recipe;

use crate::config::Config;
use crate::paths::Paths;

/// The file of a complete kernel, and of a complete image.
const KERNEL: &str = "kernel.json";
const IMAGE: &str = "image.json";
/// Most entries of a folder that are counted.
const MAX_COUNTED: usize = 10_000;

pub(super) fn checks(paths: &Paths, config: &Config) -> Vec<Check> {
    let there =
        |program: &str| find_in_path(program, std::env::var_os("PATH").as_deref()).is_some();
    vec![
        kernel(
            count(&paths.places().parents().kernels, KERNEL),
            there("apt-get"),
        ),
        image(
            count(&paths.places().parents().images, IMAGE),
            config.default_image.as_deref(),
            there("mmdebstrap") && banger_image::build_mode().is_ok(),
        ),
    ]
}

/// Things that the first run would have to fetch or build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// No kernel is here.
    pub kernel: bool,
    /// Name of the image of VMs that name none.
    pub default_image: String,
    /// No image is here, and this recipe makes the default one.
    pub recipe: Option<String>,
}

/// Looks for what the first run would have to fetch or build. Nothing is made.
pub fn missing(paths: &Paths) -> Missing {
    let config = Config::load(paths.config()).unwrap_or_default();
    let default = config.default_image.as_deref();
    let default = default.unwrap_or(banger_control::vm::DEFAULT_IMAGE);
    let is_recipe = Recipe::names().contains(&default);
    let no_image = count(&paths.places().parents().images, IMAGE) == 0;
    Missing {
        kernel: count(&paths.places().parents().kernels, KERNEL) == 0,
        recipe: (no_image && is_recipe).then(|| default.to_owned()),
        default_image: default.to_owned(),
    }
}

/// Folders in `folder` that are complete: they have this file.
fn count(folder: &Path, file: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let complete = entries
        .take(MAX_COUNTED)
        .filter(|entry| entry.path().join(file).is_file());
    complete.count()
}

fn kernel(here: usize, can_fetch: bool) -> Check {
    match (here, can_fetch) {
        (0, true) => Check::ok("kernel", "none is here: the first run fetches Debian's"),
        (0, false) => Check::fail(
            "kernel",
            "none is here, and none can be fetched without apt-get",
            "import one: banger kernel import --help",
        ),
        (here, _) => Check::ok("kernel", format!("{here} here")),
    }
}

fn image(here: usize, default: Option<&str>, can_build: bool) -> Check {
    if here > 0 {
        return Check::ok("image", format!("{here} here"));
    }
    let names = Recipe::names();
    let default = default.unwrap_or(banger_control::vm::DEFAULT_IMAGE);
    match (names.contains(&default), can_build) {
        (true, true) => Check::ok(
            "image",
            format!("none is here: the first run builds {default}"),
        ),
        (true, false) => Check::warn(
            "image",
            format!("none is here, and {default} cannot be built"),
            "bring one: banger image pull debian:12 (then banger run --image debian:12)",
        ),
        (false, _) => Check::warn(
            "image",
            format!("default_image \"{default}\" is not here, and no recipe has this name"),
            format!("banger image pull REFERENCE --name {default}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Status;

    use super::*;

    #[test]
    fn what_is_absent_is_fine_as_long_as_it_can_be_had() {
        assert_eq!(kernel(0, true).status, Status::Ok);
        assert_eq!(kernel(0, false).status, Status::Fail);
        assert_eq!(kernel(1, false).status, Status::Ok);
        assert_eq!(image(0, None, true).status, Status::Ok);
        assert_eq!(image(0, None, false).status, Status::Warn);
        assert_eq!(image(0, Some("mine"), true).status, Status::Warn);
        assert_eq!(image(2, Some("mine"), false).status, Status::Ok);
    }

    #[test]
    fn only_folders_that_are_complete_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a")).unwrap();
        fs::create_dir_all(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/kernel.json"), "{}").unwrap();
        assert_eq!(count(folder.path(), "kernel.json"), 1);
        assert_eq!(count(&folder.path().join("absent"), "kernel.json"), 0);
    }
}
