//! Passwords and tokens, and the hosts that must not get them.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod mock;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_registry::{CredentialFiles, RegistryError};
use mock::{Asked, Body, Image, Mock, Reply, Told, cache, pull, pull_with};

/// `user:secret` in base64.
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

fn credentials(dir: &Path, registry: &str, entry: &str) -> CredentialFiles {
    let path = dir.join("auth.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{registry}":{entry}}}}}"#)).unwrap();
    CredentialFiles::new(vec![path])
}

fn password(dir: &Path, mock: &Mock) -> CredentialFiles {
    credentials(dir, &mock.address, r#"{"auth":"dXNlcjpzZWNyZXQ="}"#)
}

fn with_basic(image: Image) -> Mock {
    Mock::start(move |asked| match asked.authorization.as_deref() {
        Some(BASIC) => image.answer(asked),
        _ => Reply::of(401, Body::Whole(b"who are you".to_vec()))
            .header("WWW-Authenticate", r#"Basic realm="here""#),
    })
}

#[test]
fn a_password_is_shown_when_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mock = with_basic(Image::new(&[10, 20]));
    let files = password(dir.path(), &mock);
    pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap();
    assert_eq!(
        mock.asked()[0].authorization,
        None,
        "not before it is asked for"
    );
}

#[test]
fn without_or_with_a_wrong_password_it_is_said_which() {
    let dir = tempfile::tempdir().unwrap();
    let mock = with_basic(Image::new(&[10]));
    let error = pull(&mock, &cache(dir.path())).unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Denied {
                authenticated: false,
                ..
            }
        ),
        "{error}"
    );
    let wrong = r#"{"username":"user","password":"wrong"}"#;
    let files = credentials(dir.path(), &mock.address, wrong);
    let error = pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Denied {
                authenticated: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        mock.asked().len() <= 3,
        "a wrong password is not tried again and again"
    );
    let error = error.to_string();
    assert!(
        !error.contains("wrong") || error.contains("credentials are wrong"),
        "{error}"
    );
}

/// A registry whose tokens are good for `uses` requests; the token service wants `grants` to say yes.
fn with_tokens(
    image: Image,
    uses: usize,
    grants: impl Fn(&Asked) -> bool + Send + Sync + 'static,
) -> Mock {
    let (issued, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let address = Arc::new(std::sync::Mutex::new(String::new()));
    let known = Arc::clone(&address);
    let mock = Mock::start(move |asked| {
        if asked.path.starts_with("/token") {
            if !grants(asked) {
                return Reply::status(401);
            }
            used.store(0, Ordering::SeqCst);
            let token = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::ok(format!(r#"{{"token":"t{token}","expires_in":60}}"#));
        }
        let current = format!("Bearer t{}", issued.load(Ordering::SeqCst));
        let good = asked.authorization.as_deref() == Some(&current);
        if good && used.fetch_add(1, Ordering::SeqCst) < uses {
            return image.answer(asked);
        }
        let realm = format!("http://{}/token?account=x", known.lock().unwrap());
        Reply::status(401).header(
            "WWW-Authenticate",
            format!(r#"Bearer realm="{realm}",service="mock",scope="repository:a/b:pull""#),
        )
    });
    address.lock().unwrap().clone_from(&mock.address);
    mock
}

#[test]
fn a_token_is_fetched_without_credentials_and_used_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let mock = with_tokens(Image::new(&[10, 20, 30]), 1000, |_| true);
    pull(&mock, &cache(dir.path())).unwrap();
    let tokens: Vec<Asked> = mock
        .asked()
        .into_iter()
        .filter(|asked| asked.path.starts_with("/token"))
        .collect();
    assert_eq!(tokens.len(), 1);
    let path = &tokens[0].path;
    assert!(
        path.contains("account=x&") && path.contains("service=mock"),
        "{path}"
    );
    assert!(path.contains("scope=repository%3Aa%2Fb%3Apull"), "{path}");
}

#[test]
fn a_token_that_expires_in_the_middle_is_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let mock = with_tokens(Image::new(&[10, 20, 30, 40, 50, 60]), 5, |_| true);
    pull(&mock, &cache(dir.path())).unwrap();
    assert!(mock.count("/token") >= 2);
}

#[test]
fn the_token_service_gets_the_password_and_the_registry_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mock = with_tokens(Image::new(&[10]), 1000, |asked| {
        asked.authorization.as_deref() == Some(BASIC)
    });
    let files = password(dir.path(), &mock);
    pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap();
    for asked in mock.asked() {
        let is_basic = asked.authorization.as_deref() == Some(BASIC);
        assert_eq!(is_basic, asked.path.starts_with("/token"), "{asked:?}");
    }
    let error = pull(&mock, &cache(&dir.path().join("other"))).unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Denied {
                authenticated: false,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_identity_token_is_redeemed() {
    let dir = tempfile::tempdir().unwrap();
    let mock = with_tokens(Image::new(&[10]), 1000, |asked| {
        asked.method == "POST"
            && asked.body.contains("grant_type=refresh_token")
            && asked.body.contains("refresh_token=id%2Ftoken")
            && asked.body.contains("service=mock")
    });
    let files = credentials(dir.path(), &mock.address, r#"{"identitytoken":"id/token"}"#);
    pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap();
}

#[test]
fn a_redirect_to_another_host_takes_no_credentials_along() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new(&[1000]);
    let (served, layer) = (image.clone(), image.layer(0).to_string());
    let store = Mock::start(move |asked| mock::part_of(&served.layers[0], asked));
    let elsewhere = format!("http://{}/store", store.address);
    let mock = Mock::start(move |asked| {
        if asked.authorization.as_deref() != Some(BASIC) {
            return Reply::status(401).header("WWW-Authenticate", "Basic");
        }
        match asked.path.ends_with(&layer) {
            true => Reply::status(307).header("Location", elsewhere.clone()),
            false => image.answer(asked),
        }
    });
    let files = password(dir.path(), &mock);
    pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap();
    let asked = store.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization, None);
}

#[test]
fn a_token_service_in_the_clear_elsewhere_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (challenge, part) in [
        (r#"Bearer realm="http://10.1.2.3/token""#, "not encrypted"),
        (r#"Bearer realm="nonsense""#, "token service"),
        ("Negotiate", "neither a password nor a token"),
    ] {
        let mock = Mock::start(move |_| Reply::status(401).header("WWW-Authenticate", challenge));
        let files = password(dir.path(), &mock);
        let error = pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_token_service_that_answers_rubbish_is_no_token() {
    for answer in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, "[[["] {
        let dir = tempfile::tempdir().unwrap();
        let service = Mock::start(move |_| Reply::ok(answer));
        let challenge = format!(r#"Bearer realm="http://{}/token""#, service.address);
        let mock =
            Mock::start(move |_| Reply::status(401).header("WWW-Authenticate", challenge.clone()));
        let error = pull(&mock, &cache(dir.path())).unwrap_err();
        assert!(
            error.to_string().contains("without a token"),
            "{answer}: {error}"
        );
        assert_eq!(service.asked().len(), 1);
    }
}

/// A token service at `/token` that gives a token for the requested scope, and a registry that requires `scope`.
fn strict(image: Image, scope: &'static str) -> Mock {
    let address = Arc::new(std::sync::Mutex::new(String::new()));
    let known = Arc::clone(&address);
    let mock = Mock::start(move |asked| {
        if let Some(query) = asked.path.strip_prefix("/token?") {
            let asked_for = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("scope="));
            return Reply::ok(format!(
                r#"{{"token":"for-{}"}}"#,
                asked_for.unwrap_or_default()
            ));
        }
        let escaped = scope.replace(':', "%3A").replace('/', "%2F");
        if asked.authorization == Some(format!("Bearer for-{escaped}")) {
            return image.answer(asked);
        }
        let realm = format!("http://{}/token", known.lock().unwrap());
        let challenge = format!(r#"Bearer realm="{realm}",service="mock",scope="{scope}""#);
        Reply::status(401).header("WWW-Authenticate", challenge)
    });
    address.lock().unwrap().clone_from(&mock.address);
    mock
}

/// A registry that sends everything to another one.
fn moved_to(other: &Mock, status: u16) -> Mock {
    let address = other.address.clone();
    Mock::start(move |asked| {
        let target = format!("http://{address}{}", asked.path);
        Reply::status(status).header("Location", target)
    })
}

#[test]
fn the_scope_that_the_registry_names_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mock = strict(Image::new(&[10]), "repository:behind/the/name:pull");
    pull(&mock, &cache(dir.path())).unwrap();
}

#[test]
fn a_registry_behind_a_redirect_gets_a_token_of_its_own_and_nothing_of_the_user() {
    let dir = tempfile::tempdir().unwrap();
    let other = strict(Image::new(&[10, 20]), "repository:a/b:pull");
    let first = moved_to(&other, 308);
    let files = password(dir.path(), &first);
    pull_with(&first, &cache(dir.path()), &files, &Told::default()).unwrap();
    let asked = other.asked();
    let shown = asked
        .iter()
        .filter_map(|asked| asked.authorization.as_deref());
    assert!(shown.clone().count() > 0);
    for shown in shown {
        assert!(shown.starts_with("Bearer for-"), "{shown}");
    }
    assert!(
        first
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_none())
    );
    assert_eq!(other.count("/token"), 1, "one token is used for all");
}

#[test]
fn a_registry_behind_a_redirect_that_wants_a_password_gets_none() {
    let dir = tempfile::tempdir().unwrap();
    let other = with_basic(Image::new(&[10]));
    let first = moved_to(&other, 307);
    let files = password(dir.path(), &first);
    let error = pull_with(&first, &cache(dir.path()), &files, &Told::default()).unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Denied {
                authenticated: false,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        other
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_none())
    );
}

#[test]
fn a_token_service_that_has_moved_is_followed_and_gets_no_password_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let service = Mock::start(|_| Reply::ok(r#"{"token":"t"}"#));
    let elsewhere = format!("http://{}/new?x=1", service.address);
    let image = Image::new(&[10]);
    let address = Arc::new(std::sync::Mutex::new(String::new()));
    let known = Arc::clone(&address);
    let mock = Mock::start(move |asked| {
        if asked.path.starts_with("/token") {
            return Reply::status(307).header("Location", elsewhere.clone());
        }
        if asked.authorization.as_deref() == Some("Bearer t") {
            return image.answer(asked);
        }
        let realm = format!("http://{}/token", known.lock().unwrap());
        Reply::status(401).header("WWW-Authenticate", format!(r#"Bearer realm="{realm}""#))
    });
    address.lock().unwrap().clone_from(&mock.address);
    let files = password(dir.path(), &mock);
    pull_with(&mock, &cache(dir.path()), &files, &Told::default()).unwrap();
    let asked = &service.asked()[0];
    assert_eq!(
        (asked.path.as_str(), &asked.authorization),
        ("/new?x=1", &None)
    );
    assert_eq!(
        mock.asked()
            .iter()
            .find(|a| a.path.starts_with("/token"))
            .unwrap()
            .authorization
            .as_deref(),
        Some(BASIC)
    );

    let identity = credentials(dir.path(), &mock.address, r#"{"identitytoken":"id"}"#);
    let error = pull_with(
        &mock,
        &cache(&dir.path().join("2")),
        &identity,
        &Told::default(),
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("sends us elsewhere with an identity token"),
        "{error}"
    );
    assert_eq!(service.asked().len(), 1);
}
