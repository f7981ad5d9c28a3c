//! Imports a kernel by hand: `cargo run -p banger-kernel --example import -- SOURCE EMPTY-FOLDER [AGENT]`.
//! SOURCE is a .deb, a directory, an image, `host`, or `default` (fetched by apt). Prints the stages with their times.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use banger_kernel::{
    ImportOptions, KernelSource, Watch, ensure_initramfs, fetch_default_kernel, import,
};
use banger_watch::Stage as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(source), Some(folder)) = (args.next(), args.next().map(PathBuf::from)) else {
        return Err("usage: import SOURCE EMPTY-FOLDER [AGENT]".into());
    };
    let started = Instant::now();
    let mut out = std::io::stdout().lock();
    let mut progress = |event: banger_kernel::Progress| {
        let at = started.elapsed().as_millis();
        // A closed terminal is no reason to stop.
        let _ = writeln!(
            out,
            "{at:6} ms {} {} {}/{}",
            event.stage.name(),
            event.detail,
            event.done,
            event.total
        );
    };
    let mut watch = Watch::new(&mut progress, &|| false);
    let source = source_of(Path::new(&source), &folder, &mut watch)?;
    let metadata = import(&source, ImportOptions::default(), &folder, &mut watch)?;
    let imported = started.elapsed();
    let initramfs = args
        .next()
        .map(|agent| {
            Ok::<_, Box<dyn std::error::Error>>(ensure_initramfs(
                &folder,
                &std::fs::read(agent)?,
                "sha256:0",
            )?)
        })
        .transpose()?;
    writeln!(
        out,
        "{metadata:#?}\nimported in {imported:?}, initramfs {initramfs:?} after {:?}",
        started.elapsed()
    )?;
    Ok(())
}

fn source_of(
    name: &Path,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<KernelSource, banger_kernel::KernelError> {
    let path = name.to_path_buf();
    Ok(match name.to_str() {
        Some("host") => KernelSource::Host,
        Some("default") => KernelSource::Deb(fetch_default_kernel(folder, watch)?),
        _ if path.is_dir() => KernelSource::Directory(path),
        Some(text) if text.ends_with(".deb") => KernelSource::Deb(path),
        _ => KernelSource::Image {
            image: path,
            modules: None,
        },
    })
}
