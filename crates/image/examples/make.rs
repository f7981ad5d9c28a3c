//! Makes an image by hand: `cargo run -p banger-image --example make -- RECIPE|ROOTFS EMPTY-FOLDER SCRATCH-FOLDER`.
//! Prints stages as they change, with times.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use banger_image::{Builder, Destination, Progress, Recipe, RootFs, Watch, WorkSeed, register};
use banger_watch::Stage as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [source, folder, scratch] = &args[..] else {
        return Err("usage: make RECIPE|ROOTFS EMPTY-FOLDER SCRATCH-FOLDER".into());
    };
    let started = Instant::now();
    let (mut out, mut stage) = (std::io::stdout().lock(), None);
    let mut progress = |event: Progress| {
        if stage != Some(event.stage) {
            stage = Some(event.stage);
            // A closed terminal is no reason to stop.
            let _ = writeln!(
                out,
                "{:6} ms {} {}",
                started.elapsed().as_millis(),
                event.stage.name(),
                event.detail
            );
        }
    };
    let destination = Destination {
        folder,
        created_at: jiff::Timestamp::now(),
    };
    let mut watch = Watch::new(&mut progress, &|| false);
    let metadata = if source.exists() {
        let root = RootFs {
            rootfs: source.clone(),
            seed: WorkSeed::default(),
        };
        register(&root, &destination, scratch, &mut watch)?
    } else {
        let recipe = Recipe::find(&source.to_string_lossy())?;
        Builder::of_host()?.build(
            &recipe,
            &WorkSeed::default(),
            &destination,
            scratch,
            &mut watch,
        )?
    };
    writeln!(out, "{metadata:#?}\nmade in {:?}", started.elapsed())?;
    Ok(())
}
