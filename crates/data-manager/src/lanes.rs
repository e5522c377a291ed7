//! Lanes: who may have a request open, in order of urgency, as many as are useful, and none to a source that rests.
//! Refuses to make requests: it gives out guards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::Clock;
use tokio::sync::{Notify, oneshot};
use url::Url;

use crate::data_catalogue::Turn;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::health::{Health, Verdict};
use crate::options::Limits;
use crate::status::SourceStatus;
use crate::usual::{FULL_LOAD, Usual};
use crate::window::Window;

mod hedges;
mod lane;

use hedges::{Hedge, Hedges};
pub(crate) use lane::Lane;

/// A request that has been silent for this long no longer keeps others from starting, until it has bytes.
const OVERDUE_MIN: Duration = Duration::from_millis(20);
const OVERDUE_MAX: Duration = Duration::from_secs(2);
/// The same while nothing is known of the source, and when its first requests have been silent for so long already.
const OVERDUE_FIRST: Duration = Duration::from_millis(150);
const OVERDUE_NEXT: Duration = Duration::from_millis(25);

/// A request that has been silent for this long after it became overdue gives way; doubled from try to try.
const GIVE_WAY: Duration = Duration::from_millis(500);

/// How long a first byte may take before the request is given up, at the first try; doubled from try to try.
const FIRST_BYTE_MIN: Duration = Duration::from_secs(2);
/// The same while nothing is known of the source.
const FIRST_BYTE_FIRST: Duration = Duration::from_secs(15);
const FIRST_BYTE_MAX: Duration = Duration::from_mins(1);

/// Of all requests, this part at most may be silent ones of chunks that have failed before.
const RETRY_PART: u32 = 4;

/// Sources that are remembered; healthy ones that nobody asks are forgotten beyond that.
const SOURCES_MAX: usize = 1_024;

/// Gives out lanes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// Held for memory work only; waiters are told after it is free.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    window: Window,
    limits: Limits,
    /// Requests that count against the window.
    counted: u32,
    /// The same by their loads, which is what the window limits.
    load: u32,
    /// All requests, overdue ones included.
    open: u32,
    /// Those that count and have been answered.
    moving: u32,
    waiting: BTreeMap<(Turn, u64), Waiter>,
    last_waiter: u64,
    last_lane: u64,
    /// Silent requests that give way to others, the oldest first: where to, and how to tell them.
    yielding: BTreeMap<u64, (String, Arc<Notify>)>,
    /// One at a time is told to give way; this is the one, until it has gone.
    leaving: Option<u64>,
    sources: HashMap<String, SourceState>,
    /// With so many sources those that are healthy are forgotten.
    sources_sweep_at: usize,
    fetched_bytes: u64,
    hedges: Hedges,
}

#[derive(Debug)]
struct Waiter {
    source: String,
    /// What the request may bring at most.
    bytes: u64,
    is_retry: bool,
    reply: oneshot::Sender<Result<Lane, DownloadError>>,
}

#[derive(Debug)]
struct SourceState {
    health: Health,
    open: u32,
    /// Those of them that wait for their first byte for longer than is usual, by when they were sent.
    overdue: BTreeSet<(Duration, u64)>,
    /// Those of them that have been answered.
    answered: usize,
    /// When it last answered anything.
    answered_at: Option<Duration>,
    /// When the youngest of the requests that it has answered was sent.
    outrun_before: Duration,
}

/// How long a request may take to its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// After this it is overdue: it goes on without keeping others from starting.
    pub(crate) overdue: Duration,
    /// After this it gives way to others that cannot start because too many requests are open.
    pub(crate) give_way: Duration,
    /// After this it is given up.
    pub(crate) first_byte: Duration,
}

/// What a source is named by: scheme, host and port.
pub(crate) fn source_of(url: &Url) -> String {
    let port = url.port_or_known_default().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

impl Lanes {
    pub(crate) fn new(limits: Limits, clock: Clock) -> Lanes {
        let window = Window::new(limits.connections_max);
        let inner = Inner {
            window,
            limits,
            counted: 0,
            load: 0,
            open: 0,
            moving: 0,
            waiting: BTreeMap::new(),
            last_waiter: 0,
            last_lane: 0,
            yielding: BTreeMap::new(),
            leaving: None,
            sources: HashMap::new(),
            sources_sweep_at: SOURCES_MAX,
            fetched_bytes: 0,
            hedges: Hedges::default(),
        };
        Lanes { shared: Arc::new(Shared { clock, inner: Mutex::new(inner) }) }
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut inner = self.shared.lock();
        inner.limits = limits;
        inner.window.set_limit_max(limits.connections_max);
        self.shared.grant(inner);
    }

    /// Waits for a lane to `source` for a request for at most `bytes`. `is_retry` is whether the chunk that wants it has failed before.
    ///
    /// # Errors
    /// `Closed` with the time to wait, at once, when the source rests after too many failures.
    pub(crate) async fn enter(
        &self,
        turn: Turn,
        (source, bytes): (&str, u64),
        is_retry: bool,
    ) -> Result<Lane, DownloadError> {
        let (reply, granted) = oneshot::channel();
        let key = self.wait(turn, Waiter { source: source.to_string(), bytes, is_retry, reply });
        let leave = LeaveOnDrop { shared: &self.shared, key };
        // Whoever comes at the same time is in line first: tasks run in no order, and the first lanes are for the most urgent.
        tokio::task::yield_now().await;
        self.shared.grant(self.shared.lock());
        let answer = granted.await;
        drop(leave);
        answer.unwrap_or_else(|_| Err(DownloadError::cancelled()))
    }

    /// A lane to `source` for a request for `bytes` beside one that is silent: only where there is room that nobody else wants,
    /// never to a source that is late with most of its answers, which more requests would not make faster, and only out of the
    /// budget of all such requests.
    pub(crate) fn try_enter(&self, source: &str, bytes: u64, is_same: bool) -> Option<Lane> {
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        if !inner.waiting.is_empty()
            || !inner.has_room()
            || inner.load >= inner.window.limit().saturating_mul(FULL_LOAD)
        {
            return None;
        }
        if inner.is_source_full(source) || inner.source(source, now).health.may_start(now) != Verdict::Yes {
            return None;
        }
        let hedge = Hedge { bytes, is_same };
        if (is_same && inner.is_late(source)) || !inner.hedges.may_open(hedge, inner.fetched_bytes) {
            return None;
        }
        let mut lane = inner.open_lane((source, bytes), now, &self.shared);
        lane.hedge = Some(hedge);
        inner.hedges.open(hedge);
        Some(lane)
    }

    /// Takes a place among those that wait, and is granted nothing yet.
    fn wait(&self, turn: Turn, waiter: Waiter) -> (Turn, u64) {
        let mut inner = self.shared.lock();
        inner.last_waiter += 1;
        let key = (turn, inner.last_waiter);
        inner.waiting.insert(key, waiter);
        key
    }

    pub(crate) fn patience(&self, source: &str, attempts: u32) -> Patience {
        let inner = self.shared.lock();
        let state = inner.sources.get(source);
        let usual = state.and_then(|state| state.health.first_byte_usual());
        let p95 = state.and_then(|state| state.health.first_byte_p95());
        let is_silent = state.is_some_and(|state| !state.overdue.is_empty());
        drop(inner);
        let unknown = if is_silent { OVERDUE_NEXT } else { OVERDUE_FIRST };
        let overdue = usual.map_or(unknown, |usual| usual.saturating_mul(4).clamp(OVERDUE_MIN, OVERDUE_MAX));
        let first_byte = p95.map_or(FIRST_BYTE_FIRST, |p95| p95.saturating_mul(16));
        let doubled = first_byte.max(FIRST_BYTE_MIN).saturating_mul(1 << attempts.min(5));
        // Doubled as well, so that a source that is only slow is waited for in the end, however many want its place.
        let give_way = GIVE_WAY.saturating_mul(1 << attempts.min(8));
        Patience { overdue, give_way, first_byte: doubled.min(FIRST_BYTE_MAX) }
    }

    /// Whether others are to be asked in a source's place, where there are others.
    pub(crate) fn is_shunned(&self, source: &str) -> bool {
        let now = self.shared.clock.monotonic();
        self.shared.lock().sources.get(source).is_some_and(|state| state.health.is_shunned(now))
    }

    /// Whether more requests to a source are silent for longer than is usual than it answers, be it the source's fault or
    /// that of what they ask for.
    pub(crate) fn is_mostly_silent(&self, source: &str) -> bool {
        self.shared.lock().sources.get(source).is_some_and(|state| state.overdue.len() > state.answered)
    }

    /// Bytes a second that another request to a source would bring: what they usually do, but no more than an even part of
    /// what the link can do. `None` while that is not known.
    pub(crate) fn rate_of_others(&self, source: &str) -> Option<u64> {
        let inner = self.shared.lock();
        let usual = inner.sources.get(source)?.health.body_rate()?;
        let part = inner.window.best_rate().map(|rate| rate / u64::from(inner.counted.max(1)));
        Some(part.map_or(usual, |part| usual.min(part)))
    }

    /// What bodies of a source have brought in a second, however long ago; `None` until enough are known.
    pub(crate) fn rate_before(&self, source: &str) -> Option<u64> {
        self.shared.lock().sources.get(source)?.health.body_rate()
    }

    /// How much a request to a source is to bring of a file of which nobody else fetches the next `rest` bytes.
    pub(crate) fn run_bytes(&self, source: &str, rest: u64) -> u64 {
        let inner = self.shared.lock();
        let usual = inner.sources.get(source).map(|state| state.health.usual()).unwrap_or_default();
        inner.run_bytes(usual, rest)
    }

    /// How long a source is to be left alone.
    pub(crate) fn rests_for(&self, source: &str) -> Option<Duration> {
        let now = self.shared.clock.monotonic();
        let until = self.shared.lock().sources.get(source).and_then(|state| state.health.rests_until())?;
        Some(until.saturating_sub(now)).filter(|rest| !rest.is_zero())
    }

    pub(crate) fn fetched_bytes(&self) -> u64 {
        self.shared.lock().fetched_bytes
    }

    pub(crate) fn open(&self) -> u32 {
        self.shared.lock().open
    }

    pub(crate) fn sources(&self) -> Vec<SourceStatus> {
        let now = self.shared.clock.monotonic();
        let inner = self.shared.lock();
        let mut sources: Vec<SourceStatus> = inner
            .sources
            .iter()
            .map(|(name, state)| SourceStatus {
                source: name.clone(),
                successes: state.health.success_count(),
                failures: state.health.failure_count(),
                last_error: state.health.last_error().map(str::to_string),
                closed_for: state.health.rests_until().map(|until| until.saturating_sub(now)),
                connections: state.open,
            })
            .collect();
        sources.sort_by(|a, b| a.source.cmp(&b.source));
        sources
    }
}

/// Takes a waiter out when its future is dropped, or after it was granted (then there is nothing to take).
struct LeaveOnDrop<'a> {
    shared: &'a Shared,
    key: (Turn, u64),
}

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.key);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain counters: whatever a panicking thread left is still a sound state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives lanes to the most urgent waiters that may have one, and tells them with the lock free.
    fn grant(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let now = self.clock.monotonic();
        let granted = inner.grant(now, self);
        drop(inner);
        // A waiter that is gone drops its lane, which comes back here for the next one.
        for (reply, answer) in granted {
            drop(reply.send(answer));
        }
    }
}

type Grant = (oneshot::Sender<Result<Lane, DownloadError>>, Result<Lane, DownloadError>);

impl Inner {
    fn grant(&mut self, now: Duration, shared: &Arc<Shared>) -> Vec<Grant> {
        let mut granted = Vec::new();
        let mut skipped = None;
        loop {
            let next = match skipped {
                None => self.waiting.first_key_value(),
                Some(after) => {
                    let behind = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
                    self.waiting.range(behind).next()
                }
            };
            let Some((&key, waiter)) = next else { break };
            let source = waiter.source.clone();
            if !self.has_room() {
                self.ask_to_leave(|_| true);
                break;
            }
            if self.load >= self.load_max() {
                self.window.is_short();
                break;
            }
            if waiter.is_retry
                && self.open - self.counted >= (self.limits.connections_max / RETRY_PART).max(1)
            {
                self.ask_to_leave(|_| true);
                skipped = Some(key);
                continue;
            }
            if self.is_source_full(&source) {
                self.ask_to_leave(|other| other == source);
                skipped = Some(key);
                continue;
            }
            let verdict = self.source(&source, now).health.may_start(now);
            let Some(waiter) = self.waiting.remove(&key) else { break };
            let answer = match verdict {
                Verdict::Yes | Verdict::Probe => Ok(self.open_lane((&source, waiter.bytes), now, shared)),
                Verdict::NotBefore(until) => Err(closed(&source, until.saturating_sub(now))),
            };
            granted.push((waiter.reply, answer));
        }
        granted
    }

    fn has_room(&self) -> bool {
        self.open < self.limits.connections_max
    }

    /// The load as the window counts it. The last request that it took in may have more than was left: that is no excess, or
    /// the window would wait for ever for it to go before it judges what it tries.
    fn load_whole(&self) -> u32 {
        self.load / FULL_LOAD
    }

    /// The window is for those that move bytes. As long as nothing does, twice as many may be asked for as are silent already.
    fn load_max(&self) -> u32 {
        let silent = if self.moving == 0 { self.open - self.counted } else { 0 };
        self.window.limit().saturating_add(silent).saturating_mul(FULL_LOAD)
    }

    /// Whether somebody waits for the window alone.
    fn is_window_short(&self) -> bool {
        !self.waiting.is_empty() && self.has_room() && self.load >= self.load_max()
    }

    /// What a request is to bring of the next `rest` bytes of a file.
    fn run_bytes(&self, usual: Usual, rest: u64) -> u64 {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        usual.run_bytes(rest, self.window.limit().saturating_sub(waiting))
    }

    fn is_source_full(&self, source: &str) -> bool {
        self.sources.get(source).is_some_and(|state| {
            // A source that is late with most is not asked for more than the window holds, overdue or not.
            let is_late = state.is_late() && state.health.first_byte_p95().is_some();
            let most = if is_late { self.window.limit() } else { u32::MAX };
            state.open >= self.limits.connections_per_source_max.min(most)
        })
    }

    /// Whether a source is late with most of several requests.
    fn is_late(&self, source: &str) -> bool {
        self.sources.get(source).is_some_and(|state| state.open > 1 && state.is_late())
    }

    fn source(&mut self, source: &str, now: Duration) -> &mut SourceState {
        if self.sources.len() >= self.sources_sweep_at && !self.sources.contains_key(source) {
            self.sources.retain(|_, state| {
                state.open > 0 || state.health.rests_until().is_some_and(|until| until > now)
            });
            // Where so many rest, not each new one looks at all of them.
            self.sources_sweep_at = self.sources.len().saturating_mul(2).max(SOURCES_MAX);
        }
        self.sources.entry(source.to_string()).or_insert_with(|| SourceState {
            health: Health::new(),
            open: 0,
            overdue: BTreeSet::new(),
            answered: 0,
            answered_at: None,
            outrun_before: Duration::ZERO,
        })
    }

    fn open_lane(&mut self, (source, bytes): (&str, u64), now: Duration, shared: &Arc<Shared>) -> Lane {
        let usual = self.source(source, now).health.usual();
        let run_bytes = self.run_bytes(usual, bytes);
        let state = self.source(source, now);
        state.open += 1;
        let load = usual.load(run_bytes);
        self.counted += 1;
        self.load += load;
        self.open += 1;
        self.last_lane += 1;
        Lane {
            shared: Arc::clone(shared),
            source: source.to_string(),
            number: self.last_lane,
            started: now,
            first_byte: Duration::ZERO,
            load,
            is_counted: true,
            is_answered: false,
            hedge: None,
            is_reported: false,
            told: Arc::default(),
        }
    }

    /// Tells the request that has been silent for longest to make room. When it has gone, the next may be told.
    fn ask_to_leave(&mut self, is_it: impl Fn(&str) -> bool) {
        if self.leaving.is_some() {
            return;
        }
        let oldest = self.yielding.iter().find(|(_, (source, _))| is_it(source)).map(|(number, _)| *number);
        if let Some(number) = oldest
            && let Some((_, told)) = self.yielding.remove(&number)
        {
            self.leaving = Some(number);
            told.notify_one();
        }
    }

    /// It has answered, or is gone.
    fn forget_silent(&mut self, number: u64) {
        self.yielding.remove(&number);
        if self.leaving == Some(number) {
            self.leaving = None;
        }
    }
}

impl SourceState {
    /// Whether most requests wait for their first byte for longer than is usual. Those that were sent before one that has
    /// been answered say nothing of the source: what they ask for hangs.
    fn is_late(&self) -> bool {
        let late = self.overdue.range((self.outrun_before, 0)..).count();
        let outrun = self.overdue.len() - late;
        late > usize::try_from(self.open).unwrap_or(usize::MAX).saturating_sub(outrun) / 2
    }
}

fn closed(source: &str, rest: Duration) -> DownloadError {
    let message = format!("{source} is left alone after repeated failures");
    DownloadError { retry_after: Some(rest), ..DownloadError::new(DownloadErrorKind::Closed, message) }
}

#[cfg(test)]
#[path = "../tests/unit/lanes.rs"]
mod tests;
