//! The stored form of `image.json`.

#![allow(clippy::unwrap_used)] // a test may stop at the first surprise

use banger_formats::{Golden, every_variant};
use banger_image::{
    DiskRecord, ImageMetadata, ImageOrigin, InitSystem, LayerRecord, MakingStep, OriginKind,
    Provenance, RunDefaults, SeedChoice,
};

fn golden() -> Golden {
    Golden::of(env!("CARGO_MANIFEST_DIR"))
}

fn disk(file: &str) -> DiskRecord {
    DiskRecord {
        file: file.to_owned(),
        bytes: 1 << 30,
        allocated_bytes: 1 << 20,
        digest: format!("sha256-blocks:{}", "ef".repeat(32)),
    }
}

fn metadata(kind: OriginKind, init: InitSystem, seed_choice: SeedChoice) -> ImageMetadata {
    let sha256 = |digits: &str| format!("sha256:{}", digits.repeat(32));
    ImageMetadata {
        format: 1,
        id: sha256("ab"),
        created_at: "2026-11-26T16:00:00Z".parse().unwrap(),
        source: ImageOrigin {
            kind,
            name: "registry/a:1".to_owned(),
        },
        init,
        apparmor_parser: Some(false),
        entries: Some(4711),
        base: disk("base.ext4"),
        seed: Some(disk("seed.ext4")),
        seed_is_ours: true,
        seed_choice,
        defaults: RunDefaults {
            env: vec!["A=b".to_owned()],
            user: "me:us".to_owned(),
            working_dir: "/srv".to_owned(),
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["serve".to_owned()],
            stop_signal: Some("SIGTERM".to_owned()),
        },
        provenance: Some(Provenance {
            reference: "registry/a:1".to_owned(),
            digest: sha256("01"),
            config_digest: Some(sha256("02")),
            index_digest: Some(sha256("03")),
            platform: Some("linux/arm64/v8".to_owned()),
            created: Some("2026-01-01T00:00:00Z".to_owned()),
            layers: vec![LayerRecord {
                digest: sha256("04"),
                bytes: 77,
            }],
            history: vec![MakingStep {
                created: Some("2026-01-01T00:00:00Z".to_owned()),
                created_by: Some("COPY . .".to_owned()),
                empty_layer: true,
            }],
            labels: [("maintainer".to_owned(), "me".to_owned())].into(),
        }),
        warnings: vec!["it is made for another platform".to_owned()],
    }
}

fn examples() -> Vec<ImageMetadata> {
    vec![
        metadata(OriginKind::Recipe, InitSystem::Systemd, SeedChoice::Image),
        metadata(OriginKind::Tar, InitSystem::Openrc, SeedChoice::User),
        metadata(OriginKind::Directory, InitSystem::None, SeedChoice::Nothing),
        metadata(OriginKind::Disk, InitSystem::Unknown, SeedChoice::Image),
        metadata(OriginKind::Container, InitSystem::None, SeedChoice::Image),
        metadata(OriginKind::Vm, InitSystem::None, SeedChoice::Image),
    ]
}

#[test]
fn the_stored_form_is_that_of_the_newest_golden_file() {
    let examples = examples();
    every_variant!(
        examples.iter().map(|it| &it.init),
        InitSystem {
            Systemd,
            Openrc,
            None,
            Unknown
        }
    );
    every_variant!(
        examples.iter().map(|it| &it.seed_choice),
        SeedChoice {
            Image,
            User,
            Nothing
        }
    );
    assert_eq!(golden().holds("image.json", &examples), Ok(()));
}

#[test]
fn what_version_1_wrote_is_read() {
    let mut expected = examples();
    for image in &mut expected {
        // Older versions had none of these fields.
        image.apparmor_parser = None;
        image.warnings.clear();
        image.provenance.as_mut().unwrap().platform = None;
    }
    assert_eq!(
        golden().read::<Vec<ImageMetadata>>(1, "image.json"),
        expected
    );
}

#[test]
fn a_file_that_a_daemon_of_version_1_has_written_is_read() {
    let seen: ImageMetadata = golden().read(1, "image-seen.json");
    assert_eq!(
        seen.id,
        "sha256:7f133a1a4087e6378225f8ae97f6727e332622fca383b2c6ac212646a4f8bdba"
    );
    assert_eq!(
        (seen.source.kind, seen.source.name.as_str()),
        (OriginKind::Recipe, "debian-bookworm")
    );
    assert_eq!(
        (seen.init, seen.entries),
        (InitSystem::Systemd, Some(14_291))
    );
    assert_eq!(seen.seed.unwrap().bytes, 135_266_304);
}
