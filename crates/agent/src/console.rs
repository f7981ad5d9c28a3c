//! Words for whoever reads the console: few and short, because a serial line is slow, above all in emulation.

use std::io::Write;

/// Writes one line to the console. Nothing can be done when that fails.
pub fn say(line: impl std::fmt::Display) {
    if let Ok(mut console) = std::fs::OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(format!("banger: {line}\n").as_bytes());
    }
}
