//! The first VM needs an image and a kernel that are not here yet: one line says so, then their stages are `n of m`.
//!
//! ```text
//! stage of making an image or kernel, the first ──► "first run: …" once, on standard error
//!                               each of them ─────► "2 of 9: …" in the progress
//! any other stage ────────────────────────────────► nothing: later runs make nothing
//! ```
//!
//! Nothing is asked or looked at before such a stage begins, so a run that makes nothing pays nothing.

use std::cell::RefCell;

use banger_api::ImageName;
use banger_daemon::{Missing, Paths, missing, stages};

/// The steps around these stages, with which they begin.
const MAKE_IMAGE: &str = "make_image";
const MAKE_KERNEL: &str = "make_kernel";
const READ_KERNEL: &str = "read_kernel";
/// Recipes and the room that their images take on disk, in MB, as measured when this was written.
const IMAGE_MB: [(&str, u32); 3] = [
    ("debian-bookworm", 530),
    ("debian-docker", 960),
    ("debian-minimal", 150),
];
/// The same of the kernel, with the package that it comes in.
const KERNEL_MB: u32 = 100;

/// The making of what a new VM lacks.
#[derive(Debug)]
pub struct FirstRun {
    paths: Paths,
    /// The image that was asked for.
    image: Option<ImageName>,
    /// The stages, once one of them has begun.
    stages: RefCell<Option<Vec<&'static str>>>,
}

impl FirstRun {
    /// Of a VM that is made of this image, or of the default one.
    pub fn of(paths: &Paths, image: Option<&ImageName>) -> Self {
        Self {
            paths: paths.clone(),
            image: image.cloned(),
            stages: RefCell::new(None),
        }
    }

    /// A stage begins: the line that says what is coming, when it is the first of its kind.
    pub fn announces(&self, stage: &str) -> Option<String> {
        let of_image = stage == MAKE_IMAGE || stages::of_image().contains(&stage);
        // A kernel that is here gets an initramfs as well, from each new build of banger: nothing is fetched then.
        let fetches = stage != stages::INITRAMFS && stages::of_kernel().contains(&stage);
        let of_kernel = stage == MAKE_KERNEL || fetches;
        if stage == READ_KERNEL {
            // A kernel is taken from the VM's own root: nothing is fetched, at no run.
            self.stages.borrow_mut().get_or_insert_default();
        }
        if self.stages.borrow().is_some() || !(of_image || of_kernel) {
            return None;
        }
        let missing = missing(&self.paths);
        let (line, stages) = plan(of_image, &missing, self.image.as_ref());
        *self.stages.borrow_mut() = Some(stages);
        Some(line)
    }

    /// `2 of 10: ` for a stage of the making, nothing for any other.
    pub fn place(&self, stage: &str) -> String {
        let stages = self.stages.borrow();
        let stages = stages.as_deref().unwrap_or_default();
        match stages.iter().position(|one| *one == stage) {
            Some(before) => format!("{} of {}: ", before + 1, stages.len()),
            None => String::new(),
        }
    }
}

/// The line and the stages: of the image, which comes first, and of the kernel when there is none.
fn plan(
    builds_image: bool,
    missing: &Missing,
    image: Option<&ImageName>,
) -> (String, Vec<&'static str>) {
    let fetches_kernel = !builds_image || missing.kernel;
    let mut all = Vec::new();
    let (mut what, mut megabytes) = (Vec::new(), Some(0));
    if builds_image {
        all.extend(stages::of_image());
        let name = image
            .map(|name| name.as_str())
            .unwrap_or(missing.default_image.as_str());
        what.push(format!("builds image {name}"));
        let known = IMAGE_MB.iter().find(|(recipe, _)| *recipe == name);
        megabytes = known.map(|(_, megabytes)| *megabytes);
    }
    if fetches_kernel {
        all.extend(stages::of_kernel());
        what.push("fetches Debian's kernel".to_owned());
        megabytes = megabytes.map(|sum| sum + KERNEL_MB);
    }
    let time = match builds_image {
        true => "about a minute on a fast line",
        false => "some seconds on a fast line",
    };
    let room = megabytes.map_or(String::new(), |sum| format!(", {sum} MB on disk"));
    let line = format!("first run: {}; {time}{room}; once", what.join(" and "));
    (line, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_run(home: &std::path::Path, image: Option<&str>) -> FirstRun {
        let paths = Paths::from_vars(&|name| (name == "BANGER_HOME").then(|| home.into()));
        let image = image.map(|name| name.parse().unwrap());
        FirstRun::of(&paths.unwrap(), image.as_ref())
    }

    #[test]
    fn a_run_that_makes_nothing_says_nothing() {
        let home = tempfile::tempdir().unwrap();
        let run = first_run(home.path(), None);
        for stage in ["make_directory", "make_initramfs", "boot", "guest_kernel"] {
            assert_eq!(run.announces(stage), None);
            assert_eq!(run.place(stage), "");
        }
    }

    #[test]
    fn the_first_stage_says_what_is_coming_once_and_each_has_its_place() {
        let home = tempfile::tempdir().unwrap();
        let run = first_run(home.path(), None);
        assert_eq!(
            run.announces("bootstrap_image").as_deref(),
            Some(
                "first run: builds image debian-bookworm and fetches Debian's kernel; about a minute on a fast line, \
                 630 MB on disk; once"
            )
        );
        assert_eq!(run.announces("bootstrap_image"), None);
        assert_eq!(run.announces("fetch_kernel_package"), None);
        assert_eq!(run.place("bootstrap_image"), "1 of 10: ");
        assert_eq!(run.place("make_initramfs"), "10 of 10: ");
        assert_eq!(run.place("boot"), "");
    }

    #[test]
    fn only_what_is_missing_is_announced() {
        let home = tempfile::tempdir().unwrap();
        let kernel = home.path().join("state/kernels/k");
        let run = first_run(home.path(), Some("mine"));
        let line = run.announces("make_kernel").unwrap();
        assert_eq!(run.place("make_kernel"), "");
        assert!(
            line.starts_with("first run: fetches Debian's kernel; some seconds"),
            "{line}"
        );
        assert_eq!(run.place("write_kernel"), "5 of 6: ");

        std::fs::create_dir_all(&kernel).unwrap();
        std::fs::write(kernel.join("kernel.json"), "{}").unwrap();
        let run = first_run(home.path(), Some("mine"));
        let line = run.announces("make_image").unwrap();
        assert_eq!(
            line,
            "first run: builds image mine; about a minute on a fast line; once"
        );
        assert_eq!(run.place("write_base"), "3 of 4: ");
    }
}
