//! Job: one download under way, shared by the requests that serve it.
//! Refuses to decide what to fetch next: its plans do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::Clock;
use url::Url;

use crate::bandwidth::Bandwidth;
use crate::data_catalogue::{DataCatalogue, Turn, Wanted};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::file_spec::FileSpec;
use crate::lanes::{Lanes, source_of};
use crate::options::Mirror;
use crate::plan::FilePlan;
use crate::pool::Pool;
use crate::sources::Sources;
use crate::staging::Staging;
use crate::staging_progress::StagingProgress;

/// What all downloads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) lanes: Lanes,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) sources: Sources,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) catalogue: Arc<DataCatalogue>,
}

/// One download.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wanted: Wanted,
    pub(crate) task: u64,
    pub(crate) attempts: u32,
    pub(crate) progress: Arc<StagingProgress>,
    pub(crate) staging: Staging,
    pub(crate) file_bytes_max: u64,
    /// One per file, in the descriptor's order. Held for memory work only.
    plans: Mutex<Vec<FilePlan>>,
    /// Requests by whether they move bytes. Held for counting only.
    activity: Mutex<Activity>,
}

#[derive(Debug, Default)]
struct Activity {
    moving: u32,
    overdue: u32,
    is_idle: bool,
}

/// Counts one request as moving bytes or as overdue; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Active<'a> {
    job: &'a Job,
    is_overdue: bool,
}

impl Job {
    pub(crate) fn new(
        shared: Arc<Shared>,
        wanted: Wanted,
        (task, attempts): (u64, u32),
        progress: Arc<StagingProgress>,
        (staging, plans): (Staging, Vec<FilePlan>),
        file_bytes_max: u64,
    ) -> Job {
        Job {
            shared,
            wanted,
            task,
            attempts,
            progress,
            staging,
            file_bytes_max,
            plans: Mutex::new(plans),
            activity: Mutex::new(Activity::default()),
        }
    }

    pub(crate) fn files(&self) -> &[FileSpec] {
        &self.wanted.chunk.files
    }

    pub(crate) fn file(&self, file: usize) -> Result<&FileSpec, DownloadError> {
        self.files().get(file).ok_or_else(|| DownloadError::new(DownloadErrorKind::Damaged, "no such file"))
    }

    /// The plans of all files.
    pub(crate) fn plans(&self) -> MutexGuard<'_, Vec<FilePlan>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the plan of one file.
    pub(crate) fn plan<R>(
        &self,
        file: usize,
        work: impl FnOnce(&mut FilePlan) -> R,
    ) -> Result<R, DownloadError> {
        let mut plans = self.plans();
        let plan = plans.get_mut(file);
        plan.map(work).ok_or_else(|| DownloadError::new(DownloadErrorKind::Damaged, "no such file"))
    }

    /// This chunk's place among those that want a request now.
    pub(crate) fn turn(&self) -> Turn {
        let total = self.progress.total_bytes().unwrap_or(crate::data_catalogue::UNKNOWN_BYTES);
        let remaining = total.saturating_sub(self.progress.done_bytes());
        Turn::new(self.wanted.priority, self.shared.clock.monotonic(), remaining, self.wanted.chunk.id)
    }

    /// Shows how far it is.
    pub(crate) fn show_progress(&self) {
        let plans = self.plans();
        let done = plans.iter().map(FilePlan::done_bytes).sum();
        let total = plans.iter().map(FilePlan::total).sum();
        drop(plans);
        self.progress.set(done, total);
    }

    /// The URL to ask at a try: the descriptor's own first, then its mirrors, those that rest last.
    pub(crate) fn url(&self, file: usize, attempt: u32) -> Result<Url, DownloadError> {
        let own = &self.file(file)?.url;
        let mut urls = vec![own.clone()];
        for mirror in &self.shared.mirrors {
            if let Some(rest) = own.as_str().strip_prefix(mirror.prefix.as_str()) {
                urls.extend(
                    mirror.others.iter().filter_map(|other| Url::parse(&format!("{other}{rest}")).ok()),
                );
            }
        }
        let (awake, resting): (Vec<Url>, Vec<Url>) =
            urls.into_iter().partition(|url| self.shared.lanes.rests_for(&source_of(url)).is_none());
        let urls = if awake.is_empty() { resting } else { awake };
        let turn = usize::try_from(attempt).unwrap_or_default() % urls.len().max(1);
        urls.into_iter().nth(turn).ok_or_else(|| DownloadError::new(DownloadErrorKind::Closed, "no source"))
    }

    /// A request of this chunk is under way.
    pub(crate) fn active(&self) -> Active<'_> {
        self.count(|activity| activity.moving += 1);
        Active { job: self, is_overdue: false }
    }

    fn count(&self, change: impl FnOnce(&mut Activity)) {
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut activity);
        let is_idle = activity.moving == 0 && activity.overdue > 0;
        let is_news = std::mem::replace(&mut activity.is_idle, is_idle) != is_idle;
        drop(activity);
        if is_news {
            self.shared.catalogue.set_idle(self.wanted.chunk.id, self.task, is_idle);
        }
    }
}

impl Active<'_> {
    /// The request waits long for its first byte, or has it now.
    pub(crate) fn set_overdue(&mut self, is_overdue: bool) {
        if std::mem::replace(&mut self.is_overdue, is_overdue) != is_overdue {
            self.job.count(|activity| {
                if is_overdue {
                    activity.moving -= 1;
                    activity.overdue += 1;
                } else {
                    activity.moving += 1;
                    activity.overdue -= 1;
                }
            });
        }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let is_overdue = self.is_overdue;
        self.job.count(|activity| {
            if is_overdue {
                activity.overdue -= 1;
            } else {
                activity.moving -= 1;
            }
        });
    }
}
