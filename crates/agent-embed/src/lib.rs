//! The agent's program, as bytes of this one.
//!
//! ```text
//!  cargo build (any profile) ─► build.rs ─► cargo build -p banger-agent --profile agent, static ─► AGENT
//!                                            in <target>/agent, shared by all outer profiles
//! ```
//!
//! Promises: the agent is always the one of this source tree, and is built with its own flags whatever the outer
//! build's are. A build in which nothing of it changed costs a few hundredths of a second.
//!
//! Must not: hold anything but the bytes and their digest.

/// The agent: a static x86-64 Linux program, `/init` of every guest.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/banger-agent"));

/// `sha256:` and the digest of [`AGENT`] in hexadecimal digits.
pub const AGENT_DIGEST: &str = env!("BANGER_AGENT_DIGEST");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_a_static_program_and_not_large() {
        assert_eq!(&AGENT[..5], b"\x7fELF\x02", "an ELF program of 64 bits");
        assert!(
            AGENT.len() <= 2_621_440,
            "{} bytes are more than 2.5 MiB",
            AGENT.len()
        );
        // A dynamic program names its loader in a segment of type PT_INTERP (elf(5)).
        let word = |at: usize| u16::from_le_bytes([AGENT[at], AGENT[at + 1]]) as usize;
        let segments = u64::from_le_bytes(AGENT[32..40].try_into().unwrap()) as usize;
        let (size, count) = (word(54), word(56));
        for segment in (0..count).map(|index| segments + index * size) {
            let kind = u32::from_le_bytes(AGENT[segment..segment + 4].try_into().unwrap());
            assert_ne!(
                kind, 3,
                "the agent needs a loader, which guests may not have"
            );
        }
    }

    #[test]
    fn the_digest_is_one() {
        let digits = AGENT_DIGEST.strip_prefix("sha256:").unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
