//! `banger kernel import`

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use banger_api::KernelName;
use banger_api::kernel::{ImportKernel, Kernel, KernelSource};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow, start};
use crate::host_path::absolute;
use crate::progress::Progress;
use crate::view::kernel::Made;

/// First bytes of an ar archive, which a Debian package is (deb(5)).
const AR_MAGIC: &[u8] = b"!<arch>\n";

/// Arguments of `banger kernel import`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["path", "host", "default"]),
    after_long_help = "\
Examples:
  banger kernel import --default           Debian's, fetched by apt
  banger kernel import --host --name mine  what this host runs
  banger kernel import linux-image-6.1.0_amd64.deb
  banger kernel import ./vmlinux --modules ./lib/modules/6.12.0 --name test
  banger kernel import ./kernel-and-modules/"
)]
pub struct Args {
    /// A Debian kernel package, a vmlinux or bzImage, or a directory with an image and its modules
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// The kernel that this host runs
    #[arg(long)]
    host: bool,
    /// Debian's cloud kernel, fetched by this host's own apt
    #[arg(long)]
    default: bool,
    /// Directory of a bare image's modules, the one that holds kernel/ or modules.dep
    #[arg(long, value_name = "DIR", conflicts_with_all = ["host", "default"])]
    modules: Option<PathBuf>,
    /// Keep drivers for hardware that no guest has (gpu, media, sound, wireless, …), which are left out of kernels with 2000
    /// modules or more
    #[arg(long)]
    all_modules: bool,
    /// The kernel's name [default: its version]
    #[arg(long, value_name = "NAME")]
    name: Option<KernelName>,
}

/// Imports the kernel and prints its name.
///
/// # Errors
/// It cannot be imported.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let import = &ImportKernel {
        source: source(&args)?,
        name: args.name,
        all_modules: args.all_modules,
    };
    let before = names(&kernels(context).await?);
    let accepted = start(context, |client| async move {
        client.import_kernel(import).await
    })
    .await?;
    let progress = Progress::new(&context.output);
    let how = How::cancelled_with_us();
    follow(context, &progress, accepted.operation, None, how).await?;
    match imported(kernels(context).await?, &before, import.name.as_ref()) {
        Some(kernel) => context.output.print(&Made(kernel)),
        None => Ok(0),
    }
}

fn source(args: &Args) -> Result<KernelSource, Failure> {
    let Some(path) = &args.path else {
        return Ok(if args.host {
            KernelSource::Host
        } else {
            KernelSource::Default
        });
    };
    let text = absolute(path)?;
    if path.is_dir() {
        return match args.modules {
            Some(_) => Err(Failure::usage(
                "--modules goes with a bare image; a directory brings its own",
            )),
            None => Ok(KernelSource::Dir { path: text }),
        };
    }
    if args.modules.is_none() && is_package(path) {
        return Ok(KernelSource::Deb { path: text });
    }
    Ok(KernelSource::Image {
        path: text,
        modules: args.modules.as_deref().map(absolute).transpose()?,
    })
}

/// The daemon looks again: this only chooses the words of the request.
fn is_package(path: &Path) -> bool {
    let mut magic = [0; AR_MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == AR_MAGIC
}

async fn kernels(context: &Context) -> Result<Vec<Kernel>, Failure> {
    context
        .session
        .read(|client| async move { client.kernels().await })
        .await
}

fn names(kernels: &[Kernel]) -> BTreeSet<KernelName> {
    kernels.iter().map(|kernel| kernel.name.clone()).collect()
}

/// The kernel of the name that was asked for, else the one that is new, else the newest.
fn imported(
    after: Vec<Kernel>,
    before: &BTreeSet<KernelName>,
    name: Option<&KernelName>,
) -> Option<Kernel> {
    let rank = |kernel: &Kernel| {
        (
            Some(&kernel.name) == name,
            !before.contains(&kernel.name),
            kernel.created_at,
        )
    };
    after.into_iter().max_by_key(rank)
}
