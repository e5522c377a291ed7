//! Scan: what lies in a data directory's chunk directories, in our layout and in those of other programs.
//! Refuses to change anything, and to follow a link.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Disk, Kind};
use sha2::{Digest, Sha256};

use crate::data_chunk::{ChunkId, DatasetId, hex_id};
use crate::file_name::{FILES_MAX, check_file_names};
use crate::layout::{self, ChunkKey, ForeignChunk, ForeignDataset};
use crate::local_data_source::read_manifest;
use crate::manifest::Manifest;
use crate::record::Record;

/// Our layout has four levels, the others have fewer.
const DEPTH_MAX: usize = 4;

/// Walks the directories that may be chunks, a step at a time.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Directories still to be looked at, the next one last.
    ahead: Vec<PathBuf>,
}

/// What a directory turned out to be.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A whole chunk. Its sequence is not known and 0.
    Chunk(Record),
    /// A chunk's place with something else in it.
    Damaged { id: ChunkId, reason: String },
    /// Not for us to judge: another program's, and not whole.
    Stranger,
}

impl Walk {
    pub(crate) fn new() -> Walk {
        Walk { ahead: vec![PathBuf::new()] }
    }

    /// The next directory that stands where a chunk may stand.
    pub(crate) fn next(&mut self, disk: &Disk) -> io::Result<Option<PathBuf>> {
        while let Some(path) = self.ahead.pop() {
            if is_place(&path) {
                return Ok(Some(path));
            }
            if path.components().count() >= DEPTH_MAX {
                continue;
            }
            let entries = match disk.list(&path) {
                Ok(entries) => entries,
                // It went away while we walked, or may not be read: neither is ours to mend.
                Err(error) if path.as_os_str().is_empty() => return Err(error),
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        tracing::warn!(%error, "chunks of a directory that cannot be read are not found");
                    }
                    continue;
                }
            };
            for entry in entries.into_iter().rev() {
                let is_hidden = entry.name.as_encoded_bytes().starts_with(b".");
                if entry.kind == Kind::Dir && !is_hidden {
                    self.ahead.push(path.join(&entry.name));
                }
            }
        }
        Ok(None)
    }
}

fn is_place(path: &Path) -> bool {
    layout::parse_chunk_path(path).is_some() || foreign(path).is_some()
}

fn foreign(path: &Path) -> Option<ForeignChunk> {
    layout::parse_seed_path(path).or_else(|| layout::parse_sqd_path(path))
}

/// Looks whether a directory is a whole chunk. File contents are not read.
pub(crate) fn look(disk: &Disk, dir: u16, path: &Path) -> Seen {
    if let Some(key) = layout::parse_chunk_path(path) {
        let id = key.id;
        return match look_at_own(disk, dir, path, key) {
            Ok(record) => Seen::Chunk(record),
            Err(error) if is_damage(&error) => Seen::Damaged { id, reason: error.to_string() },
            // Such as too many open files: it says nothing of the chunk.
            Err(error) => {
                tracing::warn!(chunk = hex_id(&id), %error, "a directory in a chunk's place could not be looked at");
                Seen::Stranger
            }
        };
    }
    let chunk = foreign(path).and_then(|chunk| look_at_foreign(disk, dir, path, &chunk));
    chunk.map_or(Seen::Stranger, Seen::Chunk)
}

/// What Linux says of a device that failed to read.
const EIO: i32 = 5;

/// Whether an error met while looking at a chunk is the chunk's own: something of it is missing, is not what it should
/// be, or cannot be read from the device. Any other may pass, and condemns nothing.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
    // The disk's errors name the path; the operating system's own is their cause.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).unwrap_or(error);
    // Input that is not valid is a path with a symbolic link on it: what lies behind that is no chunk of ours.
    matches!(
        error.kind(),
        InvalidData | InvalidInput | IsADirectory | NotADirectory | NotFound | UnexpectedEof
    ) || cause.raw_os_error() == Some(EIO)
}

fn look_at_own(disk: &Disk, dir: u16, path: &Path, key: ChunkKey) -> io::Result<Record> {
    let manifest = read_manifest(disk, path)?;
    let is_here =
        manifest.id == key.id && manifest.dataset_id == key.dataset_id && manifest.block_range == key.range;
    if !is_here {
        return Err(invalid(format!("the manifest in {} is of another chunk", path.display())));
    }
    check_sizes(disk, path, &manifest)?;
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    Ok(Record {
        id: key.id,
        dataset_id: key.dataset_id,
        block_range: key.range,
        bytes: manifest.files.iter().map(|file| file.size).fold(0, u64::saturating_add),
        names: names.join("/").into(),
        dir,
        sequence: 0,
        foreign_path: None,
    })
}

/// Whether every file of a manifest is there with its length.
pub(crate) fn check_sizes(disk: &Disk, path: &Path, manifest: &Manifest) -> io::Result<()> {
    for file in &manifest.files {
        let stat = disk.stat(&path.join(&file.name))?;
        if stat.kind != Kind::File || stat.len != file.size {
            let found =
                if stat.kind == Kind::File { format!("{} bytes", stat.len) } else { "no file".to_string() };
            return Err(invalid(format!("{} should have {} bytes, and has {found}", file.name, file.size)));
        }
    }
    Ok(())
}

/// Whether every file of another program's chunk is there, with the bytes that they had together when it was found: nothing
/// says how long each of them should be.
pub(crate) fn check_foreign(disk: &Disk, path: &Path, record: &Record) -> io::Result<()> {
    let mut bytes = 0u64;
    for name in record.names.split('/') {
        let stat = disk.stat(&path.join(name))?;
        if stat.kind != Kind::File {
            return Err(invalid(format!("{name} is no file any more")));
        }
        bytes = bytes.saturating_add(stat.len);
    }
    if bytes != record.bytes {
        return Err(invalid(format!("its files should have {} bytes, and have {bytes}", record.bytes)));
    }
    Ok(())
}

fn look_at_foreign(disk: &Disk, dir: u16, path: &Path, chunk: &ForeignChunk) -> Option<Record> {
    let entries = disk.list(path).ok()?;
    let mut names = Vec::new();
    let mut bytes = 0u64;
    for entry in &entries {
        let name = entry.name.to_str().filter(|_| entry.kind == Kind::File)?;
        bytes = bytes.checked_add(disk.stat(&path.join(name)).ok()?.len)?;
        names.push(name);
    }
    if names.len() > FILES_MAX || check_file_names(names.iter().copied()).is_err() {
        return None;
    }
    // SQD's writers put this file last: without it the chunk is not whole.
    let is_sqd = matches!(chunk.dataset, ForeignDataset::Name(_));
    if is_sqd && !names.contains(&"blocks.parquet") {
        return None;
    }
    let (dataset_id, dataset_name) = match &chunk.dataset {
        ForeignDataset::Id(id) => (*id, hex_id(id)),
        ForeignDataset::Name(name) => (dataset_id_of(name), name.clone()),
    };
    Some(Record {
        id: foreign_id(&dataset_name, &chunk.label),
        dataset_id,
        block_range: chunk.range.clone(),
        bytes,
        names: names.join("/").into(),
        dir,
        sequence: 0,
        foreign_path: Some(Arc::from(path)),
    })
}

/// The id of a dataset that has a name: the name's SHA-256.
pub(crate) fn dataset_id_of(name: &str) -> DatasetId {
    Sha256::digest(name.as_bytes()).into()
}

/// The id of a chunk that another program names by dataset and path: the SHA-256 of both, a zero byte between them.
pub(crate) fn foreign_id(dataset: &str, label: &str) -> ChunkId {
    let mut hasher = Sha256::new();
    hasher.update(dataset.as_bytes());
    hasher.update([0]);
    hasher.update(label.as_bytes());
    hasher.finalize().into()
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
