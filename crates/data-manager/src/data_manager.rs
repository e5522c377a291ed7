//! Data Manager: the only interface that workers see. It records what is wanted and answers what is here.
//! Refuses IO on the caller's thread: everything slow happens in the Tasks Manager.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::{Clock, Disk};
use tokio::runtime::Handle;

use crate::assignment::{Assignment, Priority};
use crate::bandwidth::Bandwidth;
use crate::chunk_ref::{ChunkRef, Wake};
use crate::data_catalogue::{Bell, DataCatalogue, Wanted};
use crate::data_chunk::{BlockRange, ChunkId, DataChunk, DataChunkRef, DatasetId, hex_id};
use crate::data_dirs::{DataDirs, open_disks};
use crate::data_source::DataSource;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Watch;
use crate::file_spec::{CheckedChunk, checked_chunk};
use crate::io_task::Target;
use crate::job::Shared;
use crate::lanes::Lanes;
use crate::local_data_source::LocalDataSource;
use crate::options::{Limits, Options};
use crate::pool::Pool;
use crate::publisher::Publisher;
use crate::snapshot::RangeView;
use crate::sources::Sources;
use crate::status::{ChunkProgress, ChunkState, ChunkStatus, DataDirStatus, PinStatus, SourceStatus, Totals};
use crate::tasks_manager::{Rounds, TasksManager};
use crate::verify::{self, Verification, Verify};

mod leasing;

/// Chunks in one assignment; more are refused before anything is touched.
const ASSIGNMENT_CHUNKS_MAX: usize = 4 << 20;

/// Files of all chunks in one assignment: as many as four for each of the most chunks, at several hundred bytes each.
const ASSIGNMENT_FILES_MAX: usize = 4 * ASSIGNMENT_CHUNKS_MAX;

/// Keeps chunks at hand.
pub trait DataManager: Send + Sync {
    /// A pinned chunk of this manager.
    type ChunkRef: DataChunkRef + 'static;

    /// Opens the chunks in `data_dir`, and goes on with what an earlier run left.
    ///
    /// # Panics
    /// If the directory cannot be used. [`DataManagerImpl::open`] returns the reason instead.
    fn new(data_dir: PathBuf) -> Self
    where
        Self: Sized;

    /// Asks for a chunk; it is downloaded in the background.
    ///
    /// # Errors
    /// `Invalid` for a bad descriptor or one with a URL that no source serves, `Conflict` for an id that is known with other content, `Closed`.
    fn download_chunk(&self, chunk: DataChunk) -> Result<()>;

    /// The ids of all chunks that are available.
    fn list_chunks(&self) -> Vec<ChunkId>;

    /// Finds the chunk that holds a block, and pins it.
    fn find_chunk(&self, dataset_id: DatasetId, block_number: u64) -> Option<Self::ChunkRef>;

    /// Hides a chunk at once, and removes its files in the background when the last pin is dropped.
    fn delete_chunk(&self, chunk_id: ChunkId);
}

/// The hold. Cheap to clone; when the last clone is dropped it is closed.
#[derive(Clone)]
pub struct DataManagerImpl {
    inner: Arc<Inner>,
}

struct Inner {
    catalogue: Arc<DataCatalogue>,
    shared: Arc<Shared>,
    sources: Vec<Arc<LocalDataSource>>,
    /// Held while limits are read or changed.
    limits: Mutex<Limits>,
    file_bytes_max: Arc<AtomicU64>,
    tasks: TasksManager,
}

/// Parts that the hold is put together from, where the usual ones will not do.
#[derive(Debug, Default)]
pub struct Parts {
    /// The clock; the system's by default.
    pub clock: Option<Clock>,
    /// Disks in place of those at [`Options::data_dirs`], as many and in the same order.
    pub disks: Vec<Disk>,
    /// Sources by URL scheme, in place of or beside the ones that come with this crate.
    pub sources: Vec<(String, Arc<dyn DataSource>)>,
    /// A single-threaded runtime to run on, which must outlive the hold; its own threads by default. Used to simulate.
    pub runtime: Option<Handle>,
}

impl DataManagerImpl {
    /// Opens the chunks in the given directories, and goes on with what an earlier run left.
    ///
    /// Where the allocator is glibc's, the process keeps up to 32 MiB of memory that was freed, for the bodies to come.
    ///
    /// # Errors
    /// `Invalid` for options out of range, `Locked` when another process has a directory (its pid is in the message),
    /// `Io` when one cannot be used.
    pub fn open(options: Options) -> Result<DataManagerImpl> {
        DataManagerImpl::open_with(options, Parts::default())
    }

    /// The same with parts of one's own.
    ///
    /// # Errors
    /// As [`DataManagerImpl::open`].
    pub fn open_with(options: Options, parts: Parts) -> Result<DataManagerImpl> {
        check_options(&options)?;
        let clock = parts.clock.unwrap_or_else(Clock::system);
        let mut sources = Sources::new(&options)?;
        for (scheme, source) in parts.sources {
            sources.register(&scheme, source);
        }
        let disks = if parts.disks.is_empty() { open_disks(&options)? } else { parts.disks };
        let bell = Arc::new(Bell::default());
        let wake: Arc<dyn Wake> = Arc::<Bell>::clone(&bell);
        let opened = DataDirs::open(&options, disks, wake)?;
        let limits = options.limits;
        let in_flight_max = usize::try_from(limits.chunks_in_flight_max).unwrap_or(usize::MAX);
        let catalogue = DataCatalogue::new(
            (Arc::clone(&bell), opened.places),
            opened.rooms,
            opened.found,
            (limits.free_bytes_min, in_flight_max),
            clock.clone(),
        );
        let catalogue = Arc::new(catalogue);
        let pool = if parts.runtime.is_some() { Pool::Inline } else { Pool::Threads };
        let tasks = match parts.runtime {
            Some(handle) => TasksManager::on(handle, bell),
            None => TasksManager::new(bell)?,
        };
        let _inside = tasks.enter();
        let shared = Arc::new(Shared {
            lanes: Lanes::new(limits, clock.clone()),
            bandwidth: Bandwidth::new(limits.bytes_per_second_max),
            sources,
            mirrors: options.mirrors,
            clock,
            pool,
            catalogue: Arc::clone(&catalogue),
        });
        let file_bytes_max = Arc::new(AtomicU64::new(limits.file_bytes_max));
        let mut targets = Vec::new();
        let mut publishers = Vec::new();
        let mut local_sources = Vec::new();
        for (source, file) in opened.dirs {
            let source = Arc::new(source);
            let (publisher, door) = Publisher::new(Arc::clone(&source), file, Arc::clone(&catalogue), pool);
            publishers.push(publisher);
            targets.push(Target { source: Arc::clone(&source), publisher: door });
            local_sources.push(source);
        }
        let rounds =
            Rounds { shared: Arc::clone(&shared), targets, file_bytes_max: Arc::clone(&file_bytes_max) };
        tasks.start(rounds, publishers);
        for source in &local_sources {
            tasks.spawn(verify::settle(Arc::clone(&shared), Arc::clone(source)));
        }
        let inner = Inner {
            catalogue,
            shared,
            sources: local_sources,
            limits: Mutex::new(limits),
            file_bytes_max,
            tasks,
        };
        Ok(DataManagerImpl { inner: Arc::new(inner) })
    }

    /// Opens the chunks in one directory with default options.
    ///
    /// # Panics
    /// If the directory cannot be used; [`DataManagerImpl::open`] returns the reason instead.
    pub fn new(data_dir: PathBuf) -> DataManagerImpl {
        match DataManagerImpl::open(Options::new(data_dir)) {
            Ok(manager) => manager,
            #[expect(clippy::panic, reason = "the signature, which users rely on, has no room for an error")]
            Err(error) => panic!("cannot open the hold: {error}"),
        }
    }

    // ---- what is wanted ----

    /// Asks for a chunk; it is downloaded in the background. Asking again changes nothing, except that other URLs are
    /// used from then on.
    ///
    /// # Errors
    /// `Invalid` for a bad descriptor or one with a URL that no source serves, `Conflict` for an id that is known with other
    /// content, `Closed`.
    pub fn download_chunk(&self, chunk: DataChunk) -> Result<()> {
        self.download_with(chunk, Priority::default())
    }

    /// Asks for a chunk ahead of, or behind, others.
    ///
    /// # Errors
    /// As [`DataManagerImpl::download_chunk`].
    pub fn download_with(&self, chunk: DataChunk, priority: Priority) -> Result<()> {
        self.check_open()?;
        let chunk = self.checked(chunk)?;
        self.inner.catalogue.want(Wanted { chunk, priority })
    }

    /// Whether [`DataManagerImpl::download_chunk`] would take a descriptor, without asking for it: for who takes many, and
    /// all or none.
    ///
    /// # Errors
    /// `Invalid`, as of [`DataManagerImpl::download_chunk`].
    pub fn check_chunk(&self, chunk: DataChunk) -> Result<()> {
        self.checked(chunk).map(drop)
    }

    /// What every descriptor goes through that is asked for. One that was accepted before, and is fetched anew after damage,
    /// does not: where its source is gone since, it fails and says so, and keeps no hold from starting. What is here needs no
    /// source.
    fn checked(&self, chunk: DataChunk) -> Result<Arc<CheckedChunk>> {
        let chunk = checked_chunk(chunk)?;
        match self.inner.shared.check_served(&chunk) {
            Err(error) if self.inner.catalogue.needs_source(&chunk.id) => Err(error),
            _ => Ok(Arc::new(chunk)),
        }
    }

    /// Hides a chunk at once, stops its download within milliseconds, and removes its files when the last pin is
    /// dropped. Returns whether anything was known of it.
    #[expect(clippy::must_use_candidate, reason = "it is called for its effect")]
    pub fn delete_chunk(&self, chunk_id: ChunkId) -> bool {
        self.inner.catalogue.unwant(chunk_id)
    }

    /// Makes the wanted set exactly that of the assignment: what is missing is downloaded, what it does not name is
    /// dropped as it says. All or nothing: if one chunk is refused, nothing changes.
    ///
    /// # Errors
    /// As [`DataManagerImpl::download_chunk`].
    pub fn apply(&self, assignment: Assignment) -> Result<()> {
        self.check_open()?;
        check_size(assignment.chunks.iter().map(|(chunk, _)| chunk.files.len()))?;
        let Assignment { id, chunks, drop } = assignment;
        let mut wanted: BTreeMap<ChunkId, Wanted> = BTreeMap::new();
        for (chunk, priority) in chunks {
            let chunk = self.checked(chunk)?;
            let chunk_id = chunk.id;
            let each = Wanted { chunk: Arc::clone(&chunk), priority };
            if wanted.insert(chunk_id, each).is_some_and(|other| other.chunk != chunk) {
                let message = format!("the assignment names chunk {} twice, differently", hex_id(&chunk_id));
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        let assignment = Assignment { id, chunks: Vec::new(), drop };
        self.inner.catalogue.apply(&assignment, wanted.into_values().collect())
    }

    /// The id of the last assignment, while it is applied: all its chunks are ready.
    pub fn applied(&self) -> Option<String> {
        self.inner.catalogue.applied()
    }

    // ---- what is here: no lock is taken by `find_*` ----

    /// The ids of all chunks that are available, in no order.
    pub fn list_chunks(&self) -> Vec<ChunkId> {
        self.inner.catalogue.snapshot().iter().map(|resident| *resident.id()).collect()
    }

    /// Finds the chunk that holds a block, and pins it. Where several do, it is the one with the highest first block,
    /// and among those the one published last.
    pub fn find_chunk(&self, dataset_id: DatasetId, block_number: u64) -> Option<ChunkRef> {
        self.inner.catalogue.find(&dataset_id, block_number)
    }

    /// Pins a chunk by its id.
    pub fn get_chunk(&self, chunk_id: ChunkId) -> Option<ChunkRef> {
        self.inner.catalogue.get(&chunk_id)
    }

    /// All chunks of a range as they are at one moment, pinned together, and the gaps between them.
    pub fn find_range(&self, dataset_id: DatasetId, range: BlockRange) -> RangeView {
        self.inner.catalogue.find_range(&dataset_id, range)
    }

    /// The blocks of a dataset that are available, as few ranges as possible.
    pub fn coverage(&self, dataset_id: DatasetId) -> Vec<BlockRange> {
        self.inner.catalogue.snapshot().coverage(&dataset_id)
    }

    /// The datasets of which a chunk is available, sorted.
    pub fn datasets(&self) -> Vec<DatasetId> {
        let snapshot = self.inner.catalogue.snapshot();
        let mut datasets: Vec<DatasetId> = snapshot.datasets().collect();
        datasets.sort_unstable();
        datasets
    }

    // ---- what is going on ----

    /// Watches what happens from now on.
    pub fn watch(&self) -> Watch {
        self.inner.catalogue.watch()
    }

    /// Waits until every block of a range is available, blocking the thread.
    ///
    /// # Errors
    /// `TimedOut` with what is missing and, as far as that is known, why; the downloads go on.
    pub fn wait_ready(&self, dataset_id: DatasetId, range: BlockRange, time: Duration) -> Result<RangeView> {
        let look = |catalogue: &DataCatalogue| {
            let view = catalogue.find_range(&dataset_id, range.clone());
            view.is_complete().then_some(view)
        };
        self.inner.catalogue.wait_for(time, look).ok_or_else(|| {
            let gaps = self.find_range(dataset_id, range.clone()).gaps;
            let shown: Vec<String> = gaps.iter().map(|gap| format!("{}..{}", gap.start, gap.end)).collect();
            let message = format!(
                "blocks {} are not available after {:.1} s{}",
                shown.join(", "),
                time.as_secs_f64(),
                self.why_missing(&dataset_id, &gaps)
            );
            Error::new(ErrorKind::TimedOut, message)
        })
    }

    /// What is known of chunks that are to fill these gaps, as the end of a message.
    fn why_missing(&self, dataset_id: &DatasetId, gaps: &[BlockRange]) -> String {
        let is_in_gap =
            |range: &BlockRange| gaps.iter().any(|gap| gap.start < range.end && range.start < gap.end);
        let awaited =
            self.inner.catalogue.statuses(|_, dataset, range| dataset == dataset_id && is_in_gap(range));
        let awaited: Vec<_> = awaited.into_iter().filter(|status| status.is_wanted).collect();
        let mut failures = awaited.iter().filter_map(|status| Some((status.id, status.last_error.as_ref()?)));
        match failures.next() {
            None if awaited.is_empty() => "; no chunk with such blocks was asked for".to_string(),
            None => format!("; chunks that are on their way: {}", awaited.len()),
            Some((id, error)) => {
                let others = match failures.count() {
                    0 => String::new(),
                    count => format!(", and {count} more failed"),
                };
                format!("; the last failure of chunk {}: {error}{others}", hex_id(&id))
            }
        }
    }

    /// Waits until a chunk is available, blocking the thread.
    ///
    /// # Errors
    /// `TimedOut` with the last failure, if there was one; the download goes on.
    pub fn wait_chunk(&self, chunk_id: ChunkId, time: Duration) -> Result<ChunkRef> {
        self.inner.catalogue.wait_for(time, |catalogue| catalogue.get(&chunk_id)).ok_or_else(|| {
            let last = self.status(chunk_id).and_then(|status| status.last_error);
            let last = last.map_or(String::new(), |error| format!("; its last failure: {error}"));
            let message = format!(
                "chunk {} is not available after {:.1} s{last}",
                hex_id(&chunk_id),
                time.as_secs_f64()
            );
            Error::new(ErrorKind::TimedOut, message)
        })
    }

    /// Waits until nothing is left of a chunk, blocking the thread.
    ///
    /// # Errors
    /// `Io` as soon as a deletion waits for a data directory that takes no more writes after a failed sync: the next start may
    /// have the chunk again. `TimedOut` with what holds it, if anything does.
    pub fn wait_gone(&self, chunk_id: ChunkId, time: Duration) -> Result<()> {
        let look = |catalogue: &DataCatalogue| {
            let failure = self.why_not_deleted(&chunk_id);
            if failure.is_some() || !catalogue.is_known(&chunk_id) { Some(failure) } else { None }
        };
        match self.inner.catalogue.wait_for(time, look) {
            Some(None) => Ok(()),
            Some(Some(reason)) => Err(Error::new(ErrorKind::Io, reason)),
            None => Err(self.still_here(&chunk_id, time)),
        }
    }

    /// What a deletion waits for in vain.
    fn why_not_deleted(&self, chunk_id: &ChunkId) -> Option<String> {
        let is_hidden =
            |dir: u16| self.inner.catalogue.hidden(dir).iter().any(|record| record.id == *chunk_id);
        let (_, failed) =
            (0..).zip(self.data_dirs()).find(|(dir, status)| status.until_restart && is_hidden(*dir))?;
        // What is being removed ends by itself.
        self.status(*chunk_id).filter(|status| status.state == ChunkState::Retired)?;
        Some(format!(
            "chunk {} is still here, and that it is deleted may not be durable: the data directory {} takes no more writes until \
             restarted: {}",
            hex_id(chunk_id),
            failed.path.display(),
            failed.paused.unwrap_or_default()
        ))
    }

    fn still_here(&self, chunk_id: &ChunkId, time: Duration) -> Error {
        let held =
            self.status(*chunk_id).map_or(String::new(), |status| match (status.pins, status.leases) {
                (0, leases) if leases.is_empty() => String::new(),
                (0, leases) => format!("; leases hold it: {}", leases.join(", ")),
                (1, _) => "; a pin holds it".to_string(),
                (pins, _) => format!("; {pins} pins hold it"),
            });
        let message =
            format!("chunk {} is still here after {:.1} s{held}", hex_id(chunk_id), time.as_secs_f64());
        Error::new(ErrorKind::TimedOut, message)
    }

    /// Every chunk that is to hold a block, and why it does not do so yet.
    pub fn why(&self, dataset_id: DatasetId, block_number: u64) -> Vec<ChunkStatus> {
        self.inner
            .catalogue
            .statuses(|_, dataset, range| *dataset == dataset_id && range.contains(&block_number))
    }

    /// What is known of a chunk.
    pub fn status(&self, chunk_id: ChunkId) -> Option<ChunkStatus> {
        self.inner.catalogue.status(&chunk_id)
    }

    /// What is known of all chunks, those on their way first.
    pub fn statuses(&self) -> Vec<ChunkStatus> {
        self.inner.catalogue.statuses(|_, _, _| true)
    }

    /// The downloads under way.
    pub fn progress(&self) -> Vec<ChunkProgress> {
        self.inner.catalogue.progress()
    }

    /// Counters and gauges of the whole hold.
    pub fn totals(&self) -> Totals {
        Totals {
            fetched_bytes: self.inner.shared.lanes.fetched_bytes(),
            connections: self.inner.shared.lanes.open().into(),
            ..self.inner.catalogue.totals()
        }
    }

    /// How each source does.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.inner.shared.lanes.sources()
    }

    /// How each data directory does: what it holds, what is free, and why downloads into it wait.
    pub fn data_dirs(&self) -> Vec<DataDirStatus> {
        self.inner.catalogue.data_dirs()
    }

    /// Every pinned chunk, those that wait to be removed first. A pin that is old may be one that leaked.
    pub fn pins(&self) -> Vec<PinStatus> {
        self.inner.catalogue.pins()
    }

    /// Reads chunks and compares their digests, or only their lengths, with those of what was published. Damaged ones are
    /// hidden, put aside, and fetched anew where their source is known: where the record of their digests can be read.
    ///
    /// # Errors
    /// `Closed`.
    pub fn verify(&self, what: Verify) -> Result<Verification> {
        self.check_open()?;
        let (reporter, verification) = verify::verification();
        let shared = Arc::clone(&self.inner.shared);
        self.inner.tasks.spawn(verify::verify(shared, self.inner.sources.clone(), what, reporter));
        Ok(verification)
    }

    // ---- limits, and the end ----

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        *self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limits for what runs and what comes.
    ///
    /// # Errors
    /// `Invalid` for a limit out of its range; then nothing changes.
    pub fn set_limits(&self, limits: Limits) -> Result<()> {
        check_limits(&limits)?;
        *self.inner.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        let in_flight_max = usize::try_from(limits.chunks_in_flight_max).unwrap_or(usize::MAX);
        self.inner.catalogue.set_limits(limits.free_bytes_min, in_flight_max);
        self.inner.file_bytes_max.store(limits.file_bytes_max, Ordering::Relaxed);
        self.inner.shared.bandwidth.set_rate(limits.bytes_per_second_max);
        self.inner.shared.lanes.set_limits(limits);
        Ok(())
    }

    /// Stops downloads so that the next start goes on with them, finishes what is being published, and gives the data
    /// directories back. Blocks for that time, ten seconds at most.
    ///
    /// Pins keep files only as long as the hold is open that they are of: what is ready stays, and pins of it stay valid, but
    /// the next start, in this process or in another, removes what was deleted, whoever still has it pinned.
    pub fn close(&self) {
        self.inner.tasks.close();
    }

    /// The same for a hold on a runtime given in [`Parts::runtime`].
    pub async fn close_in_task(&self) {
        self.inner.tasks.close_in_task().await;
    }

    fn check_open(&self) -> Result<()> {
        if self.inner.tasks.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "the hold is closed: open it again"));
        }
        Ok(())
    }
}

impl Default for DataManagerImpl {
    /// Opens the chunks in the directory `data` below the current one.
    ///
    /// # Panics
    /// If that directory cannot be used.
    fn default() -> DataManagerImpl {
        DataManagerImpl::new(PathBuf::from("data"))
    }
}

impl fmt::Debug for DataManagerImpl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dirs: Vec<&Path> = self.inner.sources.iter().map(|source| source.disk().root()).collect();
        f.debug_struct("DataManagerImpl").field("data_dirs", &dirs).finish_non_exhaustive()
    }
}

impl DataManager for DataManagerImpl {
    type ChunkRef = ChunkRef;

    fn new(data_dir: PathBuf) -> DataManagerImpl {
        DataManagerImpl::new(data_dir)
    }

    fn download_chunk(&self, chunk: DataChunk) -> Result<()> {
        DataManagerImpl::download_chunk(self, chunk)
    }

    fn list_chunks(&self) -> Vec<ChunkId> {
        DataManagerImpl::list_chunks(self)
    }

    fn find_chunk(&self, dataset_id: DatasetId, block_number: u64) -> Option<ChunkRef> {
        DataManagerImpl::find_chunk(self, dataset_id, block_number)
    }

    fn delete_chunk(&self, chunk_id: ChunkId) {
        DataManagerImpl::delete_chunk(self, chunk_id);
    }
}

/// Whether an assignment is one that a worker can hold, by the number of files of each chunk.
fn check_size(files: impl ExactSizeIterator<Item = usize>) -> Result<()> {
    let chunk_count = files.len();
    let refused =
        |what: String| Err(Error::new(ErrorKind::Invalid, format!("{what}: split it over more workers")));
    if chunk_count > ASSIGNMENT_CHUNKS_MAX {
        let most = ASSIGNMENT_CHUNKS_MAX;
        return refused(format!("the assignment has {chunk_count} chunks, and at most {most} are taken"));
    }
    let file_count = files.fold(0usize, usize::saturating_add);
    if file_count > ASSIGNMENT_FILES_MAX {
        let most = ASSIGNMENT_FILES_MAX;
        return refused(format!("the assignment has {file_count} files, and at most {most} are taken"));
    }
    Ok(())
}

fn check_options(options: &Options) -> Result<()> {
    if options.data_dirs.is_empty() {
        return Err(Error::new(
            ErrorKind::Invalid,
            "Options::data_dirs is empty: name at least one directory",
        ));
    }
    check_limits(&options.limits)
}

fn check_limits(limits: &Limits) -> Result<()> {
    let ranges = [
        ("connections_max", u64::from(limits.connections_max), 1..=1_024),
        ("connections_per_source_max", u64::from(limits.connections_per_source_max), 1..=1_024),
        ("chunks_in_flight_max", u64::from(limits.chunks_in_flight_max), 1..=4_096),
        ("bytes_per_second_max", limits.bytes_per_second_max.unwrap_or(u64::MAX), 1_024..=u64::MAX),
        ("file_bytes_max", limits.file_bytes_max, 1..=u64::MAX),
    ];
    for (name, value, range) in ranges {
        if !range.contains(&value) {
            let message =
                format!("Limits::{name} is {value}, and must be {} to {}", range.start(), range.end());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_of_too_many_chunks_or_files_is_refused_by_its_counts() {
        let refusal = |chunks: usize, files: usize| {
            let checked = check_size(std::iter::repeat_n(files, chunks));
            checked.err().map(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(refusal(ASSIGNMENT_CHUNKS_MAX, 4), None);
        let (kind, message) = refusal(ASSIGNMENT_CHUNKS_MAX + 1, 0).unwrap();
        assert!(kind == ErrorKind::Invalid && message.contains("4194305 chunks"), "{message}");
        let (kind, message) = refusal(ASSIGNMENT_CHUNKS_MAX / 16 + 1, 64).unwrap();
        assert!(kind == ErrorKind::Invalid && message.contains("16777280 files"), "{message}");
        assert!(refusal(3, usize::MAX).is_some(), "the sum does not overflow");
    }
}
