//! `Parameters`: the seven numbers that a log is created with, and their 28 bytes in the file `metadata`.
//! Refuses to guess: what is out of bounds, or another log's, is an error that names both values.

use crate::bytes::{put, u16_at, u32_at, u64_at};
use crate::checksum::crc32;
use crate::error::{Corruption, Error};
use std::path::Path;

/// The name of the file with the parameters.
pub(crate) const METADATA: &str = "metadata";

/// How long the file `metadata` is.
pub(crate) const METADATA_BYTES: usize = 28;

/// How long it was before `need_compress` was thought of.
const METADATA_BYTES_OLD: usize = 26;

/// What format 2 allows a data file to be: offsets in it are 32 bits, and a record may exceed it.
const FORMAT_2_FILE_BYTES_MAX: u64 = 1 << 30;

/// What a format-2 data file must at least take: a header, and some records.
const FORMAT_2_FILE_BYTES_MIN: u64 = 4096;

/// Bytes from one index entry of format 1 to the next: more than that are zeros that nobody asks for.
pub(crate) const SIZE_PER_INDEX_MAX: u32 = 4096;

/// The parameters of a log. They are given when it is created, and can not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// 1 is the format of the original program; 2 is Loghold's own.
    pub format_version: u16,
    /// Bytes of an index entry. Format 1: 36, or more for padding behind each entry. Format 2: 4.
    pub size_per_index: u32,
    /// Index entries in an index file, at least 1.
    pub index_num_per_file: u32,
    /// Index files in a directory, at least 1.
    pub index_file_num_per_dir: u32,
    /// Bytes of a data file. A record that is larger gets a file of its own.
    pub max_size_data_file: u64,
    /// Bytes of a block. Format 1: each record begins at one. Format 2: each batch does; a multiple of 8.
    pub data_blk_size: u32,
    /// 0 no compression, 1 zlib; format 2 also takes 2 LZ4 and 3 Zstandard.
    pub need_compress: u16,
}

/// How payloads are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// zlib (RFC 1950).
    Zlib,
    /// LZ4 blocks.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// The codec with this number, which is what `need_compress` holds.
    pub fn from_number(number: u16) -> Option<Codec> {
        [Codec::None, Codec::Zlib, Codec::Lz4, Codec::Zstd].into_iter().find(|codec| codec.number() == number)
    }

    /// The number, which is what `need_compress` holds.
    pub fn number(self) -> u16 {
        match self {
            Codec::None => 0,
            Codec::Zlib => 1,
            Codec::Lz4 => 2,
            Codec::Zstd => 3,
        }
    }
}

impl Parameters {
    /// What the original program is used with: 36-byte entries, 1000 of them in a file, 64 files in a directory.
    pub fn format_1() -> Parameters {
        Parameters {
            format_version: 1,
            size_per_index: 36,
            index_num_per_file: 1000,
            index_file_num_per_dir: 64,
            max_size_data_file: 20 << 20,
            data_blk_size: 64,
            need_compress: 0,
        }
    }

    /// What a new log has unless told otherwise: files of 16 MiB with at most 2^20 records, 64 of them in a directory.
    pub fn format_2() -> Parameters {
        Parameters {
            format_version: 2,
            size_per_index: 4,
            index_num_per_file: 1 << 20,
            index_file_num_per_dir: 64,
            max_size_data_file: 16 << 20,
            data_blk_size: 8,
            need_compress: 0,
        }
    }

    /// The codec that `need_compress` names; `None` only before [`Parameters::validate`].
    pub fn codec(&self) -> Codec {
        Codec::from_number(self.need_compress).unwrap_or_default()
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`Error::BadParameters`] names the first parameter that is out of its bounds.
    pub fn validate(&self) -> Result<(), Error> {
        let is_2 = match self.format_version {
            1 => false,
            2 => true,
            // A big-endian program would have written 1 as 256.
            0x0100 => {
                return Err(bad(
                    "format_version",
                    0x0100,
                    "big-endian logs are not read: convert it where it was written",
                ));
            }
            other => return Err(bad("format_version", u64::from(other), "only 1 and 2 are known")),
        };
        let size_per_index = u64::from(self.size_per_index);
        if is_2 && size_per_index != 4 {
            return Err(bad("size_per_index", size_per_index, "it has to be 4 in format 2"));
        }
        if !is_2 && !(36..=u64::from(SIZE_PER_INDEX_MAX)).contains(&size_per_index) {
            return Err(bad("size_per_index", size_per_index, "it has to be 36 to 4096 in format 1"));
        }
        if self.index_num_per_file == 0 || (is_2 && self.index_num_per_file > 1 << 28) {
            let given = u64::from(self.index_num_per_file);
            return Err(bad(
                "index_num_per_file",
                given,
                "it has to be at least 1, and at most 2^28 in format 2",
            ));
        }
        if self.index_file_num_per_dir == 0 {
            return Err(bad("index_file_num_per_dir", 0, "it has to be at least 1"));
        }
        let blk = u64::from(self.data_blk_size);
        if blk == 0 || blk > 1 << 20 || (is_2 && !blk.is_multiple_of(8)) {
            return Err(bad("data_blk_size", blk, "it has to be 1 to 2^20, in format 2 a multiple of 8"));
        }
        let max_size = self.max_size_data_file;
        if max_size < blk {
            return Err(bad("max_size_data_file", max_size, "it has to be at least data_blk_size"));
        }
        if is_2
            && !(FORMAT_2_FILE_BYTES_MIN.max(blk.saturating_mul(2))..=FORMAT_2_FILE_BYTES_MAX)
                .contains(&max_size)
        {
            return Err(bad(
                "max_size_data_file",
                max_size,
                "format 2 takes 4096 bytes (and two blocks) to 2^30",
            ));
        }
        let codecs = if is_2 { 3 } else { 1 };
        if self.need_compress > codecs {
            let given = u64::from(self.need_compress);
            return Err(bad(
                "need_compress",
                given,
                "format 1 knows 0 and 1 (zlib), format 2 also 2 (LZ4) and 3 (zstd)",
            ));
        }
        Ok(())
    }

    /// Refuses to open a log of these parameters as one of others.
    pub(crate) fn expect(&self, wanted: &Parameters) -> Result<(), Error> {
        let pairs = |parameters: &Parameters| {
            [
                ("format_version", u64::from(parameters.format_version)),
                ("size_per_index", u64::from(parameters.size_per_index)),
                ("index_num_per_file", u64::from(parameters.index_num_per_file)),
                ("index_file_num_per_dir", u64::from(parameters.index_file_num_per_dir)),
                ("max_size_data_file", parameters.max_size_data_file),
                ("data_blk_size", u64::from(parameters.data_blk_size)),
                ("need_compress", u64::from(parameters.need_compress)),
            ]
        };
        for ((name, found), (_, given)) in pairs(self).into_iter().zip(pairs(wanted)) {
            if found != given {
                let wanted = format!("the log was created with {found}, and parameters never change");
                return Err(Error::BadParameters { name, given, wanted });
            }
        }
        Ok(())
    }

    /// The 28 bytes of the file `metadata`.
    pub(crate) fn encode(&self) -> [u8; METADATA_BYTES] {
        let mut bytes = [0; METADATA_BYTES];
        put(&mut bytes, 0, &self.format_version.to_le_bytes());
        put(&mut bytes, 2, &self.size_per_index.to_le_bytes());
        put(&mut bytes, 6, &self.index_num_per_file.to_le_bytes());
        put(&mut bytes, 10, &self.index_file_num_per_dir.to_le_bytes());
        put(&mut bytes, 14, &self.max_size_data_file.to_le_bytes());
        put(&mut bytes, 22, &self.data_blk_size.to_le_bytes());
        put(&mut bytes, 26, &self.need_compress.to_le_bytes());
        bytes
    }

    /// Reads the bytes of the file `metadata`. 26 of them are what the program wrote before it could compress.
    ///
    /// The parameters are not validated yet: logs of the original program break some bounds, and are still read.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Parameters, Error> {
        let found = bytes.len();
        let read = || {
            Some(Parameters {
                format_version: u16_at(bytes, 0)?,
                size_per_index: u32_at(bytes, 2)?,
                index_num_per_file: u32_at(bytes, 6)?,
                index_file_num_per_dir: u32_at(bytes, 10)?,
                max_size_data_file: u64_at(bytes, 14)?,
                data_blk_size: u32_at(bytes, 22)?,
                need_compress: if found == METADATA_BYTES { u16_at(bytes, 26)? } else { 0 },
            })
        };
        if found != METADATA_BYTES && found != METADATA_BYTES_OLD {
            let what = format!("it has {found} bytes, and a log's parameters take {METADATA_BYTES}");
            return Err(Corruption::of(Path::new(METADATA), what).into());
        }
        read().ok_or_else(|| Corruption::of(Path::new(METADATA), "it is too short").into())
    }

    /// What every data file of format 2 remembers of the parameters, which have no checksum of their own.
    pub(crate) fn checksum(&self) -> u32 {
        crc32(&self.encode())
    }
}

fn bad(name: &'static str, given: u64, wanted: &str) -> Error {
    Error::BadParameters { name, given, wanted: wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_the_original_program_is_28_bytes_in_its_order() {
        let bytes = Parameters::format_1().encode();
        assert_eq!(bytes[..6], [1, 0, 36, 0, 0, 0]);
        assert_eq!(bytes[14..22], (20u64 << 20).to_le_bytes());
        assert_eq!(Parameters::decode(&bytes).unwrap(), Parameters::format_1());
        assert_eq!(Parameters::decode(&bytes[..26]).unwrap(), Parameters::format_1());
        assert!(Parameters::decode(&bytes[..27]).is_err());
    }

    #[test]
    fn a_big_endian_log_is_refused_by_name() {
        let parameters = Parameters { format_version: 0x0100, ..Parameters::format_1() };
        assert!(parameters.validate().unwrap_err().to_string().contains("big-endian"));
    }
}
