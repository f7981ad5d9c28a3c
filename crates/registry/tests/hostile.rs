//! Registries that lie, redirect, hang or never end.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod mock;

use std::time::{Duration, Instant};

use banger_oci::Digest;
use banger_registry::RegistryError;
use mock::{Body, Image, Mock, Reply, cache, chain, names, pull};

/// Pulls from a registry that serves `image`, but `answer` for the first layer; nothing may stay.
fn refused(image: &Image, answer: impl Fn() -> Reply + Send + Sync + 'static) -> RegistryError {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path());
    let (served, layer) = (image.clone(), image.layer(0));
    let mock = Mock::start(move |asked| match asked.path.contains(&layer.to_string()) {
        true => answer(),
        false => served.answer(asked),
    });
    let error = pull(&mock, &cache).unwrap_err();
    assert!(!cache.has(image.layer(0)));
    error
}

#[test]
fn a_layer_with_another_content_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path());
    let mut image = Image::new(&[5000]);
    let layer = image.layer(0);
    image.blobs.insert(layer.to_string(), vec![0; 5000]);
    let error = pull(&Mock::serving(image), &cache).unwrap_err();
    let expected = Digest::of(&[0; 5000]);
    assert!(
        matches!(error, RegistryError::Digest { found, .. } if found == expected),
        "{error}"
    );
    assert!(error.to_string().contains(&layer.to_string()));
    assert!(!cache.has(layer));
    assert!(!names(&cache, "parts").contains(&layer.hex()));
}

#[test]
fn a_layer_of_another_size_is_refused() {
    let image = Image::new(&[5000]);
    let shorter = image.layers[0][..4000].to_vec();
    let longer = [&image.layers[0][..], b"more"].concat();
    for (body, found) in [
        (Body::Whole as fn(Vec<u8>) -> Body, shorter.clone()),
        (Body::Whole, longer.clone()),
        (Body::Chunked, shorter),
        (Body::Chunked, longer),
    ]
    .map(|(body, bytes)| (body, bytes))
    {
        let len = found.len() as u64;
        let error = refused(&image, move || Reply::of(200, body(found.clone())));
        let told =
            matches!(error, RegistryError::Size { announced: 5000, found, .. } if found == len);
        assert!(told, "{error}");
    }
}

#[test]
fn a_layer_without_an_end_is_cut_at_its_size() {
    let image = Image::new(&[5000]);
    let error = refused(&image, || Reply::of(200, Body::Endless(vec![1; 4096])));
    assert!(matches!(error, RegistryError::Size { .. }), "{error}");
}

#[test]
fn a_manifest_without_an_end_or_of_absurd_size_is_cut_at_the_limit() {
    for body in [
        || Body::Endless(vec![b' '; 65_536]),
        || Body::Cut(Vec::new(), 1 << 40),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mock = Mock::start(move |_| Reply::of(200, body()));
        let error = pull(&mock, &cache(dir.path())).unwrap_err();
        assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
        assert_eq!(mock.count("/manifests/"), 1, "it is not asked again");
    }
}

#[test]
fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[10]);
    let mock = Mock::start(move |asked| match asked.path.contains("manifests") {
        true => Reply::ok(image.manifest.clone())
            .header("Docker-Content-Digest", Digest::of(b"other").to_string()),
        false => image.answer(asked),
    });
    let error = pull(&mock, &cache(dir.path())).unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    assert_eq!(mock.count("/blobs/"), 0);
}

#[test]
fn documents_that_are_none_are_refused_by_name() {
    for (manifest, part) in [
        ("{", "manifest is broken"),
        ("[[[[[[", "manifest is broken"),
        (r#"{"schemaVersion":1}"#, "outdated"),
        (
            r#"{"config":{"digest":"sha256:../../../x","size":1},"layers":[]}"#,
            "no digest",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mock = Mock::start(move |_| Reply::ok(manifest));
        let error = chain(&pull(&mock, &cache(dir.path())).unwrap_err());
        assert!(error.contains(part) && error.contains("a/b:v1"), "{error}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_fetched() {
    let layer = Digest::of(b"x");
    let huge = format!(
        r#"{{"config":{{"digest":"{layer}","size":2}},"layers":[{{"digest":"{}","size":{}}}]}}"#,
        Digest::of(b"y"),
        1_u64 << 50
    );
    let config = format!(r#"{{"config":{{"digest":"{layer}","size":99999999}},"layers":[]}}"#);
    for manifest in [huge, config] {
        let dir = tempfile::tempdir().unwrap();
        let mock = Mock::start(move |_| Reply::ok(manifest.clone()));
        let error = pull(&mock, &cache(dir.path())).unwrap_err();
        assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
        assert_eq!(mock.count("/blobs/"), 0);
    }
}

#[test]
fn indexes_that_lead_to_themselves_end() {
    let dir = tempfile::tempdir().unwrap();
    // Each index names another: the mock makes them as they are asked for.
    let mock = Mock::start(|asked| {
        let next = Digest::of(asked.path.as_bytes());
        Reply::ok(format!(
            r#"{{"manifests":[{{"digest":"{next}","size":10}}]}}"#
        ))
    });
    pull(&mock, &cache(dir.path())).unwrap_err();
    assert!(mock.count("/manifests/") <= 4);
}

#[test]
fn redirects_in_a_circle_end() {
    let image = Image::new(&[10]);
    let error = refused(&image, || Reply::status(307).header("Location", "?again"));
    assert!(error.to_string().contains("more than 5 times"), "{error}");
    let error = refused(&image, || Reply::status(302));
    assert!(
        error.to_string().contains("without saying where to"),
        "{error}"
    );
}

#[test]
fn redirects_into_the_clear_are_not_followed() {
    let image = Image::new(&[10]);
    for target in [
        "http://10.1.2.3/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
    ] {
        let error = refused(&image, move || {
            Reply::status(307).header("Location", target)
        });
        assert!(error.to_string().contains("not encrypted"), "{error}");
    }
}

#[test]
fn silence_and_crawling_end() {
    let image = Image::new(&[100_000]);
    let started = Instant::now();
    let error = refused(&image, || Reply::of(200, Body::Silence));
    assert!(matches!(error, RegistryError::Transfer { .. }), "{error}");
    let bytes = image.layers[0].clone();
    let error = refused(&image, move || {
        Reply::of(200, Body::Crawl(bytes.clone(), Duration::from_millis(50)))
    });
    assert!(matches!(error, RegistryError::TooSlow { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn nobody_there_is_an_error_that_names_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::start(|_| Reply::status(500));
    let reference = mock.reference();
    drop(mock);
    let (platform, files) = (mock::amd64(), banger_registry::CredentialFiles::default());
    let request = banger_registry::Request::new(&reference, &platform, &files).impatient();
    let told = mock::Told::default();
    let error = banger_registry::fetch(&request, &cache(dir.path()), &told).unwrap_err();
    let error = chain(&error);
    assert!(
        error.contains(reference.registry()) && error.contains("refused"),
        "{error}"
    );
}
