//! Fetch: one run of a file's segments from a source onto the disk, resumed and hedged as needed.
//! Refuses to choose runs, and to give up a chunk: it reports how its run ended.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use crate::data_source::{Body, FetchRequest, FetchResponse, SourceError, SourceErrorKind, redacted};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::job::{Active, Job};
use crate::lanes::{Lane, Patience, source_of};
use crate::pour::Pour;

/// Tries of one run that bring nothing before its chunk's try is given up.
const FRUITLESS_MAX: u32 = 4;

/// The pause after a fruitless try of a run; doubled from try to try.
const PAUSE: Duration = Duration::from_millis(25);

/// A body that brings nothing for this long is asked for once more, beside it.
const STALL_HEDGE: Duration = Duration::from_millis(1_000);

/// A body that brings nothing for this long is given up.
const STALL_MAX: Duration = Duration::from_secs(10);

/// A body is given up when it brings less than this many bytes in this much time of waiting for it.
const CRAWL_BYTES: u64 = 16 << 10;
const CRAWL_TIME: Duration = Duration::from_secs(15);

/// What an object of unknown length is first asked for.
const FIRST_ASK_BYTES: u64 = 32 << 20;

/// Fetches a claimed run, and releases the claim whatever happens.
pub(crate) async fn fetch_run(job: &Job, file: usize, claim: Range<u64>) -> Result<(), DownloadError> {
    let start = claim.start;
    let mut pour = Pour::new(file, claim);
    let mut fruitless = 0;
    let result = loop {
        let before = pour.position();
        let error = match attempt(job, &mut pour, fruitless).await {
            Ok(()) => break Ok(()),
            Err(error) => error,
        };
        let is_changed = error.kind == DownloadErrorKind::Source(SourceErrorKind::Changed);
        if is_changed && pour.ask_whole(job) {
            continue;
        }
        let is_passing = error.kind == DownloadErrorKind::Source(SourceErrorKind::Transient);
        if !is_passing || !pour.can_resume() {
            break Err(error);
        }
        fruitless = if pour.position() > before { 0 } else { fruitless + 1 };
        if fruitless >= FRUITLESS_MAX {
            break Err(error);
        }
        if fruitless > 0 {
            sleep(PAUSE * (1 << fruitless)).await;
        }
    };
    job.plan(file, |plan| plan.release(start))?;
    result
}

/// One request for what is left of the run.
async fn attempt(job: &Job, pour: &mut Pour, fruitless: u32) -> Result<(), DownloadError> {
    let file = pour.file();
    let url = job.url(file, job.attempts + fruitless)?;
    let source = source_of(&url);
    let mut lane = job.shared.lanes.enter(job.turn(), &source).await?;
    let mut active = job.active();
    let range = match pour.rest() {
        Some(rest) => Some(rest),
        None if pour.is_whole_asked() => None,
        None => Some(0..FIRST_ASK_BYTES),
    };
    let validator = job.plan(file, |plan| plan.validator().cloned())?;
    let request = FetchRequest { url, range, validator };
    let patience = job.shared.lanes.patience(&source, job.attempts + fruitless);
    let result = match ask(job, file, request, patience, (&mut lane, &mut active)).await {
        Ok(response) => receive(job, pour, response, &mut lane).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &result
        && let DownloadErrorKind::Source(kind) = error.kind
    {
        let error = SourceError { kind, message: error.message.clone(), retry_after: error.retry_after };
        lane.failed(&error, random(job));
    }
    result
}

/// Sends a request and waits for the answer; when it is late, asks once more beside it and takes the first answer.
async fn ask(
    job: &Job,
    file: usize,
    request: FetchRequest,
    patience: Patience,
    (lane, active): (&mut Lane, &mut Active<'_>),
) -> Result<FetchResponse, SourceError> {
    let clock = &job.shared.clock;
    let started = clock.monotonic();
    let source = job.shared.sources.get(&request.url)?;
    let mut first = source.fetch(request.clone());
    let mut answer = timeout(patience.overdue, &mut first).await.ok();
    if answer.is_none() {
        lane.overdue();
        active.set_overdue(true);
        let hedge_after = STALL_HEDGE.min(patience.first_byte / 4);
        answer = timeout(hedge_after, &mut first).await.ok();
    }
    if answer.is_none() {
        let rest = patience.first_byte.saturating_sub(clock.monotonic().saturating_sub(started));
        let mut second = Box::pin(ask_elsewhere(job, file, request.clone()));
        answer = timeout(rest, async {
            tokio::select! {
                answer = &mut first => match answer {
                    Ok(response) => Ok(response),
                    Err(_) => second.await,
                },
                answer = &mut second => match answer {
                    Ok(response) => Ok(response),
                    Err(_) => first.await,
                },
            }
        })
        .await
        .ok();
    }
    active.set_overdue(false);
    let waited = clock.monotonic().saturating_sub(started);
    match answer {
        Some(Ok(response)) => {
            lane.answered(waited);
            Ok(response)
        }
        Some(Err(error)) => Err(error),
        None => Err(SourceError::new(
            SourceErrorKind::Transient,
            format!("{}: no answer within {:.1} s", redacted(&request.url), waited.as_secs_f64()),
        )),
    }
}

/// The same request to the next source in turn, which is the same one when there is no mirror.
async fn ask_elsewhere(
    job: &Job,
    file: usize,
    mut request: FetchRequest,
) -> Result<FetchResponse, SourceError> {
    if let Ok(url) = job.url(file, job.attempts + 1) {
        request.url = url;
    }
    job.shared.sources.get(&request.url)?.fetch(request).await
}

/// Takes an answer in, if it is of the object that is wanted.
async fn receive(
    job: &Job,
    pour: &mut Pour,
    response: FetchResponse,
    lane: &mut Lane,
) -> Result<(), DownloadError> {
    pour.accept(job, &response)?;
    let mut body = response.body;
    let mut crawl = Crawl::default();
    loop {
        if pour.is_full() {
            return pour.flush(job);
        }
        match next_piece(job, pour, &mut body, &mut crawl).await? {
            Some(bytes) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                job.shared.bandwidth.pass(len).await;
                lane.received(len);
                pour.add(job, bytes)?;
            }
            None => return pour.end(job),
        }
    }
}

/// How slowly a body may come.
#[derive(Debug, Default)]
struct Crawl {
    waited: Duration,
    bytes: u64,
}

impl Crawl {
    fn is_too_slow(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.waited < CRAWL_TIME {
            return false;
        }
        let is_too_slow = self.bytes < CRAWL_BYTES;
        *self = Crawl::default();
        is_too_slow
    }
}

/// The next bytes of a body. One that stalls is asked for once more, beside it, from where it stands; the first to bring
/// bytes goes on, so that nothing is received twice.
async fn next_piece(
    job: &Job,
    pour: &mut Pour,
    body: &mut Body,
    crawl: &mut Crawl,
) -> Result<Option<Bytes>, DownloadError> {
    let clock = &job.shared.clock;
    let started = clock.monotonic();
    let next = match timeout(STALL_HEDGE, body.next()).await {
        Ok(next) => next,
        Err(_) => {
            pour.flush(job)?;
            after_stall(job, pour, body).await?
        }
    };
    let next = next.transpose()?;
    let waited = clock.monotonic().saturating_sub(started);
    if crawl.is_too_slow(waited, next.as_ref().map_or(0, Bytes::len)) {
        let message = format!("{}: fewer than {CRAWL_BYTES} bytes in {CRAWL_TIME:?}", pour.source(job));
        return Err(SourceError::new(SourceErrorKind::Transient, message).into());
    }
    Ok(next)
}

async fn after_stall(
    job: &Job,
    pour: &Pour,
    body: &mut Body,
) -> Result<Option<Result<Bytes, SourceError>>, DownloadError> {
    let stalled = || {
        let message = format!("{}: nothing came for {STALL_MAX:?}", pour.source(job));
        SourceError::new(SourceErrorKind::Transient, message)
    };
    let hedged = pour.rest().filter(|_| pour.can_resume());
    let race = async {
        let Some(rest) = hedged else { return body.next().await };
        let fresh = Box::pin(fresh_body(job, pour.file(), rest));
        tokio::select! {
            next = body.next() => next,
            Some((next, fresh)) = fresh => {
                *body = fresh;
                next
            }
            else => None,
        }
    };
    match timeout(STALL_MAX, race).await {
        Ok(next) => Ok(next),
        Err(_) => Err(stalled().into()),
    }
}

type Piece = Option<Result<Bytes, SourceError>>;

/// A second body for the same bytes, with its first piece; `None` if there is none to be had.
async fn fresh_body(job: &Job, file: usize, rest: Range<u64>) -> Option<(Piece, Body)> {
    let url = job.url(file, job.attempts).ok()?;
    let validator = job.plan(file, |plan| plan.validator().cloned()).ok()?;
    let total = job.plan(file, |plan| plan.total()).ok()?;
    let request = FetchRequest { url, range: Some(rest.clone()), validator: validator.clone() };
    let response = ask_elsewhere(job, file, request).await.ok()?;
    let is_same = response.offset == rest.start && response.total == total && response.validator == validator;
    if !is_same {
        return None;
    }
    let mut body = response.body;
    match body.next().await {
        Some(Ok(bytes)) => Some((Some(Ok(bytes)), body)),
        _ => None,
    }
}

/// A number that spreads retries, different for each chunk and moment.
pub(crate) fn random(job: &Job) -> u64 {
    let now = job.shared.clock.monotonic();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&job.wanted.chunk.id);
    hasher.update(&now.as_nanos().to_le_bytes());
    u64::from(hasher.finalize()) << 32 | u64::from(now.subsec_nanos())
}
