//! Which disk call fails, and how.
//! It refuses to do the damage: it only says what shall happen to the call that is being made.

use std::io;

use rustix::io::Errno;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device failed.
    Eio,
    /// The file system is full.
    Enospc,
    /// The process has too many open files.
    Emfile,
}

/// How often a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// That call only.
    Once,
    /// That call and all after it.
    Forever,
}

/// What a call has to do.
#[derive(Debug)]
pub(super) enum Verdict {
    Go,
    /// Fail and change nothing.
    Fail(io::Error),
    /// Fail; a sync also marks what it should have written as clean.
    Lose(io::Error),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    calls: u64,
    plans: Vec<Plan>,
    off_at: Option<u64>,
    is_next_sync_failing: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    call: u64,
    fault: Fault,
    times: Times,
}

impl Faults {
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn plan(&mut self, call: u64, fault: Fault, times: Times) {
        self.plans.push(Plan { call, fault, times });
    }

    pub(super) fn crash_at(&mut self, call: u64) {
        self.off_at = Some(call);
    }

    pub(super) fn fail_sync_next(&mut self) {
        self.is_next_sync_failing = true;
    }

    /// Forgets all plans, but not the count.
    pub(super) fn clear(&mut self) {
        *self = Faults { calls: self.calls, ..Faults::default() };
    }

    /// Counts a call and judges it.
    pub(super) fn admit(&mut self, is_sync: bool) -> Verdict {
        self.calls = self.calls.saturating_add(1);
        let call = self.calls;
        if self.off_at.is_some_and(|off_at| call >= off_at) {
            return Verdict::Fail(io::Error::other("the machine is off"));
        }
        let plan = self.plans.iter().find(|plan| match plan.times {
            Times::Once => plan.call == call,
            Times::Forever => plan.call <= call,
        });
        if let Some(plan) = plan {
            return match plan.fault {
                Fault::Eio => Verdict::Lose(Errno::IO.into()),
                Fault::Enospc => Verdict::Lose(Errno::NOSPC.into()),
                Fault::Emfile => Verdict::Fail(Errno::MFILE.into()),
            };
        }
        if is_sync && std::mem::take(&mut self.is_next_sync_failing) {
            return Verdict::Lose(Errno::IO.into());
        }
        Verdict::Go
    }
}
