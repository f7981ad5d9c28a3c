//! Search for a repository's `devcontainer.json`.

use std::path::{Component, Path};

use super::error::DevcontainerError;
use crate::look::Look;
use crate::survey::Survey;

/// Largest file that is read, in bytes.
pub(super) const MAX_FILE: usize = 256 * 1024;
/// First places of the search, in this order.
const PLACES: &[&str] = &[".devcontainer/devcontainer.json", ".devcontainer.json"];
/// Folder that may hold several, one in each folder below it.
const FOLDER: &str = ".devcontainer";

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path below the repository's top.
    pub file: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The file that `chosen` names below the repository's top, or the one that the specification's places have.
///
/// # Errors
/// The chosen one is not there or not below the top, there are several to choose from, or it cannot be read.
pub fn find(survey: &Survey, chosen: Option<&str>) -> Result<Option<Found>, DevcontainerError> {
    if let Some(file) = chosen {
        let mut parts = Path::new(file).components();
        if !parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(DevcontainerError::Outside(file.to_owned()));
        }
        return match read(survey, file)? {
            Some(found) => Ok(Some(found)),
            None => Err(DevcontainerError::Absent(file.to_owned())),
        };
    }
    for file in PLACES {
        if let Some(found) = read(survey, file)? {
            return Ok(Some(found));
        }
    }
    let mut several = Vec::new();
    for name in survey.folders_in(FOLDER)? {
        let file = format!("{FOLDER}/{name}/devcontainer.json");
        several.extend(read(survey, &file)?);
    }
    match several.len() {
        0 | 1 => Ok(several.pop()),
        _ => Err(DevcontainerError::Several(
            several.into_iter().map(|found| found.file).collect(),
        )),
    }
}

fn read(survey: &Survey, file: &str) -> Result<Option<Found>, DevcontainerError> {
    match survey.look(file, MAX_FILE)? {
        Look::Absent => Ok(None),
        Look::File(bytes) => Ok(Some(Found {
            file: file.to_owned(),
            bytes,
        })),
        Look::TooLarge => Err(DevcontainerError::TooLarge {
            file: file.to_owned(),
            max: MAX_FILE,
        }),
        Look::Other => Err(DevcontainerError::NoFile(file.to_owned())),
    }
}
