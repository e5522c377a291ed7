//! `Resident` and `ChunkRef`: a chunk that is here, and a pin on it, built for a million of them.
//! Refuses to count pins: an `Arc` does, and the last one to go wakes the loop that removes the files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::HashMap;
use host::Clock;

use crate::data_chunk::{BlockRange, ChunkId, DataChunkRef, DatasetId, hex_id};
use crate::index_file::IndexEntry;
use crate::layout;
use crate::record::Record;
use crate::sync::atomic::{AtomicU32, Ordering};

/// How many `Arc`s of a visible chunk are not pins: the catalogue's own, and the current index's.
const OWNERS: usize = 2;

/// A pin: the chunk stays available and untouched until the last clone is dropped.
///
/// It is cheap to make, to clone and to drop, and never waits. The path is put together when it is first asked for.
pub struct ChunkRef {
    resident: Arc<Resident>,
    path: OnceLock<Box<Path>>,
}

impl ChunkRef {
    /// Pins a chunk. The caller holds an `Arc` of it, so it cannot be on its way out.
    pub(crate) fn pin(resident: &Arc<Resident>, clock: &CoarseClock) -> ChunkRef {
        // An index that is just being copied counts as a pin too, so a first pin may be missed for microseconds. Then
        // the time of an earlier one stays, which only ever makes a pin look older than it is.
        if Arc::strong_count(resident) <= OWNERS {
            resident.pinned_at_s.store(clock.now_s(), Ordering::Relaxed);
        }
        ChunkRef { resident: Arc::clone(resident), path: OnceLock::new() }
    }

    /// The chunk's id.
    pub fn id(&self) -> ChunkId {
        self.resident.id
    }

    /// The dataset it belongs to.
    pub fn dataset_id(&self) -> DatasetId {
        self.resident.place.dataset_id
    }

    /// The blocks it holds, half-open.
    pub fn block_range(&self) -> BlockRange {
        self.resident.block_range()
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.resident.bytes()
    }

    /// The names of its files, sorted.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.resident.place.names.split('/')
    }

    /// What is pinned.
    pub(crate) fn resident(&self) -> &Arc<Resident> {
        &self.resident
    }
}

impl DataChunkRef for ChunkRef {
    fn path(&self) -> &Path {
        self.path.get_or_init(|| self.resident.path().into_boxed_path())
    }
}

impl Clone for ChunkRef {
    fn clone(&self) -> ChunkRef {
        ChunkRef { resident: Arc::clone(&self.resident), path: OnceLock::new() }
    }
}

impl fmt::Debug for ChunkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkRef")
            .field("id", &hex_id(&self.resident.id))
            .field("dataset_id", &hex_id(&self.resident.place.dataset_id))
            .field("block_range", &self.resident.block_range())
            .finish_non_exhaustive()
    }
}

/// A published chunk in memory: 72 bytes, so that with the counts of its `Arc` it takes 88.
///
/// Dropping it only wakes the loop: by then nobody can see or use the chunk any more.
//
// The order of fields is the order in memory: what `find` reads lies next to the counts of the `Arc`.
#[repr(C)]
pub(crate) struct Resident {
    /// When the number of pins last rose from none, in seconds of the [`CoarseClock`].
    pinned_at_s: AtomicU32,
    bytes: U48,
    sequence: U48,
    end: u64,
    first: u64,
    place: Arc<Place>,
    id: ChunkId,
}

impl Resident {
    /// A chunk that has just been published, or was found at the start.
    ///
    /// The place is the record's, from [`Places::of`]. Bytes and sequence are kept in 48 bits each (256 TiB, and 8,900
    /// years of a thousand publications a second); more than that is cut to the greatest number.
    pub(crate) fn new(record: &Record, place: Arc<Place>) -> Arc<Resident> {
        Arc::new(Resident {
            pinned_at_s: AtomicU32::new(0),
            bytes: U48::saturating(record.bytes),
            sequence: U48::saturating(record.sequence),
            end: record.block_range.end,
            first: record.block_range.start,
            place,
            id: record.id,
        })
    }

    /// The same from the catalogue's own files, without a [`Record`] for each: a start makes a million of them.
    pub(crate) fn from_index(entry: &IndexEntry<'_>, place: Arc<Place>) -> Arc<Resident> {
        Arc::new(Resident {
            pinned_at_s: AtomicU32::new(0),
            bytes: U48::saturating(entry.bytes),
            sequence: U48::saturating(entry.sequence),
            end: entry.block_range.end,
            first: entry.block_range.start,
            place,
            id: entry.id,
        })
    }

    pub(crate) fn id(&self) -> &ChunkId {
        &self.id
    }

    pub(crate) fn dataset_id(&self) -> &DatasetId {
        &self.place.dataset_id
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn block_range(&self) -> BlockRange {
        self.first..self.end
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Where it belongs in a list of all chunks: by dataset, first block and sequence.
    pub(crate) fn order(&self) -> (DatasetId, u64, u64) {
        (self.place.dataset_id, self.first, self.sequence())
    }

    /// The directory that holds the chunk's files.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.place.foreign_path {
            Some(path) => self.place.root.join(path),
            None => self.place.root.join(layout::chunk_path(
                &self.place.dataset_id,
                &self.block_range(),
                &self.id,
            )),
        }
    }

    /// What is written of it into the catalogue's files.
    pub(crate) fn record(&self) -> Record {
        Record {
            id: self.id,
            dataset_id: self.place.dataset_id,
            block_range: self.block_range(),
            bytes: self.bytes(),
            names: Arc::clone(&self.place.names),
            dir: self.place.dir,
            sequence: self.sequence(),
            foreign_path: self.place.foreign_path.clone(),
        }
    }

    /// How many pins are on a chunk that is visible. Whoever copies an index at this moment counts too.
    pub(crate) fn pins_visible(resident: &Arc<Resident>) -> usize {
        Arc::strong_count(resident).saturating_sub(OWNERS)
    }

    /// How many pins are on a chunk that the catalogue and the index have let go of.
    pub(crate) fn pins_hidden(resident: &Weak<Resident>) -> usize {
        resident.strong_count()
    }

    /// For how many seconds it has been pinned without a break. It says nothing when there is no pin.
    pub(crate) fn pinned_for_s(&self, clock: &CoarseClock) -> u32 {
        clock.now_s().saturating_sub(self.pinned_at_s.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident")
            .field("id", &hex_id(&self.id))
            .field("block_range", &self.block_range())
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.place.wake.wake();
    }
}

/// Tells the loop that something is to be done. Must be instant and must not fail: it is called from drops, on any thread.
pub(crate) trait Wake: Send + Sync {
    /// Makes the loop look again.
    fn wake(&self);
}

/// What all chunks with the same file names in one dataset and one data directory share.
pub(crate) struct Place {
    dataset_id: DatasetId,
    dir: u16,
    root: Arc<Path>,
    /// File names, sorted and joined by `/`.
    names: Arc<str>,
    /// Below the root; only for a chunk in another program's layout, which then has a place of its own.
    foreign_path: Option<Arc<Path>>,
    wake: Arc<dyn Wake>,
}

impl Place {
    /// File names, sorted and joined by `/`.
    pub(crate) fn names(&self) -> &Arc<str> {
        &self.names
    }

    /// Whether its chunk lies in another program's layout.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign_path.is_some()
    }

    /// Which data directory it is in.
    pub(crate) fn dir(&self) -> u16 {
        self.dir
    }
}

/// The places in use, each kept once. It belongs to whoever makes residents, behind the same lock.
pub(crate) struct Places {
    roots: Vec<Arc<Path>>,
    wake: Arc<dyn Wake>,
    known: HashMap<(DatasetId, u16, Arc<str>), Weak<Place>>,
    /// The number of known places at which dead ones are swept out.
    sweep_at: usize,
}

/// Fewer places than this are never swept.
const SWEEP_MIN: usize = 1_024;

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Places {
    /// `roots` are the data directories; a record's `dir` is a position in it.
    pub(crate) fn new(roots: Vec<Arc<Path>>, wake: Arc<dyn Wake>) -> Places {
        Places { roots, wake, known: HashMap::new(), sweep_at: SWEEP_MIN }
    }

    /// A chunk in memory, not yet visible; `None` if its record names a data directory that there is none of.
    pub(crate) fn resident(&mut self, record: &Record) -> Option<Arc<Resident>> {
        self.of(record).map(|place| Resident::new(record, place))
    }

    /// The place of a chunk; `None` if its record names a data directory that there is none of.
    pub(crate) fn of(&mut self, record: &Record) -> Option<Arc<Place>> {
        let root = Arc::clone(self.roots.get(usize::from(record.dir))?);
        let make = || {
            Arc::new(Place {
                dataset_id: record.dataset_id,
                dir: record.dir,
                root,
                names: Arc::clone(&record.names),
                foreign_path: record.foreign_path.clone(),
                wake: Arc::clone(&self.wake),
            })
        };
        if record.foreign_path.is_some() {
            return Some(make());
        }
        let key = (record.dataset_id, record.dir, Arc::clone(&record.names));
        if let Some(place) = self.known.get(&key).and_then(Weak::upgrade) {
            return Some(place);
        }
        let place = make();
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, place| place.strong_count() > 0);
            self.sweep_at = self.known.len().saturating_mul(2).max(SWEEP_MIN);
        }
        self.known.insert(key, Arc::downgrade(&place));
        Some(place)
    }
}

/// Seconds since the hold was opened, by the system's cheapest clock: a first pin on a chunk reads it.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    clock: Clock,
    started_ms: u64,
}

impl CoarseClock {
    /// One that begins now.
    pub(crate) fn new(clock: Clock) -> CoarseClock {
        let started_ms = clock.monotonic_coarse_ms();
        CoarseClock { clock, started_ms }
    }

    pub(crate) fn now_s(&self) -> u32 {
        let elapsed_ms = self.clock.monotonic_coarse_ms().saturating_sub(self.started_ms);
        u32::try_from(elapsed_ms / 1_000).unwrap_or(u32::MAX)
    }
}

impl Default for CoarseClock {
    fn default() -> CoarseClock {
        CoarseClock::new(Clock::system())
    }
}

/// A number of 48 bits that fills 6 bytes and needs no alignment.
#[derive(Clone, Copy)]
struct U48([u8; 6]);

impl U48 {
    fn saturating(value: u64) -> U48 {
        let bytes = value.min((1 << 48) - 1).to_le_bytes();
        U48(bytes.first_chunk().copied().unwrap_or_default())
    }

    fn get(self) -> u64 {
        let mut bytes = [0; 8];
        for (byte, ours) in bytes.iter_mut().zip(self.0) {
            *byte = ours;
        }
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
#[path = "../tests/unit/chunk_ref.rs"]
pub(crate) mod tests;
