//! Stages of the long work that a first run has to do, by the names that operations report.

use banger_watch::Stage as _;

/// Stage that makes the initramfs of a kernel with this build's agent.
pub const INITRAMFS: &str = "make_initramfs";

/// Stages of building an image, in their order. Syncing comes between them, and is short.
pub fn of_image() -> [&'static str; 4] {
    use banger_image::Stage;
    [
        Stage::Bootstrap,
        Stage::ReadTree,
        Stage::WriteBase,
        Stage::WriteSeed,
    ]
    .map(|stage| stage.name())
}

/// Stages of fetching the default kernel, in their order, with its initramfs.
pub fn of_kernel() -> [&'static str; 6] {
    use banger_kernel::Stage;
    [
        Stage::FetchPackage.name(),
        Stage::ReadSource.name(),
        Stage::UnpackKernel.name(),
        Stage::CollectModules.name(),
        Stage::Write.name(),
        INITRAMFS,
    ]
}
