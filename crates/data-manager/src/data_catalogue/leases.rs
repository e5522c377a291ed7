//! Leases: which chunks are held by name, until when, and what is still to be written of it. Pure.
//! Refuses to know which chunks are here; State asks whether a chunk is held before it lets its files go.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::data_chunk::ChunkId;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{LEASE_CHUNKS_MAX, LEASED_CHUNKS_MAX, LEASES_MAX, Lease, LeaseRecord};
use crate::lease_file;

/// After a lease's file could not be removed the next try is made this much later.
const END_RETRY: Duration = Duration::from_secs(30);

/// How a change of a lease ended; set once all data directories have said so.
pub(crate) type Outcome = Arc<OnceLock<std::result::Result<(), (ErrorKind, String)>>>;

/// A change of a lease that is under way: what to wait for.
#[derive(Debug)]
pub(crate) struct LeaseChange {
    pub(crate) lease: Lease,
    pub(crate) outcome: Outcome,
}

/// What a data directory's publisher is to do for a lease.
#[derive(Debug, Clone)]
pub(crate) struct LeaseWork {
    pub(crate) name: Arc<str>,
    pub(crate) dir: u16,
    pub(crate) ticket: u64,
    /// The bytes of its file; `None` removes it.
    pub(crate) bytes: Option<Arc<[u8]>>,
}

/// The times of one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Since the hold was opened; never goes back. What runs out while the hold is open is measured by this alone.
    pub(crate) now: Duration,
    /// The time of day, in milliseconds since 1970 began: for what other runs are to read.
    pub(crate) wall_ms: u64,
}

/// A lease as a start found it in the data directories.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) record: LeaseRecord,
    pub(crate) dir: u16,
    /// Why it could not be read; then `record` has its name alone.
    pub(crate) damage: Option<String>,
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    known: BTreeMap<Arc<str>, Held>,
    /// Who holds a chunk: each lease of `known` that can be read, for each of its chunks.
    by_chunk: HashMap<ChunkId, Vec<Arc<str>>>,
    /// Chunks in all leases together.
    chunk_count: usize,
    /// Data directories with a lease that cannot be read: nothing is removed from them.
    closed_dirs: HashMap<u16, usize>,
    work: VecDeque<LeaseWork>,
    /// When a lease ends, or its end is tried again. May be early, never late.
    next_check: Option<Duration>,
    last_ticket: u64,
    last_taken_ms: u64,
}

#[derive(Debug)]
struct Held {
    record: LeaseRecord,
    dirs: Vec<u16>,
    ends_at: Duration,
    phase: Phase,
    damage: Option<String>,
}

#[derive(Debug)]
enum Phase {
    Standing,
    /// It is being written, for the first time if `is_new`.
    Writing {
        pending: Pending,
        is_new: bool,
    },
    Ending(Pending),
    /// Its end could not be written down.
    EndingAgain(Duration),
}

#[derive(Debug)]
struct Pending {
    ticket: u64,
    /// Data directories that have not answered yet.
    open: usize,
    failure: Option<(ErrorKind, String)>,
    outcome: Option<Outcome>,
}

/// A lease as it is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) lease: Lease,
    pub(crate) ends_in: Duration,
    pub(crate) damage: Option<String>,
}

impl Leases {
    // ---- the start ----

    /// Takes in what the data directories say. One lease may be in several of them.
    pub(crate) fn load(&mut self, loaded: Vec<Loaded>, wall_ms: u64) {
        for Loaded { record, dir, damage } in loaded {
            self.last_taken_ms = self.last_taken_ms.max(record.taken_ms);
            if damage.is_some() {
                *self.closed_dirs.entry(dir).or_default() += 1;
            }
            let ends_at = if damage.is_some() { Duration::MAX } else { record.left(wall_ms) };
            self.check_at(ends_at);
            let Some(known) = self.known.get_mut(&record.name) else {
                self.hold(&record);
                let name = Arc::clone(&record.name);
                let held = Held { record, dirs: vec![dir], ends_at, phase: Phase::Standing, damage };
                self.known.insert(name, held);
                continue;
            };
            // A crash may have come between two directories: what either says is kept.
            known.dirs.push(dir);
            known.ends_at = known.ends_at.max(ends_at);
            known.record.expires_ms = known.record.expires_ms.max(record.expires_ms);
            known.damage = known.damage.take().or(damage);
            let mut chunks: Vec<ChunkId> =
                known.record.chunks.iter().chain(record.chunks.iter()).copied().collect();
            chunks.sort_unstable();
            chunks.dedup();
            let old = known.record.clone();
            known.record.chunks = chunks.into();
            let new = known.record.clone();
            self.let_go(&old);
            self.hold(&new);
        }
    }

    // ---- questions ----

    /// Whether the files of a chunk in a data directory must stay.
    pub(crate) fn is_held(&self, id: &ChunkId, dir: u16) -> bool {
        self.by_chunk.contains_key(id) || self.closed_dirs.contains_key(&dir)
    }

    /// The names of the leases that hold a chunk.
    pub(crate) fn holding(&self, id: &ChunkId) -> Vec<String> {
        self.by_chunk.get(id).into_iter().flatten().map(ToString::to_string).collect()
    }

    pub(crate) fn list(&self, now: Duration) -> Vec<(Listed, &[u16])> {
        let listed = |held: &Held| Listed {
            lease: held.record.lease(),
            ends_in: held.ends_at.saturating_sub(now),
            damage: held.damage.clone(),
        };
        self.known.values().map(|held| (listed(held), held.dirs.as_slice())).collect()
    }

    // ---- calls ----

    /// Takes a lease. It holds from this moment on; it is promised once its outcome is good.
    pub(crate) fn take(
        &mut self,
        (name, owner): (&str, &str),
        (chunks, dirs): (Vec<ChunkId>, Vec<u16>),
        lifetime: Duration,
        at: Moment,
    ) -> Result<LeaseChange> {
        if self.known.contains_key(name) {
            let message =
                format!("there is a lease named {name} already: renew or break it, or use another name");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.check_room(chunks.len())?;
        // Two leases of one name never have the same time, even when the clock stands still.
        self.last_taken_ms = at.wall_ms.max(self.last_taken_ms.saturating_add(1));
        let record = LeaseRecord {
            name: name.into(),
            owner: owner.to_string(),
            taken_ms: self.last_taken_ms,
            expires_ms: at.wall_ms.saturating_add(milliseconds(lifetime)),
            lifetime_ms: milliseconds(lifetime),
            chunks: chunks.into(),
        };
        self.hold(&record);
        let ends_at = at.now.saturating_add(lifetime);
        let held = Held { record, dirs, ends_at, phase: Phase::Standing, damage: None };
        self.known.insert(name.into(), held);
        self.write(name, true).ok_or_else(|| missing(name))
    }

    /// Gives a lease a new lifetime from now on.
    pub(crate) fn renew(&mut self, lease: &Lease, lifetime: Duration, at: Moment) -> Result<LeaseChange> {
        let held = self.standing(lease)?;
        held.record.expires_ms = at.wall_ms.saturating_add(milliseconds(lifetime));
        held.record.lifetime_ms = milliseconds(lifetime);
        // Until it is written the old end counts too, whichever is later.
        held.ends_at = at.now.saturating_add(lifetime).max(held.ends_at);
        self.write(&lease.name, false).ok_or_else(|| missing(&lease.name))
    }

    /// Ends a lease, by its holder.
    pub(crate) fn release(&mut self, lease: &Lease) -> Result<LeaseChange> {
        self.standing(lease)?;
        self.end(&lease.name, true).ok_or_else(|| missing(&lease.name))
    }

    /// Ends a lease, whoever holds it.
    pub(crate) fn break_by_name(&mut self, name: &str) -> Result<LeaseChange> {
        match self.known.get(name).map(|held| &held.phase) {
            None | Some(Phase::Ending(_)) => Err(missing(name)),
            Some(Phase::Writing { .. }) => Err(busy(name)),
            Some(Phase::Standing | Phase::EndingAgain(_)) => {
                self.end(name, true).ok_or_else(|| missing(name))
            }
        }
    }

    // ---- the loop ----

    /// The next thing to be written, of what was called and of what has run out.
    pub(crate) fn next_work(&mut self, now: Duration) -> Option<LeaseWork> {
        if self.next_check.is_some_and(|at| at <= now) {
            self.end_what_is_over(now);
        }
        self.work.pop_front()
    }

    /// When [`Leases::next_work`] may have a new answer by itself.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        self.next_check
    }

    fn end_what_is_over(&mut self, now: Duration) {
        let due = |held: &Held| match held.phase {
            Phase::Standing => held.ends_at <= now,
            Phase::EndingAgain(at) => at <= now,
            Phase::Writing { .. } | Phase::Ending(_) => false,
        };
        let over: Vec<Arc<str>> =
            self.known.iter().filter(|(_, held)| due(held)).map(|(name, _)| Arc::clone(name)).collect();
        for name in over {
            self.end(&name, false);
        }
        let next = self.known.values().filter_map(|held| match held.phase {
            Phase::Standing if held.ends_at < Duration::MAX => Some(held.ends_at),
            Phase::EndingAgain(at) => Some(at),
            _ => None,
        });
        self.next_check = next.min();
    }

    // ---- reports ----

    /// A data directory has done its part. Answers with the name of a lease that is no more.
    pub(crate) fn noted(
        &mut self,
        work: &LeaseWork,
        result: std::result::Result<(), (ErrorKind, String)>,
        now: Duration,
    ) -> Option<Arc<str>> {
        let held = self.known.get_mut(&work.name)?;
        let (Phase::Writing { pending, .. } | Phase::Ending(pending)) = &mut held.phase else { return None };
        if pending.ticket != work.ticket {
            return None;
        }
        pending.open = pending.open.saturating_sub(1);
        if let Err(failure) = result {
            pending.failure = Some(failure);
        }
        if pending.open > 0 {
            return None;
        }
        let failure = pending.failure.take();
        if let Some(outcome) = pending.outcome.take() {
            // Set by nobody else.
            drop(outcome.set(failure.clone().map_or(Ok(()), Err)));
        }
        match (&held.phase, failure) {
            // It was never promised; what of it may be on a disk goes away.
            (Phase::Writing { is_new: true, .. }, Some(_)) => {
                self.end(&work.name, false);
                None
            }
            // A renewal that failed may be on the disk or not: it holds for as long as either says.
            (Phase::Writing { .. }, _) => {
                held.phase = Phase::Standing;
                let ends_at = held.ends_at;
                self.check_at(ends_at);
                None
            }
            (_, Some(_)) => {
                let again = now.saturating_add(END_RETRY);
                held.phase = Phase::EndingAgain(again);
                self.check_at(again);
                None
            }
            (_, None) => self.forget(&work.name),
        }
    }

    /// The hold is closed: nobody writes any more, and nobody waits in vain.
    pub(crate) fn close(&mut self) {
        for held in self.known.values_mut() {
            if let Phase::Writing { pending, .. } | Phase::Ending(pending) = &mut held.phase
                && let Some(outcome) = pending.outcome.take()
            {
                drop(outcome.set(Err((ErrorKind::Closed, "the hold was closed meanwhile".to_string()))));
            }
        }
    }

    // ---- parts ----

    /// The lease that a holder means, if nothing is being done with it.
    fn standing(&mut self, lease: &Lease) -> Result<&mut Held> {
        let name = &lease.name;
        let held = self.known.get_mut(name.as_str()).filter(|held| held.damage.is_none());
        let held = held.filter(|held| held.record.lease().taken == lease.taken);
        let held = held.ok_or_else(|| missing(name))?;
        match held.phase {
            Phase::Standing => Ok(held),
            Phase::Writing { .. } => Err(busy(name)),
            Phase::Ending(_) | Phase::EndingAgain(_) => Err(missing(name)),
        }
    }

    fn check_room(&self, more: usize) -> Result<()> {
        let refused = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if !(1..=LEASE_CHUNKS_MAX).contains(&more) {
            return refused(format!("a lease holds 1 to {LEASE_CHUNKS_MAX} chunks, and not {more}"));
        }
        if self.known.len() >= LEASES_MAX {
            return refused(format!(
                "there are {LEASES_MAX} leases already, the most that may stand at once"
            ));
        }
        if self.chunk_count.saturating_add(more) > LEASED_CHUNKS_MAX {
            return refused(format!("all leases together may hold {LEASED_CHUNKS_MAX} chunks"));
        }
        Ok(())
    }

    fn write(&mut self, name: &str, is_new: bool) -> Option<LeaseChange> {
        let bytes: Arc<[u8]> = lease_file::encode(&self.known.get(name)?.record).into();
        let (pending, outcome) = self.begin(name, Some(&bytes))?;
        let held = self.known.get_mut(name)?;
        held.phase = Phase::Writing { pending, is_new };
        Some(LeaseChange { lease: held.record.lease(), outcome })
    }

    fn end(&mut self, name: &str, is_awaited: bool) -> Option<LeaseChange> {
        let (mut pending, outcome) = self.begin(name, None)?;
        if !is_awaited {
            pending.outcome = None;
        }
        let held = self.known.get_mut(name)?;
        held.phase = Phase::Ending(pending);
        Some(LeaseChange { lease: held.record.lease(), outcome })
    }

    fn begin(&mut self, name: &str, bytes: Option<&Arc<[u8]>>) -> Option<(Pending, Outcome)> {
        let held = self.known.get(name)?;
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        for dir in &held.dirs {
            let name = Arc::clone(&held.record.name);
            self.work.push_back(LeaseWork { name, dir: *dir, ticket, bytes: bytes.cloned() });
        }
        let outcome = Outcome::default();
        let pending =
            Pending { ticket, open: held.dirs.len(), failure: None, outcome: Some(Arc::clone(&outcome)) };
        Some((pending, outcome))
    }

    fn forget(&mut self, name: &str) -> Option<Arc<str>> {
        let (name, held) = self.known.remove_entry(name)?;
        self.let_go(&held.record);
        if held.damage.is_some() {
            for dir in &held.dirs {
                if let Some(count) = self.closed_dirs.get_mut(dir) {
                    *count = count.saturating_sub(1);
                }
            }
            self.closed_dirs.retain(|_, count| *count > 0);
        }
        Some(name)
    }

    fn hold(&mut self, record: &LeaseRecord) {
        self.chunk_count = self.chunk_count.saturating_add(record.chunks.len());
        for id in record.chunks.iter() {
            self.by_chunk.entry(*id).or_default().push(Arc::clone(&record.name));
        }
    }

    fn let_go(&mut self, record: &LeaseRecord) {
        self.chunk_count = self.chunk_count.saturating_sub(record.chunks.len());
        for id in record.chunks.iter() {
            if let Some(holders) = self.by_chunk.get_mut(id) {
                holders.retain(|holder| *holder != record.name);
                if holders.is_empty() {
                    self.by_chunk.remove(id);
                }
            }
        }
    }

    fn check_at(&mut self, at: Duration) {
        if at < Duration::MAX {
            self.next_check = Some(self.next_check.map_or(at, |next| next.min(at)));
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn missing(name: &str) -> Error {
    let message =
        format!("there is no such lease named {name}: its time is over, or it was released or broken");
    Error::new(ErrorKind::Missing, message)
}

fn busy(name: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("the lease {name} is just being written: try again"))
}

#[cfg(test)]
#[path = "../../tests/unit/leases.rs"]
mod tests;
