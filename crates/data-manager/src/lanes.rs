//! Lanes: who may have a request open, in order of urgency, as many as are useful, and none to a source that rests.
//! Refuses to make requests: it gives out guards.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::Clock;
use tokio::sync::oneshot;
use url::Url;

use crate::data_catalogue::Turn;
use crate::data_source::SourceError;
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::health::{Health, Verdict};
use crate::options::Limits;
use crate::status::SourceStatus;
use crate::window::Window;

/// A request that has had no first byte for this long no longer keeps others from starting, until it has one.
const OVERDUE_MIN: Duration = Duration::from_millis(20);
const OVERDUE_MAX: Duration = Duration::from_millis(250);

/// How long a first byte may take before the request is given up, at the first try; doubled from try to try.
const FIRST_BYTE_MIN: Duration = Duration::from_secs(2);
const FIRST_BYTE_MAX: Duration = Duration::from_secs(60);

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
    /// All requests, overdue ones included.
    open: u32,
    waiting: BTreeMap<(Turn, u64), Waiter>,
    last_waiter: u64,
    sources: HashMap<String, SourceState>,
    fetched_bytes: u64,
}

#[derive(Debug)]
struct Waiter {
    source: String,
    reply: oneshot::Sender<Result<Lane, DownloadError>>,
}

#[derive(Debug)]
struct SourceState {
    health: Health,
    open: u32,
}

/// The right to have one request open to one source. Dropping it gives it to the next in turn.
#[derive(Debug)]
pub(crate) struct Lane {
    shared: Arc<Shared>,
    source: String,
    is_counted: bool,
    is_reported: bool,
}

/// How long a request may take to its first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// After this it is overdue: it goes on without keeping others from starting.
    pub(crate) overdue: Duration,
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
        let window = Window::new(limits.connections_max, clock.monotonic());
        let inner = Inner {
            window,
            limits,
            counted: 0,
            open: 0,
            waiting: BTreeMap::new(),
            last_waiter: 0,
            sources: HashMap::new(),
            fetched_bytes: 0,
        };
        Lanes { shared: Arc::new(Shared { clock, inner: Mutex::new(inner) }) }
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut inner = self.shared.lock();
        inner.limits = limits;
        inner.window.set_limit_max(limits.connections_max);
        self.shared.grant(inner);
    }

    /// Waits for a lane to `source`.
    ///
    /// # Errors
    /// `Closed` with the time to wait, at once, when the source rests after too many failures.
    pub(crate) async fn enter(&self, turn: Turn, source: &str) -> Result<Lane, DownloadError> {
        let (reply, granted) = oneshot::channel();
        let key = self.wait(turn, Waiter { source: source.to_string(), reply });
        let leave = LeaveOnDrop { shared: &self.shared, key };
        let answer = granted.await;
        drop(leave);
        answer.unwrap_or_else(|_| Err(DownloadError::cancelled()))
    }

    /// Takes a place among those that wait.
    fn wait(&self, turn: Turn, waiter: Waiter) -> (Turn, u64) {
        let mut inner = self.shared.lock();
        inner.last_waiter += 1;
        let key = (turn, inner.last_waiter);
        inner.waiting.insert(key, waiter);
        self.shared.grant(inner);
        key
    }

    pub(crate) fn patience(&self, source: &str, attempts: u32) -> Patience {
        let p95 = self.shared.lock().sources.get(source).and_then(|state| state.health.first_byte_p95());
        let overdue = p95.map_or(OVERDUE_MAX, |p95| p95.saturating_mul(4).clamp(OVERDUE_MIN, OVERDUE_MAX));
        let first_byte = p95.map_or(FIRST_BYTE_MIN * 2, |p95| p95.saturating_mul(16));
        let doubled = first_byte.max(FIRST_BYTE_MIN).saturating_mul(1 << attempts.min(5));
        Patience { overdue, first_byte: doubled.min(FIRST_BYTE_MAX) }
    }

    /// Whether a source may be asked now.
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
        while self.open < self.limits.connections_max {
            let next = match skipped {
                None => self.waiting.first_key_value(),
                Some(after) => {
                    let behind = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
                    self.waiting.range(behind).next()
                }
            };
            let Some((&key, waiter)) = next else { break };
            if self.counted >= self.window.limit() {
                self.window.is_short();
                break;
            }
            let source = waiter.source.clone();
            let state = self
                .sources
                .entry(source.clone())
                .or_insert_with(|| SourceState { health: Health::new(), open: 0 });
            if state.open >= self.limits.connections_per_source_max {
                skipped = Some(key);
                continue;
            }
            let verdict = state.health.may_start(now);
            let Some(waiter) = self.waiting.remove(&key) else { break };
            if let Verdict::NotBefore(until) = verdict {
                let mut error = DownloadError::new(
                    DownloadErrorKind::Closed,
                    format!("{source} is left alone after repeated failures"),
                );
                error.retry_after = Some(until.saturating_sub(now));
                granted.push((waiter.reply, Err(error)));
                continue;
            }
            state.open += 1;
            self.counted += 1;
            self.open += 1;
            let lane = Lane { shared: Arc::clone(shared), source, is_counted: true, is_reported: false };
            granted.push((waiter.reply, Ok(lane)));
        }
        granted
    }
}

impl Lane {
    /// The request waits long for its first byte: others may start meanwhile.
    pub(crate) fn overdue(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            let mut inner = self.shared.lock();
            inner.counted -= 1;
            self.shared.grant(inner);
        }
    }

    /// The first byte is here.
    pub(crate) fn answered(&mut self, first_byte: Duration) {
        let mut inner = self.shared.lock();
        if !self.is_counted {
            self.is_counted = true;
            inner.counted += 1;
        }
        self.is_reported = true;
        if let Some(state) = inner.sources.get_mut(&self.source) {
            state.health.on_success(first_byte);
        }
    }

    /// Bytes of the body came in.
    pub(crate) fn received(&self, bytes: u64) {
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        inner.fetched_bytes = inner.fetched_bytes.saturating_add(bytes);
        if inner.window.on_bytes(now, bytes) {
            self.shared.grant(inner);
        }
    }

    /// The request failed.
    pub(crate) fn failed(&mut self, error: &SourceError, random: u64) {
        self.is_reported = true;
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        let Some(state) = inner.sources.get_mut(&self.source) else { return };
        state.health.on_failure(now, error, random);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let now = self.shared.clock.monotonic();
        let mut inner = self.shared.lock();
        inner.open -= 1;
        if self.is_counted {
            inner.counted -= 1;
        }
        if let Some(state) = inner.sources.get_mut(&self.source) {
            state.open -= 1;
            if !self.is_reported {
                state.health.on_cancelled(now);
            }
        }
        self.shared.grant(inner);
    }
}
