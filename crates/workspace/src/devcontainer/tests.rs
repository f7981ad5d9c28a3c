use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use super::*;

/// A file with nearly everything, as people write them.
const USUAL: &str = include_str!("../../../../fuzz/seeds/devcontainer/usual.json");

fn parse(text: &str) -> Devcontainer {
    Devcontainer::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn refused(text: &str) -> String {
    let error = Devcontainer::parse(text.as_bytes()).expect_err(text);
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

fn resolve(text: &str, named: &[&str]) -> Resolved {
    resolved(text, named).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn resolved(text: &str, named: &[&str]) -> Result<Resolved, DevcontainerError> {
    let named: BTreeSet<_> = named.iter().map(|name| (*name).to_owned()).collect();
    let variable = |name: &str| match name {
        "UNSET" => None,
        name => Some(format!("<{name} of the host>")),
    };
    parse(text).resolve(&Host {
        folder: "api",
        guest_folder: "/root/api",
        variable: &variable,
        named: &named,
    })
}

#[test]
fn wishes_of_the_network_are_read_and_other_customizations_are_for_editors() {
    let network = |json: &str| Devcontainer::parse(json.as_bytes()).map(|file| file.network);
    let of = |wishes: &str| network(&format!(r#"{{"customizations": {{"banger": {wishes}}}}}"#));
    let editor = r#"{"customizations": {"vscode": {"extensions": ["a"]}}}"#;
    assert_eq!(network(editor).unwrap(), None);
    assert_eq!(of("{}").unwrap(), None);
    let listed = r#"{"network": {"egress": "list", "allow": ["a.example:443"]}}"#;
    let wishes = of(listed).unwrap().unwrap();
    assert_eq!(wishes.egress.as_deref(), Some("list"));
    assert_eq!(wishes.allow, ["a.example:443"]);
    for wrong in [
        r#"{"network": {"alow": []}}"#.to_owned(),
        r#"{"network": "none"}"#.to_owned(),
        format!(r#"{{"network": {{"deny": {:?}}}}}"#, vec!["a"; 257]),
    ] {
        assert!(of(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_usual_file_is_understood_with_its_comments_and_commas() {
    let file = resolve(USUAL, &["TOKEN"]);
    assert_eq!(file.image, Image::Named("debian:12".to_owned()));
    assert_eq!(file.user.as_deref(), Some("dev"));
    assert_eq!(file.ports, [3000, 8080]);
    let env: Vec<_> = file
        .env
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    assert_eq!(
        env,
        [
            ("COUNT", "3"),
            ("FOLDER", "/root/api api"),
            ("MODE", "test"),
            ("TOKEN", "<TOKEN of the host>"),
        ]
    );
    let commands: Vec<_> = file.commands.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(commands, ["onCreateCommand", "postCreateCommand"]);
    let mut unused = file.unused.clone();
    unused.sort();
    assert_eq!(
        unused,
        [
            "features",
            "forwardPorts: \"db:5432\"",
            "initializeCommand",
            "mounts",
            "privileged",
            "remoteEnv.GONE: null",
            "runArgs",
        ]
    );
    assert_eq!(file.asks_guest(), ["PATH".to_owned()].into());
    let guest = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
    let told = file.told(&guest).unwrap();
    assert_eq!(told["PATH"], "/bin:/opt/bin");
}

#[test]
fn variables_of_the_host_that_nobody_named_stay_on_the_host() {
    let text = r#"{"image": "x/${localEnv:SECRET}", "containerUser": "${localEnv:USER:root}",
        "containerEnv": {"A": "a${env:SECRET}b", "B": "${localEnv:UNSET:none}"},
        "postCreateCommand": ["echo", "${localEnv:SECRET}", "${localWorkspaceFolder}"]}"#;
    let file = resolve(text, &["UNSET"]);
    let withheld: Vec<_> = file.withheld.iter().map(String::as_str).collect();
    assert_eq!(withheld, ["SECRET", "USER"]);
    assert_eq!(file.image, Image::Named("x/".to_owned()));
    assert_eq!(file.user.as_deref(), Some("root"));
    assert_eq!(file.env["A"], "ab");
    assert_eq!(file.env["B"], "none");
    assert_eq!(file.commands[0].1.argv(), ["echo", "", "/root/api"]);
}

#[test]
fn a_value_of_the_host_is_not_looked_through_for_variables_of_the_host() {
    let host = Host {
        folder: "${localEnv:A}",
        guest_folder: "/root/x",
        variable: &|_| Some("${localEnv:B}".to_owned()),
        named: &["A".to_owned()].into(),
    };
    let file = parse(r#"{"containerEnv": {"X": "${localEnv:A} ${localWorkspaceFolderBasename}"}}"#);
    let file = file.resolve(&host).unwrap();
    assert_eq!(file.env["X"], "${localEnv:B} ${localEnv:A}");
    assert!(file.withheld.is_empty());
}

#[test]
fn an_image_that_is_to_be_built_is_told_with_the_property_that_says_so() {
    for (text, property) in [
        (r#"{"build": {"dockerfile": "Dockerfile"}}"#, "build"),
        (
            r#"{"dockerFile": "Dockerfile", "context": ".."}"#,
            "dockerFile",
        ),
        (
            r#"{"dockerComposeFile": ["a.yml"], "image": "x"}"#,
            "dockerComposeFile",
        ),
    ] {
        let file = parse(text);
        assert_eq!(file.image, Image::Built(property.to_owned()));
        assert!(file.unused.is_empty(), "{:?}", file.unused);
    }
    assert_eq!(parse("{}").image, Image::Unsaid);
}

#[test]
fn what_is_not_what_it_should_be_is_refused_by_name() {
    for (text, told) in [
        ("[]", "JSON"),
        ("{", "JSON"),
        ("{'image': 'x'}", "quoted"),
        ("{image: \"x\"}", "JSON"),
        (r#"{"image": 1}"#, "\"image\" must be a string"),
        (r#"{"image": "a\u0000b"}"#, "NUL"),
        (r#"{"remoteUser": ["root"]}"#, "remoteUser"),
        (r#"{"containerEnv": []}"#, "containerEnv"),
        (r#"{"containerEnv": {"A B": "x"}}"#, "A B"),
        (r#"{"containerEnv": {"A=B": "x"}}"#, "A=B"),
        (r#"{"containerEnv": {"": "x"}}"#, "no name"),
        (r#"{"remoteEnv": {"A": {}}}"#, "remoteEnv.A"),
        (r#"{"forwardPorts": 3000}"#, "forwardPorts"),
        (r#"{"forwardPorts": [0]}"#, "forwardPorts"),
        (r#"{"forwardPorts": [65536]}"#, "forwardPorts"),
        (r#"{"forwardPorts": [-1]}"#, "forwardPorts"),
        (r#"{"forwardPorts": [80.5]}"#, "forwardPorts"),
        (r#"{"forwardPorts": ["http"]}"#, "forwardPorts"),
        (r#"{"postCreateCommand": 1}"#, "postCreateCommand"),
    ] {
        let said = refused(text);
        assert!(said.contains(told), "{text}: {said}");
    }
    assert!(Devcontainer::parse(b"{\"image\": \"\xff\"}").is_err());
}

#[test]
fn much_of_anything_is_refused() {
    let deep = |open: &str| format!("{{\"x\": {}", open.repeat(100_000));
    assert!(
        refused(&deep("[")).contains("nesting"),
        "{}",
        refused(&deep("["))
    );
    assert!(refused(&deep("{\"a\":")).contains("nesting"));
    let variables: Vec<_> = (0..300).map(|n| format!("\"V{n}\": \"\"")).collect();
    refused(&format!(
        "{{\"containerEnv\": {{{}}}}}",
        variables.join(",")
    ));
    let long = "x".repeat(33_000);
    refused(&format!("{{\"containerEnv\": {{\"A\": \"{long}\"}}}}"));
    refused(&format!("{{\"image\": \"{long}\"}}"));
    let long = "x".repeat(30_000);
    let several: Vec<_> = (0..5).map(|n| format!("\"V{n}\": \"{long}\"")).collect();
    refused(&format!("{{\"remoteEnv\": {{{}}}}}", several.join(",")));
    refused(&format!(
        "{{\"forwardPorts\": {:?}}}",
        (1..100).collect::<Vec<_>>()
    ));
}

#[test]
fn values_that_grow_too_large_by_variables_are_refused() {
    let many = "${localWorkspaceFolderBasename}".repeat(1000);
    for text in [
        format!("{{\"containerEnv\": {{\"A\": \"{many}\"}}}}"),
        format!("{{\"image\": \"{many}\"}}"),
        format!("{{\"postCreateCommand\": \"{many}\"}}"),
    ] {
        let host = Host {
            folder: &"x".repeat(255),
            guest_folder: "/root/x",
            variable: &|_| None,
            named: &BTreeSet::new(),
        };
        assert!(parse(&text).resolve(&host).is_err());
    }
    let file = resolve(
        r#"{"remoteEnv": {"A": "${containerEnv:B}${containerEnv:B}"}}"#,
        &[],
    );
    let guest = BTreeMap::from([("B".to_owned(), "x".repeat(20_000))]);
    assert!(file.told(&guest).is_err());
}

#[test]
fn an_image_is_one_short_word_whatever_variables_make_of_it() {
    for image in ["a b", "a\\n", "ä", "${localEnv:NONE}", &"x".repeat(600)] {
        let text = format!("{{\"image\": \"{image}\"}}");
        assert!(resolved(&text, &[]).is_err(), "{text}");
    }
}

#[test]
fn a_user_is_a_name_or_a_number_whatever_variables_make_of_it() {
    for user in ["vscode", "1000", "a.b-c_d"] {
        let file = resolve(&format!("{{\"remoteUser\": \"{user}\"}}"), &[]);
        assert_eq!(file.user.as_deref(), Some(user));
    }
    for user in ["-x", "a b", "a:b", "../x", "ä", "$(id)"] {
        assert!(resolved(&format!("{{\"remoteUser\": \"{user}\"}}"), &[]).is_err());
    }
    let both = resolve(r#"{"containerUser": "a", "remoteUser": "b"}"#, &[]);
    assert_eq!(both.user.as_deref(), Some("b"));
    assert_eq!(
        resolve(r#"{"remoteUser": "${localEnv:USER}"}"#, &[]).user,
        None
    );
}
