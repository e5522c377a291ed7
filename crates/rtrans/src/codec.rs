//! Compression of bytes in memory, by the libraries of each codec.
//! Refuses to produce more than the caller said: what is damaged must not take memory.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::parameters::Codec;

/// What Zstandard and zlib trade speed for size by: their makers' defaults.
const ZSTD_LEVEL: i32 = 3;

/// Compresses; `None` when the codec is none, or failed.
pub(crate) fn compress(codec: Codec, bytes: &[u8]) -> Option<Vec<u8>> {
    match codec {
        Codec::None => None,
        Codec::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).ok()?;
            encoder.finish().ok()
        }
        Codec::Lz4 => Some(lz4_flex::block::compress(bytes)),
        Codec::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL).ok(),
    }
}

/// Decompresses to exactly `raw_len` bytes, which the caller has bounded; `None` when it becomes anything else.
pub(crate) fn decompress(codec: Codec, packed: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    let raw = match codec {
        Codec::None => packed.to_vec(),
        Codec::Zlib => inflate(packed, raw_len)?,
        Codec::Lz4 => lz4_flex::block::decompress(packed, raw_len).ok()?,
        Codec::Zstd => zstd::bulk::decompress(packed, raw_len).ok()?,
    };
    (raw.len() == raw_len).then_some(raw)
}

/// Inflates zlib to at most `bytes_max` bytes; `None` when it is more, or damaged.
pub(crate) fn inflate(packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    let limit = u64::try_from(bytes_max).ok()?.checked_add(1)?;
    ZlibDecoder::new(packed).take(limit).read_to_end(&mut raw).ok()?;
    (raw.len() <= bytes_max).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_length_is_no_result() {
        for codec in [Codec::Zlib, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec, &[7; 5000]).unwrap();
            assert_eq!(decompress(codec, &packed, 5000).unwrap(), [7; 5000]);
            assert_eq!(decompress(codec, &packed, 4999), None, "{codec:?}");
            assert_eq!(decompress(codec, &packed, 5001), None, "{codec:?}");
        }
    }
}
