//! Verify: looks whether what is on disk is what was published, by length after a start, by digest when asked.
//! Refuses to repair: damaged chunks are reported to the catalogue, which puts them aside and has them fetched anew.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use host::{Blocks, File};
use tokio::sync::{oneshot, watch};
use url::Url;

use crate::assignment::Priority;
use crate::bandwidth::Bandwidth;
use crate::chunk_ref::{ChunkRef, Resident};
use crate::data_catalogue::Wanted;
use crate::data_chunk::{ChunkId, hex_id};
use crate::digest::{SEGMENT_BYTES, SegmentHasher, file_hash, segment_count, segment_len};
use crate::file_spec::{CheckedChunk, FileSpec};
use crate::job::Shared;
use crate::local_data_source::{LocalDataSource, chunk_path, is_absent};
use crate::manifest::{Manifest, ManifestFile};
use crate::record::Record;
use crate::scan::{self, Seen, Walk};

/// Directories looked at without a pause for other work.
const STEP_DIRECTORIES: usize = 64;

/// Which chunks to verify, how closely, and how fast.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verify {
    /// These chunks; none means all that are ready.
    pub chunks: Vec<ChunkId>,
    /// How closely.
    pub depth: Depth,
    /// Bytes a second to read at most.
    pub bytes_per_second_max: Option<u64>,
}

/// How closely chunks are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Every byte is read, and compared with its digest.
    #[default]
    Digests,
    /// Whether every file is there, with its length. Every start does so in the background; a program that ends sooner
    /// asks for the chunks that it is about to hand out.
    Lengths,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Chunks whose bytes, or lengths where only those were asked for, are what was published.
    pub sound: u64,
    /// Chunks that have no digests to compare with, because another program put them there: only lengths were checked.
    pub without_digest: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Chunks that were found damaged, and how. They are hidden, put aside, and fetched anew where their source is known. Those
    /// among them that the look after the start has found before are told by the first verification that asks for them.
    pub damaged: Vec<(ChunkId, String)>,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyProgress {
    /// Chunks that were looked at, whatever was found.
    pub chunks_done: u64,
    /// Chunks to look at.
    pub chunks_total: u64,
    /// Bytes that were read, or need not be any more.
    pub bytes_done: u64,
    /// Bytes to read.
    pub bytes_total: u64,
}

/// A verification under way. Dropping it does not stop it.
#[derive(Debug)]
pub struct Verification {
    /// `None` once it has answered.
    report: Option<oneshot::Receiver<VerifyReport>>,
    progress: watch::Receiver<VerifyProgress>,
}

/// The other end of a [`Verification`].
#[derive(Debug)]
pub(crate) struct Reporter {
    report: oneshot::Sender<VerifyReport>,
    progress: watch::Sender<VerifyProgress>,
}

/// A verification to be, for whoever asks and for whoever does it.
pub(crate) fn verification() -> (Reporter, Verification) {
    let (report_in, report) = oneshot::channel();
    let (progress_in, progress) = watch::channel(VerifyProgress::default());
    (Reporter { report: report_in, progress: progress_in }, Verification { report: Some(report), progress })
}

impl Verification {
    /// How far it is now.
    pub fn progress(&self) -> VerifyProgress {
        *self.progress.borrow()
    }

    /// Waits for the end, blocking the thread.
    ///
    /// Returns `None` if the hold was closed before.
    ///
    /// # Panics
    /// Inside an async task: use [`Verification::finished`] there.
    pub fn wait(self) -> Option<VerifyReport> {
        self.report?.blocking_recv().ok()
    }

    /// Waits for the end. Returns `None` if the hold was closed before, or if it has answered already; a wait that was given
    /// up may be begun again.
    pub async fn finished(&mut self) -> Option<VerifyReport> {
        let report = self.report.as_mut()?.await.ok();
        self.report = None;
        report
    }
}

/// After a start: empties the trash, and compares the catalogue with the directories.
pub(crate) async fn settle(shared: Arc<Shared>, source: Arc<LocalDataSource>) {
    if let Err(error) = shared.pool.blocking(|| source.empty_trash()) {
        tracing::warn!(%error, "the trash could not be emptied; the next start tries again");
    }
    // Who closes the hold at once waits for no more than that.
    tokio::task::yield_now().await;
    find_missing(&shared, &source).await;
    if let Err(error) = find_unknown(&shared, &source).await {
        tracing::warn!(%error, "the data directory could not be walked to its end");
    }
}

/// Chunks of the catalogue whose directories are not what they should be.
async fn find_missing(shared: &Shared, source: &LocalDataSource) {
    let snapshot = shared.catalogue.snapshot();
    let mut ids: Vec<ChunkId> = snapshot
        .iter()
        .filter(|resident| resident.place().dir() == source.dir())
        .map(|resident| *resident.id())
        .collect();
    drop(snapshot);
    ids.sort_unstable();
    for step in ids.chunks(STEP_DIRECTORIES) {
        shared.pool.blocking(|| {
            for id in step {
                let Some(pin) = shared.catalogue.get(id) else { continue };
                if let Err(error) = check_lengths(source, &pin.resident().record()) {
                    report_missing(shared, source, pin.resident(), &error);
                }
            }
        });
        tokio::task::yield_now().await;
    }
}

/// Kept for the verification that comes after it and finds nothing to look at: noted first, so that no moment is left in which
/// the chunk is neither here nor told.
fn report_missing(shared: &Shared, source: &LocalDataSource, resident: &Arc<Resident>, error: &io::Error) {
    let id = *resident.id();
    if scan::is_damage(error) {
        source.note_damage(id, error.to_string());
    }
    if !report(shared, source, resident, error) {
        source.take_damage(|noted| *noted == id);
    }
}

fn check_lengths(source: &LocalDataSource, record: &Record) -> io::Result<()> {
    let path = chunk_path(record);
    if record.foreign_path.is_some() {
        scan::check_foreign(source.disk(), &path, record)
    } else {
        source.manifest(record).and_then(|manifest| scan::check_sizes(source.disk(), &path, &manifest))
    }
}

/// Directories that stand where chunks stand and are not in the catalogue.
async fn find_unknown(shared: &Shared, source: &LocalDataSource) -> io::Result<()> {
    let mut walk = Walk::new();
    loop {
        for _ in 0..STEP_DIRECTORIES {
            let Some(path) = shared.pool.blocking(|| walk.next(source.disk()))? else { return Ok(()) };
            if let Err(error) = shared.pool.blocking(|| judge(shared, source, &path)) {
                tracing::warn!(path = %path.display(), %error, "an unknown directory could not be judged; the next start tries again");
            }
        }
        tokio::task::yield_now().await;
    }
}

fn judge(shared: &Shared, source: &LocalDataSource, path: &Path) -> io::Result<()> {
    let key_id = crate::layout::parse_chunk_path(path).map(|key| key.id);
    if key_id.is_some_and(|id| shared.catalogue.is_known(&id)) {
        return Ok(());
    }
    match scan::look(source.disk(), source.dir(), path) {
        // A whole chunk that the catalogue does not know: the index was lost, or somebody put it there. Or it came and went
        // since it was looked at; so it is looked at again by itself, with its id taken: then nobody publishes or removes it.
        Seen::Chunk(Record { id, .. }) | Seen::Damaged { id, .. } => {
            let Some(task) = shared.catalogue.begin_judging(id) else { return Ok(()) };
            let judged = judge_alone(source, path);
            let found = judged.as_ref().ok().and_then(Option::clone);
            shared.catalogue.judged(id, task, found);
            judged.map(drop)
        }
        Seen::Stranger => Ok(()),
    }
}

/// Puts an incomplete directory aside, or returns the record of a whole one. Its id is the caller's.
fn judge_alone(source: &LocalDataSource, path: &Path) -> io::Result<Option<Record>> {
    match scan::look(source.disk(), source.dir(), path) {
        Seen::Chunk(record) => Ok(Some(record)),
        Seen::Damaged { id, reason } => {
            if !matches!(source.disk().stat(path), Err(error) if is_absent(&error)) {
                tracing::warn!(chunk = hex_id(&id), %reason, "an incomplete directory in a chunk's place is put aside");
                source.put_aside(&id, path)?;
            }
            Ok(None)
        }
        Seen::Stranger => Ok(None),
    }
}

/// Says that a chunk is damaged, if that is what the error means. Returns whether it was, and was not known to be.
fn report(shared: &Shared, source: &LocalDataSource, resident: &Arc<Resident>, error: &io::Error) -> bool {
    let record = resident.record();
    if !scan::is_damage(error) {
        tracing::warn!(chunk = hex_id(&record.id), %error, "a chunk could not be looked at; it stays");
        return false;
    }
    let reason = error.to_string();
    // A file of that name in another program's chunk is not ours, and may say anything.
    let manifest = if record.foreign_path.is_none() { source.manifest(&record).ok() } else { None };
    let again = manifest.and_then(|manifest| wanted_again(&manifest));
    let refetch = again.is_some();
    let is_news = shared.catalogue.damaged(record.id, reason.clone(), again);
    if is_news {
        tracing::warn!(chunk = hex_id(&record.id), reason, refetch, "a chunk is damaged");
    }
    is_news
}

/// The descriptor of a chunk as its manifest remembers it, with the digests of what was published.
fn wanted_again(manifest: &Manifest) -> Option<Wanted> {
    let spec = |file: &ManifestFile| {
        Some(FileSpec {
            name: file.name.clone(),
            url: Url::parse(file.url.as_ref()?).ok()?,
            size: Some(file.size),
            sha256: None,
            blake3: Some(file.blake3),
        })
    };
    let chunk = CheckedChunk {
        id: manifest.id,
        dataset_id: manifest.dataset_id,
        block_range: manifest.block_range.clone(),
        files: manifest.files.iter().map(spec).collect::<Option<Vec<_>>>()?,
    };
    Some(Wanted { chunk: Arc::new(chunk), priority: Priority::default() })
}

/// Reads and hashes chunks.
pub(crate) async fn verify(
    shared: Arc<Shared>,
    sources: Vec<Arc<LocalDataSource>>,
    what: Verify,
    reporter: Reporter,
) {
    let is_all = what.chunks.is_empty();
    let ids = if is_all {
        let snapshot = shared.catalogue.snapshot();
        let mut ids: Vec<ChunkId> = snapshot.iter().map(|resident| *resident.id()).collect();
        ids.sort_unstable();
        ids
    } else {
        what.chunks
    };
    let rate = Bandwidth::new(what.bytes_per_second_max);
    let reading = Reading { depth: what.depth, rate: &rate, progress: &reporter.progress };
    let mut found = VerifyReport::default();
    let progress = &reporter.progress;
    let bytes_of = |id: &ChunkId| match what.depth {
        Depth::Digests => bytes_to_read(&shared, id),
        Depth::Lengths => 0,
    };
    let asked: HashSet<ChunkId> = ids.iter().copied().collect();
    let sizes: Vec<(ChunkId, u64)> = ids.into_iter().map(|id| (id, bytes_of(&id))).collect();
    progress.send_modify(|progress| {
        progress.chunks_total = u64::try_from(sizes.len()).unwrap_or(u64::MAX);
        progress.bytes_total = sizes.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
    });
    let mut ended = 0u64;
    for (id, bytes) in sizes {
        if let Some(pin) = shared.catalogue.get(&id)
            && let Some(source) = sources.get(usize::from(pin.resident().place().dir()))
            && let Err(error) = verify_chunk(&shared, source, &pin, reading, &mut found).await
        {
            report(&shared, source, pin.resident(), &error);
            // Also where the look after the start was first: it is no less damaged.
            if scan::is_damage(&error) {
                found.damaged.push((id, error.to_string()));
            }
        }
        ended = ended.saturating_add(bytes);
        // What was damaged, or went away meanwhile, is not read to its end.
        progress.send_modify(|progress| {
            progress.chunks_done += 1;
            progress.bytes_done = ended;
        });
    }
    let told: HashSet<ChunkId> = found.damaged.iter().map(|(id, _)| *id).collect();
    for source in &sources {
        let noted = source.take_damage(|id| is_all || asked.contains(id));
        found.damaged.extend(noted.into_iter().filter(|(id, _)| !told.contains(id)));
    }
    // Whoever asked may have stopped waiting.
    drop(reporter.report.send(found));
}

/// Nothing is read of a chunk that has no digests, or is not there.
fn bytes_to_read(shared: &Shared, id: &ChunkId) -> u64 {
    let pin = shared.catalogue.get(id);
    pin.filter(|pin| !pin.resident().place().is_foreign()).map_or(0, |pin| pin.bytes())
}

/// How a verification reads.
#[derive(Debug, Clone, Copy)]
struct Reading<'a> {
    depth: Depth,
    rate: &'a Bandwidth,
    progress: &'a watch::Sender<VerifyProgress>,
}

async fn verify_chunk(
    shared: &Shared,
    source: &LocalDataSource,
    pin: &ChunkRef,
    reading: Reading<'_>,
    found: &mut VerifyReport,
) -> io::Result<()> {
    let record = pin.resident().record();
    shared.pool.blocking(|| check_lengths(source, &record))?;
    if record.foreign_path.is_some() {
        found.without_digest += 1;
        return Ok(());
    }
    if reading.depth == Depth::Lengths {
        found.sound += 1;
        // So that the hold can be closed in between.
        tokio::task::yield_now().await;
        return Ok(());
    }
    let manifest = shared.pool.blocking(|| source.manifest(&record))?;
    let path = chunk_path(&record);
    for file in &manifest.files {
        let opened = shared.pool.blocking(|| source.disk().open_file(&path.join(&file.name)))?;
        let mut values = Vec::new();
        for segment in 0..segment_count(file.size) {
            let bytes = segment_len(segment, file.size);
            reading.rate.pass(bytes).await;
            values.push(shared.pool.blocking(|| hash(&opened, segment, file.size))?);
            found.bytes += bytes;
            reading.progress.send_modify(|progress| progress.bytes_done += bytes);
            tokio::task::yield_now().await;
        }
        if file_hash(file.size, &values) != Some(file.blake3) {
            let message = format!("{}: its bytes are not the ones that were published", file.name);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    found.sound += 1;
    Ok(())
}

/// Hashes what the device has: what memory caches is what was written, and says nothing of it.
fn hash(file: &File, segment: u64, file_len: u64) -> io::Result<[u8; 32]> {
    let wanted = usize::try_from(segment_len(segment, file_len)).unwrap_or_default();
    let mut blocks = Blocks::new(wanted, segment * SEGMENT_BYTES);
    file.read_blocks(&mut blocks)?;
    let mut hasher = SegmentHasher::new(segment, file_len);
    hasher.update(blocks.bytes());
    hasher.finish().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the segment is not whole"))
}
