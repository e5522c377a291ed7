//! `CatalogueFile`: the compact index of one data directory, read at start and kept up to date.
//! Refuses to know more than its two files say: a promise in it is believed only where the directory keeps it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use host::{Disk, File, Kind};

use crate::aside;
use crate::chunk_ref::{Place, Places, Resident};
use crate::data_chunk::{ChunkId, DatasetId};
use crate::index_file::{IndexEntry, IndexSnapshot, SnapshotBuilder};
use crate::index_journal::{
    JournalEntry, decode_journal, journal_generation, journal_header, journal_record,
};
use crate::layout;
use crate::record::Record;
use crate::scan;
use crate::surviving_journals;

/// A snapshot is read whole; one of 64 million chunks has 4 GiB.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// A journal with more records than this, and more than a quarter of the snapshot's, is folded into a new snapshot.
const JOURNAL_RECORDS_MAX: usize = 4_096;

/// Numbers beyond this are nobody's: no hold lives so long, and there is always a next one.
const GENERATION_MAX: u64 = u64::MAX / 2;

/// Room that the journal takes ahead, and how little of it may be left: 1,500 deletions.
const JOURNAL_RESERVE_BYTES: u64 = 64 << 10;

/// The two files of one data directory's index.
#[derive(Debug)]
pub(crate) struct CatalogueFile {
    disk: Disk,
    generation: u64,
    journal: File,
    journal_len: u64,
    journal_records: usize,
    snapshot_records: usize,
    /// Up to here the journal has its room: what tells of deletions must find some on a disk that is full.
    reserved_len: u64,
    /// After a snapshot that found no room: how long the journal shall be before the next is tried.
    rewrite_from: usize,
}

/// Why there is no new snapshot.
#[derive(Debug)]
pub(crate) enum RewriteError {
    /// There was no room for it: the old one and its journal go on.
    NoRoom(io::Error),
    /// Something failed, and which of the two counts is not known.
    Failed(io::Error),
}

/// What the index says at start.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    generation: u64,
    /// Chunks of the snapshot, in its order: by dataset, first block and sequence.
    pub(crate) ready: Vec<Arc<Resident>>,
    /// Chunks that were promised since the snapshot: there if their directory is.
    pub(crate) promised: Vec<Record>,
    /// Chunks that were to be removed.
    pub(crate) unwanted: Vec<Record>,
    /// The same of chunks that the index says nothing else of, as it is damaged.
    pub(crate) deleted: HashSet<ChunkId>,
    /// Why the index cannot be believed, if so: the directories have to be looked at.
    pub(crate) doubt: Option<String>,
    journal_valid_len: u64,
    /// Something else than zeros follows the last good record.
    is_journal_torn: bool,
    journal_records: usize,
}

/// What the journal says of a chunk at its end. The number is the place of its last record in the journal, where it has one
/// that still counts: a chunk may have been there several times, each time as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Promised(usize),
    Unwanted(Option<usize>),
    Gone,
}

fn snapshot_path() -> PathBuf {
    Path::new(layout::CATALOGUE).join(layout::SNAPSHOT)
}

fn journal_path(generation: u64) -> PathBuf {
    Path::new(layout::CATALOGUE).join(format!("{}.{generation}", layout::JOURNAL))
}

fn read_all(disk: &Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open_file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // After a failed sync memory may hold what the device does not.
    file.evict()?;
    let len = file.len()?;
    if len > FILE_BYTES_MAX {
        return Ok(Some(Vec::new()));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

/// The same where something that is no file of ours, or that the device does not give, is a doubt and not an error: the
/// directories can still be looked at. An error that says nothing of the file itself, as too few handles, is one.
///
/// It is read a second time before that, for a failure that passes shall not cost what only the journal knows: deletions.
fn read_or_doubt(disk: &Disk, path: &Path) -> io::Result<Result<Option<Vec<u8>>, String>> {
    match read_all(disk, path).or_else(|_| read_all(disk, path)) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error) if scan::is_damage(&error) || is_no_file(disk, path) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

fn is_no_file(disk: &Disk, path: &Path) -> bool {
    disk.stat(path).is_ok_and(|stat| stat.kind != Kind::File)
}

fn record_of(entry: &IndexEntry<'_>, names: Arc<str>, foreign_path: Option<Arc<Path>>, dir: u16) -> Record {
    Record {
        id: entry.id,
        dataset_id: entry.dataset_id,
        block_range: entry.block_range.clone(),
        bytes: entry.bytes,
        names,
        dir,
        sequence: entry.sequence,
        foreign_path,
    }
}

/// Reads the index of a data directory. The chunks' places are those of `places`.
pub(crate) fn read(disk: &Disk, dir: u16, places: &mut Places) -> io::Result<Contents> {
    let snapshot = match read_or_doubt(disk, &snapshot_path())? {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return without_snapshot(disk, "there is no snapshot".to_string()),
        Err(reason) => return without_snapshot(disk, format!("the snapshot cannot be read: {reason}")),
    };
    let mut contents = match IndexSnapshot::decode(&snapshot) {
        Ok(snapshot) if snapshot.generation() > GENERATION_MAX => {
            return without_snapshot(disk, "the snapshot has a number that none has".to_string());
        }
        Ok(snapshot) => read_snapshot(&snapshot, dir, places),
        Err(reason) => return without_snapshot(disk, format!("the snapshot: {reason}")),
    };
    drop(snapshot);
    match read_or_doubt(disk, &journal_path(contents.generation))? {
        Ok(Some(journal)) => read_journal(&journal, dir, &mut contents),
        _ if contents.doubt.is_some() => {}
        Ok(None) => contents.doubt = Some("there is no journal".to_string()),
        Err(reason) => contents.doubt = Some(format!("the journal cannot be read: {reason}")),
    }
    Ok(contents)
}

/// Without a snapshot nobody knows which journal belongs to it; what was to be removed can be told all the same.
fn without_snapshot(disk: &Disk, doubt: String) -> io::Result<Contents> {
    let mut journals = Vec::new();
    for entry in disk.list(Path::new(layout::CATALOGUE))? {
        let Some(generation) = generation_of(&entry.name) else { continue };
        if let Ok(Some(journal)) = read_or_doubt(disk, &journal_path(generation))?
            && journal_generation(&journal) == Some(generation)
        {
            journals.push((generation, journal));
        }
    }
    Ok(Contents {
        deleted: surviving_journals::deletions(journals),
        doubt: Some(doubt),
        ..Contents::default()
    })
}

fn read_snapshot(snapshot: &IndexSnapshot<'_>, dir: u16, places: &mut Places) -> Contents {
    let sets: Vec<(Arc<str>, Option<Arc<Path>>)> = snapshot
        .name_sets()
        .iter()
        .map(|set| (Arc::from(set.names), set.foreign_path.map(|path| Arc::from(Path::new(path)))))
        .collect();
    let mut contents = Contents { generation: snapshot.generation(), ..Contents::default() };
    contents.ready.reserve_exact(snapshot.count());
    // The place of the chunk before, which most chunks share.
    let mut last: Option<(DatasetId, u32, Arc<Place>)> = None;
    for record in snapshot.records() {
        let record = match record {
            Ok(record) => record,
            Err(missing) => {
                contents.doubt =
                    Some(format!("records {} to {} of the snapshot are damaged", missing.start, missing.end));
                continue;
            }
        };
        let entry = &record.entry;
        let place = match &last {
            Some((dataset_id, name_set, place))
                if *name_set == record.name_set && *dataset_id == entry.dataset_id =>
            {
                Some(Arc::clone(place))
            }
            _ => sets
                .get(usize::try_from(record.name_set).unwrap_or(usize::MAX))
                .and_then(|(names, path)| places.of(&record_of(entry, Arc::clone(names), path.clone(), dir))),
        };
        let Some(place) = place else {
            contents.doubt = Some("a record of the snapshot has no names".to_string());
            continue;
        };
        contents.ready.push(Resident::from_index(entry, Arc::clone(&place)));
        last = Some((entry.dataset_id, record.name_set, place));
    }
    contents
}

fn read_journal(journal: &[u8], dir: u16, contents: &mut Contents) {
    if journal_generation(journal) != Some(contents.generation) {
        contents.doubt.get_or_insert_with(|| "the journal is of another generation".to_string());
        return;
    }
    let (entries, valid_len) = decode_journal(journal, contents.generation);
    contents.journal_valid_len = u64::try_from(valid_len).unwrap_or_default();
    contents.journal_records = entries.len();
    let tail = journal.get(valid_len..).unwrap_or_default();
    contents.is_journal_torn = tail.iter().any(|byte| *byte != 0);
    let mut fates: HashMap<ChunkId, Fate> = HashMap::new();
    let mut records: Vec<Record> = Vec::new();
    for entry in &entries {
        match entry {
            JournalEntry::Publishing(entry) => {
                fates.insert(entry.id, Fate::Promised(records.len()));
                let path = entry.foreign_path.map(|path| Arc::from(Path::new(path)));
                records.push(record_of(entry, Arc::from(entry.names), path, dir));
            }
            JournalEntry::Deleting(id) => {
                let place = match fates.get(id) {
                    Some(Fate::Promised(place)) => Some(*place),
                    Some(Fate::Unwanted(place)) => *place,
                    Some(Fate::Gone) | None => None,
                };
                fates.insert(*id, Fate::Unwanted(place));
            }
            JournalEntry::Gone(id) => {
                fates.insert(*id, Fate::Gone);
            }
        }
    }
    if fates.is_empty() {
        return;
    }
    if contents.doubt.is_some() {
        let deleted = fates.iter().filter(|(_, fate)| **fate == Fate::Unwanted(None));
        contents.deleted.extend(deleted.map(|(id, _)| *id));
    }
    let unwanted = &mut contents.unwanted;
    contents.ready.retain(|resident| {
        let fate = fates.get(resident.id());
        if fate == Some(&Fate::Unwanted(None)) {
            unwanted.push(resident.record());
        }
        fate.is_none()
    });
    for (place, record) in records.into_iter().enumerate() {
        match fates.get(&record.id) {
            Some(Fate::Promised(last)) if *last == place => contents.promised.push(record),
            Some(Fate::Unwanted(Some(last))) if *last == place => contents.unwanted.push(record),
            _ => {}
        }
    }
}

impl Contents {
    /// Whether the next run begins with a snapshot of its own: there is none to go on with, or its journal is long.
    pub(crate) fn needs_snapshot(&self) -> bool {
        self.doubt.is_some() || self.journal_records > JOURNAL_RECORDS_MAX
    }
}

impl CatalogueFile {
    /// Goes on with the journal that was read, or writes a new snapshot of `ready` and `unwanted` where
    /// [`Contents::needs_snapshot`]; `ready` is then in order.
    pub(crate) fn resume(
        disk: &Disk,
        contents: &Contents,
        ready: &[Arc<Resident>],
        unwanted: &[Record],
    ) -> io::Result<CatalogueFile> {
        let generation = contents.generation;
        if !contents.needs_snapshot() {
            let journal = disk.edit_file(&journal_path(generation))?;
            if contents.is_journal_torn {
                journal.set_len(contents.journal_valid_len)?;
            }
            // A run that was killed may not have synced what was read; what follows must not outlive it.
            journal.sync()?;
            disk.sync_dir(Path::new(layout::CATALOGUE))?;
            let reserved_len = journal.len()?;
            return Ok(CatalogueFile {
                disk: disk.clone(),
                generation,
                journal,
                journal_len: contents.journal_valid_len,
                journal_records: contents.journal_records,
                snapshot_records: ready.len(),
                reserved_len,
                rewrite_from: 0,
            }
            .with_room());
        }
        // A snapshot that could not be read may be of any generation; no journal of a later one may be believed.
        let highest = highest_generation(disk)?.max(generation);
        Self::create(disk, highest + 1, ready.iter().map(|resident| resident.record()), unwanted)
    }

    /// Writes a snapshot with its journal. Its rename is the commit point: before it the old pair counts.
    fn create(
        disk: &Disk,
        generation: u64,
        ready: impl Iterator<Item = Record>,
        unwanted: &[Record],
    ) -> io::Result<CatalogueFile> {
        let mut builder = SnapshotBuilder::new(generation);
        let mut snapshot_records = 0;
        for record in ready {
            with_entry(&record, |entry| builder.push(entry));
            snapshot_records += 1;
        }
        let mut bytes = journal_header(generation);
        for record in unwanted {
            with_entry(record, |entry| {
                bytes.extend(journal_record(generation, &JournalEntry::Publishing(entry.clone())));
            });
            bytes.extend(journal_record(generation, &JournalEntry::Deleting(record.id)));
        }
        let path = journal_path(generation);
        for place in [&path, &snapshot_path()] {
            if is_no_file(disk, place) {
                aside::move_aside(disk, place)?;
            }
        }
        // The journal first, for a snapshot is not believed without the journal of its generation.
        disk.publish_file(&path, &bytes)?;
        disk.publish_file(&snapshot_path(), &builder.finish())?;
        remove_other_journals(disk, generation)?;
        let journal_len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(CatalogueFile {
            disk: disk.clone(),
            generation,
            journal: disk.edit_file(&path)?,
            journal_len,
            journal_records: unwanted.len() * 2,
            snapshot_records,
            reserved_len: journal_len,
            rewrite_from: 0,
        }
        .with_room())
    }

    /// Takes room for what comes next while there is some. Behind the last record it is full of zeros.
    fn with_room(mut self) -> CatalogueFile {
        self.reserve();
        self
    }

    fn reserve(&mut self) {
        if self.reserved_len.saturating_sub(self.journal_len) < JOURNAL_RESERVE_BYTES {
            let wanted = self.journal_len.saturating_add(2 * JOURNAL_RESERVE_BYTES);
            // Without it the next records take what room there is.
            if self.journal.preallocate(wanted).is_ok() {
                self.reserved_len = wanted;
            }
        }
    }

    /// Folds the journal into a new snapshot. `ready` comes by dataset, first block and sequence.
    pub(crate) fn rewrite(
        &mut self,
        ready: impl Iterator<Item = Record>,
        unwanted: &[Record],
    ) -> Result<(), RewriteError> {
        let error = match Self::create(&self.disk, self.generation + 1, ready, unwanted) {
            Ok(file) => {
                *self = file;
                return Ok(());
            }
            Err(error) => error,
        };
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full && self.is_current() {
            self.rewrite_from = self.journal_records.saturating_add(JOURNAL_RECORDS_MAX);
            return Err(RewriteError::NoRoom(error));
        }
        Err(RewriteError::Failed(error))
    }

    /// Whether the snapshot on disk is still the one that this journal belongs to.
    fn is_current(&self) -> bool {
        let snapshot = read_all(&self.disk, &snapshot_path()).ok().flatten().unwrap_or_default();
        IndexSnapshot::decode(&snapshot).is_ok_and(|snapshot| snapshot.generation() == self.generation)
    }

    /// Whether a new snapshot would be worth its cost.
    pub(crate) fn is_long(&self) -> bool {
        let long = usize::max(JOURNAL_RECORDS_MAX, self.snapshot_records / 4);
        self.journal_records > long.max(self.rewrite_from)
    }

    /// Whether anything stands in the journal.
    pub(crate) fn has_journal(&self) -> bool {
        self.journal_records > 0
    }

    /// Writes that chunks are about to be published. It counts once it is synced.
    pub(crate) fn append_publishing<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut count = 0;
        for record in records {
            with_entry(record, |entry| {
                bytes.extend(journal_record(self.generation, &JournalEntry::Publishing(entry.clone())));
            });
            count += 1;
        }
        self.append(&bytes, count)
    }

    /// Writes that a chunk is to be removed.
    pub(crate) fn append_deleting(&mut self, id: ChunkId) -> io::Result<()> {
        let bytes = journal_record(self.generation, &JournalEntry::Deleting(id));
        self.append(&bytes, 1)
    }

    /// Writes that a chunk's directory was moved away. It need not be synced: if it is lost, nothing is found.
    pub(crate) fn append_gone(&mut self, id: ChunkId) -> io::Result<()> {
        let bytes = journal_record(self.generation, &JournalEntry::Gone(id));
        self.append(&bytes, 1)
    }

    fn append(&mut self, bytes: &[u8], records: usize) -> io::Result<()> {
        if let Err(error) = self.journal.write_all_at(bytes, self.journal_len) {
            // What came of it must not follow what is written there next. If even this fails, records are still summed.
            drop(self.journal.set_len(self.journal_len));
            self.reserved_len = self.journal_len;
            return Err(error);
        }
        self.journal_len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.journal_records += records;
        self.reserve();
        Ok(())
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

fn with_entry(record: &Record, use_entry: impl FnOnce(&IndexEntry<'_>)) {
    use_entry(&IndexEntry {
        id: record.id,
        dataset_id: record.dataset_id,
        block_range: record.block_range.clone(),
        bytes: record.bytes,
        sequence: record.sequence,
        names: &record.names,
        foreign_path: record.foreign_path.as_deref().and_then(Path::to_str),
    });
}

fn generation_of(name: &std::ffi::OsStr) -> Option<u64> {
    let number = name.to_str()?.strip_prefix(layout::JOURNAL)?.strip_prefix('.')?.parse().ok()?;
    (number <= GENERATION_MAX).then_some(number)
}

fn highest_generation(disk: &Disk) -> io::Result<u64> {
    let names = disk.list(Path::new(layout::CATALOGUE))?;
    Ok(names.iter().filter_map(|entry| generation_of(&entry.name)).max().unwrap_or_default())
}

fn remove_other_journals(disk: &Disk, generation: u64) -> io::Result<()> {
    for entry in disk.list(Path::new(layout::CATALOGUE))? {
        let is_other = generation_of(&entry.name).is_some_and(|other| other != generation);
        // What is no file is none of ours, and no journal either.
        if entry.kind == Kind::File && (is_other || host::is_unpublished(&entry.name)) {
            disk.remove_file(&Path::new(layout::CATALOGUE).join(&entry.name))?;
        }
    }
    Ok(())
}
