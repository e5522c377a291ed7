//! Fetching in the foreground: watches the hold until the wanted chunks are ready or given up, and shows it.
//! Refuses to fetch; the hold does. Stopping it leaves what was fetched for the next run.

use std::collections::HashMap;
use std::time::Duration;

use data_manager::data_chunk::{ChunkId, hex_id};
use data_manager::data_manager::DataManagerImpl;
use data_manager::event::{Event, Watch};
use data_manager::status::ChunkState;
use host::Clock;

use crate::exit::{Exit, Outcome};
use crate::hindrances::{Hindrances, Stuck};
use crate::notes::Notes;
use crate::progress::{Overall, Progress};
use crate::quantity::show_duration;
use crate::runtime::runtime;
use crate::settling::{Patience, Settling};
use crate::stop_signal::StopSignal;

/// How often progress is shown.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// How many failures are told one by one, unless everything is to be told.
const FAILURES_SAID_MAX: usize = 20;

/// After a look at all chunks, at least this many times what it took goes by before the next.
const LOOK_PAUSE: u32 = 10;

/// Shorter silences are not looked into.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// What is waited for, and how long.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The chunks, and their sizes where they are known.
    pub(crate) chunks: HashMap<ChunkId, Option<u64>>,
    pub(crate) patience: Patience,
    pub(crate) timeout: Option<Duration>,
    /// How many data directories there are: when all of them are full, nothing moves.
    pub(crate) data_dirs: usize,
}

/// Why the waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Every chunk is ready or given up.
    Settled,
    /// By a signal, with its exit code.
    Stopped(Exit),
    TimedOut,
    /// Every data directory waits, for this reason.
    Stuck(Stuck),
    /// The hold was closed under us.
    Closed,
}

/// Calls `start`, which asks the hold for the chunks, and waits.
pub(crate) fn fetch(
    hold: &DataManagerImpl,
    wanted: Wanted,
    notes: Notes,
    start: impl FnOnce() -> Outcome<()>,
) -> Outcome<(Settling, End)> {
    let runtime = runtime()?;
    let within = runtime.enter();
    let mut stop = StopSignal::listen()?;
    drop(within);
    // Watched before it is asked, so that no event is missed.
    let mut watch = hold.watch();
    start()?;
    let timeout = wanted.timeout;
    let mut fetching = Fetching::new(hold, wanted, notes);
    let end = runtime.block_on(fetching.run(&mut watch, &mut stop, timeout));
    let settling = fetching.settling;
    fetching.progress.finish();
    Ok((settling, end))
}

struct Fetching<'a> {
    hold: &'a DataManagerImpl,
    sizes: HashMap<ChunkId, Option<u64>>,
    settling: Settling,
    hindrances: Hindrances,
    progress: Progress,
    notes: Notes,
    /// How many failures of chunks were said.
    failures_said: usize,
    /// Events were missed, so all chunks have to be looked at.
    is_behind: bool,
    /// They are not looked at before this time.
    next_look: Duration,
    clock: Clock,
    began: Duration,
    /// How much had come when something came last, and when that was.
    came: (u64, Duration),
}

impl<'a> Fetching<'a> {
    fn new(hold: &'a DataManagerImpl, wanted: Wanted, notes: Notes) -> Fetching<'a> {
        let clock = Clock::system();
        Fetching {
            hold,
            settling: Settling::new(wanted.chunks.keys().copied(), wanted.patience),
            sizes: wanted.chunks,
            hindrances: Hindrances::new(wanted.data_dirs),
            progress: Progress::new(notes),
            notes,
            failures_said: 0,
            is_behind: false,
            next_look: Duration::ZERO,
            began: clock.monotonic(),
            came: (0, clock.monotonic()),
            clock,
        }
    }

    async fn run(&mut self, watch: &mut Watch, stop: &mut StopSignal, timeout: Option<Duration>) -> End {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut time_is_up = std::pin::pin!(async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        });
        self.look_at_all();
        while !self.settling.is_settled() {
            tokio::select! {
                event = watch.next() => match event {
                    Some(event) => self.take(event),
                    None => return End::Closed,
                },
                exit = stop.received() => return End::Stopped(exit),
                () = &mut time_is_up => return End::TimedOut,
                _ = ticks.tick() => self.tick(),
            }
            if let Some(stuck) = self.hindrances.stuck(self.hold) {
                return End::Stuck(stuck);
            }
        }
        End::Settled
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ready(id) => self.look_at(id),
            Event::Started(id) if self.notes.is_verbose() => self.say_of(id, "started"),
            Event::Failed { id, reason, next_try } if self.settling.is_wanted(&id) => {
                let tries = self.hold.status(id).map_or(0, |status| status.attempts);
                self.failed(id, tries, &reason, next_try);
            }
            Event::Quarantined { id, reason } => {
                self.lost(id, &reason);
            }
            Event::Lagged(_) => {
                self.is_behind = true;
                self.hindrances.look(self.hold);
            }
            other => self.hindrances.take(&other, &self.progress),
        }
    }

    fn failed(&mut self, id: ChunkId, tries: u32, reason: &str, next_try: Option<Duration>) {
        if self.settling.failed(id, tries, reason, next_try) {
            self.say_failure(id, &format!("given up: {reason}"));
        } else if self.settling.is_waiting_for(&id) {
            let next_try = show_duration(next_try.unwrap_or_default());
            self.say_failure(id, &format!("try {tries} failed, next in {next_try}: {reason}"));
        }
    }

    /// A chunk was found damaged, which may have counted as ready.
    fn lost(&mut self, id: ChunkId, reason: &str) {
        self.settling.lost(id);
        if self.hold.status(id).is_some_and(|status| status.is_wanted) {
            self.say_of(id, &format!("damaged, fetched again: {reason}"));
        } else {
            self.say_of(id, &format!("damaged, and not known any more where it came from: {reason}"));
            self.settling.failed(id, 0, reason, None);
        }
    }

    /// One failure is news, a thousand of them are not.
    fn say_failure(&mut self, id: ChunkId, what: &str) {
        self.failures_said += 1;
        if self.notes.is_verbose() || self.failures_said <= FAILURES_SAID_MAX {
            self.say_of(id, what);
        } else if self.failures_said == FAILURES_SAID_MAX + 1 {
            self.progress.say("more chunks fail, which are not named one by one (-v names all)");
        }
    }

    /// Asks the hold how each chunk is: at the start, and when events were missed.
    fn look_at_all(&mut self) {
        self.is_behind = false;
        let began = self.clock.monotonic();
        let waiting: Vec<ChunkId> = self.settling.waiting().collect();
        for id in waiting {
            self.look_at(id);
        }
        let now = self.clock.monotonic();
        self.next_look = now.saturating_add(now.saturating_sub(began) * LOOK_PAUSE);
    }

    fn look_at(&mut self, id: ChunkId) {
        let Some(status) = self.hold.status(id).filter(|_| self.settling.is_wanted(&id)) else { return };
        match status.state {
            ChunkState::Ready if !self.settling.is_ready(&id) => {
                self.settling.became_ready(id, status.bytes_done);
                if self.notes.is_verbose() {
                    self.say_of(id, "ready");
                }
            }
            ChunkState::Failed => {
                let reason = status.last_error.unwrap_or_default();
                self.failed(id, status.attempts, &reason, status.next_try_in);
            }
            _ => {}
        }
    }

    fn say_of(&self, id: ChunkId, what: &str) {
        self.progress.say(&format!("chunk {}: {what}", hex_id(&id)));
    }

    fn tick(&mut self) {
        let fetched_bytes = self.hold.totals().fetched_bytes;
        self.show(fetched_bytes);
        self.hindrances.say_which_sources_rest(self.hold, &self.progress);
        let now = self.clock.monotonic();
        if self.is_behind && now >= self.next_look {
            self.look_at_all();
        }
        if self.came.0 == fetched_bytes {
            self.give_up_what_waits(now.saturating_sub(self.came.1));
        } else {
            self.came = (fetched_bytes, now);
        }
    }

    fn give_up_what_waits(&mut self, silence: Duration) {
        if silence < SILENCE_MIN {
            return;
        }
        let waiting: Vec<ChunkId> = self.settling.waiting().collect();
        for id in waiting {
            let Some(status) = self.hold.status(id).filter(|status| status.state == ChunkState::Failed)
            else {
                continue;
            };
            let reason = status.last_error.unwrap_or_default();
            if self.settling.got_nothing(id, status.attempts, &reason, silence) {
                self.say_failure(
                    id,
                    &format!("given up, as nothing came for {}: {reason}", show_duration(silence)),
                );
            }
        }
    }

    fn show(&mut self, bytes_fetched: u64) {
        let in_flight = self.hold.progress();
        let mine = in_flight.iter().filter(|chunk| self.settling.is_wanted(&chunk.id));
        let bytes_staged: u64 = mine.map(|chunk| chunk.bytes_done).sum();
        let overall = Overall {
            chunks_ready: self.settling.ready_len(),
            chunks_given_up: self.settling.given_up().len(),
            chunks_all: self.settling.wanted_len(),
            bytes_done: self.settling.ready_bytes().saturating_add(bytes_staged),
            bytes_all: self.sizes.values().try_fold(0u64, |sum, size| sum.checked_add((*size)?)),
            bytes_fetched,
        };
        let elapsed = self.clock.monotonic().saturating_sub(self.began);
        self.progress.show(elapsed, &overall, &in_flight);
    }
}
