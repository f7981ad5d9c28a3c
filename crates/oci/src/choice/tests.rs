use super::*;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

/// An entry with these names and this platform; equal numbers are equal contents.
fn entry(number: u8, names: &[&str], of: Option<&str>) -> Candidate {
    Candidate {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        digest: Some(digest(number)),
        platform: of.map(platform),
        kind: None,
    }
}

fn sbom() -> Kind {
    crate::artifact::artifact_of("application/spdx+json")
}

/// Chooses from a list in which only the entries `artifacts` turn out to be no images.
fn chosen_with(
    list: &[Candidate],
    name: Option<&str>,
    of: &str,
    artifacts: &[usize],
) -> Result<usize, String> {
    let mut list = list.to_vec();
    loop {
        match choose(&list, name, &platform(of)).map_err(|error| error.to_string())? {
            Choice::Found(at) => return Ok(at),
            Choice::Look(at) => {
                assert!(list[at].kind.is_none(), "looked at twice");
                let is_artifact = artifacts.contains(&at);
                list[at].kind = Some(if is_artifact { sbom() } else { Kind::Image });
            }
        }
    }
}

fn chosen(list: &[Candidate], name: Option<&str>) -> Result<usize, String> {
    chosen_with(list, name, "linux/amd64", &[])
}

#[test]
fn two_images_of_one_tag_are_told_apart_by_their_names() {
    let list = [
        entry(1, &["docker.io/library/app:latest", "latest"], None),
        entry(2, &["localhost:5000/team/db:latest", "latest"], None),
    ];
    for (name, expected) in [
        ("docker.io/library/app:latest", 0),
        ("app:latest", 0),
        ("app", 0),
        ("localhost:5000/team/db:latest", 1),
        ("db:latest", 1),
        ("db", 1),
        (&digest(2).to_string(), 1),
        (&digest(1).hex()[..12], 0),
    ] {
        assert_eq!(chosen(&list, Some(name)), Ok(expected), "{name}");
    }
    let several = "it has several images, name one of: docker.io/library/app:latest, localhost:5000/team/db:latest";
    assert_eq!(chosen(&list, None).unwrap_err(), several);
    assert_eq!(chosen(&list, Some("latest")).unwrap_err(), several);
    let absent = chosen(&list, Some("web")).unwrap_err();
    assert!(
        absent.starts_with("it has no image \"web\"; it has: "),
        "{absent}"
    );
}

#[test]
fn a_tag_is_not_the_end_of_another_one() {
    let list = [
        entry(1, &["docker.io/library/app:1.2"], None),
        entry(2, &["docker.io/library/app:1.20"], None),
    ];
    assert_eq!(chosen(&list, Some("1.2")), Ok(0));
    assert_eq!(chosen(&list, Some("app:1.20")), Ok(1));
}

#[test]
fn an_artifact_beside_an_image_is_not_chosen() {
    let beside = [entry(1, &[], None), entry(2, &[], Some("linux/amd64"))];
    assert_eq!(chosen_with(&beside, None, "linux/amd64", &[0]), Ok(1));
    assert_eq!(
        chosen_with(&beside, None, "linux/s390x", &[0]).unwrap_err(),
        "it is not made for linux/s390x; there is: linux/amd64"
    );
    let silent = [entry(1, &[], None), entry(2, &[], None)];
    assert_eq!(chosen_with(&silent, None, "linux/amd64", &[1]), Ok(0));
    assert_eq!(
        chosen_with(&silent, None, "linux/amd64", &[0, 1]).unwrap_err(),
        "it is a software bill of materials (SBOM), not an image"
    );
    let attested = [
        entry(1, &[], Some("linux/amd64")),
        entry(2, &[], Some("unknown/unknown")),
    ];
    assert_eq!(chosen(&attested, None), Ok(0));
}

#[test]
fn images_without_names_are_chosen_by_digest_or_platform() {
    let list = [entry(1, &[], None), entry(2, &[], None)];
    let several = chosen(&list, None).unwrap_err();
    assert!(several.contains(&digest(1).to_string()), "{several}");
    assert_eq!(chosen(&list, Some(&digest(2).to_string())), Ok(1));
    let platforms = [
        entry(1, &[], Some("linux/arm64")),
        entry(2, &[], Some("linux/s390x")),
    ];
    assert_eq!(
        chosen_with(&platforms, Some("linux/arm64"), "linux/arm64", &[]),
        Ok(0)
    );
    assert_eq!(
        chosen(&platforms, None).unwrap_err(),
        "it is not made for linux/amd64; there is: linux/arm64, linux/s390x"
    );
}

#[test]
fn the_variant_that_is_asked_for_is_chosen_else_the_first() {
    let list = [
        "unknown/unknown",
        "linux/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
    ];
    let list: Vec<_> = (0..)
        .zip(list)
        .map(|(at, of)| entry(at, &[], Some(of)))
        .collect();
    let of = |text: &str| chosen_with(&list, None, text, &[]);
    assert_eq!(of("linux/arm/v7"), Ok(3));
    assert_eq!(of("linux/arm"), Ok(2));
    assert_eq!(of("linux/amd64/v3"), Ok(1));
    assert!(of("linux/s390x").is_err());
}

#[test]
fn one_image_under_two_tags_is_one_image() {
    let list = [entry(1, &["app:1"], None), entry(1, &["app:2"], None)];
    assert_eq!(chosen(&list, None), Ok(0));
    assert_eq!(chosen(&[entry(1, &["x"], None)], None), Ok(0));
    assert_eq!(chosen(&[], None).unwrap_err(), "it has no image at all");
}

#[test]
fn a_list_of_a_thousand_entries_that_say_nothing_ends() {
    let list: Vec<_> = (0..1000)
        .map(|number: u32| Candidate {
            digest: Some(Digest::of(&number.to_le_bytes())),
            ..Candidate::default()
        })
        .collect();
    let several = chosen(&list, None).unwrap_err();
    assert!(several.ends_with("and 980 more"), "{several}");
}
