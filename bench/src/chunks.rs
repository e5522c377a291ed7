//! The chunks that are fetched in the benches: their files, sizes and descriptors.
//! Refuses to hold their bytes: those are computed from a seed.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use data_manager::data_chunk::{ChunkId, DataChunk, DatasetId};
use origin::{Content, Site};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// The files of a real chunk, 1,397 blocks of Ethereum mainnet: the largest is 200 times the smallest.
const REAL_FILES: [(&str, u64); 5] = [
    ("blocks.parquet", 702_857),
    ("logs.parquet", 28_157_987),
    ("statediffs.parquet", 49_095_048),
    ("traces.parquet", 143_763_172),
    ("transactions.parquet", 129_241_624),
];

/// Bytes generated at once.
const PIECE_BYTES: usize = 1 << 20;

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) name: String,
    /// Where it lies on the server.
    pub(crate) path: String,
    pub(crate) seed: u64,
    pub(crate) len: u64,
    /// In hex; empty when the descriptor gives none.
    pub(crate) blake3: String,
}

/// One chunk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) number: u64,
    pub(crate) files: Vec<File>,
}

/// The dataset of the chunks that are fetched.
pub(crate) const DATASET: DatasetId = [7; 32];

/// Blocks in each chunk.
pub(crate) const BLOCKS: u64 = 1_000;

/// An id that is as random as real ones are.
pub(crate) fn id_of(number: u64) -> ChunkId {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

impl Chunk {
    /// A chunk of so many bytes, in files whose sizes are to each other as those of a real chunk.
    pub(crate) fn real(number: u64, bytes: u64) -> Chunk {
        let sum: u64 = REAL_FILES.iter().map(|(_, len)| len).sum();
        let part =
            |len: u64| u64::try_from(u128::from(len) * u128::from(bytes) / u128::from(sum)).unwrap_or(1);
        let files: Vec<(&str, u64)> =
            REAL_FILES.iter().map(|&(name, len)| (name, part(len).max(1))).collect();
        Chunk::of(number, &files)
    }

    /// A chunk of five files of the same size.
    pub(crate) fn equal(number: u64, file_bytes: u64) -> Chunk {
        let files: Vec<(&str, u64)> = REAL_FILES.iter().map(|&(name, _)| (name, file_bytes)).collect();
        Chunk::of(number, &files)
    }

    /// A chunk of these files.
    pub(crate) fn of(number: u64, files: &[(&str, u64)]) -> Chunk {
        let file = |(place, &(name, len)): (usize, &(&str, u64))| File {
            name: name.to_owned(),
            path: format!("{number:06}/{name}"),
            seed: number * 64 + place as u64,
            len,
            blake3: String::new(),
        };
        Chunk { number, files: files.iter().enumerate().map(file).collect() }
    }

    /// With the digests of its files in its descriptor.
    pub(crate) fn with_digests(mut self) -> Chunk {
        for file in &mut self.files {
            file.blake3 = file.digest();
        }
        self
    }

    pub(crate) fn id(&self) -> ChunkId {
        id_of(self.number)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// Its descriptor, with URLs below `prefix`, which ends in `/`.
    pub(crate) fn descriptor(&self, prefix: &str) -> DataChunk {
        let url = |file: &File| {
            let digest =
                if file.blake3.is_empty() { String::new() } else { format!("&blake3={}", file.blake3) };
            (file.name.clone(), format!("{prefix}{}#size={}{digest}", file.path, file.len))
        };
        let first = self.number * BLOCKS;
        let files: HashMap<String, String> = self.files.iter().map(url).collect();
        DataChunk { id: self.id(), dataset_id: DATASET, block_range: first..first + BLOCKS, files }
    }
}

impl File {
    fn pieces(&self, mut take: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut offset = 0;
        while offset < self.len {
            let wanted = usize::try_from(self.len - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            origin::generate(self.seed, offset, piece);
            take(piece)?;
            offset += wanted as u64;
        }
        Ok(())
    }

    fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let hashed = self.pieces(|piece| {
            hasher.update(piece);
            Ok(())
        });
        hashed.map_or(String::new(), |()| hasher.finalize().to_hex().to_string())
    }

    /// Whether a file on disk has exactly these bytes.
    pub(crate) fn is_right(&self, path: &Path) -> bool {
        let Ok(found) = fs::read(path) else { return false };
        found.len() as u64 == self.len && blake3::hash(&found).to_hex().to_string() == self.digest()
    }
}

/// An origin's site with these chunks.
pub(crate) fn site(chunks: &[Chunk]) -> Site {
    let files = chunks.iter().flat_map(|chunk| &chunk.files);
    files.fold(Site::new().listing(), |site, file| {
        site.file(file.path.clone(), Content::Generated { seed: file.seed, len: file.len })
    })
}

/// Writes the chunks below a directory for real servers to serve, unless an earlier run did.
pub(crate) fn write(chunks: &[Chunk], dir: &Path) -> Outcome<()> {
    let done = dir.with_extension("done");
    let wanted = serde_json::to_string(chunks)?;
    if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    crate::machine::fresh_dir(dir)?;
    for file in chunks.iter().flat_map(|chunk| &chunk.files) {
        let path = dir.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut to = fs::File::create(path)?;
        file.pieces(|piece| Ok(to.write_all(piece)?))?;
    }
    fs::write(done, wanted)?;
    Ok(())
}
