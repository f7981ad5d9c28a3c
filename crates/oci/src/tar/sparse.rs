//! Files with holes, in the four ways that GNU tar has written them.

use super::header::{BLOCK, parse_number};
use super::pax::{Record, decimal};

/// Most pieces of one file.
pub(super) const MAX_PIECES: usize = 100_000;

/// A run of data: offset in the file and length, in bytes.
pub(super) type Piece = (u64, u64);

/// Properties of a sparse file in pax records.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    /// Real size of the file, when it is sparse.
    pub(super) size: Option<u64>,
    /// Version 1.0: the map lies before the data.
    pub(super) map_in_data: bool,
    pub(super) name: Option<Vec<u8>>,
    /// Versions 0.0 and 0.1: the map lies in the records.
    pub(super) map: Vec<Piece>,
    offset: Option<u64>,
}

impl PaxSparse {
    /// Takes `record` when it is about holes. `None` when it is broken.
    pub(super) fn take(&mut self, record: &Record) -> Option<()> {
        let value = &record.value[..];
        match &record.key[..] {
            b"GNU.sparse.major" => self.map_in_data = decimal(value)? == 1,
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(decimal(value)?),
            b"GNU.sparse.offset" => self.offset = Some(decimal(value)?),
            b"GNU.sparse.numbytes" => {
                let piece = (self.offset.take()?, decimal(value)?);
                self.push(piece)?;
            }
            b"GNU.sparse.map" => {
                let mut numbers = value.split(|&byte| byte == b',').map(decimal);
                while let Some(offset) = numbers.next() {
                    let piece = (offset?, numbers.next()??);
                    self.push(piece)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn push(&mut self, piece: Piece) -> Option<()> {
        if self.map.len() >= MAX_PIECES {
            return None;
        }
        self.map.push(piece);
        Some(())
    }
}

/// Adds the pieces of an old GNU map: entries of two 12-byte numbers, up to the first empty one.
pub(super) fn gnu_entries(entries: &[u8], pieces: &mut Vec<Piece>) -> Option<()> {
    for entry in entries.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let offset = u64::try_from(parse_number(&entry[..12])?).ok()?;
        let len = u64::try_from(parse_number(&entry[12..])?).ok()?;
        if pieces.len() >= MAX_PIECES {
            return None;
        }
        pieces.push((offset, len));
    }
    Some(())
}

/// Reads the map of version 1.0, decimal numbers on lines of their own: count, then offset and length of each piece.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    number: Option<u64>,
    count: Option<u64>,
    offset: Option<u64>,
    pub(super) pieces: Vec<Piece>,
}

impl MapReader {
    /// Takes the next block; true when the map is complete, `None` when it is broken.
    pub(super) fn take(&mut self, block: &[u8; BLOCK]) -> Option<bool> {
        for &byte in block {
            match byte {
                b'0'..=b'9' => {
                    let value = self.number.unwrap_or(0).checked_mul(10)?;
                    self.number = Some(value.checked_add(u64::from(byte - b'0'))?);
                }
                b'\n' => {
                    let number = self.number.take()?;
                    if self.line(number)? {
                        return Some(true);
                    }
                }
                _ => return None,
            }
        }
        Some(false)
    }

    fn line(&mut self, number: u64) -> Option<bool> {
        match (self.count, self.offset.take()) {
            (None, _) if number <= MAX_PIECES as u64 => self.count = Some(number),
            (None, _) => return None,
            (Some(_), None) => self.offset = Some(number),
            (Some(_), Some(offset)) => self.pieces.push((offset, number)),
        }
        Some(self.count == Some(self.pieces.len() as u64) && self.offset.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..text.len()].copy_from_slice(text);
        block
    }

    #[test]
    fn a_map_before_the_data_is_read_over_blocks() {
        let mut map = MapReader::default();
        assert_eq!(map.take(&block(b"2\n0\n5\n4096\n7\n")), Some(true));
        assert_eq!(map.pieces, [(0, 5), (4096, 7)]);

        let mut long = b"60\n".to_vec();
        for n in 0..60 {
            long.extend(format!("{}\n10\n", n * 10_000).bytes());
        }
        let mut map = MapReader::default();
        let mut complete = false;
        for chunk in long.chunks(BLOCK) {
            let mut last = [0; BLOCK];
            last[..chunk.len()].copy_from_slice(chunk);
            complete = map.take(&last).unwrap();
        }
        assert!(complete);
        assert_eq!(map.pieces.len(), 60);
    }

    #[test]
    fn broken_maps_are_refused() {
        for bad in [
            &b"x"[..],
            b"1\n\n",
            b"99999999999999999999999\n",
            b"100001\n",
        ] {
            assert_eq!(MapReader::default().take(&block(bad)), None);
        }
    }
}
