//! Shared end of every command that makes an image: follows its making, then tells what it is.

use banger_api::image::Image;
use banger_api::operation::UP_TO_DATE;
use banger_api::vm::Accepted;
use banger_client::{Client, ClientError};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::image::Made;

/// Asks for an image, follows its making to the end, and tells all about it.
///
/// # Errors
/// It cannot be made, or the user interrupted.
pub async fn made<F>(
    context: &Context,
    name: &str,
    call: impl Fn(Client) -> F,
) -> Result<Image, Failure>
where
    F: Future<Output = Result<Accepted, ClientError>>,
{
    let accepted = start(context, call).await?;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    let followed = follow(context, &progress, accepted.operation, None, how).await?;
    if followed.stages.iter().any(|done| done.stage == UP_TO_DATE) {
        context.output.note(&format!("{name} is up to date"));
    }
    context
        .session
        .read(|client| async move { client.image(name).await })
        .await
}

/// The same, and prints its name.
///
/// # Errors
/// As [`made`].
pub async fn make<F>(context: &Context, name: &str, call: impl Fn(Client) -> F) -> Outcome
where
    F: Future<Output = Result<Accepted, ClientError>>,
{
    let image = made(context, name, call).await?;
    context.output.print(&Made(image))
}
