//! `banger doctor --fix`: without root, without loss, and each thing is said.

use std::path::PathBuf;

use banger_api::image::{BuildImage, WorkSeed};
use banger_api::kernel::{ImportKernel, KernelSource};
use banger_api::{ApiError, ErrorCode};
use banger_client::Client;
use banger_daemon::{mend, missing};
use banger_ssh::{UserConfig, include_line};

use crate::commands::image::made::made;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{How, follow, start};
use crate::guest_ssh::{GuestSsh, ssh_error};
use crate::output::Output;
use crate::progress::Progress;
use crate::terminal;

/// Does all that can be done, and answers with what was done.
///
/// # Errors
/// The user interrupted. What cannot be mended is a warning, and the checks that follow say it again.
pub(super) async fn all(yes: bool, context: &Context) -> Result<Vec<String>, Failure> {
    let mut done = Done {
        output: &context.output,
        lines: Vec::new(),
    };
    let paths = context.session.endpoint().paths.clone();
    let mending = tokio::task::spawn_blocking(move || (mend(&paths), missing(&paths)));
    let (mended, missing) = mending
        .await
        .map_err(|panic| ApiError::new(ErrorCode::Internal, panic.to_string()))?;
    for one in mended {
        done.note(one.map_err(Failure::from))?;
    }
    if missing.kernel && agreed("Fetch the default kernel of Debian?", yes, context) {
        let told = "fetched the default kernel".to_owned();
        done.note(import(context).await.map(|()| told))?;
    }
    if let Some(recipe) = missing.recipe
        && agreed(
            &format!("Build image {recipe}? It takes minutes."),
            yes,
            context,
        )
    {
        let told = format!("built image {recipe}");
        done.note(build(&recipe, context).await.map(|()| told))?;
    }
    if let Some(included) = include(yes, context).transpose() {
        done.note(included)?;
    }
    Ok(done.lines)
}

/// The fixes so far.
struct Done<'a> {
    output: &'a Output,
    lines: Vec<String>,
}

impl Done<'_> {
    /// Says what was done, or what could not be done. An interrupt ends all.
    fn note(&mut self, done: Result<String, Failure>) -> Result<(), Failure> {
        match done {
            Ok(line) => {
                self.output.note(&format!("fixed: {line}"));
                self.lines.push(line);
            }
            Err(failure) if failure.is(ErrorCode::Cancelled) => return Err(failure),
            Err(failure) => {
                if let Some(error) = failure.error() {
                    self.output.warn(&format!("not fixed: {error}"));
                }
            }
        }
        Ok(())
    }
}

/// Consent to what takes long or changes the user's own files.
fn agreed(question: &str, yes: bool, context: &Context) -> bool {
    let output = &context.output;
    if yes {
        return true;
    }
    if output.json() || !terminal::is_interactive() || !output.stderr_is_terminal() {
        output.warn(&format!(
            "nobody can be asked, so --yes is needed: {question}"
        ));
        return false;
    }
    output.confirms(question)
}

async fn import(context: &Context) -> Result<(), Failure> {
    let import = &ImportKernel {
        name: None,
        source: KernelSource::Default,
        all_modules: false,
    };
    let call = |client: Client| async move { client.import_kernel(import).await };
    let operation = start(context, call).await?.operation;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    follow(context, &progress, operation, None, how).await?;
    Ok(())
}

async fn build(recipe: &str, context: &Context) -> Result<(), Failure> {
    let build = &BuildImage {
        recipe: recipe.to_owned(),
        name: None,
        work_seed: WorkSeed::Auto,
        seed_size: None,
        replace: false,
    };
    let call = |client: Client| async move { client.build_image(build).await };
    made(context, recipe, call).await.map(drop)
}

/// Puts the line that makes `ssh NAME.vm` work into the user's own configuration of ssh. `None`: it is there, or is not
/// wanted.
fn include(yes: bool, context: &Context) -> Result<Option<String>, Failure> {
    let Some(home) = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
    else {
        return Ok(None);
    };
    let ssh = GuestSsh::new(&context.session.endpoint().paths);
    let line = include_line(&ssh.config()).map_err(|error| ssh_error(&error))?;
    let user = UserConfig::of_home(&home);
    if user.has(&line).map_err(|error| ssh_error(&error))? {
        return Ok(None);
    }
    let file = user.path().display();
    let question = format!("Let ssh reach VMs as NAME.vm, by a line at the top of {file}?");
    if !agreed(&question, yes, context) {
        return Ok(None);
    }
    ssh.write_config()?;
    user.install(&line).map_err(|error| ssh_error(&error))?;
    Ok(Some(format!(
        "{file} includes banger's VMs; banger ssh-config --uninstall takes that back"
    )))
}
