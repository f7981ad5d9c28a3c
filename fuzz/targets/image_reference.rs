//! The name of an image at a registry: what is read is written as the same reference.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<banger_oci::Reference>() {
        assert_eq!(
            reference.to_string().parse::<banger_oci::Reference>().ok(),
            Some(reference)
        );
    }
});
