//! `/etc/hostname` and `/etc/hosts`.

use banger_api::ApiError;
use banger_guest::GuestFile;

use super::configure::{Context, editable};

pub(super) fn files(cx: &Context<'_>) -> Result<Vec<GuestFile>, ApiError> {
    let name = &cx.setup.name;
    let hosts = format!(
        "# Written by banger at each start, until you edit it.\n127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n"
    );
    Ok(vec![
        editable("/etc/hostname", format!("{name}\n"))?,
        editable("/etc/hosts", hosts)?,
    ])
}
