//! The file of a lease: a JSON document that ends in its sum, one for each lease, in each data directory that it concerns.
//! Refuses to believe a damaged one, and to forget it: what it held is not known, so it is reported and not passed over.

use std::io;
use std::path::{Path, PathBuf};

use host::{Disk, Kind};
use serde::{Deserialize, Serialize};

use crate::data_chunk::{ChunkId, hex_id, parse_hex_id};
use crate::layout;
use crate::lease::{
    LEASE_CHUNKS_MAX, LEASED_CHUNKS_MAX, LEASES_MAX, LIFETIMES, LeaseRecord, check_name, check_owner,
};
use crate::scan::is_damage;
use crate::summed_json;

const FORMAT: u32 = 1;

/// A line of 75 bytes for each chunk, and some for the rest.
const BYTES_MAX: u64 = 8 << 20;

/// What a lease's file is called behind its name.
const SUFFIX: &str = ".json";

/// Where a lease is written before it is renamed. One is enough: only the publisher writes here.
const UNPUBLISHED: &str = ".unpublished-0";

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    name: String,
    owner: String,
    taken_unix_ms: u64,
    expires_unix_ms: u64,
    lifetime_ms: u64,
    chunks: Vec<String>,
}

/// A lease's file as a start finds it.
#[derive(Debug)]
pub(crate) enum FoundLease {
    /// A good one.
    Good(LeaseRecord),
    /// One that cannot be read: its name, and why.
    Damaged(String, String),
}

/// Why a lease's file was not written or removed.
#[derive(Debug)]
pub(crate) enum LeaseFault {
    /// Nothing came of it.
    Refused(io::Error),
    /// A sync failed: what is on the disk is not known.
    Sync(io::Error),
}

/// The bytes of a lease's file.
pub(crate) fn encode(record: &LeaseRecord) -> Vec<u8> {
    summed_json::encode(&Document {
        format: FORMAT,
        name: record.name.to_string(),
        owner: record.owner.clone(),
        taken_unix_ms: record.taken_ms,
        expires_unix_ms: record.expires_ms,
        lifetime_ms: record.lifetime_ms,
        chunks: record.chunks.iter().map(hex_id).collect(),
    })
}

/// Reads a lease's file; the message says what is wrong with it.
pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<LeaseRecord, String> {
    summed_json::check_sum(bytes)?;
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not a lease's document: {error}"))?;
    if document.format != FORMAT {
        return Err(format!("it has format {}, and this program reads format {FORMAT}", document.format));
    }
    check_name(&document.name)?;
    check_owner(&document.owner)?;
    if document.name != name {
        return Err("it is the file of another lease".to_string());
    }
    let lifetime_ms_max = u64::try_from(LIFETIMES.end().as_millis()).unwrap_or(u64::MAX);
    if document.lifetime_ms > lifetime_ms_max {
        return Err("its lifetime is longer than any lease lives".to_string());
    }
    if !(1..=LEASE_CHUNKS_MAX).contains(&document.chunks.len()) {
        return Err(format!(
            "it names {} chunks, and a lease has 1 to {LEASE_CHUNKS_MAX}",
            document.chunks.len()
        ));
    }
    let chunks: Option<Vec<ChunkId>> = document.chunks.iter().map(|id| parse_hex_id(id)).collect();
    let chunks = chunks.ok_or("an id in it is not 64 hex digits")?;
    if !chunks.is_sorted_by(|left, right| left < right) {
        return Err("its chunks are not sorted, each once".to_string());
    }
    Ok(LeaseRecord {
        name: document.name.into(),
        owner: document.owner,
        taken_ms: document.taken_unix_ms,
        expires_ms: document.expires_unix_ms,
        lifetime_ms: document.lifetime_ms,
        chunks: chunks.into(),
    })
}

/// All leases of a data directory, by name. Beyond the limits of the whole hold none is read, and each counts as damaged.
pub(crate) fn read_all(disk: &Disk) -> io::Result<Vec<FoundLease>> {
    let mut names = Vec::new();
    for entry in disk.list(Path::new(layout::LEASES))? {
        let name = entry.name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(name) = name.filter(|name| entry.kind == Kind::File && check_name(name).is_ok()) {
            names.push(name.to_string());
        }
    }
    names.sort_unstable();
    let mut found = Vec::with_capacity(names.len());
    let mut chunk_count = 0usize;
    for (position, name) in names.into_iter().enumerate() {
        if position >= LEASES_MAX || chunk_count >= LEASED_CHUNKS_MAX {
            found.push(FoundLease::Damaged(
                name,
                "there are more leases here than may stand at once".to_string(),
            ));
            continue;
        }
        match read_bytes(disk, &path_of(&name)).map(|bytes| decode(&name, &bytes)) {
            Ok(Ok(record)) => {
                chunk_count = chunk_count.saturating_add(record.chunks.len());
                found.push(FoundLease::Good(record));
            }
            Ok(Err(reason)) => found.push(FoundLease::Damaged(name, reason)),
            Err(error) if is_damage(&error) => found.push(FoundLease::Damaged(name, error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn read_bytes(disk: &Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open_file(path)?;
    // After a failed sync memory may hold what the device does not.
    file.evict()?;
    let len = file.len()?;
    if len > BYTES_MAX {
        let reason = format!("it has {len} bytes, and at most {BYTES_MAX} are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Writes a lease's file durably, a new one or in place of the one before.
pub(crate) fn write(disk: &Disk, name: &str, bytes: &[u8]) -> Result<(), LeaseFault> {
    let unpublished = Path::new(layout::LEASES).join(UNPUBLISHED);
    let file = match disk.create_file(&unpublished) {
        // A crash or a full disk left it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove_file(&unpublished).and_then(|()| disk.create_file(&unpublished))
        }
        created => created,
    };
    let file = file.map_err(LeaseFault::Refused)?;
    file.write_all_at(bytes, 0).map_err(LeaseFault::Refused)?;
    file.sync().map_err(LeaseFault::Sync)?;
    drop(file);
    // COMMIT POINT of a lease, once the directory is synced: every start from then on knows it.
    disk.replace(&unpublished, &path_of(name)).map_err(LeaseFault::Refused)?;
    disk.sync_dir(Path::new(layout::LEASES)).map_err(LeaseFault::Sync)
}

/// Removes a lease's file durably. One that is not there is no error.
pub(crate) fn remove(disk: &Disk, name: &str) -> Result<(), LeaseFault> {
    match disk.remove_file(&path_of(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(LeaseFault::Refused(error)),
        _ => {}
    }
    disk.sync_dir(Path::new(layout::LEASES)).map_err(LeaseFault::Sync)
}

fn path_of(name: &str) -> PathBuf {
    Path::new(layout::LEASES).join(format!("{name}{SUFFIX}"))
}

#[cfg(test)]
#[path = "../tests/unit/lease_file.rs"]
mod tests;
