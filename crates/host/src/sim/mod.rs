//! The simulated machine: a disk in memory that can lose power, fail and rot on command, and a clock moved by hand.
//! It refuses all chance and all global state: the same seed and the same calls give the same result.

mod clock;
mod content;
mod crash;
mod fault;
mod media;
mod names;
mod outcome;
mod random;
mod state;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use clock::ManualClock;
pub use fault::{Fault, Times};
pub use random::Random;

use crate::disk::{Disk, Kind, failed};
use crate::path::inside;
use media::SimMedia;
use state::State;

/// Where the root of every simulated disk seems to be.
const ROOT: &str = "/sim";

/// A simulated disk, seen from outside the program under test: here the faults are planned and the power is cut.
///
/// The program itself gets [`SimDisk::disk`]. Two images are kept: the live one, which calls see, and the durable one,
/// which a crash falls back to. What is not synced lies between them as a list of effects, and at a crash any part of
/// it survives that a real disk could have written:
///
/// - names: a prefix of all changes (a journal), or any subset that makes sense by itself, as the seed decides; a rename
///   is one change, never half of it;
/// - bytes of each file: none, all, any subset of the writes with the last one torn at 512-byte sectors, or the new
///   length full of zeros. Bytes and names are independent: a name may survive without its bytes.
///
/// Cloning is cheap, all clones are the same disk. It may be used from several threads; the result is as repeatable
/// then as the order of their calls.
#[derive(Clone)]
pub struct SimDisk {
    shared: Shared,
}

impl SimDisk {
    /// An empty disk of 1 TiB. The seed decides what survives each crash.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { shared: Shared::new(State::new(seed)) }
    }

    /// The disk as the program sees it, with the root `/sim`.
    ///
    /// It is good until the next [`SimDisk::crash`] or [`SimDisk::kill`]; take a new one then. So a thread that outlives the crash cannot
    /// write to the disk of the restarted program.
    pub fn disk(&self) -> Disk {
        let generation = self.state().generation;
        Disk::over(Path::new(ROOT), Arc::new(SimMedia::new(self.shared.clone(), generation)))
    }

    /// Cuts the power and turns the machine on again with a healthy disk: planned faults are forgotten.
    ///
    /// Handles and locks from before the crash are dead: every call on them fails.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// How many outcomes a power cut may have now, if each sector, each length and each name gets to the disk by itself; at most
    /// `u64::MAX`. Who tries them all needs no luck: see [`SimDisk::crash_as`].
    pub fn outcomes(&self) -> u64 {
        self.state().outcomes()
    }

    /// Cuts the power as [`SimDisk::crash`] does, with the outcome of this number, from 0 on: nothing that was not synced is left.
    ///
    /// Returns whether that outcome may come: a name needs those that it rests on. What is not so is another outcome again.
    pub fn crash_as(&self, outcome: u64) -> bool {
        self.state().crash_as(outcome)
    }

    /// Another disk in the same state, which goes its own way from here on: a power cut can be tried on it.
    #[must_use]
    pub fn fork(&self) -> SimDisk {
        let mut state = self.state().clone();
        (state.are_syncs_held, state.syncs_held) = (false, 0);
        SimDisk { shared: Shared::new(state) }
    }

    /// Kills the program, and with it its handles, locks and planned faults. The machine goes on: nothing is lost, and
    /// nothing is more durable than before.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// How many disk calls were made: each call of a file or directory handle is one; compound ones are several.
    pub fn calls(&self) -> u64 {
        self.state().faults.calls()
    }

    /// Lets call number `call` fail, counted from 1 as [`SimDisk::calls`] does; the k-th from now is `calls() + k`.
    ///
    /// A call that fails has done nothing, except a sync: see [`SimDisk::fail_sync_next`]; only `Emfile` leaves it whole.
    pub fn fail_call(&self, call: u64, fault: Fault, times: Times) {
        self.state().faults.plan(call, fault, times);
    }

    /// Lets the next sync, of a file, a directory or everything, fail as Linux does: it returns EIO once and marks what
    /// it should have written as clean. The live image keeps it, it is never durable, and the next sync returns `Ok`. What
    /// is written to its pages later is not durable either, as on ext4, unless by [`File::rewrite_at`](crate::File::rewrite_at).
    pub fn fail_sync_next(&self) {
        self.state().faults.fail_sync_next();
    }

    /// Holds every sync that comes, of a file, a directory or everything, before it begins, as a disk that is slow without end: until
    /// what is returned is dropped. Other calls go on. For programs of several threads.
    #[must_use]
    pub fn hold_syncs(&self) -> HeldSyncs {
        self.state().are_syncs_held = true;
        HeldSyncs { shared: self.shared.clone() }
    }

    /// Turns the machine off at call number `call`: it and all later ones fail with "the machine is off", until
    /// [`SimDisk::crash`].
    pub fn crash_at(&self, call: u64) {
        self.state().faults.crash_at(call);
    }

    /// Sets the size of the disk. Writes and preallocations beyond it fail with `StorageFull`; removing files frees it,
    /// once the last handle is dropped. What is stored already stays, also when it is more.
    pub fn capacity(&self, bytes: u64) {
        let mut state = self.state();
        (state.capacity, state.full_from) = (Some(bytes), None);
    }

    /// Lets the disk be full from call number `call` on, as if somebody else had taken the room: until
    /// [`SimDisk::capacity`] is set, also after a crash.
    pub fn full_from(&self, call: u64) {
        self.state().full_from = Some(call);
    }

    /// Flips one bit of a file in both images, as a bad sector does. Only bytes that are synced stay rotten.
    pub fn rot(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let path = inside(path)?;
        self.state()
            .rot(&path, offset, bit)
            .map_err(|cause| failed("rot", &Path::new(ROOT).join(path), cause))
    }

    /// Every file with its bytes, as the program sees it now, sorted by path.
    ///
    /// # Errors
    /// Those of a planned fault.
    pub fn files(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let disk = self.disk();
        let mut files = Vec::new();
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            for entry in disk.list(&dir)? {
                let path = dir.join(&entry.name);
                if entry.kind == Kind::Dir {
                    dirs.push(path);
                    continue;
                }
                let file = disk.open_file(&path)?;
                let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, 0)?;
                files.push((path, bytes));
            }
        }
        files.sort();
        Ok(files)
    }

    /// The last calls and crashes, oldest first, one line each: to read when a test fails.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// Syncs that wait; dropping it lets them go on.
#[derive(Debug)]
pub struct HeldSyncs {
    shared: Shared,
}

impl HeldSyncs {
    /// How many wait now.
    pub fn count(&self) -> u64 {
        self.shared.state().syncs_held
    }

    /// Waits until one waits; returns whether one came within this time.
    pub fn wait_for_one(&self, time: Duration) -> bool {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, time, |state| state.syncs_held == 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.syncs_held > 0
    }
}

impl Drop for HeldSyncs {
    fn drop(&mut self) {
        self.shared.state().are_syncs_held = false;
        self.shared.changed.notify_all();
    }
}

/// The state, shared by the controlling handle, the disk handles and the file handles.
///
/// The lock is held for one call each, which is memory work only; nothing is called from inside it.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    /// Told when syncs are held or let go on.
    changed: Arc<Condvar>,
}

impl Shared {
    fn new(state: State) -> Shared {
        Shared { state: Arc::new(Mutex::new(state)), changed: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same once syncs are not held.
    fn state_for_sync(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.are_syncs_held {
            state.syncs_held += 1;
            self.changed.notify_all();
            let waited = self.changed.wait_while(state, |state| state.are_syncs_held);
            state = waited.unwrap_or_else(PoisonError::into_inner);
            state.syncs_held -= 1;
        }
        state
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}
