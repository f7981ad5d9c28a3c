//! Start of new work disks of an image: the arguments that making and reseeding share.

use std::path::Path;

use banger_api::ByteSize;
use banger_api::image::WorkSeed;

use crate::failure::Failure;
use crate::host_path::absolute;

/// Start of new work disks.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Work seed")]
pub struct Seed {
    /// Start of new work disks: root (the image's own /root), none (they start empty), or the path of an ext4
    /// image, a tar archive or a directory [default: root when anything is in it, else none]
    #[arg(long, value_name = "WHAT")]
    work_seed: Option<String>,
    /// Size of the work seed when it is not an ext4 image; it grows to the size of each work disk anyway
    #[arg(long, value_name = "SIZE")]
    seed_size: Option<ByteSize>,
}

impl Seed {
    /// The seed as the daemon is asked for it.
    ///
    /// # Errors
    /// A path that this process cannot make absolute.
    pub fn wanted(&self) -> Result<(WorkSeed, Option<ByteSize>), Failure> {
        let from = match &self.work_seed {
            None => WorkSeed::Auto,
            Some(text) => seed_of(text)?,
        };
        Ok((from, self.seed_size))
    }
}

/// A word, or a path of this host: `./root` is the directory of that name.
pub fn seed_of(text: &str) -> Result<WorkSeed, Failure> {
    match WorkSeed::from(text.to_owned()) {
        WorkSeed::Path(path) => absolute(Path::new(&path)).map(WorkSeed::Path),
        word => Ok(word),
    }
}
