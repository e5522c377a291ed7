//! Job: one download under way, shared by the requests that serve it.
//! Refuses to decide what to fetch next: its plans do.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::Clock;
use tokio::sync::Notify;
use url::Url;

use crate::bandwidth::Bandwidth;
use crate::cancel::Cancel;
use crate::data_catalogue::{DataCatalogue, Turn, UNKNOWN_BYTES, Wanted};
use crate::data_chunk::hex_id;
use crate::data_source::{FetchRequest, Validator};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::error::{Error, ErrorKind};
use crate::file_name::shown;
use crate::file_spec::{CheckedChunk, FileSpec};
use crate::lanes::{Lanes, source_of};
use crate::options::Mirror;
use crate::plan::FilePlan;
use crate::pool::Pool;
use crate::sources::Sources;
use crate::staging::Staging;
use crate::staging_progress::StagingProgress;

/// A chunk that has failed before comes as much later as if it had been asked for so much later, for each failure.
const RETRY_AFTER: Duration = Duration::from_mins(1);
const RETRIES_MAX: u32 = 10;

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
    /// Thrown when the try has failed: requests that move bytes end at their next segment, and no other starts.
    pub(crate) ending: Cancel,
    /// Thrown when the download is stopped from outside: what only reads again what is here ends at its next segment.
    pub(crate) stopped: Cancel,
    /// Told when a run was cut, so that another may be claimed.
    pub(crate) more: Notify,
    /// When the try began. Its requests are as urgent as if all had been asked for then, so that what is left of a chunk does
    /// not fall behind others while it is fetched.
    began: Duration,
    /// One per file, in the descriptor's order. Held for memory work only.
    plans: Mutex<Vec<FilePlan>>,
    /// Places that have answered that an object is not there, or may not be asked. Held for memory work only.
    lost: Mutex<HashSet<Url>>,
    /// Requests by whether they move bytes. Held for counting only.
    activity: Mutex<Activity>,
    /// Told when the chunk is not silent any more.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Activity {
    moving: u32,
    overdue: u32,
    pausing: u32,
    /// Whether a source has answered any request of this try.
    is_answered: bool,
    /// What the catalogue was last told, and whether somebody is telling it now.
    told_idle: bool,
    is_telling: bool,
}

/// Counts one request as moving bytes, as overdue or as one that is not made yet; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Active<'a> {
    job: &'a Job,
    doing: Doing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Moving,
    Overdue,
    Pausing,
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
        let began = shared.clock.monotonic();
        Job {
            shared,
            wanted,
            task,
            attempts,
            progress,
            staging,
            file_bytes_max,
            ending: Cancel::default(),
            stopped: Cancel::default(),
            more: Notify::new(),
            began,
            plans: Mutex::new(plans),
            lost: Mutex::default(),
            activity: Mutex::new(Activity::default()),
            moved: Notify::new(),
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

    /// This chunk's place among those that want a request now: behind the untried ones, if it has failed before.
    pub(crate) fn turn(&self) -> Turn {
        let total = self.progress.total_bytes().unwrap_or(UNKNOWN_BYTES);
        let remaining = total.saturating_sub(self.progress.done_bytes());
        let late = RETRY_AFTER * self.attempts.min(RETRIES_MAX);
        Turn::new(self.wanted.priority, self.began.saturating_add(late), remaining, self.wanted.chunk.id)
    }

    /// Shows how far it is.
    pub(crate) fn show_progress(&self) {
        let plans = self.plans();
        let done = plans.iter().map(FilePlan::done_bytes).sum();
        let total = plans.iter().map(FilePlan::total).sum();
        drop(plans);
        self.progress.set(done, total);
    }

    /// Makes sure that there is room for all that is known to come, before any of it is taken.
    pub(crate) fn make_room(&self) -> Result<(), DownloadError> {
        let bytes = self.plans().iter().filter_map(FilePlan::total).fold(0, u64::saturating_add);
        let grown = self.shared.catalogue.grow(self.wanted.chunk.id, self.task, bytes);
        grown.map_err(|reason| DownloadError::new(DownloadErrorKind::NoRoom, reason))
    }

    /// The URL to ask at a try.
    pub(crate) fn url(&self, file: usize, attempt: u32) -> Result<Url, DownloadError> {
        let urls = self.urls(file)?;
        let turn = usize::try_from(attempt).unwrap_or_default() % urls.len().max(1);
        urls.into_iter().nth(turn).ok_or_else(|| DownloadError::new(DownloadErrorKind::Closed, "no source"))
    }

    /// Where to ask beside a request that is silent: at another source if there is one, else at the same one.
    pub(crate) fn url_beside(&self, file: usize, silent: &Url) -> Result<Url, DownloadError> {
        let source = source_of(silent);
        let urls = self.urls(file)?;
        Ok(urls.into_iter().find(|url| source_of(url) != source).unwrap_or_else(|| silent.clone()))
    }

    /// A place has answered that a file is not there: others are asked for it in this try, as long as there are some.
    pub(crate) fn lose(&self, place: Url) {
        self.lost().insert(place);
    }

    /// Whether there is a place that has not answered that a file is not there.
    pub(crate) fn has_place_left(&self, file: usize) -> Result<bool, DownloadError> {
        let places = self.shared.places(self.file(file)?);
        let lost = self.lost();
        Ok(places.iter().any(|place| !lost.contains(place)))
    }

    /// Where a file can be had, the best first. Places that have lost it come only when all have, and shunned sources only
    /// when all others have lost it.
    fn urls(&self, file: usize) -> Result<Vec<Url>, DownloadError> {
        let mut places = self.shared.places(self.file(file)?);
        let lost = self.lost();
        if places.iter().any(|place| !lost.contains(place)) {
            places.retain(|place| !lost.contains(place));
        }
        drop(lost);
        Ok(self.shared.sought(places))
    }

    fn lost(&self) -> MutexGuard<'_, HashSet<Url>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for a part of a file, of the version that the parts here are of. Where a digest proves the joint, the
    /// version does not matter: mirrors may name it differently.
    pub(crate) fn request(
        &self,
        file: usize,
        url: Url,
        range: Option<Range<u64>>,
    ) -> Result<FetchRequest, DownloadError> {
        Ok(FetchRequest { url, range, validator: self.validator(file)? })
    }

    /// The version that the parts of a file are of, if that matters.
    pub(crate) fn validator(&self, file: usize) -> Result<Option<Validator>, DownloadError> {
        self.plan(file, |plan| plan.validator().cloned())
    }

    /// A request of this chunk is under way.
    pub(crate) fn active(&self) -> Active<'_> {
        self.begin(Doing::Moving)
    }

    /// A part of this chunk waits for its next try.
    pub(crate) fn pausing(&self) -> Active<'_> {
        self.begin(Doing::Pausing)
    }

    fn begin(&self, doing: Doing) -> Active<'_> {
        self.count(|activity| *activity.of(doing) += 1);
        Active { job: self, doing }
    }

    /// A source has answered.
    pub(crate) fn answered(&self) {
        self.count(|activity| activity.is_answered = true);
    }

    /// Whether the chunk is to ask for nothing else until what it asked for is answered or has ended: all its requests are
    /// silent, or it has not been answered yet by a source that is silent to most.
    pub(crate) fn is_held(&self, source: &str) -> bool {
        let activity = self.activity();
        let has_one_out = !activity.is_answered && activity.moving + activity.overdue > 0;
        let is_silent = activity.is_silent();
        drop(activity);
        is_silent || (has_one_out && self.shared.lanes.is_mostly_silent(source))
    }

    /// Returns when it is not so.
    pub(crate) async fn not_held(&self, source: &str) {
        loop {
            let moved = self.moved.notified();
            if !self.is_held(source) {
                return;
            }
            moved.await;
        }
    }

    fn count(&self, change: impl FnOnce(&mut Activity)) {
        let mut activity = self.activity();
        change(&mut activity);
        if !activity.is_silent() {
            self.moved.notify_waiters();
        }
        // Told with the lock free, and told again if it changed meanwhile, so that the last word is the right one.
        while activity.told_idle != activity.is_idle() && !activity.is_telling {
            let is_idle = activity.is_idle();
            activity.told_idle = is_idle;
            activity.is_telling = true;
            drop(activity);
            self.shared.catalogue.set_idle(self.wanted.chunk.id, self.task, is_idle);
            activity = self.activity();
            activity.is_telling = false;
        }
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    /// Whether the chunk waits for its sources and moves no bytes.
    fn is_idle(&self) -> bool {
        self.moving == 0 && self.overdue + self.pausing > 0
    }

    /// Whether it has requests open, and none of them moves bytes.
    fn is_silent(&self) -> bool {
        self.moving == 0 && self.overdue > 0
    }

    fn of(&mut self, doing: Doing) -> &mut u32 {
        match doing {
            Doing::Moving => &mut self.moving,
            Doing::Overdue => &mut self.overdue,
            Doing::Pausing => &mut self.pausing,
        }
    }
}

impl Shared {
    /// Where a file can be had: at its own URL, then at its mirrors.
    fn places(&self, file: &FileSpec) -> Vec<Url> {
        let own = &file.url;
        let mut places = vec![own.clone()];
        for mirror in &self.mirrors {
            if let Some(rest) = below(own.as_str(), &mirror.prefix) {
                places.extend(
                    mirror.others.iter().filter_map(|other| Url::parse(&format!("{other}{rest}")).ok()),
                );
            }
        }
        places
    }

    /// Refuses a chunk with a file that no source serves, neither at its own URL nor at a mirror.
    pub(crate) fn check_served(&self, chunk: &CheckedChunk) -> Result<(), Error> {
        for file in &chunk.files {
            let is_served = |url: &Url| self.sources.serves(url);
            if !is_served(&file.url) && !self.places(file).iter().any(is_served) {
                let error = self.sources.get(&file.url).map(drop).err();
                let reason = error.map_or_else(String::new, |error| error.message);
                let message = format!("chunk {}: file {}: {reason}", hex_id(&chunk.id), shown(&file.name));
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    /// Those of some places whose sources are not shunned; all of them when all are.
    fn sought(&self, places: Vec<Url>) -> Vec<Url> {
        let (sought, shunned): (Vec<Url>, Vec<Url>) =
            places.into_iter().partition(|url| !self.lanes.is_shunned(&source_of(url)));
        if sought.is_empty() { shunned } else { sought }
    }

    /// How long a chunk has to wait because all sources of one of its files rest; `None` if it need not.
    pub(crate) fn rests_for(&self, chunk: &CheckedChunk) -> Option<Duration> {
        let rest_of = |file: &FileSpec| {
            let places = self.sought(self.places(file));
            let rests = places.into_iter().map(|url| self.lanes.rests_for(&source_of(&url)));
            rests.min().flatten()
        };
        chunk.files.iter().filter_map(rest_of).max()
    }
}

/// What of a URL follows a prefix that ends where a part of it does: `https://data.example` is no beginning of
/// `https://data.example.evil/`, which is another host.
fn below<'a>(url: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = url.strip_prefix(prefix)?;
    let is_boundary =
        prefix.ends_with(['/', '?', '&', '=']) || rest.is_empty() || rest.starts_with(['/', '?', '&']);
    is_boundary.then_some(rest)
}

impl Active<'_> {
    /// The request waits long for its first byte, or has it now.
    pub(crate) fn set_overdue(&mut self, is_overdue: bool) {
        let doing = if is_overdue { Doing::Overdue } else { Doing::Moving };
        let before = std::mem::replace(&mut self.doing, doing);
        if before != doing {
            self.job.count(|activity| {
                *activity.of(before) -= 1;
                *activity.of(doing) += 1;
            });
        }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let doing = self.doing;
        self.job.count(|activity| *activity.of(doing) -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_of_the_url_does() {
        let below = |url, prefix| below(url, prefix).map(str::to_string);
        assert_eq!(below("https://data.example/a/b", "https://data.example"), Some("/a/b".to_string()));
        assert_eq!(below("https://data.example/a/b", "https://data.example/"), Some("a/b".to_string()));
        assert_eq!(below("https://data.example/a?v=1", "https://data.example/a"), Some("?v=1".to_string()));
        assert_eq!(below("https://data.example/a", "https://data.example/a"), Some(String::new()));
        for other in
            ["https://data.example.evil/a", "https://data.example:8080/a", "https://data.example@evil/a"]
        {
            assert_eq!(below(other, "https://data.example"), None, "{other}");
        }
        assert_eq!(below("https://data.example/ab", "https://data.example/a"), None);
    }
}
