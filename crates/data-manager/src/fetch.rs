//! Fetch: one run of a file's segments from a source onto the disk, resumed and hedged as needed.
//! Refuses to choose runs, and to give up a chunk: it reports how its run ended.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::crawl::{CRAWL_BYTES, CRAWL_TIME, Crawl, Pace};
use crate::data_source::{
    Body, BoxFuture, FetchRequest, FetchResponse, SourceError, SourceErrorKind, redacted,
};
use crate::digest::SEGMENT_BYTES;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::job::{Active, Job};
use crate::lanes::{Lane, Patience, source_of};
use crate::pour::Pour;

/// Tries of one run that bring nothing before its chunk's try is given up.
const FRUITLESS_MAX: u32 = 4;

/// The pause after a fruitless try of a run; doubled from try to try.
const PAUSE: Duration = Duration::from_millis(25);

/// A body that brings nothing for this long is asked for once more, beside it.
const STALL_HEDGE: Duration = Duration::from_secs(1);

/// A body that brings nothing for this long is given up.
const STALL_MAX: Duration = Duration::from_secs(10);

/// Fetches a claimed run, and releases the claim whatever happens.
pub(crate) async fn fetch_run(job: &Job, file: usize, claim: Range<u64>) -> Result<(), DownloadError> {
    let start = claim.start;
    let mut pour = Pour::new(file, claim);
    let mut crawl = Crawl::default();
    let mut fruitless = 0;
    let result = loop {
        let (before, outpaced) = (pour.reached(), crawl.outpaced());
        let error = match attempt(job, &mut pour, &mut crawl, fruitless).await {
            Ok(()) => break Ok(()),
            Err(error) => error,
        };
        let is_changed = error.kind == DownloadErrorKind::Source(SourceErrorKind::Changed);
        if is_changed && pour.ask_whole(job) {
            continue;
        }
        if error.is_refusal() && pour.can_resume() && job.has_place_left(file)? {
            // A mirror may have it, and is asked at once. Each place is lost once, so this ends.
            continue;
        }
        if crawl.outpaced() > outpaced && !job.ending.is_cancelled() {
            continue;
        }
        if !can_try_again(job, &pour, &error) {
            break Err(error);
        }
        let is_slow = error.kind == DownloadErrorKind::TooSlow;
        fruitless = match () {
            // What waited so long already is not waited for four times.
            () if is_slow => fruitless + 2,
            () if pour.reached() > before => 0,
            () => fruitless + 1,
        };
        if fruitless >= FRUITLESS_MAX {
            break Err(error);
        }
        if fruitless > 0 {
            // Its chunk's place is another's meanwhile.
            let _pausing = job.pausing();
            tokio::select! {
                biased;
                () = job.ending.cancelled() => break Err(error),
                () = sleep(PAUSE * (1 << fruitless)) => {}
            }
        }
    };
    job.plan(file, |plan| plan.release(start))?;
    result
}

/// Whether the run itself tries again. If not, its chunk's try ends, and the chunk is tried again later as a whole.
fn can_try_again(job: &Job, pour: &Pour, error: &DownloadError) -> bool {
    let is_passing = match error.kind {
        DownloadErrorKind::Source(SourceErrorKind::Transient | SourceErrorKind::Internal) => true,
        // A silent source is asked again at once only for what would be lost: otherwise others are served first.
        DownloadErrorKind::TooSlow => pour.has_unfinished(),
        _ => false,
    };
    is_passing && error.retry_after.is_none() && pour.can_resume() && !job.ending.is_cancelled()
}

/// One request for what is left of the run.
async fn attempt(job: &Job, pour: &mut Pour, crawl: &mut Crawl, fruitless: u32) -> Result<(), DownloadError> {
    let file = pour.file();
    let url = job.url(file, job.attempts + fruitless + crawl.outpaced())?;
    let source = source_of(&url);
    let lane = tokio::select! {
        biased;
        () = job.ending.cancelled() => return Err(DownloadError::cancelled()),
        lane = enter(job, (&source, pour.rest_bytes())) => lane?,
    };
    pour.settle(job, &source)?;
    let request = job.request(file, url, pour.next_range(job)?)?;
    let patience = job.shared.lanes.patience(&source, job.attempts + fruitless);
    let mut asked = Asked { url: request.url.clone(), lane, active: job.active(), patience };
    let result = match asked.answer(job, file, request).await {
        Ok(response) => receive(job, pour, response, (crawl, &mut asked)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        asked.blame(job, error);
        if error.is_refusal() {
            job.lose(asked.url);
        }
    }
    result
}

/// Waits for a lane. A chunk whose requests are all silent asks for nothing else until one of them has moved or ended: it
/// would only be waited for in more places. Where most are silent, it asks for one thing first.
async fn enter(job: &Job, (source, bytes): (&str, u64)) -> Result<Lane, DownloadError> {
    let is_retry = job.attempts > 0;
    // One that has failed before may wait for long; its chunk's place is another's meanwhile.
    let _pausing = is_retry.then(|| job.pausing());
    loop {
        job.not_held(source).await;
        let lane = job.shared.lanes.enter(job.turn(), (source, bytes), is_retry).await?;
        if !job.is_held(source) {
            return Ok(lane);
        }
    }
}

/// A request that is open, and its right to be.
struct Asked<'a> {
    url: Url,
    lane: Lane,
    active: Active<'a>,
    patience: Patience,
}

impl Asked<'_> {
    /// Sends a request and waits for the answer; when it is late, asks once more beside it and takes the first answer.
    async fn answer(
        &mut self,
        job: &Job,
        file: usize,
        request: FetchRequest,
    ) -> Result<FetchResponse, DownloadError> {
        let started = job.shared.clock.monotonic();
        let source = job.shared.sources.get(&request.url)?;
        let mut first = source.fetch(request.clone());
        let in_time = timeout(self.patience.overdue, &mut first).await;
        let answer = if let Ok(answer) = in_time {
            Late::Answer(answer)
        } else {
            self.silent();
            let late = self.late_answer(job, file, &request, first).await;
            self.active.set_overdue(false);
            late
        };
        let too_slow = |why: &str| {
            let silent_for = job.shared.clock.monotonic().saturating_sub(started).as_secs_f64();
            let message = format!("{}: no answer for {silent_for:.1} s, {why}", redacted(&request.url));
            DownloadError::new(DownloadErrorKind::TooSlow, message)
        };
        match answer {
            Late::Answer(answer) => {
                let response = answer?;
                self.lane.answered();
                job.answered();
                Ok(response)
            }
            Late::Beside(beside) => {
                self.blame(job, &too_slow("and another request was faster"));
                Ok(self.turn_to(job, beside))
            }
            Late::GaveWay => Err(too_slow("and others waited for its place")),
            Late::Never => Err(too_slow("which is longer than it usually takes")),
        }
    }

    async fn late_answer(
        &mut self,
        job: &Job,
        file: usize,
        request: &FetchRequest,
        first: BoxFuture<'_, Result<FetchResponse, SourceError>>,
    ) -> Late {
        let patience = self.patience;
        let hedge = async {
            // Where there is no room for it now, there may be later.
            let mut wait = STALL_HEDGE.min(patience.first_byte / 4);
            loop {
                sleep(wait).await;
                if let Some(beside) = ask_beside(job, file, request).await {
                    return beside;
                }
                wait = wait.saturating_mul(2);
            }
        };
        tokio::select! {
            biased;
            answer = first => Late::Answer(answer),
            beside = hedge => Late::Beside(beside),
            () = self.gives_way(patience.give_way) => Late::GaveWay,
            () = sleep(patience.first_byte.saturating_sub(patience.overdue)) => Late::Never,
        }
    }

    /// Goes on with the request that was made beside it.
    fn turn_to(&mut self, job: &Job, beside: Beside) -> FetchResponse {
        self.lane = beside.lane;
        self.lane.takes_over();
        job.answered();
        self.url = beside.url;
        beside.response
    }

    /// It brings nothing: others may start meanwhile.
    fn silent(&mut self) {
        self.lane.overdue();
        self.active.set_overdue(true);
    }

    /// It brings bytes again.
    fn moves(&mut self) {
        self.lane.moves();
        self.active.set_overdue(false);
    }

    /// Returns when it is to make room for others, which is not before `after`.
    async fn gives_way(&mut self, after: Duration) {
        sleep(after).await;
        self.lane.give_way().await;
    }

    /// Charges the source with a failure, if it is to blame.
    fn blame(&mut self, job: &Job, error: &DownloadError) {
        match error.blame() {
            Some(blame) if error.kind == DownloadErrorKind::TooSlow => {
                self.lane.was_silent(&blame, random(job));
            }
            Some(blame) => self.lane.failed(&blame, job.attempts == 0, random(job)),
            None => {}
        }
    }
}

/// What became of a request that was late.
enum Late {
    Answer(Result<FetchResponse, SourceError>),
    Beside(Beside),
    GaveWay,
    Never,
}

/// A second request for the same bytes, answered.
struct Beside {
    url: Url,
    lane: Lane,
    response: FetchResponse,
}

/// The same request beside one that is silent, if there is room for it that nobody else wants: to another source that has
/// the object, or else to the same one.
async fn ask_beside(job: &Job, file: usize, silent: &FetchRequest) -> Option<Beside> {
    let url = job.url_beside(file, &silent.url).ok()?;
    let source = job.shared.sources.get(&url).ok()?;
    let total = job.plan(file, |plan| plan.total()).ok()?;
    let bytes = match (&silent.range, total) {
        (Some(range), Some(total)) => total.min(range.end).saturating_sub(range.start),
        (None, Some(total)) => total,
        // More is asked for than most objects have.
        (_, None) => SEGMENT_BYTES,
    };
    let is_same = source_of(&url) == source_of(&silent.url);
    let mut lane = job.shared.lanes.try_enter(&source_of(&url), bytes, is_same)?;
    // From the start it keeps nobody from starting.
    lane.overdue();
    let request = FetchRequest { url: url.clone(), ..silent.clone() };
    let answer = tokio::select! {
        biased;
        answer = source.fetch(request) => answer,
        () = lane.give_way() => return None,
    };
    match answer {
        Ok(response) => {
            lane.answered();
            Some(Beside { url, lane, response })
        }
        Err(error) => {
            lane.failed(&error, job.attempts == 0, random(job));
            None
        }
    }
}

/// Takes an answer in, if it is of the object that is wanted.
async fn receive(
    job: &Job,
    pour: &mut Pour,
    response: FetchResponse,
    (crawl, asked): (&mut Crawl, &mut Asked<'_>),
) -> Result<(), DownloadError> {
    pour.accept(job, &response)?;
    let mut body = response.body;
    crawl.begin();
    let mut last_stop = None;
    loop {
        if pour.is_full() {
            let (bytes, waited) = crawl.body();
            asked.lane.delivered(bytes, waited);
            return pour.flush(job);
        }
        if job.ending.is_cancelled() {
            // The try has failed elsewhere: what was begun of a segment is worth its rest, and no more.
            let stop = *last_stop.get_or_insert(pour.reached().next_multiple_of(SEGMENT_BYTES));
            if pour.reached() >= stop {
                pour.flush(job)?;
                return Err(DownloadError::cancelled());
            }
        }
        match next_piece(job, pour, &mut body, (crawl, asked)).await? {
            Some(bytes) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                job.shared.bandwidth.pass(len).await;
                asked.lane.received(len);
                pour.add(job, bytes)?;
            }
            None => return pour.end(job),
        }
    }
}

/// The next bytes of a body. One that stalls is asked for once more, beside it, from where it stands; the first to bring
/// bytes goes on, so that nothing is received twice.
async fn next_piece(
    job: &Job,
    pour: &mut Pour,
    body: &mut Body,
    (crawl, asked): (&mut Crawl, &mut Asked<'_>),
) -> Result<Option<Bytes>, DownloadError> {
    let clock = &job.shared.clock;
    let started = clock.monotonic();
    let overdue = asked.patience.overdue;
    let in_time = timeout(overdue, body.next()).await;
    let next = if let Ok(next) = in_time {
        next
    } else {
        asked.silent();
        let silence_max = crawl.silence_max().filter(|_| pour.can_resume());
        let silence_max = silence_max.map(|time| time.saturating_sub(overdue));
        let next = after_stall(job, pour, body, (asked, silence_max)).await;
        asked.moves();
        next?
    };
    let next = next.transpose()?;
    let waited = clock.monotonic().saturating_sub(started);
    let bytes = next.as_ref().map_or(0, Bytes::len);
    let (lanes, source) = (&job.shared.lanes, source_of(&asked.url));
    let others = lanes.rate_of_others(&source).filter(|_| pour.can_resume());
    let why = match crawl.on_piece(u64::try_from(bytes).unwrap_or(u64::MAX), waited, others) {
        Pace::Sound if pour.can_resume() || !crawl.is_hopeless(job.attempts, lanes.rate_before(&source)) => {
            return Ok(next);
        }
        Pace::Sound | Pace::Outpaced => "it brings much less than others do".to_string(),
        Pace::Crawling => format!("fewer than {CRAWL_BYTES} bytes in {CRAWL_TIME:?}"),
    };
    let message = format!("{}: {why}", pour.source(job));
    Err(DownloadError::new(DownloadErrorKind::TooSlow, message))
}

type Piece = Option<Result<Bytes, SourceError>>;

/// What comes after a while without bytes: an empty piece if nothing does for `silence_max`, when it is known what others bring.
async fn after_stall(
    job: &Job,
    pour: &mut Pour,
    body: &mut Body,
    (asked, silence_max): (&mut Asked<'_>, Option<Duration>),
) -> Result<Piece, DownloadError> {
    pour.flush(job)?;
    let too_slow = |why: String| {
        let message = format!("{}: {why}", pour.source(job));
        DownloadError::new(DownloadErrorKind::TooSlow, message)
    };
    let (url, source) = (asked.url.clone(), source_of(&asked.url));
    let hedge = async {
        sleep(STALL_HEDGE).await;
        fresh_body(job, pour, url).await
    };
    let outpaced = async {
        let mut wait = silence_max.unwrap_or_default();
        loop {
            sleep(wait).await;
            if job.shared.lanes.rate_of_others(&source).is_some() {
                return;
            }
            wait = STALL_HEDGE;
        }
    };
    let (piece, beside) = tokio::select! {
        biased;
        piece = body.next() => return Ok(piece),
        Some(fresh) = hedge => fresh,
        () = asked.gives_way(STALL_HEDGE) => {
            return Err(too_slow("its body stalled, and others waited for its place".to_string()));
        }
        () = outpaced, if silence_max.is_some() => return Ok(Some(Ok(Bytes::new()))),
        () = sleep(STALL_MAX) => return Err(too_slow(format!("nothing came for {STALL_MAX:?}"))),
    };
    *body = asked.turn_to(job, beside).body;
    Ok(piece)
}

/// A second body for the same bytes, with its first piece; `None` if there is none to be had.
async fn fresh_body(job: &Job, pour: &Pour, stalled: Url) -> Option<(Piece, Beside)> {
    let rest = pour.rest().filter(|_| pour.can_resume())?;
    let file = pour.file();
    let request = job.request(file, stalled, Some(rest.clone())).ok()?;
    let mut beside = ask_beside(job, file, &request).await?;
    let response = &mut beside.response;
    let total = job.plan(file, |plan| plan.total()).ok()?;
    let has_digest = job.file(file).ok()?.has_digest();
    let is_version = has_digest || response.validator == request.validator;
    if response.offset != rest.start || response.total != total || !is_version {
        return None;
    }
    match response.body.next().await {
        Some(Ok(bytes)) => Some((Some(Ok(bytes)), beside)),
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
