//! "Did you mean …": the known word nearest to an unknown one.

/// The known word nearest to `given`, if it is near enough to be a typing error.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(given, word), word))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

/// A hint for an unknown word: the nearest known one, or the sorted list of all, or `empty` if nothing is known yet.
pub fn hint(given: &str, known: &[&str], empty: &str) -> String {
    match (nearest(given, known.iter().copied()), known) {
        (Some(word), _) => format!("did you mean \"{word}\"?"),
        (None, []) => empty.to_owned(),
        (None, known) => {
            let mut known = known.to_vec();
            known.sort_unstable();
            format!("there is: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_gets_the_list() {
        let known = ["debian-minimal", "debian-bookworm"];
        assert_eq!(
            hint("debian-minmal", &known, ""),
            "did you mean \"debian-minimal\"?"
        );
        assert_eq!(
            hint("zzz", &known, ""),
            "there is: debian-bookworm, debian-minimal"
        );
        assert_eq!(hint("zzz", &[], "nothing yet"), "nothing yet");
    }
}
