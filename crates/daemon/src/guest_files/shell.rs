//! `/root/.hushlogin`: no message of the day.

use banger_api::ApiError;
use banger_guest::{Content, GuestFile};

use super::configure::path;

pub(super) fn files() -> Result<Vec<GuestFile>, ApiError> {
    Ok(vec![GuestFile::WriteIfAbsent {
        path: path("/root/.hushlogin")?,
        mode: 0o644,
        uid: 0,
        gid: 0,
        content: Content::default(),
    }])
}
