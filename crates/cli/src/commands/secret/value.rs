//! The value of a secret, as its user gives it: typed at a terminal that does not show it, or read from standard input.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

use crate::failure::{Failure, chain};
use crate::terminal::RawMode;

/// Most bytes that are read: one more than is kept with its line end, so that too many are told by the daemon.
const READ_MAX_BYTES: usize = banger_secret::VALUE_MAX_BYTES + 3;

/// Reads the value of the secret `name`.
///
/// # Errors
/// Standard input cannot be read; the user has given up.
pub fn read(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed =
        |error: io::Error| Failure::usage(format!("the value cannot be read: {}", chain(&error)));
    let mut value = Zeroizing::new(Vec::with_capacity(READ_MAX_BYTES));
    if !io::stdin().is_terminal() {
        let most = READ_MAX_BYTES as u64;
        io::stdin()
            .lock()
            .take(most)
            .read_to_end(&mut value)
            .map_err(failed)?;
        return Ok(value);
    }
    let typed = {
        // First: what is typed as soon as the question is there must not be shown either.
        let _raw = RawMode::enter().map_err(failed)?;
        let _ = write!(io::stderr(), "value of {name} (not shown): ");
        typed(&mut io::stdin().lock(), &mut value)
    };
    let _ = writeln!(io::stderr());
    match typed.map_err(failed)? {
        true => Ok(value),
        false => Err(Failure::interrupted("nothing was kept")),
    }
}

/// Takes a line from a terminal in raw mode. `false`: the user has given up.
fn typed(from: &mut impl io::Read, value: &mut Vec<u8>) -> io::Result<bool> {
    let mut byte = [0];
    loop {
        if from.read(&mut byte)? == 0 {
            return Ok(true);
        }
        match byte[0] {
            b'\r' | b'\n' => return Ok(true),
            // Ctrl-C, Ctrl-\, Ctrl-Z.
            0x03 | 0x1c | 0x1a => return Ok(false),
            // Ctrl-D at the beginning ends without a value.
            0x04 => return Ok(!value.is_empty()),
            // Backspace and delete.
            0x08 | 0x7f => drop(value.pop()),
            // Ctrl-U.
            0x15 => value.clear(),
            typed if value.len() < READ_MAX_BYTES => value.push(typed),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_typed_corrected_and_given_up() {
        let line = |keys: &[u8]| {
            let mut value = Vec::new();
            let whole = typed(&mut &*keys, &mut value).unwrap();
            (whole, String::from_utf8(value).unwrap())
        };
        assert_eq!(line(b"abc\rrest"), (true, "abc".to_owned()));
        assert_eq!(line(b"abx\x7fc\n"), (true, "abc".to_owned()));
        assert_eq!(line(b"old\x15new\r"), (true, "new".to_owned()));
        assert_eq!(line(b"ab\x04"), (true, "ab".to_owned()));
        assert!(!line(b"\x04").0 && !line(b"ab\x03").0);
        let long = [b'a'; 20_000];
        assert_eq!(line(&long).1.len(), READ_MAX_BYTES);
    }
}
