//! IO task: a Future for one download or one removal, ending in one report to the catalogue.
//! Refuses to choose its work: the catalogue's State does.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::cancel::Cancel;
use crate::data_catalogue::{End, Wanted};
use crate::data_chunk::ChunkId;
use crate::download::download;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::fetch::random;
use crate::job::{Job, Shared};
use crate::local_data_source::LocalDataSource;
use crate::publisher::{PublisherDoor, Work};
use crate::record::Record;
use crate::staging::{self, Staging};
use crate::staging_progress::StagingProgress;

/// One background operation. It is polled like any future, and is done when it has reported its end.
pub(crate) struct IoTask {
    what: &'static str,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Reports a panic in place of the end that will not come. Taken by the first one.
    on_panic: Option<Box<dyn FnOnce() + Send>>,
}

/// Where a task's chunk lies, and who publishes there.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) source: Arc<LocalDataSource>,
    pub(crate) publisher: PublisherDoor,
}

/// What a download is to do.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) task: u64,
    pub(crate) wanted: Wanted,
    pub(crate) attempts: u32,
    pub(crate) cancel: Cancel,
    pub(crate) progress: Arc<StagingProgress>,
    pub(crate) file_bytes_max: u64,
}

/// What a removal is to do.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) task: u64,
    pub(crate) record: Record,
    pub(crate) end: End,
    pub(crate) home: Target,
    /// Where else the chunk may lie.
    pub(crate) elsewhere: Vec<Target>,
}

impl IoTask {
    /// Fetches, verifies and publishes a chunk.
    pub(crate) fn download(shared: Arc<Shared>, target: Target, order: Order) -> IoTask {
        let (catalogue, progress) = (Arc::clone(&shared.catalogue), Arc::clone(&order.progress));
        let (id, task) = (order.wanted.chunk.id, order.task);
        let on_panic = move || {
            let kept = Some(progress.done_bytes());
            catalogue.not_published((id, task), kept, (DownloadError::panicked(), 0));
        };
        IoTask::new("download", run_download(shared, target, order), on_panic)
    }

    /// Moves a hidden chunk away and removes it, or keeps it for a look.
    pub(crate) fn remove(shared: Arc<Shared>, removal: Removal) -> IoTask {
        let catalogue = Arc::clone(&shared.catalogue);
        let (task, hidden, fate) = (removal.task, removal.record.clone(), removal.end.clone());
        let on_panic = move || {
            catalogue.panicked();
            catalogue.not_removed(task, hidden, fate);
        };
        IoTask::new("removal", run_removal(shared, removal), on_panic)
    }

    /// Removes staged parts that nobody wants.
    pub(crate) fn discard(shared: Arc<Shared>, target: Target, task: u64, id: ChunkId) -> IoTask {
        let catalogue = Arc::clone(&shared.catalogue);
        let on_panic = move || {
            catalogue.panicked();
            catalogue.removed(id, task);
        };
        let future = async move {
            let discarded = shared.pool.blocking(|| staging::discard(target.source.disk(), &id));
            if let Err(error) = discarded {
                tracing::warn!(%error, "staged parts could not be removed; the next start tries again");
            }
            shared.catalogue.removed(id, task);
        };
        IoTask::new("discard", future, on_panic)
    }

    fn new(
        what: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
        on_panic: impl FnOnce() + Send + 'static,
    ) -> IoTask {
        IoTask { what, future: Box::pin(future), on_panic: Some(Box::new(on_panic)) }
    }
}

impl Future for IoTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let future = self.future.as_mut();
        // What a panic left half done is not used again: locks are taken through poison, and the future is dropped.
        let Ok(poll) = catch_unwind(AssertUnwindSafe(|| future.poll(context))) else {
            tracing::error!(what = self.what, "an IO task panicked");
            self.future = Box::pin(std::future::ready(()));
            if let Some(report) = self.on_panic.take() {
                report();
            }
            return Poll::Ready(());
        };
        poll
    }
}

impl fmt::Debug for IoTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoTask").field("what", &self.what).finish_non_exhaustive()
    }
}

async fn run_download(shared: Arc<Shared>, target: Target, order: Order) {
    let id = order.wanted.chunk.id;
    let task = order.task;
    let catalogue = Arc::clone(&shared.catalogue);
    let progress = Arc::clone(&order.progress);
    let (result, spread) = match stage(&shared, &target, order) {
        Ok((job, cancel)) => {
            let result = fetch_and_publish(&job, &target, &cancel).await;
            if result.is_err()
                && let Err(error) = job.staging.keep()
            {
                tracing::debug!(%error, "small files that were staged will be fetched again");
            }
            (result, random(&job))
        }
        Err(error) => (Err(error), 0),
    };
    let error = match result {
        Ok(()) => return,
        Err(error) => error,
    };
    let mut staged_bytes = Some(progress.done_bytes());
    // Of a chunk that may not be asked for at all, or that is not there, no empty directory stays behind.
    let is_barren = error.is_refusal() && staged_bytes == Some(0);
    if is_barren || !error.keeps_staged() {
        // After a failed sync the page cache may show what the disk does not have.
        let discarded = shared.pool.blocking(|| staging::discard(target.source.disk(), &id));
        if let Err(error) = discarded {
            tracing::warn!(%error, "staged parts could not be removed");
        }
        staged_bytes = None;
    }
    catalogue.not_published((id, task), staged_bytes, (error, spread));
}

/// Opens the staging directory, unless no source may be asked at all: then nothing is touched.
fn stage(shared: &Arc<Shared>, target: &Target, order: Order) -> Result<(Arc<Job>, Cancel), DownloadError> {
    let chunk = Arc::clone(&order.wanted.chunk);
    let is_all_staged = order.progress.total_bytes() == Some(order.progress.done_bytes());
    if let Some(rest) = shared.rests_for(&chunk).filter(|_| !is_all_staged) {
        let error =
            DownloadError::new(DownloadErrorKind::Closed, "its source is left alone after repeated failures");
        return Err(DownloadError { retry_after: Some(rest), ..error });
    }
    let opened = Staging::open(target.source.disk(), &chunk, (shared.pool, &order.cancel));
    let staged = opened.map_err(|error| DownloadError::disk("opening the staging directory", &error))?;
    if order.cancel.is_cancelled() {
        return Err(DownloadError::cancelled());
    }
    let job = Job::new(
        Arc::clone(shared),
        order.wanted,
        (order.task, order.attempts),
        order.progress,
        staged,
        order.file_bytes_max,
    );
    Ok((Arc::new(job), order.cancel))
}

async fn fetch_and_publish(job: &Arc<Job>, target: &Target, cancel: &Cancel) -> Result<(), DownloadError> {
    download(job, cancel).await?;
    let (reply, published) = oneshot::channel();
    // Publishers outlive every task, unless they panic.
    let gone = || {
        let reason = "its publisher has panicked";
        job.shared.catalogue.poison(target.source.dir(), reason);
        DownloadError::new(DownloadErrorKind::Panicked, reason)
    };
    // From here on it cannot be cancelled: a deletion meanwhile hides the chunk once it is published.
    if !target.publisher.give(Work::Publish { job: Arc::clone(job), reply }).await {
        return Err(gone());
    }
    published.await.unwrap_or_else(|_| Err(gone()))
}

async fn run_removal(shared: Arc<Shared>, removal: Removal) {
    let Removal { task, record, end, home, elsewhere } = removal;
    // A copy would be taken for a new chunk by the next start. Copies go first: as long as the chunk itself is there, that start
    // knows that it is to be removed.
    let copies = elsewhere.iter().filter(|_| end == End::Removed);
    for target in copies {
        let copy = Record { dir: target.source.dir(), ..record.clone() };
        if let Err(error) = remove_from(&shared, target, &copy, &end, false).await {
            tracing::warn!(%error, "a copy of a removed chunk stays, and is a chunk again at the next start");
        }
    }
    if let Err(error) = remove_from(&shared, &home, &record, &end, true).await {
        tracing::warn!(%error, "a chunk could not be removed; it stays hidden and is tried again");
        return shared.catalogue.not_removed(task, record, end);
    }
    shared.catalogue.removed(record.id, task);
}

/// Moves a chunk's directory away, has that made durable, and removes the files if that is their end. Where the chunk
/// `is_known` to lie, its record goes even if the directory has gone before.
async fn remove_from(
    shared: &Shared,
    target: &Target,
    record: &Record,
    end: &End,
    is_known: bool,
) -> std::io::Result<()> {
    let aside = shared.pool.blocking(|| target.source.move_away(record, end))?;
    if !is_known {
        if aside.is_none() {
            return Ok(());
        }
        // No record says that it is to be removed: if the move were lost, the next start would not go on with it.
        shared.pool.blocking(|| target.source.sync_above(record))?;
    }
    // Before the id is free again, so that a new publication comes behind it in the journal.
    let (reply, durable) = oneshot::channel();
    target.publisher.give(Work::Gone { record: record.clone(), reply }).await;
    let is_durable = durable.await.unwrap_or(false);
    if let Some(aside) = aside
        && is_durable
        && *end == End::Removed
        && let Err(error) = shared.pool.blocking(|| target.source.disk().remove_tree(&aside))
    {
        tracing::warn!(%error, "a removed chunk's files stay in the trash until the next start");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_ends_and_is_reported_once() {
        let (report, mut reported) = oneshot::channel();
        let on_panic = move || report.send(()).unwrap();
        let mut task = IoTask::new("download", async { panic!("as the test wants") }, on_panic);
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert_eq!(Pin::new(&mut task).poll(&mut context), Poll::Ready(()));
        }
        assert_eq!(reported.try_recv(), Ok(()));
    }
}
