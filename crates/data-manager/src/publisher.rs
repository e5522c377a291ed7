//! Publisher: the one task per data directory that changes which chunks lie in it, many at a time.
//! Refuses to fetch, and to acknowledge anything that a power cut could take back.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Disk, File};
use tokio::sync::{mpsc, oneshot};

use crate::catalogue_file::{CatalogueFile, RewriteError};
use crate::chunk_ref::Resident;
use crate::data_catalogue::{DataCatalogue, Intent, LeaseWork};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::error::ErrorKind;
use crate::job::Job;
use crate::layout;
use crate::lease_file::{self, LeaseFault};
use crate::local_data_source::{LocalDataSource, chunk_path};
use crate::manifest::{Manifest, ManifestFile};
use crate::pool::Pool;
use crate::record::Record;

/// Work that may wait for the publisher before those who bring it have to.
const QUEUE_MAX: usize = 256;

/// From this many single syncs on, one sync of the whole file system is cheaper.
pub(crate) const SINGLE_SYNCS_MAX: usize = 24;

/// Who waits for the end of a publication.
type Reply = oneshot::Sender<Result<(), DownloadError>>;

/// What the publisher is asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Publish a chunk whose files are staged and verified.
    Publish { job: Arc<Job>, reply: Reply },
    /// Make intents durable.
    Note(Vec<Intent>),
    /// A chunk's directory was moved away. The answer is whether that is durable: only then may its files go.
    Gone { record: Record, reply: oneshot::Sender<bool> },
    /// Write or remove the file of a lease.
    Lease(LeaseWork),
    /// Fold the journal into a new snapshot, if that is worth it, and say when.
    Rest(oneshot::Sender<()>),
}

/// Where a publisher takes its work from.
#[derive(Debug, Clone)]
pub(crate) struct PublisherDoor {
    sender: mpsc::Sender<Work>,
}

impl PublisherDoor {
    /// Hands work over; `false` if the publisher has ended.
    pub(crate) async fn give(&self, work: Work) -> bool {
        self.sender.send(work).await.is_ok()
    }
}

/// The publisher of one data directory.
#[derive(Debug)]
pub(crate) struct Publisher {
    source: Arc<LocalDataSource>,
    file: CatalogueFile,
    catalogue: Arc<DataCatalogue>,
    pool: Pool,
    receiver: mpsc::Receiver<Work>,
    /// Why nothing is acknowledged here any more, once a sync has failed.
    poison: Option<String>,
}

/// A chunk on its way through one batch.
struct Item {
    job: Arc<Job>,
    reply: Reply,
    prepared: Prepared,
}

/// What is known of a chunk before it is published.
struct Prepared {
    record: Record,
    target: PathBuf,
    /// All its files, open: from here on only a failing disk can keep them from being synced.
    files: Vec<File>,
}

impl Publisher {
    pub(crate) fn new(
        source: Arc<LocalDataSource>,
        file: CatalogueFile,
        catalogue: Arc<DataCatalogue>,
        pool: Pool,
    ) -> (Publisher, PublisherDoor) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Publisher { source, file, catalogue, pool, receiver, poison: None }, PublisherDoor { sender })
    }

    /// Works until nobody can bring work any more.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.receiver.recv_many(&mut batch, QUEUE_MAX).await > 0 {
            let work = std::mem::take(&mut batch);
            let pool = self.pool;
            pool.blocking(|| self.handle(work));
        }
    }

    fn handle(&mut self, batch: Vec<Work>) {
        let mut publish = Vec::new();
        let mut intents = Vec::new();
        let mut gone = Vec::new();
        let mut leases = Vec::new();
        let mut rests = Vec::new();
        for work in batch {
            match work {
                Work::Publish { job, reply } => publish.push((job, reply)),
                Work::Note(more) => intents.extend(more),
                Work::Lease(lease) => leases.push(lease),
                Work::Gone { record, reply } => gone.push((record, reply)),
                Work::Rest(reply) => rests.push(reply),
            }
        }
        self.note(&intents);
        for lease in &leases {
            let written = self.write_lease(lease);
            self.catalogue.lease_noted(lease, written);
        }
        if !publish.is_empty() {
            self.publish(publish);
        }
        if !gone.is_empty() {
            self.forget(gone);
        }
        if self.file.is_long() || (!rests.is_empty() && self.file.has_journal()) {
            self.rewrite();
        }
        for reply in rests {
            // An error means that whoever asked has stopped waiting.
            reply.send(()).unwrap_or_default();
        }
    }

    fn poisoned(&mut self, what: &str, error: &io::Error) -> String {
        let reason = format!("{what}: {error}");
        tracing::error!(data_dir = %self.source.disk().root().display(), %reason, "a sync failed: no more writes until restart");
        self.catalogue.poison(self.source.dir(), &reason);
        self.poison = Some(reason.clone());
        reason
    }

    /// Writes intents and syncs them: from then on they survive a crash. Where a sync has failed they are not written: who waits for
    /// a deletion is told by [`wait_gone`](crate::data_manager::DataManagerImpl::wait_gone), which sees that.
    fn note(&mut self, intents: &[Intent]) {
        if intents.is_empty() || self.poison.is_some() {
            return;
        }
        let mine = |record: &Record| record.dir == self.source.dir();
        let mine: Vec<Intent> = intents
            .iter()
            .filter(|intent| match intent {
                Intent::Delete(record) | Intent::Keep(record) => mine(record),
            })
            .cloned()
            .collect();
        let written = mine.iter().try_for_each(|intent| match intent {
            Intent::Delete(record) => self.file.append_deleting(record.id),
            Intent::Keep(record) => self.file.append_publishing(std::iter::once(record)),
        });
        match written.map(|()| self.file.sync()) {
            // COMMIT POINT of a deletion: after a crash the next start goes on with it.
            Ok(Ok(())) => self.catalogue.noted(&mine),
            Ok(Err(error)) => drop(self.poisoned("syncing the catalogue's journal", &error)),
            // No room for a line of the journal: the chunks stay hidden, and are removed when there is room.
            Err(error) => {
                tracing::warn!(%error, "a deletion could not be written down, and waits");
                self.catalogue.not_noted(mine);
            }
        }
    }

    /// Writes or removes the file of a lease, durably.
    fn write_lease(&mut self, lease: &LeaseWork) -> Result<(), (ErrorKind, String)> {
        if let Some(reason) = &self.poison {
            let message = format!("the data directory takes no more writes until restarted: {reason}");
            return Err((ErrorKind::Io, message));
        }
        let disk = self.source.disk();
        let written = match &lease.bytes {
            Some(bytes) => lease_file::write(disk, &lease.name, bytes),
            None => lease_file::remove(disk, &lease.name),
        };
        match written {
            Ok(()) => Ok(()),
            Err(LeaseFault::Sync(error)) => Err((ErrorKind::Io, self.poisoned("syncing a lease", &error))),
            Err(LeaseFault::Refused(error)) => {
                let is_full =
                    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
                let kind = if is_full { ErrorKind::Full } else { ErrorKind::Io };
                Err((kind, format!("writing its file: {error}")))
            }
        }
    }

    /// Makes it durable that directories were moved away, before anything is said or done that relies on it: a record
    /// that outlived the move would bring a deleted chunk back, and files removed before it would leave half a chunk.
    fn forget(&mut self, gone: Vec<(Record, oneshot::Sender<bool>)>) {
        if self.poison.is_none() {
            let disk = self.source.disk();
            let places = [layout::TRASH, layout::QUARANTINE];
            if let Err(error) = places.iter().try_for_each(|place| disk.sync_dir(Path::new(place))) {
                self.poisoned("syncing the directory of removed chunks", &error);
            }
        }
        for (record, reply) in gone {
            let is_durable = self.poison.is_none();
            if is_durable {
                self.source.tidy_parents(&record);
                if let Err(error) = self.file.append_gone(record.id) {
                    // The next start looks for the directory and does not find it.
                    tracing::debug!(%error, "the end of a removal was not written down");
                }
            }
            // An error means that whoever asked has stopped waiting.
            reply.send(is_durable).unwrap_or_default();
        }
    }

    fn rewrite(&mut self) {
        if self.poison.is_some() {
            return;
        }
        let snapshot = self.catalogue.snapshot();
        let dir = self.source.dir();
        let mut ready: Vec<&Arc<Resident>> =
            snapshot.iter().filter(|resident| resident.place().dir() == dir).collect();
        ready.sort_by_key(|resident| resident.order());
        let hidden = self.catalogue.hidden(dir);
        match self.file.rewrite(ready.into_iter().map(|resident| resident.record()), &hidden) {
            Ok(()) => {}
            Err(RewriteError::NoRoom(error)) => {
                tracing::warn!(%error, "there is no room for a new catalogue snapshot: the journal grows on");
            }
            // Which pair of files counts now is not known; the next start finds out.
            Err(RewriteError::Failed(error)) => {
                drop(self.poisoned("writing a new catalogue snapshot", &error));
            }
        }
    }

    fn publish(&mut self, batch: Vec<(Arc<Job>, Reply)>) {
        let mut items = Vec::new();
        let mut parents = HashSet::new();
        for (job, reply) in batch {
            if let Some(reason) = &self.poison {
                let message = format!("the data directory takes no more writes until restarted: {reason}");
                drop(reply.send(Err(DownloadError::new(DownloadErrorKind::Disk, message))));
                continue;
            }
            match self.prepare(&job, &mut parents) {
                Ok(prepared) => items.push(Item { job, reply, prepared }),
                Err(error) => drop(reply.send(Err(DownloadError::disk("preparing to publish", &error)))),
            }
        }
        let records: Vec<&Record> = items.iter().map(|item| &item.prepared.record).collect();
        if let Err(error) = self.file.append_publishing(records.into_iter()) {
            fail_all(items, &DownloadError::disk("writing the catalogue's journal", &error));
            return;
        }
        // From here on the files stand for themselves; until here a failure would have cost what was fetched.
        for item in &items {
            item.job.staging.drop_parts();
        }
        let syncs: usize = items.iter().map(|item| item.job.files().len() + 6).sum();
        let is_bulk = syncs > SINGLE_SYNCS_MAX;
        let synced = if is_bulk { self.source.disk().sync_all() } else { self.sync_staged(&items) };
        if let Err(error) = synced {
            let reason = self.poisoned("syncing staged files", &error);
            fail_all(items, &DownloadError::new(DownloadErrorKind::Disk, reason));
            return;
        }
        self.commit(items, is_bulk);
    }

    /// Renames what is durable into place, and makes the names durable.
    fn commit(&mut self, items: Vec<Item>, is_bulk: bool) {
        let mut moved = Vec::new();
        for item in items {
            // COMMIT POINT of a publication: what was not renamed does not exist. Its promise in the journal is void.
            match self.rename(&item) {
                Ok(()) => moved.push(item),
                Err(error) => {
                    drop(item.reply.send(Err(DownloadError::disk("renaming a chunk into place", &error))));
                }
            }
        }
        let disk = self.source.disk();
        let synced = if is_bulk { disk.sync_all() } else { sync_parents(disk, &moved) };
        if let Err(error) = synced {
            let reason = self.poisoned("syncing the directory of a published chunk", &error);
            fail_all(moved, &DownloadError::new(DownloadErrorKind::Disk, reason));
            return;
        }
        for item in moved {
            // Here and not in the task that asked: no snapshot of the index may be written that does not know of it.
            self.catalogue.published(item.job.task, &item.prepared.record);
            drop(item.reply.send(Ok(())));
        }
    }

    fn rename(&self, item: &Item) -> io::Result<()> {
        let disk = self.source.disk();
        let Prepared { record, target, .. } = &item.prepared;
        match disk.rename(item.job.staging.path(), target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.source.clear_place(&record.id, target)?;
                disk.rename(item.job.staging.path(), target)
            }
            renamed => renamed,
        }
    }

    /// Writes the manifest beside the staged files, and makes the directories above the chunk's place.
    fn prepare(&self, job: &Job, parents: &mut HashSet<PathBuf>) -> io::Result<Prepared> {
        let disk = self.source.disk();
        let manifest = manifest_of(job)?;
        let path = job.staging.path();
        let manifest_path = path.join(layout::MANIFEST);
        let file = match disk.create_file(&manifest_path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.edit_file(&manifest_path).and_then(|file| file.set_len(0).map(|()| file))?
            }
            created => created?,
        };
        file.write_all_at(&manifest.encode(), 0)?;
        let mut files = job.staging.files()?;
        files.push(file);
        let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let record = Record {
            id: manifest.id,
            dataset_id: manifest.dataset_id,
            block_range: manifest.block_range.clone(),
            bytes: manifest.files.iter().map(|file| file.size).fold(0, u64::saturating_add),
            names: names.join("/").into(),
            dir: self.source.dir(),
            sequence: self.catalogue.next_sequence(),
            foreign_path: None,
        };
        let target = chunk_path(&record);
        make_parents(disk, &target, parents)?;
        Ok(Prepared { record, target, files })
    }

    fn sync_staged(&self, items: &[Item]) -> io::Result<()> {
        let disk = self.source.disk();
        let mut parents = BTreeSet::new();
        for item in items {
            item.prepared.files.iter().try_for_each(File::sync)?;
            disk.sync_dir(item.job.staging.path())?;
            parents.extend(item.prepared.target.ancestors().skip(2).map(Path::to_path_buf));
        }
        parents.iter().try_for_each(|parent| disk.sync_dir(parent))?;
        if items.is_empty() { Ok(()) } else { self.file.sync() }
    }
}

/// Not yet durable: the sync before the rename makes them so. Those that are `made` are there: nobody else removes any.
fn make_parents(disk: &Disk, target: &Path, made: &mut HashSet<PathBuf>) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !made.contains(*path);
    let mut parents: Vec<&Path> = target.ancestors().skip(1).take_while(is_missing).collect();
    parents.reverse();
    for parent in parents {
        match disk.create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => made.insert(parent.to_path_buf()),
        };
    }
    Ok(())
}

fn sync_parents(disk: &Disk, moved: &[Item]) -> io::Result<()> {
    let parents: BTreeSet<&Path> = moved.iter().filter_map(|item| item.prepared.target.parent()).collect();
    parents.iter().try_for_each(|parent| disk.sync_dir(parent))?;
    if moved.is_empty() { Ok(()) } else { disk.sync_dir(Path::new(layout::STAGING)) }
}

fn fail_all(items: Vec<Item>, error: &DownloadError) {
    for item in items {
        // Whoever asked may have been cancelled.
        drop(item.reply.send(Err(error.clone())));
    }
}

fn manifest_of(job: &Job) -> io::Result<Manifest> {
    let incomplete = || io::Error::new(io::ErrorKind::InvalidData, "a file is not complete");
    let mut files = Vec::new();
    for (file, spec) in job.files().iter().enumerate() {
        let known = job.plan(file, |plan| plan.total().zip(plan.digest()));
        let (size, blake3) = known.ok().flatten().ok_or_else(incomplete)?;
        let url = ManifestFile::kept_url(&spec.url);
        files.push(ManifestFile { name: spec.name.clone(), size, blake3, sha256: spec.sha256, url });
    }
    let wall = job.shared.clock.wall();
    let published_unix = wall.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let chunk = &job.wanted.chunk;
    Ok(Manifest {
        id: chunk.id,
        dataset_id: chunk.dataset_id,
        block_range: chunk.block_range.clone(),
        files,
        published_unix,
    })
}
