//! `Scheduling`: how soon a thread runs once what it waited for is there, on a machine whose cores are busy.
//! Refuses to touch any thread but the one that asks, and to put one back behind where its process was started.

use std::time::Duration;

use crate::real::thread;

/// What a thread is to the system's scheduler, from the least to the most.
///
/// A thread that sleeps until a disk or another thread is done runs again only when the scheduler lets it. While more
/// threads than cores want to run, that takes up to 12 ms in the class that every program is started in (Linux 6.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheduling {
    /// As the process was started, whatever that is.
    #[default]
    Inherited,
    /// Its share of the cores stays the same, in slices of 0.1 ms: it runs sooner, and is interrupted sooner. Anybody may ask
    /// for that; Linux before 6.12 does not know it.
    ShortSlice,
    /// That, with the lowest nice value that is allowed: a larger share. It takes `CAP_SYS_NICE`, or a limit `RLIMIT_NICE`.
    Favoured,
    /// Before every thread that is not real-time, for as long as it wants (`SCHED_FIFO`, the lowest priority of these). It
    /// takes `CAP_SYS_NICE`, or a limit `RLIMIT_RTPRIO`.
    RealTime,
}

impl Scheduling {
    /// The word for it: `inherited`, `short-slice`, `favoured`, `real-time`.
    pub fn name(self) -> &'static str {
        match self {
            Scheduling::Inherited => "inherited",
            Scheduling::ShortSlice => "short-slice",
            Scheduling::Favoured => "favoured",
            Scheduling::RealTime => "real-time",
        }
    }

    /// Gives the calling thread this, or the next lesser that it is permitted; tells which it has now.
    ///
    /// It lasts for the thread's life. Threads that it starts later are ordinary ones. A thread that is real-time already stays
    /// as it is; so does one that was put into the background (`SCHED_BATCH`, `SCHED_IDLE`), unless real-time is asked for.
    ///
    /// ```
    /// let reached = host::Scheduling::Inherited.apply_here();
    /// assert_eq!(reached, host::Scheduling::Inherited);
    /// ```
    #[expect(clippy::return_self_not_must_use, reason = "who asks for it may well be content with less")]
    pub fn apply_here(self) -> Scheduling {
        if self > Scheduling::Inherited && thread::is_real_time() {
            return Scheduling::RealTime;
        }
        self.reach(|scheduling| thread::schedule(scheduling).is_ok())
    }

    /// The highest up to this one that is permitted.
    fn reach(self, mut attempt: impl FnMut(Scheduling) -> bool) -> Scheduling {
        [Scheduling::RealTime, Scheduling::Favoured, Scheduling::ShortSlice]
            .into_iter()
            .filter(|scheduling| *scheduling <= self)
            .find(|scheduling| attempt(*scheduling))
            .unwrap_or_default()
    }
}

/// How long a thread could have run and had no core, since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreWait {
    thread: i32,
    waited: Duration,
}

impl CoreWait {
    /// That of the calling thread; `None` where the kernel does not count it. It takes some microseconds.
    pub fn of_this_thread() -> Option<CoreWait> {
        thread::core_wait().map(|(thread, waited)| CoreWait { thread, waited })
    }

    /// How much of it came since an earlier look; `None` when that was in another thread.
    pub fn since(&self, earlier: &CoreWait) -> Option<Duration> {
        (self.thread == earlier.thread).then_some(self.waited.saturating_sub(earlier.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_permitted_is_replaced_by_the_next_lesser() {
        let mut asked = Vec::new();
        let reached = Scheduling::RealTime.reach(|scheduling| {
            asked.push(scheduling);
            scheduling == Scheduling::ShortSlice
        });
        assert_eq!(reached, Scheduling::ShortSlice);
        assert_eq!(asked, [Scheduling::RealTime, Scheduling::Favoured, Scheduling::ShortSlice]);
    }

    #[test]
    fn waits_of_different_threads_are_not_compared() {
        let looked = |thread, millis| CoreWait { thread, waited: Duration::from_millis(millis) };
        assert_eq!(looked(1, 5).since(&looked(1, 2)), Some(Duration::from_millis(3)));
        assert_eq!(looked(1, 5).since(&looked(2, 2)), None);
    }

    #[test]
    fn nothing_beyond_what_is_asked_for_is_tried() {
        assert_eq!(Scheduling::ShortSlice.reach(|_| true), Scheduling::ShortSlice);
        assert_eq!(Scheduling::Inherited.reach(|_| true), Scheduling::Inherited);
        assert_eq!(Scheduling::RealTime.reach(|_| false), Scheduling::Inherited);
    }
}
