//! What a file consists of: given bytes, pseudo-random bytes computed by their offset, or a file on disk.
//! It never holds generated or on-disk content in memory as a whole unless a caller asks for all of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;

/// What one path serves.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// `len` pseudo-random bytes of the stream `seed`; see [`generate`].
    Generated {
        /// Which stream.
        seed: u64,
        /// How many bytes of it, from offset 0.
        len: u64,
    },
    /// A file that is opened anew for each request. A missing file is answered with 404.
    Disk(PathBuf),
}

impl Content {
    /// The whole content in memory, for computing digests of small files in tests.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let source = self.open()?;
        let len = usize::try_from(source.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        source.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The content that takes this one's place when [`Fault::ChangeAfter`](crate::Fault::ChangeAfter) strikes
    /// its `version`: other bytes of the same length.
    pub(crate) fn successor(version: u64, len: u64) -> Content {
        Content::Generated { seed: mix(version), len }
    }

    /// Names the bytes, so that equal version numbers of different contents still have different `ETag`s. Computed once for
    /// each version: it reads all of the bytes.
    pub(crate) fn fingerprint(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => u64::from(crc32fast::hash(bytes)),
            Content::Generated { seed, .. } => *seed,
            Content::Disk(_) => 0,
        }
    }

    pub(crate) fn open(&self) -> io::Result<Source> {
        Ok(match self {
            Content::Bytes(bytes) => Source::Bytes(bytes.clone()),
            Content::Generated { seed, len } => Source::Generated { seed: *seed, len: *len },
            Content::Disk(path) => open_file(path)?,
        })
    }
}

/// Content opened for one answer.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Bytes(Bytes),
    Generated { seed: u64, len: u64 },
    File { file: Arc<File>, len: u64, modified_ns: u128 },
}

impl Source {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Generated { len, .. } | Source::File { len, .. } => *len,
        }
    }

    /// Tells the states of a file on disk apart; 0 for content that cannot change.
    pub(crate) fn modified_ns(&self) -> u128 {
        match self {
            Source::File { modified_ns, .. } => *modified_ns,
            Source::Bytes(_) | Source::Generated { .. } => 0,
        }
    }

    /// Fills `buffer` from `offset`. Running over the end is an error, as the caller asked for what is not there.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Source::Bytes(bytes) => {
                let piece = usize::try_from(offset)
                    .ok()
                    .and_then(|start| bytes.get(start..)?.get(..buffer.len()))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(piece);
                Ok(())
            }
            Source::Generated { seed, .. } => {
                generate(*seed, offset, buffer);
                Ok(())
            }
            Source::File { file, .. } => std::os::unix::fs::FileExt::read_exact_at(&**file, buffer, offset),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the origin serves files of its user's choice, rooted nowhere")]
fn open_file(path: &Path) -> io::Result<Source> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let modified_ns = facts.modified()?.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    Ok(Source::File { file: Arc::new(file), len: facts.len(), modified_ns })
}

/// Fills `buffer` with the bytes of the stream `seed` that start at `offset`.
///
/// Any range is computed at the same cost, with nothing kept: eight bytes are one mixed word of the offset.
pub fn generate(seed: u64, offset: u64, buffer: &mut [u8]) {
    let base = mix(seed);
    let mut word = offset / 8;
    let skipped = usize::try_from(offset % 8).unwrap_or(0);
    let mut rest = buffer;
    if skipped > 0 {
        let first = word_at(base, word);
        let tail = first.get(skipped..).unwrap_or_default();
        let (head, others) = rest.split_at_mut(tail.len().min(rest.len()));
        head.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        rest = others;
        word += 1;
    }
    let (words, end) = rest.as_chunks_mut::<8>();
    for (index, slot) in (word..).zip(words.iter_mut()) {
        *slot = word_at(base, index);
    }
    let last = word_at(base, word.wrapping_add(words.len() as u64));
    end.iter_mut().zip(last).for_each(|(to, from)| *to = from);
}

fn word_at(base: u64, index: u64) -> [u8; 8] {
    mix(base.wrapping_add(index)).to_le_bytes()
}

/// The finalizer of `SplitMix64`: every bit of the input moves every bit of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when a range depends on where the reader started.
    #[test]
    fn any_range_of_a_stream_equals_the_same_range_of_the_whole() {
        let mut whole = vec![0; 1000];
        generate(3, 0, &mut whole);
        for start in 0..40 {
            for len in [0, 1, 3, 7, 8, 9, 64, 333] {
                let mut part = vec![0; len];
                generate(3, start as u64, &mut part);
                assert_eq!(part, whole[start..start + len], "start {start}, len {len}");
            }
        }
    }

    /// Fails when two seeds give shifted or equal streams.
    #[test]
    fn neighbouring_seeds_share_no_words() {
        let words = |seed| {
            let mut bytes = vec![0; 8 * 4096];
            generate(seed, 0, &mut bytes);
            bytes.chunks(8).map(<[u8]>::to_vec).collect::<std::collections::HashSet<_>>()
        };
        assert_eq!(words(1).intersection(&words(2)).count(), 0);
    }
}
