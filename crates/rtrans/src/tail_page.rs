//! The file `tail`: how far the writer has got, for followers in other processes and for the next start.
//! Refuses to be needed: it is written without a sync, and a log without it is read all the same.
//!
//! It tells what no data file can tell of its own end: that the last batch had been durable. It is written after the
//! sync that it speaks of, so that it never promises too much; a power cut may leave an older one.

use std::io;
use std::path::Path;

use host::{Disk, File};

use crate::bytes::{put, u32_at, u64_at};
use crate::checksum::crc32;
use crate::error::Error;
use crate::rewrite::rewrite;

/// The name of the file.
pub(crate) const TAIL: &str = "tail";

const MAGIC: &[u8; 8] = b"LOGHTAIL";
const TAIL_BYTES: usize = 80;
const CHECKED: usize = TAIL_BYTES - 4;

/// How far the writer has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) log_id: u64,
    /// The id behind the last record that was written.
    pub(crate) next: u64,
    /// The id behind the last record that is durable.
    pub(crate) durable_next: u64,
    /// The last batch that is durable.
    pub(crate) durable_seq: u64,
    /// The data file that is written, and where its durable data ends.
    pub(crate) number: u64,
    pub(crate) position: u64,
    /// The first record that is not trimmed.
    pub(crate) first: u64,
    pub(crate) pid: u32,
    /// The writer has closed the log, with everything durable.
    pub(crate) is_clean: bool,
}

impl Tail {
    fn encode(&self) -> [u8; TAIL_BYTES] {
        let mut bytes = [0; TAIL_BYTES];
        put(&mut bytes, 0, MAGIC);
        let numbers = [
            self.log_id,
            self.next,
            self.durable_next,
            self.durable_seq,
            self.number,
            self.position,
            self.first,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            put(&mut bytes, 8 + index * 8, &number.to_le_bytes());
        }
        put(&mut bytes, 64, &self.pid.to_le_bytes());
        put(&mut bytes, 68, &u32::from(self.is_clean).to_le_bytes());
        let crc = crc32(bytes.get(..CHECKED).unwrap_or_default());
        put(&mut bytes, CHECKED, &crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; TAIL_BYTES]) -> Option<Tail> {
        let (checked, crc) = bytes.split_at_checked(CHECKED)?;
        if !bytes.starts_with(MAGIC) || u32_at(crc, 0)? != crc32(checked) {
            return None;
        }
        Some(Tail {
            log_id: u64_at(bytes, 8)?,
            next: u64_at(bytes, 16)?,
            durable_next: u64_at(bytes, 24)?,
            durable_seq: u64_at(bytes, 32)?,
            number: u64_at(bytes, 40)?,
            position: u64_at(bytes, 48)?,
            first: u64_at(bytes, 56)?,
            pid: u32_at(bytes, 64)?,
            is_clean: u32_at(bytes, 68)? == 1,
        })
    }
}

/// Reads the file. `None`: it is missing, was being written, or cannot be read.
pub(crate) fn read(disk: &Disk) -> Option<Tail> {
    read_surely(disk).ok()?
}

/// Reads the file for somebody to whom it matters that it says nothing. `None`: it is missing, or not whole.
pub(crate) fn read_surely(disk: &Disk) -> io::Result<Option<Tail>> {
    let mut bytes = [0; TAIL_BYTES];
    let read = disk.open_file(Path::new(TAIL)).and_then(|file| file.read_exact_at(&mut bytes, 0));
    match read {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            Ok(None)
        }
        read => read.map(|()| Tail::decode(&bytes)),
    }
}

/// The file as the writer holds it.
#[derive(Debug)]
pub(crate) struct TailPage {
    file: File,
}

impl TailPage {
    pub(crate) fn open(disk: &Disk) -> Result<TailPage, Error> {
        let path = Path::new(TAIL);
        let file = match disk.edit_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create_file(path)?,
            opened => opened?,
        };
        Ok(TailPage { file })
    }

    /// Tells everybody. A failure costs followers a wake-up and the next start a longer look, and nothing else.
    pub(crate) fn tell(&self, tail: &Tail) -> io::Result<()> {
        self.file.write_all_at(&tail.encode(), 0)
    }

    /// Tells it durably when the log is opened, also where a sync of an earlier writer has failed: the disk would say for ever
    /// what was true before.
    pub(crate) fn tell_again(&self, tail: &Tail) -> Result<(), Error> {
        self.tell(tail)?;
        rewrite(&self.file, 0)
    }

    /// Tells it durably, when the log is closed.
    pub(crate) fn tell_durably(&self, tail: &Tail) -> io::Result<()> {
        self.tell(tail)?;
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_tail_is_found() {
        let tail = Tail {
            log_id: 1,
            next: 9,
            durable_next: 8,
            durable_seq: 3,
            pid: 77,
            is_clean: true,
            ..Tail::default()
        };
        let mut bytes = tail.encode();
        assert_eq!(Tail::decode(&bytes), Some(tail));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Tail::decode(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
