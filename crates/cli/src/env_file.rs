//! Files of variables, as Docker reads them: one `NAME=VALUE` a line, a `NAME` alone takes the host's value, lines that
//! begin with `#` and empty ones say nothing. Values are taken as they stand: quotes are a part of them.
//!
//! No message repeats a line: a value may be a secret.

use std::path::Path;

use crate::failure::{Failure, host_error};

/// Largest file, in bytes: a request to a guest holds no more.
const MAX_FILE: u64 = 1024 * 1024;

/// A variable; without a value it is the host's.
pub type Variable = (String, Option<String>);

/// Reads a file.
///
/// # Errors
/// It cannot be read, or a line is not a variable.
pub fn read(path: &Path) -> Result<Vec<Variable>, Failure> {
    let shown = path.display();
    let failed = |source| host_error(format!("cannot read {shown}"), &source);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!("--env-file {shown}: no such file")),
        _ => failed(source).into(),
    })?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE + 1), &mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("--env-file {shown} is larger than {MAX_FILE} bytes");
        return Err(Failure::usage(message));
    }
    parse(&bytes)
        .map_err(|(line, why)| Failure::usage(format!("--env-file {shown}, line {line}: {why}")))
}

/// The variables of a file, or the line that is none and why.
fn parse(bytes: &[u8]) -> Result<Vec<Variable>, (usize, &'static str)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let refuse = |why| Err((number, why));
        let Ok(line) = std::str::from_utf8(line) else {
            return refuse("it is not UTF-8");
        };
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        if name.is_empty() {
            return refuse("a name is missing before =");
        }
        if name.contains(char::is_whitespace) {
            return refuse("a name has no blanks");
        }
        if line.contains('\0') {
            return refuse("it has a NUL");
        }
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: Option<&str>) -> Variable {
        (name.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let text = "\u{feff}# comment\n\nA=1\r\n  B= x # y \nQ=\"quoted\"\nEMPTY=\nTOKEN\n";
        assert_eq!(
            parse(text.as_bytes()).unwrap(),
            [
                variable("A", Some("1")),
                variable("B", Some(" x # y ")),
                variable("Q", Some("\"quoted\"")),
                variable("EMPTY", Some("")),
                variable("TOKEN", None),
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_variable_is_named_by_its_number_alone() {
        for (text, line) in [("A=1\n=secret", 2), ("a b=secret", 1), ("\n\nA=\0", 3)] {
            let (number, why) = parse(text.as_bytes()).unwrap_err();
            assert_eq!(number, line, "{text:?}");
            assert!(!why.contains("secret"), "{why}");
        }
        assert_eq!(parse(b"A=1\nB=\xff").unwrap_err().0, 2);
    }

    #[test]
    fn a_file_that_is_missing_or_endless_is_a_wrong_command_line() {
        let missing = read(Path::new("/no/such")).unwrap_err();
        assert_eq!(missing.exit_code(), 2);
        let endless = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.exit_code(), 2);
    }
}
