//! The hash by which a large directory finds a name: half MD4, as the kernel's `fs/ext4/hash.c` computes it.

/// The kernel's mark for "behind the last entry"; a name must not hash to it.
const END_OF_DIRECTORY: u32 = 0xFFFF_FFFE;

/// Seed of the hash (`s_hash_seed`) of every image that is written: it decides the order of entries in large
/// directories, so it is constant.
pub(crate) const HASH_SEED: [u32; 4] = [0x6261_6E67, 0x6572_6469, 0x736B_7365, 0x6564_3031];

/// Major and minor hash of `name`. Bytes count as signed (`s_flags` 1).
pub(crate) fn hash(name: &[u8]) -> (u32, u32) {
    let mut state = HASH_SEED;
    for chunk in name.chunks(32) {
        mix(&mut state, &words(chunk));
    }
    let major = match state[1] & !1 {
        END_OF_DIRECTORY => END_OF_DIRECTORY - 2,
        other => other,
    };
    (major, state[2])
}

/// Up to 32 bytes as eight words, most significant byte first, filled up with the length.
fn words(chunk: &[u8]) -> [u32; 8] {
    let pad = chunk.len() as u32 * 0x0101_0101;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(chunk.chunks(4)) {
        for &byte in bytes {
            let signed = i32::from(byte.cast_signed()).cast_unsigned();
            *word = signed.wrapping_add(*word << 8);
        }
    }
    words
}

fn mix(state: &mut [u32; 4], input: &[u32; 8]) {
    // (function, constant, order of the words, rotations) of each round; targets go a, d, c, b.
    type Round = (fn(u32, u32, u32) -> u32, u32, [usize; 8], [u32; 4]);
    const ROUNDS: [Round; 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5A82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ED9_EBA1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let mut v = *state;
    for (function, constant, order, rotations) in ROUNDS {
        for (step, word) in order.into_iter().enumerate() {
            let target = (4 - step % 4) % 4;
            let mixed = function(
                v[(target + 1) % 4],
                v[(target + 2) % 4],
                v[(target + 3) % 4],
            );
            v[target] = v[target]
                .wrapping_add(mixed)
                .wrapping_add(input[word])
                .wrapping_add(constant)
                .rotate_left(rotations[step % 4]);
        }
    }
    for (word, mixed) in state.iter_mut().zip(v) {
        *word = word.wrapping_add(mixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_equal_those_of_a_second_implementation() {
        let names: [&[u8]; 6] = [
            b"a",
            b"hostname",
            b"exactly-thirty-two-bytes-long-12",
            b"libsystemd-shared-252-with-a-name-of-more-than-thirty-two-bytes.so",
            b"caf\xe9\xff",
            &[0x80; 255],
        ];
        for name in names {
            let other =
                mkext4::dirhash::half_md4(&HASH_SEED, mkext4::dirhash::Signedness::Signed, name);
            assert_eq!(hash(name), other, "{}", crate::tree::printable(name));
        }
    }
}
