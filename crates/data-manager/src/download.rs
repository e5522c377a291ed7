//! Download: one chunk from its sources into staging, whole and verified.
//! Refuses to publish it: that is the catalogue journal's part.

use std::ops::Range;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::cancel::Cancel;
use crate::data_chunk::hex_id;
use crate::data_source::{SourceErrorKind, redacted};
use crate::digest::SEGMENT_BYTES;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::fetch::fetch_run;
use crate::file_digest::sha256_of;
use crate::job::Job;
use crate::plan::FilePlan;

/// Requests that one chunk has or waits for at once. More would not be granted sooner.
const RUNS_MAX: usize = 64;

/// Files of one try that may turn out damaged, or changed under way, before the try is given up.
const SPOILT_MAX: u32 = 3;

/// How one run ended: of which file, and how.
type RunEnd = (usize, Result<(), DownloadError>);

/// Fetches whatever of the chunk is not staged yet. When it returns `Ok`, every file is there, whole and verified.
pub(crate) async fn download(job: &Arc<Job>, cancel: &Cancel) -> Result<(), DownloadError> {
    let mut runs = JoinSet::new();
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            job.stopped.cancel();
            Err(DownloadError::cancelled())
        }
        result = fetch_all(job, &mut runs) => result,
    };
    // Waits until no run writes any more: what is staged may be continued or removed after this.
    runs.shutdown().await;
    job.show_progress();
    result
}

async fn fetch_all(job: &Arc<Job>, runs: &mut JoinSet<RunEnd>) -> Result<(), DownloadError> {
    job.show_progress();
    verify_complete(job).await?;
    let mut spoilt = 0;
    let mut broken = 0;
    let mut failed: Option<DownloadError> = None;
    loop {
        while failed.is_none()
            && runs.len() < RUNS_MAX
            && let Some((file, claim)) = claim(job)
        {
            let job = Arc::clone(job);
            runs.spawn(async move {
                let end = run(&job, file, claim).await;
                (file, end)
            });
        }
        let ended = tokio::select! {
            biased;
            ended = runs.join_next() => ended,
            () = job.more.notified() => continue,
        };
        let Some(ended) = ended else { break };
        // A panic in a source ends this try and nothing else: the set is dropped, and what its runs hold with it.
        let (file, end) = ended.map_err(|_| DownloadError::panicked())?;
        let Err(error) = end else { continue };
        match error.kind {
            // What the others have begun of a segment is finished first; none of them asks for more.
            _ if failed.is_some() => {}
            DownloadErrorKind::Damaged | DownloadErrorKind::Source(SourceErrorKind::Changed) => {
                // Its other runs are of the same spoilt object; they must not write any more when it starts over.
                runs.shutdown().await;
                job.plans().iter_mut().for_each(FilePlan::release_all);
                start_over(job, file)?;
                spoilt += 1;
                if spoilt >= SPOILT_MAX {
                    return Err(error);
                }
                // Those that were stopped may have brought a file to its end: nobody has checked it, or what was found is lost.
                verify_complete(job).await?;
                if spoilt + 1 == SPOILT_MAX && error.kind != DownloadErrorKind::Damaged {
                    // It may be another version in each answer: one answer is of one version.
                    job.plan(file, FilePlan::fetch_whole)?;
                }
            }
            // Its plan knows.
            DownloadErrorKind::WholeOnly => job.show_progress(),
            // A whole object's request that broke off begins anew.
            DownloadErrorKind::Source(SourceErrorKind::Transient)
                if broken < SPOILT_MAX && job.plan(file, |plan| plan.is_whole_only())? =>
            {
                broken += 1;
                job.show_progress();
            }
            DownloadErrorKind::Source(
                SourceErrorKind::Transient | SourceErrorKind::Internal | SourceErrorKind::Busy,
            )
            | DownloadErrorKind::TooSlow
            | DownloadErrorKind::Closed => {
                job.ending.cancel();
                failed = Some(error);
            }
            _ => return Err(error),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if job.plans().iter().all(FilePlan::is_complete) {
        Ok(())
    } else {
        Err(DownloadError::new(DownloadErrorKind::Damaged, "a file is not complete after its last run"))
    }
}

/// The next run to fetch: of the file with the most left, so that the longest does not come last.
fn claim(job: &Job) -> Option<(usize, Range<u64>)> {
    let mut plans = job.plans();
    let mut order: Vec<usize> = (0..plans.len()).collect();
    order.sort_by_key(|file| {
        let left =
            plans.get(*file).map(|plan| plan.total().map_or(u64::MAX, |total| total - plan.done_bytes()));
        std::cmp::Reverse(left)
    });
    order.into_iter().find_map(|file| Some((file, plans.get_mut(file)?.claim()?)))
}

async fn run(job: &Arc<Job>, file: usize, claim: Range<u64>) -> Result<(), DownloadError> {
    fetch_run(job, file, claim).await?;
    if job.plan(file, |plan| plan.is_complete())? { verify(job, file).await } else { Ok(()) }
}

/// Files whose last run does not speak for them: those that were complete before this try began or whose run was stopped, and
/// empty ones, which no request completes. One that is damaged starts over.
async fn verify_complete(job: &Arc<Job>) -> Result<(), DownloadError> {
    for file in 0..job.files().len() {
        if job.plan(file, |plan| plan.total() == Some(0))? {
            job.staging.make_empty(file).map_err(|error| DownloadError::disk("staging", &error))?;
        }
        if job.plan(file, |plan| plan.is_complete())? && verify(job, file).await.is_err() {
            start_over(job, file)?;
        }
    }
    Ok(())
}

/// Checks a complete file against the digests that the descriptor gives.
async fn verify(job: &Arc<Job>, file: usize) -> Result<(), DownloadError> {
    let spec = job.file(file)?;
    let damaged = |what: &str, found: Option<[u8; 32]>, wanted: [u8; 32]| {
        let found = found.map_or("not known".to_string(), |found| hex(&found));
        let (url, wanted) = (redacted(&spec.url), hex(&wanted));
        let message = format!("{url}: its {what} digest is {found}, and the descriptor says {wanted}");
        DownloadError::new(DownloadErrorKind::Damaged, message)
    };
    if let Some(wanted) = spec.blake3 {
        let found = job.plan(file, |plan| plan.digest())?;
        if found != Some(wanted) {
            return Err(damaged("BLAKE3", found, wanted));
        }
    }
    if let Some(wanted) = spec.sha256 {
        let total = job.plan(file, |plan| plan.total())?.unwrap_or_default();
        let found = sha256_of(job, file, total).await?;
        if found != wanted {
            return Err(damaged("SHA-256", Some(found), wanted));
        }
    }
    Ok(())
}

/// As descriptors write it.
fn hex(digest: &[u8; 32]) -> String {
    hex_id(digest).trim_start_matches("0x").to_string()
}

/// Nothing of this file is worth keeping.
fn start_over(job: &Job, file: usize) -> Result<(), DownloadError> {
    let size = job.file(file)?.size;
    job.plan(file, |plan| plan.start_over(size))?;
    // The map's older lines die with the next length that is learnt; until then they are checked against the bytes.
    job.show_progress();
    Ok(())
}

/// How many pieces a file is hashed in, so that a cancelled download stops soon.
pub(crate) fn pieces(total: u64) -> impl Iterator<Item = Range<u64>> {
    (0..total.div_ceil(SEGMENT_BYTES)).map(move |index| {
        let begin = index * SEGMENT_BYTES;
        begin..u64::min(begin + SEGMENT_BYTES, total)
    })
}
