//! Pulling images: from a registry into the cache, then from there, or from a file of this host, into an image.
//!
//! ```text
//! registry ─► fetch_layers (cache only: a kill leaves nothing else) ─┐
//! path ──────────────────────────────────────────────────────────────┴─► plan "make" ─► plan "publish"
//! ```
//! The name is locked from the beginning: of two pulls of one image the second finds the image that the first has made.
//! An image of the same reference is replaced when the reference stands for another manifest now.

use std::sync::Arc;

use banger_api::operation::OperationKind;
use banger_api::pull::{PullImage, PullSource};
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode, ImageName};
use banger_ops::{ContainerAt, ImageSource, SeedWish};
use banger_store::image;

use super::make::{make, seed_wish};
use super::{Naming, making};
use crate::Control;
use crate::artifact::existing;
use crate::environment::Fetch;
use crate::operations::{Asked, Running};

/// A checked request.
struct Pull {
    name: ImageName,
    from: Box<dyn Fetch>,
    platform: Option<String>,
    seed: SeedWish,
    /// True when it takes the name from another image.
    replace: bool,
}

/// An image that has the name already.
enum Present {
    /// Of the same reference, with this manifest.
    Same(String),
    /// Of another reference, and to be replaced.
    Other,
}

/// Makes an image of a container image.
///
/// # Errors
/// `invalid_argument` for what names no image, or a path that is not there; `name_taken` by an image of another reference.
pub fn pull(control: &Control, request: PullImage) -> Result<Accepted, ApiError> {
    let name = request.image_name().map_err(|error| {
        ApiError::new(ErrorCode::InvalidArgument, error.to_string())
            .hint("give the image a name of its own: --name NAME")
    })?;
    if let PullSource::Path { path, .. } = &request.source {
        existing(control, "image", path)?;
    }
    let pull = Pull {
        from: control.environment().pull(&request)?,
        seed: seed_wish(control, request.work_seed, request.seed_size)?,
        name,
        platform: request.platform,
        replace: request.replace,
    };
    let task = control.clone();
    let asked = Asked::files(OperationKind::PullImage, vec![making(&pull.name)]);
    let running = control
        .operations()
        .spawn(asked, move |op, _locked| pull.run(&task, op))?;
    Ok(running.accepted(None))
}

impl Pull {
    fn run(self, control: &Control, op: &Arc<Running>) -> Result<(), ApiError> {
        // A name that another image has is said at once, not after a gigabyte.
        let present = self.present(control)?;
        // Until the image is made, nobody takes from the cache what it is made of.
        let _hold = self.from.hold(op)?;
        let known = match &present {
            Some(Present::Same(manifest)) => Some(manifest.as_str()),
            _ => None,
        };
        let fetched = self.from.fetch(known, op)?;
        if let Some(known) = known
            && self.is_still(known, &fetched.at)?
        {
            op.up_to_date();
            return Ok(());
        }
        let source = ImageSource::Container {
            at: fetched.at,
            reference: self.from.reference().to_owned(),
            index: fetched.index,
            platform: self.platform,
            seed: self.seed,
        };
        make(control, op, self.name, source, Naming::Replaces).map(|_record| ())
    }

    /// The image that has the name.
    fn present(&self, control: &Control) -> Result<Option<Present>, ApiError> {
        let Some(record) = control.read(|db| image::by_name(db, self.name.as_str()))? else {
            return Ok(None);
        };
        let folder = control.places().image(&record.digest);
        let origin = match control.environment().image_origin(&folder) {
            Ok(origin) => origin,
            // Making it anew mends it.
            Err(_damaged) if self.replace => return Ok(Some(Present::Other)),
            Err(error) => {
                return Err(self.taken(&format!("by a damaged image ({})", error.message)));
            }
        };
        match origin {
            Some(known) if known.reference == self.from.reference() => {
                Ok(Some(Present::Same(known.manifest)))
            }
            _ if self.replace => Ok(Some(Present::Other)),
            _ => Err(self.taken(&format!("by another image ({})", record.source))),
        }
    }

    /// Tells whether the image that is there, with the manifest `present`, is still the one that the reference stands for.
    fn is_still(&self, present: &str, at: &ContainerAt) -> Result<bool, ApiError> {
        let same = self.from.manifest(at)? == present;
        if same && self.seed != SeedWish::default() {
            if self.replace {
                return Ok(false);
            }
            let name = &self.name;
            let message = format!("image \"{name}\" is up to date, with a work seed of its own");
            return Err(ApiError::new(ErrorCode::NameTaken, message).hint(format!(
                "give it another one: banger image reseed {name} --from …"
            )));
        }
        Ok(same)
    }

    fn taken(&self, why: &str) -> ApiError {
        let name = &self.name;
        ApiError::new(
            ErrorCode::NameTaken,
            format!("image name \"{name}\" is taken {why}"),
        )
        .hint("pull it under another name (--name), or let it take this one (--replace)")
    }
}
