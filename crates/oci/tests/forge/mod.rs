//! Archives that no program would make, and some that one would.

#![allow(dead_code)] // each test file is its own crate and uses some

/// An archive that is made by hand, header by header.
pub struct Forged {
    /// The archive so far.
    pub bytes: Vec<u8>,
}

impl Forged {
    pub fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    pub fn entry(mut self, kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Self {
        let size = format!("{:011o}\0", data.len());
        self.header(kind, name, link, size.as_bytes());
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub fn header(&mut self, kind: u8, name: &[u8], link: &[u8], size: &[u8]) {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name);
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..124 + size.len()].copy_from_slice(size);
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link);
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend(header);
    }

    pub fn pax(self, key: &str, value: &[u8]) -> Self {
        let body = key.len() + value.len() + 3;
        let mut len = body + 1;
        while len != body + len.to_string().len() {
            len = body + len.to_string().len();
        }
        let record = [format!("{len} {key}=").as_bytes(), value, b"\n"].concat();
        self.entry(b'x', b"pax", b"", &record)
    }

    pub fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }
}

/// The whole chain of an error, as the command line shows it.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
