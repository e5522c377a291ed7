//! Local Data Source: one data directory, from recovery at start to the removal of a chunk's files.
//! Refuses to decide which chunks are wanted, and to show anything that is not whole.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use host::{DirLock, Disk, Entry, Kind, LockError};

use crate::aside;
use crate::catalogue_file::{self, CatalogueFile};
use crate::chunk_ref::Places;
use crate::data_catalogue::{End, Found, Loaded, Staged};
use crate::data_chunk::{ChunkId, hex_id};
use crate::error::{Error, ErrorKind, Result};
use crate::layout;
use crate::lease::LeaseRecord;
use crate::lease_file::{self, FoundLease};
use crate::manifest::Manifest;
use crate::publisher::SINGLE_SYNCS_MAX;
use crate::record::Record;
use crate::scan;
use crate::staging;

/// The longest manifest that is read.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// One data directory.
#[derive(Debug)]
pub(crate) struct LocalDataSource {
    disk: Disk,
    dir: u16,
    /// The highest number of a directory that an earlier run moved aside.
    found_aside: u64,
    /// Numbers of directories moved aside, so that two never meet.
    last_aside: AtomicU64,
    /// `None` once it was given back. Held for that alone.
    lock: Mutex<Option<DirLock>>,
    /// What the look after the start has found damaged and no verification has told: each chunk once at most. Held for that
    /// alone.
    damage: Mutex<Vec<(ChunkId, String)>>,
}

impl LocalDataSource {
    /// Takes a data directory, and says what is in it.
    ///
    /// # Errors
    /// `Locked` when another process has it, `Io` when it cannot be read or written.
    pub(crate) fn open(
        disk: Disk,
        dir: u16,
        places: &mut Places,
    ) -> Result<(LocalDataSource, CatalogueFile, Found)> {
        let shown = disk.root().display().to_string();
        let lock = disk.lock(Path::new(layout::LOCK)).map_err(|error| lock_error(&disk, &shown, error))?;
        let failed = |error| Error::io(format!("opening the data directory {shown}"), error);
        for name in [layout::STAGING, layout::TRASH, layout::QUARANTINE, layout::CATALOGUE, layout::LEASES] {
            make_own_dir(&disk, Path::new(name)).map_err(failed)?;
        }
        let found_aside = last_aside(&disk);
        let source = LocalDataSource {
            disk,
            dir,
            found_aside,
            last_aside: AtomicU64::new(found_aside),
            lock: Mutex::new(Some(lock)),
            damage: Mutex::default(),
        };
        let (file, found) = source.recover(places).map_err(failed)?;
        Ok((source, file, found))
    }

    /// Reads the index, and the directories where the index cannot be believed.
    fn recover(&self, places: &mut Places) -> io::Result<(CatalogueFile, Found)> {
        let mut contents = catalogue_file::read(&self.disk, self.dir, places)?;
        let ready = std::mem::take(&mut contents.ready);
        let unwanted = std::mem::take(&mut contents.unwanted);
        let mut found = Found { ready, unwanted, leases: self.leases()?, ..Found::default() };
        let promised = std::mem::take(&mut contents.promised);
        let mut kept = Vec::new();
        for record in promised {
            match self.is_there(&record) {
                Ok(true) => kept.push(record),
                Ok(false) => {}
                // Whether the promise was kept is not known. Its files stay, and the look at the directories, of this start or
                // of a later one, finds the chunk when it can be looked at.
                Err(error) if is_of_place(&error) => {
                    tracing::warn!(chunk = hex_id(&record.id), %error, "a chunk cannot be looked at, and is not shown");
                }
                Err(error) => return Err(error),
            }
        }
        let kept = self.make_durable(kept)?;
        found.ready.extend(kept.iter().filter_map(|record| places.resident(record)));
        if let Some(doubt) = &contents.doubt {
            self.scan_into(&mut found, &contents.deleted, places)?;
            // A directory that is new has no catalogue either, and that is nothing to talk about.
            if !found.ready.is_empty() {
                tracing::warn!(data_dir = %self.disk.root().display(), %doubt, "the catalogue was made anew from the directories");
            }
        }
        // The few of a short journal are cheaper to insert one by one than all are to sort.
        if contents.needs_snapshot() {
            found.ready.sort_by_key(|resident| resident.order());
        }
        let mut unwanted_there = Vec::new();
        for record in std::mem::take(&mut found.unwanted) {
            match self.is_there(&record) {
                Ok(false) => {}
                Ok(true) => unwanted_there.push(record),
                // A deletion is not forgotten: it is tried, and as long as it fails the chunk stays hidden.
                Err(error) if is_of_place(&error) => {
                    tracing::warn!(chunk = hex_id(&record.id), %error, "a deleted chunk cannot be looked at");
                    unwanted_there.push(record);
                }
                Err(error) => return Err(error),
            }
        }
        found.unwanted = unwanted_there;
        found.staged = self.staged();
        let file = CatalogueFile::resume(&self.disk, &contents, &found.ready, &found.unwanted)?;
        Ok((file, found))
    }

    /// Adds what lies in the directories and is not known from the index.
    fn scan_into(
        &self,
        found: &mut Found,
        deleted: &HashSet<ChunkId>,
        places: &mut Places,
    ) -> io::Result<()> {
        let ready = found.ready.iter().map(|resident| *resident.id());
        let known: HashSet<ChunkId> = ready.chain(found.unwanted.iter().map(|record| record.id)).collect();
        let ready = found.ready.iter().map(|resident| resident.sequence());
        let unwanted = found.unwanted.iter().map(|record| record.sequence);
        let mut sequence = ready.chain(unwanted).max().unwrap_or_default();
        let mut walk = scan::Walk::new();
        while let Some(path) = walk.next(&self.disk)? {
            if let scan::Seen::Chunk(mut record) = scan::look(&self.disk, self.dir, &path)
                && !known.contains(&record.id)
            {
                sequence += 1;
                record.sequence = sequence;
                if deleted.contains(&record.id) {
                    found.unwanted.push(record);
                } else {
                    found.ready.extend(places.resident(&record));
                }
            }
        }
        Ok(())
    }

    /// A run that was killed may have renamed chunks into place and not synced that any more. Returns those that are durable:
    /// a directory that may not be opened cannot be synced either.
    fn make_durable(&self, mut kept: Vec<Record>) -> io::Result<Vec<Record>> {
        let places: Vec<PathBuf> = kept.iter().map(chunk_path).collect();
        let parents: BTreeSet<&Path> = places.iter().filter_map(|path| path.parent()).collect();
        if parents.len() > SINGLE_SYNCS_MAX {
            return self.disk.sync_all().map(|()| kept);
        }
        for parent in parents {
            match self.disk.sync_dir(parent) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    tracing::warn!(%error, "chunks of a directory that cannot be opened are not shown");
                    kept.retain(|record| chunk_path(record).parent() != Some(parent));
                }
                synced => synced?,
            }
        }
        Ok(kept)
    }

    fn is_there(&self, record: &Record) -> io::Result<bool> {
        let path = chunk_path(record);
        // A failure may pass; what follows from it would not.
        match self.disk.stat(&path).or_else(|_| self.disk.stat(&path)) {
            Ok(stat) => Ok(stat.kind == Kind::Dir),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What lies among the leases. Those that cannot be read count too: see [`Loaded`].
    fn leases(&self) -> io::Result<Vec<Loaded>> {
        let found = lease_file::read_all(&self.disk)?;
        let loaded = found.into_iter().map(|found| match found {
            FoundLease::Good(record) => Loaded { record, dir: self.dir, damage: None },
            FoundLease::Damaged(name, reason) => {
                tracing::warn!(data_dir = %self.disk.root().display(), lease = %name, %reason, "a lease cannot be read: nothing is removed here until it is broken");
                Loaded { record: LeaseRecord::unreadable(&name), dir: self.dir, damage: Some(reason) }
            }
        });
        Ok(loaded.collect())
    }

    /// What lies in staging. What cannot be looked at is counted as far as it can: a download that needs its place says more.
    fn staged(&self) -> Vec<(ChunkId, Staged)> {
        let mut staged = Vec::new();
        for entry in list_or_warn(&self.disk, Path::new(layout::STAGING)) {
            let Some(id) = entry.name.to_str().and_then(layout::parse_staging_name) else { continue };
            let path = Path::new(layout::STAGING).join(&entry.name);
            let mut taken_bytes = 0u64;
            let mut done_bytes = 0;
            if entry.kind == Kind::Dir {
                for file in list_or_warn(&self.disk, &path) {
                    let len = self.disk.stat(&path.join(file.name)).map_or(0, |stat| stat.len);
                    taken_bytes = taken_bytes.saturating_add(len);
                }
                done_bytes = staging::done_bytes(&self.disk, &path).unwrap_or_default();
            }
            staged.push((id, Staged { dir: self.dir, done_bytes, taken_bytes }));
        }
        staged
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Which data directory it is.
    pub(crate) fn dir(&self) -> u16 {
        self.dir
    }

    /// Gives the directory back: others may take it from now on, and nothing may be written here any more.
    pub(crate) fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Keeps what is wrong with a chunk until somebody asks.
    pub(crate) fn note_damage(&self, id: ChunkId, reason: String) {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).push((id, reason));
    }

    /// What is wrong with these chunks, as far as that was kept; it is not any more.
    pub(crate) fn take_damage(&self, is_asked: impl Fn(&ChunkId) -> bool) -> Vec<(ChunkId, String)> {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.extract_if(.., |(id, _)| is_asked(id)).collect()
    }

    fn next_aside(&self) -> u64 {
        self.last_aside.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Removes what earlier runs had moved away.
    pub(crate) fn empty_trash(&self) -> io::Result<()> {
        let mut result = Ok(());
        for entry in self.disk.list(Path::new(layout::TRASH))? {
            let number = entry.name.to_str().and_then(layout::parse_set_aside_name).map(|(_, number)| number);
            if number.is_some_and(|number| number > self.found_aside) {
                // Of this run: whoever moved it here removes it.
                continue;
            }
            let removed = self.disk.remove_tree(&Path::new(layout::TRASH).join(&entry.name));
            result = result.and(removed);
        }
        result
    }

    /// Moves a hidden chunk's directory away, and says where to; `None` if it is not there.
    ///
    /// The move is not durable yet: that the chunk is to be removed is, so that the next start would go on with it.
    pub(crate) fn move_away(&self, record: &Record, end: &End) -> io::Result<Option<PathBuf>> {
        let number = self.next_aside();
        let aside = match end {
            End::Removed => layout::trash_path(&record.id, number),
            End::Quarantined(_) => layout::quarantine_path(&record.id, number),
        };
        match self.disk.rename(&chunk_path(record), &aside) {
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Some(aside)),
        }
    }

    /// Makes durable what was moved out of the directory above a chunk's place.
    pub(crate) fn sync_above(&self, record: &Record) -> io::Result<()> {
        chunk_path(record).parent().map_or(Ok(()), |parent| self.disk.sync_dir(parent))
    }

    /// Moves an unknown directory out of the way, durably, to be looked at.
    pub(crate) fn put_aside(&self, id: &ChunkId, path: &Path) -> io::Result<()> {
        let aside = layout::quarantine_path(id, self.next_aside());
        match self.disk.rename(path, &aside) {
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        self.disk.sync_dir(Path::new(layout::QUARANTINE))?;
        path.parent().map_or(Ok(()), |parent| self.disk.sync_dir(parent))
    }

    /// Makes room at a chunk's place, where a removal that failed left something behind.
    pub(crate) fn clear_place(&self, id: &ChunkId, path: &Path) -> io::Result<()> {
        self.disk.rename(path, &layout::trash_path(id, self.next_aside()))
    }

    /// Removes directories above a chunk's place that have become empty. Only the publisher may call it, so that none
    /// goes while a chunk is about to be moved into it.
    pub(crate) fn tidy_parents(&self, record: &Record) {
        if record.foreign_path.is_some() {
            return;
        }
        let path = chunk_path(record);
        // Below the dataset's directory, which stays: the next chunk of the dataset needs it again.
        for parent in path.ancestors().skip(1).take(2) {
            if self.disk.remove_dir(parent).is_err() {
                return;
            }
        }
    }

    /// What a published chunk's manifest says.
    pub(crate) fn manifest(&self, record: &Record) -> io::Result<Manifest> {
        read_manifest(&self.disk, &chunk_path(record))
    }
}

/// Makes a directory of our own. What stands in its place and is none is not ours, and makes way.
fn make_own_dir(disk: &Disk, path: &Path) -> io::Result<()> {
    match disk.create_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            aside::move_aside(disk, path).and_then(|()| disk.create_dir_all(path)).map_err(|failure| {
                let reason = format!(
                    "{} is there and is no directory, and cannot be moved aside: {failure}",
                    path.display()
                );
                io::Error::new(failure.kind(), reason)
            })
        }
        made => made,
    }
}

/// What lies in a directory that is looked at for tidiness alone: one that cannot be read keeps no hold from starting.
fn list_or_warn(disk: &Disk, path: &Path) -> Vec<Entry> {
    disk.list(path).unwrap_or_else(|error| {
        tracing::warn!(%error, "a directory cannot be read, and is left as it is");
        Vec::new()
    })
}

/// Whether an error is of the place that was looked at, and not of the process or the machine.
fn is_of_place(error: &io::Error) -> bool {
    scan::is_damage(error) || error.kind() == io::ErrorKind::PermissionDenied
}

/// The highest number that earlier runs gave to a directory moved aside. A number that is taken after all is passed over by
/// the next try.
fn last_aside(disk: &Disk) -> u64 {
    let mut last = 0;
    for place in [layout::TRASH, layout::QUARANTINE] {
        for entry in list_or_warn(disk, Path::new(place)) {
            let number = entry.name.to_str().and_then(layout::parse_set_aside_name).map(|(_, number)| number);
            last = last.max(number.unwrap_or_default());
        }
    }
    last
}

/// Reads and checks the manifest in a chunk's directory.
pub(crate) fn read_manifest(disk: &Disk, path: &Path) -> io::Result<Manifest> {
    let file = disk.open_file(&path.join(layout::MANIFEST))?;
    let len = file.len()?.min(MANIFEST_BYTES_MAX + 1);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Manifest::decode(&bytes).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Where a chunk lies below its data directory.
pub(crate) fn chunk_path(record: &Record) -> PathBuf {
    match &record.foreign_path {
        Some(path) => path.to_path_buf(),
        None => layout::chunk_path(&record.dataset_id, &record.block_range, &record.id),
    }
}

/// Whether an error says that nothing of ours is at a path. Behind a symbolic link, which makes a path invalid, nothing is.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidInput)
}

fn lock_error(disk: &Disk, shown: &str, error: LockError) -> Error {
    match error {
        LockError::Held { pid } if pid == Some(std::process::id()) => {
            let pid = std::process::id();
            let message = format!("the data directory {shown} is open in this process ({pid}) already");
            Error::new(ErrorKind::Locked, message)
        }
        LockError::Held { pid } => {
            let owner = pid.map_or("another process".to_string(), |pid| format!("process {pid}"));
            let message = format!(
                "the data directory {shown} is in use by {owner}: stop it, or choose another directory"
            );
            Error::new(ErrorKind::Locked, message)
        }
        // It is not moved aside as other junk is: of two starts, the second could move the lock that the first has made since.
        LockError::Io(error)
            if disk.stat(Path::new(layout::LOCK)).is_ok_and(|stat| stat.kind != Kind::File) =>
        {
            let lock = layout::LOCK;
            let what = format!(
                "{shown}/{lock} is there and is no regular file, so that the data directory cannot be locked: no hold has \
                 made it; see what it is, and move it away"
            );
            Error::io(what, error)
        }
        LockError::Io(error) => Error::io(format!("locking the data directory {shown}"), error),
    }
}
