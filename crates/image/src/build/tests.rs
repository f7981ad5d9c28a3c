use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::init::InitSystem;

/// A host whose mmdebstrap is `script`, with Debian sources.
struct FakeHost {
    folder: tempfile::TempDir,
}

impl FakeHost {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("mmdebstrap");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(
            folder.path().join("sources.list"),
            "deb http://mirror.example/debian bookworm main\n",
        )
        .unwrap();
        for name in ["scratch", "image"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(
        &self,
        progress: &mut dyn FnMut(crate::Progress),
        cancel: &dyn Fn() -> bool,
    ) -> Result<ImageMetadata, ImageError> {
        let path = Some(self.folder.path().as_os_str());
        let builder = Builder::new(path, BuildMode::Fakechroot, self.folder.path())?;
        let image = self.path("image");
        let destination = Destination {
            folder: &image,
            created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
        };
        let recipe = Recipe::find("debian-minimal").unwrap();
        builder.build(
            &recipe,
            &WorkSeed::default(),
            &destination,
            &self.path("scratch"),
            &mut Watch::new(progress, cancel),
        )
    }
}

/// A stand-in for mmdebstrap, as the pipeline sees it: the archive is the last argument but one.
const MAKES_AN_ARCHIVE: &str = r#"
echo "$@" > "$TMPDIR/../arguments"
cp "$TMPDIR/debian.sources" "$TMPDIR/../used.sources"
mkdir -p "$TMPDIR/tree/etc" "$TMPDIR/tree/usr/bin"
echo host > "$TMPDIR/tree/etc/hostname"
echo program > "$TMPDIR/tree/usr/bin/program"
while [ $# -gt 2 ]; do shift; done
/bin/tar --owner=0 --group=0 --mtime=@0 --sort=name -C "$TMPDIR/tree" -cf "$1" .
/bin/rm -r "$TMPDIR/tree"
echo "I: installing"
echo "Setting up one (1.0)" >&2
echo "Setting up two (1.0)" >&2
"#;

#[test]
fn a_recipe_becomes_an_image_without_what_the_build_left() {
    let host = FakeHost::new(&format!("PATH=/usr/bin:/bin\n{MAKES_AN_ARCHIVE}"));
    let mut seen = Vec::new();
    let metadata = host
        .build(&mut |event| seen.push(event), &|| false)
        .unwrap();
    assert_eq!(
        (metadata.source.kind, metadata.source.name.as_str()),
        (OriginKind::Recipe, "debian-minimal")
    );
    assert_eq!(metadata.init, InitSystem::None);
    // etc, etc/machine-id, etc/resolv.conf, usr, usr/bin, usr/bin/program: the host's name is gone.
    assert_eq!(metadata.entries, Some(6));
    assert_eq!(ImageMetadata::read(&host.path("image")).unwrap(), metadata);
    assert_eq!(
        fs::read_dir(host.path("scratch")).unwrap().count(),
        0,
        "nothing is left in the scratch folder"
    );
    let last = seen
        .iter()
        .rfind(|event| event.stage == Stage::Bootstrap)
        .unwrap();
    assert_eq!(
        (last.detail.as_str(), last.done),
        ("Setting up two (1.0)", 2)
    );
}

#[test]
fn mmdebstrap_gets_the_recipe_and_only_debian_sources() {
    let host = FakeHost::new(&format!("PATH=/usr/bin:/bin\n{MAKES_AN_ARCHIVE}"));
    fs::create_dir(host.path("sources.list.d")).unwrap();
    fs::write(
        host.path("sources.list.d/vendor.list"),
        "deb https://vendor.example/apt bookworm main\n",
    )
    .unwrap();
    host.build(&mut |_| {}, &|| false).unwrap();
    let arguments = fs::read_to_string(host.path("arguments")).unwrap();
    for part in [
        "--mode=fakechroot",
        "--format=tar",
        "--include=ca-certificates,iproute2,procps",
        "path-exclude=/usr/share/man/*",
        " bookworm ",
    ] {
        assert!(arguments.contains(part), "{part}: {arguments}");
    }
    let sources = fs::read_to_string(host.path("used.sources")).unwrap();
    assert!(
        sources.contains("mirror.example") && !sources.contains("vendor"),
        "{sources}"
    );
}

#[test]
fn the_same_archive_gives_the_same_image() {
    let ids = [(); 2].map(|()| {
        let host = FakeHost::new(&format!("PATH=/usr/bin:/bin\n{MAKES_AN_ARCHIVE}"));
        host.build(&mut |_| {}, &|| false).unwrap().id
    });
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].starts_with("sha256:"), "{}", ids[0]);
}

#[test]
fn a_failed_build_tells_its_last_words_and_leaves_no_image() {
    let host = FakeHost::new("echo 'E: unable to locate package nosuch' >&2; exit 25");
    let error = host.build(&mut |_| {}, &|| false).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.to_string(), "cannot build debian-minimal");
    assert_eq!(
        source,
        "mmdebstrap ended with status 25: E: unable to locate package nosuch"
    );
    assert!(ImageMetadata::read(&host.path("image")).is_err());
}

#[test]
fn a_cancelled_build_ends() {
    let host = FakeHost::new("echo started; exec /bin/sleep 1000");
    let started = std::cell::Cell::new(false);
    let error = host
        .build(&mut |_| started.set(true), &|| started.get())
        .unwrap_err();
    assert!(matches!(error, ImageError::Cancelled), "{error}");
}

#[test]
fn a_host_without_mmdebstrap_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = Builder::new(
        Some(folder.path().as_os_str()),
        BuildMode::Root,
        folder.path(),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("apt install mmdebstrap"),
        "{error}"
    );
}
