//! Indexes, manifests and configurations of container images.
#![no_main]
use banger_oci::artifact::Kind;
use banger_oci::choice::{Candidate, Choice, choose};
use banger_oci::manifest::{self, Document, Platform};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Document::Index(list)) = manifest::parse(bytes) {
        let mut candidates: Vec<Candidate> = list.iter().map(Candidate::from).collect();
        // Whatever an entry turns out to be, the choice ends.
        for name in [None, Some("latest"), Some("linux/amd64"), Some("app:1")] {
            while let Ok(Choice::Look(at)) = choose(&candidates, name, &Platform::host()) {
                assert!(candidates[at].kind.is_none(), "it is looked at twice");
                candidates[at].kind = Some(Kind::Image);
            }
        }
    }
    let _ = banger_oci::ImageConfig::parse(bytes);
    if let Ok(platform) = String::from_utf8_lossy(bytes).parse::<Platform>() {
        assert_eq!(
            platform.to_string().parse::<Platform>().ok(),
            Some(platform)
        );
    }
});
