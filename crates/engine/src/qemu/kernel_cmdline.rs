//! The guest kernel's command line.

use super::check::invalid;
use super::command_line::Board;
use crate::{Accel, EngineError, VmmSpec};

/// Linux on x86 cuts what is longer: `COMMAND_LINE_SIZE` is 2048 bytes with the closing NUL.
const LENGTH_MAX_BYTES: usize = 2047;

/// For every guest: one serial console, silent until something is wrong; a panic ends the VM at once.
const ALWAYS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "audit=0",
    "cryptomgr.notests",
    "8250.nr_uarts=1",
    "random.trust_cpu=on",
];

/// For translated guests: what guards against the speculation of a CPU that is not there, and waits for hardware that is exact.
const TCG: &[&str] = &["mitigations=off", "nokaslr", "no_timer_check"];

/// The engine's own words, then the caller's, which may override them.
pub(super) fn compose(
    spec: &VmmSpec,
    board: Board,
    tsc_khz: Option<u32>,
) -> Result<String, EngineError> {
    let mut line = ALWAYS.join(" ");
    let mut add = |word: &str| {
        line.push(' ');
        line.push_str(word);
    };
    if spec.accel == Accel::Tcg {
        TCG.iter().for_each(|word| add(word));
        if spec.vcpu == 1 {
            // Else Linux takes the lock prefixes out of its own code, one write into translated code at a time.
            add("noreplace-smp");
        }
        if board == Board::Q35 {
            add("i8042.noaux");
        }
        if let Some(khz) = tsc_khz {
            add(&format!("tsc_early_khz={khz}"));
            // All virtual CPUs read the host's counter. Without this word Linux distrusts it as soon as there are two,
            // and reads the time from a device, or from a 4 ms tick.
            add("tsc=reliable");
        }
    }
    for word in &spec.cmdline_extra {
        if word.is_empty() || !word.bytes().all(|b| b.is_ascii_graphic()) {
            let reason = "must be one word of printable ASCII";
            return Err(invalid("cmdline_extra", word, reason));
        }
        add(word);
    }
    if line.len() > LENGTH_MAX_BYTES {
        let reason =
            format!("makes the kernel's command line longer than {LENGTH_MAX_BYTES} bytes");
        return Err(invalid(
            "cmdline_extra",
            spec.cmdline_extra.join(" "),
            reason,
        ));
    }
    Ok(line)
}
