//! A bundle with certificates of ours at its end, between two lines.

use banger_authorities::Certificate;

const BEGIN: &str = "# banger: authorities of the host, written at each start\n";
const END: &str = "# banger: end\n";

/// The bundle without what is between lines of ours, and without these certificates: a tool that was told of them has written them
/// among its own.
pub(super) fn without_ours(bundle: &[u8], told: &[Certificate]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(bundle.len());
    let mut ours = false;
    for line in bundle.split_inclusive(|byte| *byte == b'\n') {
        let is = |mark: &str| line.trim_ascii_end() == mark.trim_end().as_bytes();
        if is(BEGIN) {
            ours = true;
        } else if ours && is(END) {
            ours = false;
        } else if !ours {
            rest.extend_from_slice(line);
        }
    }
    for certificate in told {
        let pem = certificate.pem();
        while let Some(at) = find(&rest, pem.as_bytes()) {
            rest.drain(at..at + pem.len());
        }
    }
    rest
}

/// The bundle with these at its end.
pub(super) fn with_ours(mut bundle: Vec<u8>, certificates: &[Certificate]) -> Vec<u8> {
    if certificates.is_empty() {
        return bundle;
    }
    if bundle.last().is_some_and(|last| *last != b'\n') {
        bundle.push(b'\n');
    }
    bundle.extend_from_slice(BEGIN.as_bytes());
    for certificate in certificates {
        bundle.extend_from_slice(certificate.pem().as_bytes());
    }
    bundle.extend_from_slice(END.as_bytes());
    bundle
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    // Each certificate begins a line, and few bytes of a bundle do.
    let mut from = 0;
    loop {
        let at = from;
        if text[at..].starts_with(part) {
            return Some(at);
        }
        from = at + text[at..].iter().position(|byte| *byte == b'\n')? + 1;
    }
}
