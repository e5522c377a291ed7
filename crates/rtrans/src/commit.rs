//! The group commit: many callers put records into one buffer, one of them writes and syncs it for all.
//! Refuses to acknowledge before what was asked for is true, and to go on after a write or a sync that failed.
//!
//! Who leads a round owns the store. A caller that finds nobody leading leads in its own thread: for one producer
//! there is no hand-off. While a round is written and synced, others fill the next one; its leader is appointed when
//! the round ends. Lock order: the queue alone; nothing is written, synced, woken or called under it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use host::{Clock, CoreWait};

use crate::chores::Chores;
pub(crate) use crate::committer::CommitterSeat;
use crate::error::Error;
use crate::helm::Helm;
use crate::ids::TransId;
use crate::metrics::Counters;
#[cfg(feature = "async")]
use crate::options::Threads;
use crate::options::{Level, Options, WhenFull};
use crate::outgoing::Outgoing;
pub(crate) use crate::queue::{Entry, ExpectLast, Place};
use crate::queue::{Queue, Turn};
use crate::round::{Outcome, Seat};
use crate::signal::Signal;
use crate::store::Store;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::thread::Thread;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::tail_page::TailPage;

/// Buffers that are kept to be filled again.
const BUFFERS_MAX: usize = 32;

/// A buffer that has grown beyond this is not kept.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// The group commit of one log.
#[derive(Debug)]
pub(crate) struct Commit {
    queue: Mutex<Queue>,
    /// Room has become free.
    room: Condvar,
    /// How many wait for that. Changed under the queue's lock, so that who has made room under it sees all of them: a
    /// wake-up that nobody waits for is a system call all the same.
    room_waiters: AtomicUsize,
    /// As many wait as the gathering leader waits for.
    gathered: Condvar,
    /// Nobody leads, and somebody waits for that.
    idle: Condvar,
    /// There are records in memory that were not written yet: readers have them written first.
    is_pending: AtomicBool,
    options: Options,
    clock: Clock,
    tail: TailPage,
    chores: Chores,
    pub(crate) counters: Counters,
    /// Told after each round with records, for followers: positions and marks wake nobody who waits for records.
    pub(crate) moved: Signal,
}

impl Commit {
    pub(crate) fn new(
        store: Store,
        options: &Options,
        clock: &Clock,
        tail: TailPage,
        chores: Chores,
    ) -> Commit {
        Commit {
            queue: Mutex::new(Queue::new(store)),
            room: Condvar::new(),
            room_waiters: AtomicUsize::new(0),
            gathered: Condvar::new(),
            idle: Condvar::new(),
            is_pending: AtomicBool::new(false),
            options: options.clone(),
            clock: clock.clone(),
            tail,
            chores,
            counters: Counters::default(),
            moved: Signal::default(),
        }
    }

    /// Puts records and controls into the open round, all or none, and waits until they are at their level.
    pub(crate) fn put_and_wait(&self, entry: Entry<'_>) -> Result<(Place, Level), Error> {
        let mut queue = self.admit(&entry)?;
        let (first, next) = queue.push(&entry, &self.options);
        let place = Place { round: Arc::clone(&queue.round), first, next, needed: entry.needed(next) };
        self.counters.note_put(entry.records);
        let seat = Seat::new();
        queue.seats.push(Arc::clone(&seat));
        if queue.is_free() {
            self.lead_as_caller(queue);
        } else {
            let is_enough = queue.turn == Turn::Gathering
                && queue.gather.patience().is_none_or(|(cohort, _)| queue.seats.len() >= cohort);
            drop(queue);
            if is_enough {
                self.gathered.notify_one();
            }
        }
        let level = self.wait(&place, &seat)?;
        Ok((place, level))
    }

    /// Puts records and controls into the open round, all or none, and returns at once.
    pub(crate) fn put(&self, entry: Entry<'_>) -> Result<Place, Error> {
        let mut queue = self.admit(&entry)?;
        let was_empty = queue.is_empty();
        let (first, next) = queue.push(&entry, &self.options);
        let place = Place { round: Arc::clone(&queue.round), first, next, needed: entry.needed(next) };
        // A ticket of that level is fulfilled at once: nobody asks it how the round went.
        queue.is_trusted |= entry.level == Level::Memory;
        self.see_to(queue, &entry, was_empty);
        Ok(place)
    }

    /// Puts records into the open round, all or none, for nobody to wait for; returns the first and the id behind.
    pub(crate) fn put_in_memory(&self, entry: Entry<'_>) -> Result<(u64, u64), Error> {
        let mut queue = self.admit(&entry)?;
        let was_empty = queue.is_empty();
        let ids = queue.push(&entry, &self.options);
        queue.is_trusted = true;
        self.see_to(queue, &entry, was_empty);
        Ok(ids)
    }

    /// Sees to it that somebody leads the open round in time.
    #[inline]
    fn see_to(&self, mut queue: MutexGuard<'_, Queue>, entry: &Entry<'_>, was_empty: bool) {
        self.counters.note_put(entry.records);
        let is_asked = entry.level > Level::Memory || !queue.full.is_empty();
        if entry.level > Level::Memory {
            queue.is_wanted = true;
        }
        // Under the lock, as its end is. The round may have been begun by somebody who waits for it.
        if !self.is_pending.load(Ordering::Relaxed) {
            self.is_pending.store(true, Ordering::Release);
        }
        if !was_empty && !is_asked {
            return;
        }
        // Whoever leads now appoints the next one: only what nobody leads has to be seen to.
        let is_free = queue.is_free();
        match &queue.committer {
            Some(seat) if is_asked && is_free => {
                let seat = Arc::clone(seat);
                drop(queue);
                seat.appoint();
            }
            Some(seat) if was_empty && !is_asked => {
                let seat = Arc::clone(seat);
                drop(queue);
                seat.linger();
            }
            None if is_free && !queue.full.is_empty() => self.lead(queue),
            _ => {}
        }
    }

    /// Waits for the round of a place.
    pub(crate) fn wait_for(&self, place: &Place) -> Result<Level, Error> {
        if let Some(outcome) = place.round.outcome() {
            return outcome.of(place.needed);
        }
        let seat = Seat::new();
        let mut queue = self.queue();
        if !Arc::ptr_eq(&queue.round, &place.round) {
            // Its leader is at work, and knows only the seats that it took along.
            drop(queue);
            return place.round.wait().of(place.needed);
        }
        queue.seats.push(Arc::clone(&seat));
        if queue.is_free() {
            self.lead_as_caller(queue);
        } else {
            drop(queue);
        }
        self.wait(place, &seat)
    }

    fn wait(&self, place: &Place, seat: &Arc<Seat>) -> Result<Level, Error> {
        let mut has_slept = false;
        loop {
            if let Some(outcome) = place.round.outcome() {
                if has_slept {
                    self.counters.note_wake(self.clock.monotonic().saturating_sub(outcome.ended_at));
                }
                // Appointed for a round that was over at that moment: whoever is next has to lead.
                if seat.is_appointed() {
                    self.lead_as_appointed();
                }
                return outcome.of(place.needed);
            }
            if seat.is_appointed() {
                self.lead_as_appointed();
                continue;
            }
            Seat::wait();
            has_slept = true;
        }
    }

    /// Makes everything that was put in so far reach a level.
    pub(crate) fn flush(&self, level: Level) -> Result<(), Error> {
        let is_there = level < Level::Disk && !self.is_pending.load(Ordering::Acquire);
        if is_there || (level < Level::Disk && self.failure().is_some()) {
            return Ok(());
        }
        let entry = Entry { records: &[], controls: &[], level, expect_last: None, epoch: None };
        self.put_and_wait(entry).map(|_| ())
    }

    /// Waits until the log may have moved on or is closed, at most for `timeout`; returns how much of that is over.
    pub(crate) fn wait_for_news(&self, timeout: Duration, is_there: impl Fn() -> bool) -> Duration {
        let began = self.clock.monotonic();
        // A clock that is moved by hand does not tell when the time is over.
        if self.moved.wait(timeout, is_there) {
            return timeout;
        }
        self.clock.monotonic().saturating_sub(began)
    }

    /// Does something with the store that is no append: everything put in before is written first.
    pub(crate) fn visit<T>(&self, visit: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        self.visit_and(visit, |_| {})
    }

    /// As [`Commit::visit`], with a change to the queue before anything else is taken.
    fn visit_and<T>(
        &self,
        visit: impl FnOnce(&mut Store) -> Result<T, Error>,
        change: impl FnOnce(&mut Queue),
    ) -> Result<T, Error> {
        let mut queue = self.queue();
        queue.visitors = queue.visitors.saturating_add(1);
        while !queue.is_at_rest() {
            queue = self.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.turn = Turn::Visited;
        if !queue.is_idle() {
            self.round(queue);
            queue = self.queue();
        }
        let mut has_moved = false;
        let done = match (queue.failure.clone(), queue.store.take()) {
            (None, Some(mut store)) => {
                drop(queue);
                let before = store.next();
                let done = visit(&mut store);
                has_moved = store.next() != before;
                let chores = store.take_chores();
                // What it did is told before anybody can write more.
                drop(self.tail.tell(&store.tail()));
                self.chores.put(chores);
                queue = self.queue();
                queue.epoch = store.memory().epoch;
                queue.store = Some(store);
                done
            }
            (failure, store) => {
                queue.store = store;
                Err(failure.unwrap_or(Error::Closed))
            }
        };
        // What a visit does has steps: one that fails for want of a handle may have left some of them.
        // It is no error after which the log goes on, and must not read as one.
        let done = done.map_err(|error| match error {
            Error::NoHandles(error) => Error::Io(error),
            other => other,
        });
        if let Err(Error::Io(error)) = &done {
            queue.failure.get_or_insert_with(|| Error::Poisoned(Arc::clone(error)));
        }
        queue.renumber();
        change(&mut queue);
        queue.turn = Turn::Free;
        queue.visitors = queue.visitors.saturating_sub(1);
        self.hand_over(queue);
        if has_moved {
            self.moved.tell();
        }
        self.tell_room();
        done
    }

    /// Looks at the store between two rounds, also when nothing is taken any more.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&Store) -> T) -> Result<T, Error> {
        let mut queue = self.queue();
        queue.visitors = queue.visitors.saturating_add(1);
        while !queue.is_at_rest() {
            queue = self.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.visitors = queue.visitors.saturating_sub(1);
        let looked = queue.store.as_ref().map(look);
        self.hand_over(queue);
        looked.ok_or(Error::Closed)
    }

    /// Makes everything durable and refuses everything from then on, in one step: nothing is acknowledged in between
    /// that the mark of a clean end would not know of.
    pub(crate) fn seal(&self) -> Result<(), Error> {
        self.visit_and(Store::sync, |queue| {
            queue.failure.get_or_insert(Error::Closed);
        })
    }

    /// Refuses everything from now on.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        queue.failure.get_or_insert(Error::Closed);
        if let Some(committer) = queue.committer.take() {
            committer.is_done.store(true, Ordering::Release);
            committer.wake();
        }
        drop(queue);
        self.chores.stop();
        self.moved.end();
    }

    /// Tells the next start that there is nothing behind the end.
    pub(crate) fn tell_clean_end(&self, store: &Store) {
        let tail = crate::tail_page::Tail { is_clean: true, ..store.tail() };
        // Without it the next start looks longer, and finds the same.
        drop(self.tail.tell_durably(&tail));
    }

    /// The time of day, by the writer's clock.
    pub(crate) fn wall(&self) -> std::time::SystemTime {
        self.clock.wall()
    }

    /// Whether nothing was appended since the log was opened that is still in memory, and the log is not poisoned.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.queue().failure.clone()
    }

    /// The last record that was taken, written or not.
    pub(crate) fn last(&self) -> Option<TransId> {
        TransId::new(self.queue().open.next().saturating_sub(1))
    }

    fn wait_for_room<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.room_waiters.fetch_add(1, Ordering::Relaxed);
        let queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        self.room_waiters.fetch_sub(1, Ordering::Relaxed);
        queue
    }

    /// Wakes those who wait for room, after it was made.
    fn tell_room(&self) {
        if self.room_waiters.load(Ordering::Relaxed) > 0 {
            self.room.notify_all();
        }
    }

    /// Takes the queue when there is room, and the entry is allowed.
    fn admit(&self, entry: &Entry<'_>) -> Result<MutexGuard<'_, Queue>, Error> {
        let len: usize = entry.records.iter().map(|record| Outgoing::bytes_of(record.payload.len())).sum();
        let mut queue = self.queue();
        loop {
            if let Some(failure) = &queue.failure {
                return Err(failure.clone());
            }
            if entry.asks_for_all()
                && let Some(error) = queue.untold.take()
            {
                return Err(error);
            }
            if queue.turn == Turn::Visited {
                queue = self.wait_for_room(queue);
                continue;
            }
            // One that is larger than the limit goes alone.
            if queue.bytes == 0 || queue.bytes.saturating_add(len) <= self.options.in_flight_bytes_max {
                break;
            }
            if self.options.when_full == WhenFull::Refuse {
                let in_flight_bytes_max = self.options.in_flight_bytes_max as u64;
                return Err(Error::Full { in_flight_bytes_max });
            }
            if queue.is_free() && queue.committer.is_none() {
                self.lead(queue);
                queue = self.queue();
                continue;
            }
            queue = self.wait_for_room(queue);
        }
        if entry.epoch.is_some_and(|epoch| epoch < queue.epoch) {
            return Err(Error::Fenced { epoch: queue.epoch });
        }
        if let Some(expected) = entry.expect_last {
            let found = TransId::new(queue.open.next().saturating_sub(1));
            if expected.0 != found {
                return Err(Error::Conflict { expected: expected.0, found });
            }
        }
        Ok(queue)
    }

    /// Leads one round, and appoints who leads the next.
    fn lead(&self, queue: MutexGuard<'_, Queue>) {
        self.round(queue);
        self.hand_over(self.queue());
    }

    /// Leads one round in a caller's thread, or has the log's own do it.
    fn lead_as_caller(&self, queue: MutexGuard<'_, Queue>) {
        match queue.relief() {
            Some(seat) => {
                drop(queue);
                seat.appoint();
            }
            None => self.lead(queue),
        }
    }

    fn lead_as_appointed(&self) {
        let queue = self.queue();
        if queue.is_free() {
            self.lead(queue);
        }
    }

    /// Appoints a leader for the open round, if anybody wants it.
    fn hand_over(&self, queue: MutexGuard<'_, Queue>) {
        if queue.store.is_none() {
            return;
        }
        if queue.visitors > 0 {
            drop(queue);
            self.idle.notify_one();
            return;
        }
        if let Some(seat) = queue.seats.first() {
            let (seat, relief) = (Arc::clone(seat), queue.relief());
            drop(queue);
            match relief {
                Some(committer) => committer.appoint(),
                None => seat.appoint(),
            }
        } else if (queue.is_wanted || !queue.full.is_empty())
            && let Some(seat) = &queue.committer
        {
            let seat = Arc::clone(seat);
            drop(queue);
            seat.appoint();
        } else if !queue.is_empty()
            && let Some(seat) = &queue.committer
        {
            // It may have found somebody leading when its time came, and then nobody thinks of what lies in memory.
            let seat = Arc::clone(seat);
            drop(queue);
            seat.linger();
        }
        self.tell_room();
    }

    /// Writes the open round, and syncs it when anybody asked for that.
    fn round(&self, mut queue: MutexGuard<'_, Queue>) {
        queue = self.gather(queue);
        let Some(mut store) = queue.store.take() else { return };
        let (outgoing, round, level, seats) = queue.take();
        let mut helm = queue.helm;
        let mut is_trusted = std::mem::take(&mut queue.is_trusted);
        let failure = queue.failure.clone();
        drop(queue);
        let mut synced = Duration::ZERO;
        let mut error = failure;
        let before = store.next();
        for mut batch in outgoing {
            if error.is_none() {
                error = store.write(&mut batch).err();
            }
            self.give_back(batch);
        }
        if self.is_pending.load(Ordering::Acquire) {
            // Not before the records can be read: whoever has put them in looks for them.
            let queue = self.queue();
            self.is_pending.store(!queue.is_empty(), Ordering::Release);
        }
        let is_clean = error.as_ref().is_none_or(Error::is_harmless);
        if level == Level::Disk && is_clean {
            let began = self.clock.monotonic();
            if let Err(failed) = store.sync() {
                error = Some(failed);
            }
            synced = self.clock.monotonic().saturating_sub(began);
            self.counters.note_sync(seats.len(), synced);
            self.steer(&mut helm, synced);
        }
        let upto = if error.as_ref().is_none_or(Error::is_harmless) { store.next() } else { 0 };
        let has_moved = store.next() != before;
        // Behind the sync: it never promises too much.
        drop(self.tail.tell(&store.tail()));
        let chores = store.take_chores();
        let error = error.map(Error::poison);
        let mut queue = self.queue();
        queue.gather.note(seats.len(), synced);
        queue.helm = helm;
        queue.store = Some(store);
        let mut later = None;
        if let Some(error) = &error {
            if let Error::Poisoned(_) = error {
                queue.failure.get_or_insert_with(|| error.clone());
            }
            // What came meanwhile has ids behind records that do not exist now.
            let (batches, round, _, seats) = queue.take();
            queue.bytes = 0;
            drop(batches);
            is_trusted |= std::mem::take(&mut queue.is_trusted);
            if is_trusted && error.is_harmless() {
                queue.untold = Some(error.clone());
            }
            later = Some((round, seats));
        }
        queue.renumber();
        drop(queue);
        let outcome = Outcome { level, upto, error, ended_at: self.clock.monotonic() };
        if let Some((round, seats)) = later {
            round.end(Outcome { upto: 0, ..outcome.clone() }, &seats);
        }
        round.end(outcome, &seats);
        if has_moved {
            self.moved.tell();
        }
        self.tell_room();
        self.chores.put(chores);
    }

    /// Notes a sync of this thread for who is to lead the next ones.
    fn steer(&self, helm: &mut Helm, synced: Duration) {
        if !self.counters.is_prompt() {
            return;
        }
        if helm.is_handed_over() {
            self.counters.note_handed_over();
        }
        let mut without_core = None;
        if helm.is_doubtful(synced) {
            let before = std::mem::replace(&mut helm.asked, CoreWait::of_this_thread());
            without_core = before.zip(helm.asked).and_then(|(before, now)| now.since(&before));
        }
        helm.note(synced, without_core);
    }

    /// Waits a little for as many as there were in the last round.
    fn gather<'a>(&self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let Some((cohort, patience)) = queue.gather.patience() else { return queue };
        if queue.level < Level::Disk || queue.seats.is_empty() || queue.visitors > 0 {
            return queue;
        }
        queue.turn = Turn::Gathering;
        let is_few = |queue: &mut Queue| queue.seats.len() < cohort && queue.failure.is_none();
        let waited = self.gathered.wait_timeout_while(queue, patience, is_few);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.turn = Turn::Free;
        queue
    }

    /// Takes a written buffer back, to be filled again.
    fn give_back(&self, batch: Outgoing) {
        let mut queue = self.queue();
        queue.bytes = queue.bytes.saturating_sub(batch.frame_bytes());
        if queue.spare.len() < BUFFERS_MAX && batch.buffer.capacity() <= BUFFER_BYTES_MAX {
            queue.spare.push((batch.buffer, batch.offsets));
        }
        drop(queue);
        self.tell_room();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log has threads of its own.
    #[cfg(feature = "async")]
    pub(crate) fn has_threads(&self) -> bool {
        self.options.threads == Threads::Own
    }

    /// Lets a thread lead rounds that nobody waits for in a thread. It returns when the log is closed.
    pub(crate) fn serve(&self, seat: &Arc<CommitterSeat>) {
        self.counters.scheduling.get_or_init(|| self.options.scheduling.apply_here());
        seat.serve(|| self.lead_as_appointed(), || self.is_pending.load(Ordering::Acquire));
    }

    /// Has the thread that serves lead in place of callers, as if they were held up.
    #[cfg(all(test, feature = "interleavings"))]
    pub(crate) fn relieve_callers(&self) {
        self.queue().helm = Helm::relieving();
    }

    /// Names the thread that [`Commit::serve`] runs in.
    pub(crate) fn employ(&self, thread: Thread, seat: Arc<CommitterSeat>) {
        // A seat is made for one thread: it has none yet.
        drop(seat.thread.set(thread));
        self.queue().committer = Some(seat);
    }
}
