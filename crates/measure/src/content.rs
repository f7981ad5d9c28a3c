//! Content that is the same in every run.

/// Bytes that compress about as programs do: half noise, half text. Another seed gives other noise.
pub fn half_noise(len: usize, seed: u64) -> Vec<u8> {
    // The generator is Knuth's for 64 bits (The Art of Computer Programming 3.3.4).
    let mut state = seed;
    let mut byte_at = |at: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let [noise, ..] = state.to_be_bytes();
        let [.., letter] = (at % 16).to_be_bytes();
        if at % 64 < 32 { noise } else { b'a' + letter }
    };
    (0..len).map(&mut byte_at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
        assert_eq!(half_noise(1000, 1), half_noise(1000, 1));
        assert_ne!(half_noise(1000, 1), half_noise(1000, 2));
        assert_eq!(half_noise(64, 7)[32..48], *b"abcdefghijklmnop");
    }
}
