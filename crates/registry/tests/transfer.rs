//! Transfer of blobs: once, resumed, cut off, in parallel.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod mock;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use banger_oci::{Digest, LocalImage};
use banger_registry::{CredentialFiles, Reach, RegistryError, Request, fetch};
use mock::{
    Body, Image, Mock, Reply, Told, cache, chain, descriptor, names, part_of, pull, pull_with,
};

/// Time limit: only a broken transfer takes that long.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn an_image_is_in_the_cache_afterwards_and_is_not_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, image) = (cache(dir.path()), Image::new(&[70_000, 10, 500_000]));
    let mock = Mock::serving(image.clone());
    let told = Told::default();
    let fetched = pull_with(&mock, &cache, &CredentialFiles::default(), &told).unwrap();
    assert_eq!(fetched.manifest, Digest::of(&image.manifest));
    assert_eq!(fetched.bytes, 570_010);
    let opened = LocalImage::open_manifest(cache.dir(), fetched.manifest, "it").unwrap();
    let layers: Vec<(Digest, u64)> = opened.stored_layers().collect();
    assert_eq!(*told.layers.lock().unwrap(), layers);
    assert_eq!(names(&cache, "parts"), [""; 0]);
    let ends = told.progress.lock().unwrap();
    assert_eq!(ends.iter().filter(|told| told.finished).count(), 4);
    assert_eq!(pull(&mock, &cache).unwrap(), fetched);
    assert_eq!(mock.count("/blobs/"), 4);
    assert_eq!(mock.count("/manifests/"), 2);
}

#[test]
fn an_index_leads_to_the_platform_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = Image::new(&[1000]);
    let with = |bytes: &[u8], platform: &str| {
        let (os, architecture) = platform.split_once('/').unwrap();
        let platform = format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#);
        descriptor(bytes).replace('}', &platform)
    };
    let (other, ours) = (
        with(b"other", "linux/arm64"),
        with(&image.manifest, "linux/amd64"),
    );
    image.tagged = format!(r#"{{"schemaVersion":2,"manifests":[{other},{ours}]}}"#).into_bytes();
    let manifest = Digest::of(&image.manifest);
    let mock = Mock::serving(image.clone());
    assert_eq!(pull(&mock, &cache(dir.path())).unwrap().manifest, manifest);

    image.tagged = format!(r#"{{"schemaVersion":2,"manifests":[{other}]}}"#).into_bytes();
    let mock = Mock::serving(image);
    let error = chain(&pull(&mock, &cache(dir.path())).unwrap_err());
    assert!(
        error.contains("not made for linux/amd64; there is: linux/arm64"),
        "{error}"
    );
}

#[test]
fn a_broken_connection_is_gone_on_from_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[900_000]);
    let (layer, broken) = (image.layer(0).to_string(), AtomicUsize::new(0));
    let served = image.clone();
    let mock = Mock::start(move |asked| {
        if asked.path.ends_with(&layer) && broken.fetch_add(1, Ordering::SeqCst) < 7 {
            let Reply {
                status,
                headers,
                body: Body::Whole(rest),
            } = served.answer(asked)
            else {
                return Reply::status(500);
            };
            // Seven times, each time a bit further: more tries than one that gets nowhere has.
            let body = Body::Cut(rest[..100_000].to_vec(), rest.len());
            return Reply {
                status,
                headers,
                body,
            };
        }
        served.answer(asked)
    });
    pull(&mock, &cache(dir.path())).unwrap();
    let ranges: Vec<Option<String>> = mock
        .asked()
        .iter()
        .filter(|asked| asked.path.contains(&image.layer(0).to_string()))
        .map(|asked| asked.range.clone())
        .collect();
    assert_eq!(ranges.len(), 8);
    assert_eq!(ranges[0], None);
    assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
}

#[test]
fn a_registry_that_knows_no_ranges_is_asked_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[300_000]);
    let cache = cache(dir.path());
    let layer = image.layer(0);
    fs::write(
        cache.dir().join("parts").join(layer.hex()),
        &image.layers[0][..100_000],
    )
    .unwrap();
    let served = image.clone();
    let mock = Mock::start(move |asked| {
        let mut asked = asked.clone();
        asked.range = None;
        served.answer(&asked)
    });
    pull(&mock, &cache).unwrap();
    assert!(cache.has(layer));
}

#[test]
fn a_range_that_is_another_one_than_was_asked_for_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[300_000]);
    let cache = cache(dir.path());
    fs::write(
        cache.dir().join("parts").join(image.layer(0).hex()),
        &image.layers[0][..100_000],
    )
    .unwrap();
    let served = image.clone();
    let mock = Mock::start(move |asked| match &asked.range {
        Some(_) => Reply::of(206, Body::Whole(served.layers[0][50_000..].to_vec()))
            .header("Content-Range", "bytes 50000-299999/300000"),
        None => served.answer(asked),
    });
    pull(&mock, &cache).unwrap();
    assert!(cache.has(image.layer(0)));
}

#[test]
fn what_an_earlier_pull_left_is_used_and_checked() {
    let image = Image::new(&[400_000]);
    for (left, expected_range) in [
        (image.layers[0][..150_000].to_vec(), "bytes=150000-"),
        // Damaged: found out at the end, and fetched anew.
        (vec![7; 150_000], "bytes=150000-"),
        // Complete, but the pull was killed before it was given its place.
        (image.layers[0].clone(), ""),
        // Longer than the blob can be.
        (vec![7; 500_000], ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (cache, mock) = (cache(dir.path()), Mock::serving(image.clone()));
        fs::write(cache.dir().join("parts").join(image.layer(0).hex()), &left).unwrap();
        pull(&mock, &cache).unwrap();
        let bytes = fs::read(cache.dir().join("blobs/sha256").join(image.layer(0).hex())).unwrap();
        assert!(bytes == image.layers[0]);
        let layer = image.layer(0).to_string();
        let first = mock.asked().into_iter().find(|a| a.path.contains(&layer));
        let range = first.and_then(|asked| asked.range).unwrap_or_default();
        assert_eq!(range, expected_range);
        assert_eq!(names(&cache, "parts"), [""; 0]);
    }
}

#[test]
fn pulls_at_the_same_time_fetch_each_blob_once() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[200_000, 300_000, 20]);
    let served = image.clone();
    let mock = Arc::new(Mock::start(move |asked| {
        if asked.path.contains("/blobs/") {
            thread::sleep(Duration::from_millis(100));
        }
        served.answer(asked)
    }));
    let cache = cache(dir.path());
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let (mock, cache) = (Arc::clone(&mock), cache.clone());
            thread::spawn(move || pull(&mock, &cache).unwrap())
        })
        .collect();
    let fetched: Vec<_> = pulls.into_iter().map(|pull| pull.join().unwrap()).collect();
    assert!(fetched.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(
        mock.count("/blobs/"),
        4,
        "three layers and the configuration"
    );
    assert_eq!(names(&cache, "parts"), [""; 0]);
}

#[test]
fn layers_are_fetched_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[10, 20, 30, 40]);
    let (together, served) = (Arc::new(Together::default()), image.clone());
    let meeting = Arc::clone(&together);
    let mock = Mock::start(move |asked| {
        let is_layer = (0..4).any(|n| asked.path.contains(&served.layer(n).to_string()));
        if is_layer {
            meeting.meet();
        }
        served.answer(asked)
    });
    pull(&mock, &cache(dir.path())).unwrap();
    let most = together.most();
    assert!((2..=4).contains(&most), "{most} at the same time");
}

/// Requests that wait for each other: none is answered before a second one is there.
#[derive(Default)]
struct Together {
    /// Requests that are here now, and the most that were at one time.
    here: Mutex<(usize, usize)>,
    came: Condvar,
}

impl Together {
    fn meet(&self) {
        let mut here = self.here.lock().unwrap();
        here.0 += 1;
        here.1 = here.1.max(here.0);
        self.came.notify_all();
        let alone = |here: &mut (usize, usize)| here.1 < 2;
        let (mut here, _) = self.came.wait_timeout_while(here, DEADLINE, alone).unwrap();
        here.0 -= 1;
    }

    fn most(&self) -> usize {
        self.here.lock().unwrap().1
    }
}

#[test]
fn a_cancelled_pull_ends_soon_and_leaves_only_parts() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[100_000]);
    let served = image.clone();
    let mock = Mock::start(move |asked| match asked.path.contains("/blobs/") {
        true if asked.path.contains(&served.layer(0).to_string()) => Reply::of(
            200,
            Body::Crawl(served.layers[0].clone(), Duration::from_millis(1)),
        ),
        _ => served.answer(asked),
    });
    let cache = cache(dir.path());
    let told = Told {
        stop_after: Some(200),
        ..Told::default()
    };
    // In the middle of the layer, of which only a part is there below.
    let error = pull_with(&mock, &cache, &CredentialFiles::default(), &told).unwrap_err();
    assert!(matches!(error, RegistryError::Cancelled), "{error}");
    assert!(!cache.has(image.layer(0)));
    assert_eq!(names(&cache, "parts"), [image.layer(0).hex()]);
    // The next one goes on.
    pull(&Mock::serving(image.clone()), &cache).unwrap();
    assert!(cache.has(image.layer(0)));
}

#[test]
fn errors_that_pass_are_waited_for_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[1000]);
    let (served, failures) = (image.clone(), AtomicUsize::new(0));
    let mock = Mock::start(move |asked| match failures.fetch_add(1, Ordering::SeqCst) {
        0 | 2 => Reply::status(503),
        1 | 4 => Reply::status(429),
        _ => served.answer(asked),
    });
    pull(&mock, &cache(dir.path())).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::start(|_| Reply::status(500));
    let error = pull(&mock, &cache(dir.path())).unwrap_err();
    assert!(error.to_string().contains("answers 500"), "{error}");
    assert_eq!(mock.count("/manifests/"), 5);

    let mock = Mock::start(|_| Reply::status(418));
    pull(&mock, &cache(dir.path())).unwrap_err();
    assert_eq!(mock.count("/manifests/"), 1);
}

#[test]
fn an_image_that_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::start(|asked| match asked.path.contains("manifests") {
        true => Reply::of(
            404,
            Body::Whole(
                br#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#
                    .to_vec(),
            ),
        ),
        false => part_of(b"", asked),
    });
    let error = pull(&mock, &cache(dir.path())).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }));
    let error = error.to_string();
    assert!(
        error.contains("/a/b:v1") && error.contains("not known"),
        "{error}"
    );
}

#[test]
fn a_layer_that_is_gone_is_told_from_an_image_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = Image::new(&[10, 20]);
    let gone = image.layer(1);
    image.blobs.remove(&gone.to_string());
    let error = pull(&Mock::serving(image), &cache(dir.path())).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("/a/b:v1, but not its blob sha256:") && error.contains("pushed again"),
        "{error}"
    );
}

#[test]
fn a_registry_that_asks_for_patience_gets_it_when_it_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[10]);
    let refusals = AtomicUsize::new(0);
    let mock = Mock::start(move |asked| match refusals.fetch_add(1, Ordering::SeqCst) {
        // The probe for TLS is not counted: it is no request.
        0 => Reply::status(429).header("Retry-After", "1"),
        _ => image.answer(asked),
    });
    let started = Instant::now();
    pull(&mock, &cache(dir.path())).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_registry_that_asks_for_hours_is_asked_once_and_the_user_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::start(|_| {
        let told = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#.to_vec();
        Reply::of(429, Body::Whole(told)).header("Retry-After", "21600")
    });
    let error = pull(&mock, &cache(dir.path())).unwrap_err().to_string();
    assert!(error.contains("slow down"), "{error}");
    assert!(error.ends_with("(try again in 6 hours)"), "{error}");
    assert_eq!(mock.asked().len(), 1);
}

#[test]
fn what_is_no_image_is_called_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = Image::new(&[10]);
    let helm = String::from_utf8(image.manifest.clone()).unwrap().replacen(
        '}',
        r#","mediaType":"application/vnd.cncf.helm.config.v1+json"}"#,
        1,
    );
    image.tagged = helm.into_bytes();
    let mock = Mock::serving(image);
    let error = chain(&pull(&mock, &cache(dir.path())).unwrap_err());
    let expected = format!(
        "cannot use {}/a/b:v1: it is a Helm chart, not an image",
        mock.address
    );
    assert_eq!(error, expected);
}

#[test]
fn what_a_repository_asks_for_is_not_fetched_from_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::serving(Image::new(&[10]));
    let port = mock.address.rsplit(':').next().unwrap();
    let credentials = CredentialFiles::default();
    let platform = mock::amd64();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "10.0.0.7",
        "localhost.",
    ] {
        let Ok(reference) = format!("{host}:{port}/a/b:v1").parse() else {
            continue;
        };
        let mut request = Request::new(&reference, &platform, &credentials).impatient();
        request.reach = Reach::Public;
        let refused = fetch(&request, &cache(dir.path()), &Told::default()).unwrap_err();
        assert!(
            matches!(refused, RegistryError::Near { .. }),
            "{host}: {refused}"
        );
    }
    assert_eq!(mock.asked().len(), 0);
}
