//! Finds the image, the modules and the configuration in what the user named.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::deb::{self, TarFile};
use crate::error::KernelError;
use crate::import::KernelSource;
use crate::modules::{FolderTree, INDEXES, ModuleTree, PackageTree, is_module_file, read_at_most};
use crate::progress::{Stage, Watch};
use crate::release::{CONFIG_MAX_BYTES, is_release};
use crate::unpack::IMAGE_MAX_BYTES;

/// Everything that a kernel consists of, wherever it came from.
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) path: PathBuf,
    pub(super) image_name: String,
    pub(super) image: Vec<u8>,
    pub(super) config: Option<Vec<u8>>,
    pub(super) modules: Option<Box<dyn ModuleTree>>,
}

/// `scratch` takes a spool file without a name while a package is read.
pub(super) fn find(
    source: &KernelSource,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<Found, KernelError> {
    match source {
        KernelSource::Deb(path) => in_package(path, scratch, watch),
        KernelSource::Directory(path) => in_directory(path, watch),
        KernelSource::Image { image, modules } => {
            if let Some(folder) = modules {
                check_modules(folder)?;
            }
            from_files("image", image, image, modules.as_deref(), None, watch)
        }
        KernelSource::Host => {
            let release = rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned();
            on_host(Path::new("/"), &release, watch)
        }
    }
}

/// A folder that says nothing about modules would be an argument without effect.
fn check_modules(folder: &Path) -> Result<(), KernelError> {
    let tree = FolderTree::open(folder)?;
    if tree.modules().is_empty() && tree.index("modules.builtin")?.is_none() {
        return Err(KernelError::NoModules {
            path: folder.to_path_buf(),
        });
    }
    Ok(())
}

fn in_package(path: &Path, scratch: &Path, watch: &mut Watch<'_>) -> Result<Found, KernelError> {
    let package = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut contents = Package {
        modules: PackageTree::new(scratch)?,
        image: None,
        config: None,
        release: None,
        files: 0,
    };
    watch.report(Stage::ReadSource, package.clone(), 0, 0);
    deb::walk(path, &mut |file| {
        watch.check()?;
        contents.add(file)?;
        if contents.files.is_multiple_of(256) {
            watch.report(Stage::ReadSource, package.clone(), contents.files, 0);
        }
        Ok(())
    })?;
    let (image_name, image) = contents.image.ok_or_else(|| {
        let hint = "install or fetch the package that it depends on";
        KernelError::NotAKernelPackage(format!(
            "{package} has no /boot/vmlinuz-* (is it a meta-package? {hint})"
        ))
    })?;
    let modules = contents
        .release
        .is_some()
        .then(|| Box::new(contents.modules) as Box<dyn ModuleTree>);
    Ok(Found {
        kind: "deb",
        path: path.to_path_buf(),
        image_name,
        image,
        config: contents.config,
        modules,
    })
}

struct Package {
    modules: PackageTree,
    image: Option<(String, Vec<u8>)>,
    config: Option<Vec<u8>>,
    release: Option<String>,
    files: u64,
}

impl Package {
    fn add(&mut self, file: &mut TarFile<'_>) -> Result<(), KernelError> {
        self.files += 1;
        let name = file
            .name
            .strip_prefix("usr/")
            .unwrap_or(file.name)
            .to_owned();
        if name.starts_with("boot/vmlinuz-") {
            if let Some((other, _)) = &self.image {
                return Err(KernelError::NotAKernelPackage(format!(
                    "it has two kernels, {other} and {name}"
                )));
            }
            self.image = Some((name, file.read(IMAGE_MAX_BYTES)?));
        } else if name.starts_with("boot/config-") {
            self.config = Some(file.read(CONFIG_MAX_BYTES)?);
        } else if let Some((release, path)) = name
            .strip_prefix("lib/modules/")
            .and_then(|rest| rest.split_once('/'))
        {
            self.add_below_modules(release, path, file)?;
        }
        Ok(())
    }

    fn add_below_modules(
        &mut self,
        release: &str,
        path: &str,
        file: &mut TarFile<'_>,
    ) -> Result<(), KernelError> {
        if !is_release(release) {
            return Err(KernelError::NotAKernelPackage(format!(
                "`{release}` is no kernel release"
            )));
        }
        match &self.release {
            Some(other) if other != release => {
                return Err(KernelError::NotAKernelPackage(format!(
                    "it has modules of two kernels, {other} and {release}"
                )));
            }
            _ => self.release = Some(release.to_owned()),
        }
        if is_module_file(path) {
            self.modules.add_module(path, file)
        } else if INDEXES.contains(&path) {
            self.modules.add_index(path, file)
        } else {
            Ok(())
        }
    }
}

fn in_directory(path: &Path, watch: &mut Watch<'_>) -> Result<Found, KernelError> {
    let image = only_image(path)?;
    let config = beside(&image);
    let modules = modules_of(path, &image)?;
    from_files("directory", path, &image, modules.as_deref(), config, watch)
}

/// The one kernel image in a directory or its `boot/`.
fn only_image(directory: &Path) -> Result<PathBuf, KernelError> {
    let mut images = Vec::new();
    for folder in [directory.to_path_buf(), directory.join("boot")] {
        images.extend(
            names_in(&folder, folder == directory)?
                .into_iter()
                .filter(|name| is_image(name))
                .map(|name| folder.join(name)),
        );
    }
    // An unpacked image and its packed form are one kernel: the unpacked one saves work.
    if let Some(vmlinux) = images.iter().position(|image| image.ends_with("vmlinux")) {
        return Ok(images.swap_remove(vmlinux));
    }
    let why = match images.len() {
        1 => return Ok(images.swap_remove(0)),
        0 => "no kernel image (vmlinux, vmlinuz* or bzImage) in it or its boot/".to_owned(),
        _ => {
            let names: Vec<_> = images
                .iter()
                .map(|image| image.display().to_string())
                .collect();
            format!(
                "more than one kernel image: {}; name the one to import",
                names.join(", ")
            )
        }
    };
    Err(KernelError::Directory {
        path: directory.to_path_buf(),
        why,
    })
}

fn is_image(name: &str) -> bool {
    name == "vmlinux" || name == "bzImage" || name == "vmlinuz" || name.starts_with("vmlinuz-")
}

/// The folder of the image's modules; `None` when the directory has none.
fn modules_of(directory: &Path, image: &Path) -> Result<Option<PathBuf>, KernelError> {
    let is_modules =
        |folder: &Path| folder.join("modules.builtin").is_file() || folder.join("kernel").is_dir();
    for folder in [directory.to_path_buf(), directory.join("modules")] {
        if is_modules(&folder) {
            return Ok(Some(folder));
        }
    }
    for parent in ["lib/modules", "usr/lib/modules", "modules"].map(|folder| directory.join(folder))
    {
        let mut releases = names_in(&parent, false)?;
        releases.retain(|name| is_release(name) && is_modules(&parent.join(name)));
        let named = image
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("vmlinuz-"));
        let folder = match (releases.len(), named) {
            (0, _) => continue,
            (_, Some(release)) if releases.iter().any(|name| name == release) => release.to_owned(),
            (1, _) => releases.swap_remove(0),
            _ => {
                let why = format!("modules of more than one kernel: {}", releases.join(", "));
                return Err(KernelError::Directory { path: parent, why });
            }
        };
        return Ok(Some(parent.join(folder)));
    }
    Ok(None)
}

/// Sorted names in a folder; none when it may be missing and is.
fn names_in(folder: &Path, must_exist: bool) -> Result<Vec<String>, KernelError> {
    let failed = |source| KernelError::io("list", folder, source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if !must_exist
                && matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
        {
            return Ok(Vec::new());
        }
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of those that are looked for.
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// The host's own kernel; `root` is `/` outside tests.
pub(super) fn on_host(
    root: &Path,
    release: &str,
    watch: &mut Watch<'_>,
) -> Result<Found, KernelError> {
    let candidates = [
        root.join("boot").join(format!("vmlinuz-{release}")),
        root.join("lib/modules").join(release).join("vmlinuz"),
        root.join("usr/lib/modules").join(release).join("vmlinuz"),
    ];
    let image = candidates.iter().find(|path| path.exists()).ok_or_else(|| KernelError::Directory {
        path: candidates[0].clone(),
        why: "this host does not keep the image of the kernel that it runs (a container, or a kernel that was not \
              installed here); import one from a package, a directory or a file"
            .to_owned(),
    })?;
    let modules = root.join("lib/modules").join(release);
    let config = beside(image).or_else(|| beside(&candidates[0]));
    from_files(
        "host",
        image,
        image,
        modules.is_dir().then_some(modules.as_path()),
        config,
        watch,
    )
}

/// `config-…` beside `vmlinuz-…`, or `config` beside any image.
fn beside(image: &Path) -> Option<PathBuf> {
    let name = image.file_name()?.to_str()?;
    let config = name.strip_prefix("vmlinuz-").map_or_else(
        || "config".to_owned(),
        |release| format!("config-{release}"),
    );
    let path = image.with_file_name(config);
    path.is_file().then_some(path)
}

fn from_files(
    kind: &'static str,
    path: &Path,
    image: &Path,
    modules: Option<&Path>,
    config: Option<PathBuf>,
    watch: &mut Watch<'_>,
) -> Result<Found, KernelError> {
    watch.report(Stage::ReadSource, image.display().to_string(), 0, 0);
    let read = |path: &Path, limit| {
        let file = File::open(path).map_err(|source| KernelError::io("open", path, source))?;
        read_at_most(&file, limit, path)
    };
    let image_name = image.display().to_string();
    let config = config
        .map(|path| read(&path, CONFIG_MAX_BYTES))
        .transpose()?;
    let modules = modules
        .map(FolderTree::open)
        .transpose()?
        .map(|tree| Box::new(tree) as Box<dyn ModuleTree>);
    Ok(Found {
        kind,
        path: path.to_path_buf(),
        image_name,
        image: read(image, IMAGE_MAX_BYTES)?,
        config,
        modules,
    })
}
