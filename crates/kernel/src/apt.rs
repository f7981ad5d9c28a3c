//! Debian's cloud kernel, fetched by the host's own apt, with the sources and keys that the host already trusts.
//!
//! `apt-get download` needs no root; the lists that it looks in must be there (`apt-get update` was run once).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use banger_command::{CommandError, Program, find_in_path};
use banger_durable::sha256_file;
use banger_jail::{Access, Item, Network, Spec};

use crate::error::KernelError;
use banger_watch::Cancel;

use crate::progress::{Stage, Watch};

/// Meta-packages in order of preference: the release's own kernel for clouds, a newer one for clouds, the ordinary one.
const META_PACKAGES: [&str; 3] = [
    "linux-image-cloud-amd64",
    "linux-image-6.12-cloud-amd64",
    "linux-image-amd64",
];
const OUTPUT_LINES_MAX: usize = 1000;
/// Longest file that it writes, bytes: packages of kernels have a tenth of it, and so have its caches.
const FILE_MAX_BYTES: u64 = 2 << 30;
/// Folder beside the downloads in which apt is asked; nothing is ever put there.
const EMPTY: &str = "empty";

/// The host's apt.
#[derive(Debug, Clone)]
pub struct Apt {
    cache: PathBuf,
    get: PathBuf,
}

impl Apt {
    /// Finds apt in `path`, the value of `PATH`.
    ///
    /// # Errors
    /// [`KernelError::NoApt`], with what to do instead.
    pub fn find(path: Option<&OsStr>) -> Result<Self, KernelError> {
        let program = |name| find_in_path(name, path).ok_or(KernelError::NoApt { program: name });
        Ok(Self {
            cache: program("apt-cache")?,
            get: program("apt-get")?,
        })
    }

    /// The concrete package of the default kernel, such as `linux-image-6.1.0-56-cloud-amd64`.
    ///
    /// # Errors
    /// apt fails or knows none ([`KernelError::NoPackage`], with what to do).
    pub fn default_kernel(&self, cancel: Cancel<'_>) -> Result<String, KernelError> {
        for meta in META_PACKAGES {
            let ask = Program::new(&self.cache)
                .jail(jail(Path::new("/"), &[]))
                .args([
                    "depends",
                    "--no-recommends",
                    "--no-suggests",
                    "--important",
                    meta,
                ]);
            match ask.lines(OUTPUT_LINES_MAX, cancel) {
                Ok(lines) => {
                    if let Some(package) = concrete_package(&lines) {
                        return Ok(package);
                    }
                }
                // apt-cache ends with 100 when it does not know the name.
                Err(CommandError::Failed { .. }) => {}
                Err(source) => return Err(failed(format!("ask apt for {meta}"), source)),
            }
        }
        Err(KernelError::NoPackage {
            package: META_PACKAGES[0].to_owned(),
        })
    }

    /// Downloads a package into `folder` and returns the file. One that is there already, with the digest that apt's signed
    /// lists have, is taken as it is; any other file of its name goes first, for apt compares no more than sizes.
    ///
    /// # Errors
    /// apt fails, or the caller cancels.
    pub fn download(
        &self,
        package: &str,
        folder: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf, KernelError> {
        watch.report(Stage::FetchPackage, package, 0, 0);
        let action = || format!("download {package} with apt");
        let offer = self.offer(package, folder, watch.cancel())?;
        let path = folder.join(&offer.file);
        if path.exists() {
            if offer.is(&path, watch.cancel())? {
                return Ok(path);
            }
            std::fs::remove_file(&path)
                .map_err(|source| KernelError::io("remove", &path, source))?;
        }
        let cancel = watch.cancel();
        let mut report = |line: &str| watch.report(Stage::FetchPackage, line, 0, 0);
        let downloaded = self.get(package, folder).run(&mut report, cancel);
        downloaded.map_err(|source| failed(action(), source))?;
        match path.is_file() {
            true => Ok(path),
            false => Err(KernelError::Directory {
                path: folder.to_path_buf(),
                why: format!("apt said that it downloaded {package}, but it is not there"),
            }),
        }
    }

    /// The file that apt would fetch. It is asked in an empty folder: where a file of that name and size lies, apt finds nothing to
    /// fetch and names none.
    fn offer(
        &self,
        package: &str,
        folder: &Path,
        cancel: Cancel<'_>,
    ) -> Result<Offer, KernelError> {
        let action = || format!("ask apt for the file of {package}");
        let empty = folder.join(EMPTY);
        std::fs::create_dir_all(&empty)
            .map_err(|source| KernelError::io("make", &empty, source))?;
        let lines = self
            .get(package, &empty)
            .arg("--print-uris")
            .lines(OUTPUT_LINES_MAX, cancel)
            .map_err(|source| failed(action(), source))?;
        Offer::find(package, &lines).ok_or_else(|| KernelError::NoFile {
            package: package.to_owned(),
        })
    }

    fn get(&self, package: &str, folder: &Path) -> Program {
        // Its sandbox user cannot write into a private folder; without one apt would warn and do the same.
        Program::new(&self.get)
            .args(["download", "--quiet", "-o", "APT::Sandbox::User="])
            .arg(package)
            .dir(folder)
            .jail(jail(folder, &[folder]))
    }
}

/// Finds and downloads the default kernel into `folder`.
///
/// # Errors
/// As [`Apt::find`], [`Apt::default_kernel`] and [`Apt::download`].
pub fn fetch_default_kernel(folder: &Path, watch: &mut Watch<'_>) -> Result<PathBuf, KernelError> {
    let apt = Apt::find(std::env::var_os("PATH").as_deref())?;
    let package = apt.default_kernel(watch.cancel())?;
    apt.download(&package, folder, watch)
}

/// The part of a jail that fits apt: it reads what its settings name, wherever that is, starts its methods, connects to
/// mirrors, and writes where it downloads to. As root it also renews its caches.
fn jail(cwd: &Path, written: &[&Path]) -> Spec {
    let mut items = vec![
        Item::new("/", Access::Execute),
        Item::optional("/dev/null", Access::Device),
        Item::optional("/tmp", Access::MakeFiles),
        Item::optional("/var/tmp", Access::MakeFiles),
        Item::optional("/var/cache/apt", Access::MakeFiles),
    ];
    items.extend(
        written
            .iter()
            .map(|folder| Item::new(*folder, Access::MakeFiles)),
    );
    Spec {
        items,
        cwd: cwd.to_owned(),
        network: Network::Connect(Vec::new()),
        file_max_bytes: FILE_MAX_BYTES,
        descriptors_max: 1024,
        user: None,
        group: None,
        namespaces: false,
        landlock: true,
        seccomp: false,
    }
}

fn failed(action: String, source: CommandError) -> KernelError {
    match source {
        CommandError::Cancelled { .. } => KernelError::Cancelled,
        source => KernelError::Program { action, source },
    }
}

/// The kernel that a meta-package depends on: `  Depends: linux-image-6.1.0-56-cloud-amd64`.
fn concrete_package(lines: &[String]) -> Option<String> {
    let names = lines
        .iter()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let mut kernels = names.filter(|name| {
        let version = name.strip_prefix("linux-image-").unwrap_or_default();
        version.starts_with(|c: char| c.is_ascii_digit()) && version.bytes().all(is_package_byte)
    });
    kernels.next().map(str::to_owned)
}

fn is_package_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".+-~".contains(&byte)
}

/// A file that apt would fetch: `'URI' FILE SIZE DIGEST`, as `--print-uris` has it.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    file: String,
    /// `sha256:…`, where the lists have one.
    digest: Option<String>,
}

impl Offer {
    fn find(package: &str, lines: &[String]) -> Option<Self> {
        let mut offers = lines.iter().filter_map(|line| {
            let mut words = line.strip_prefix('\'')?.split_whitespace().skip(1);
            let file = words.next()?.to_owned();
            let digest = words.nth(1).and_then(|word| word.strip_prefix("SHA256:"));
            let digest = digest.map(|hex| format!("sha256:{}", hex.to_ascii_lowercase()));
            Some(Self { file, digest })
        });
        offers.find(|Self { file, .. }| {
            file.starts_with(&format!("{package}_"))
                && file.ends_with(".deb")
                && !file.contains('/')
        })
    }

    /// The file at `path` is this one. Without a digest in the lists nobody can say so.
    fn is(&self, path: &Path, cancel: Cancel<'_>) -> Result<bool, KernelError> {
        let Some(wanted) = &self.digest else {
            return Ok(false);
        };
        if !path.is_file() {
            return Ok(false);
        }
        let found = sha256_file(path, cancel)
            .map_err(|source| KernelError::io("read", path, source))?
            .ok_or(KernelError::Cancelled)?;
        Ok(found == *wanted)
    }
}

#[cfg(test)]
mod tests;
