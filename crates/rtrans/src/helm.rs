//! Who leads the group commits that callers wait for: they themselves, or the log's own thread, which runs sooner.
//! Refuses to hand over while callers get a core when they need one: who leads in its own thread has to wake nobody.

use std::time::Duration;

use host::CoreWait;

/// A sync that takes no longer than this was not held up: a hand-over costs a twentieth of it.
const HELD_UP_MIN: Duration = Duration::from_micros(500);

/// For how many syncs the log's thread leads, at first and at most, before a caller tries again.
const TERM_MIN: u32 = 64;
const TERM_MAX: u32 = 4096;

/// So many syncs of callers without one that is held up, and what was before counts no more.
const CALM: u32 = 256;

/// Who leads, by what the last syncs waited for.
///
/// A sync sleeps in the kernel, for the disk. On a machine whose cores are busy the thread may then wait for a core, many times
/// longer. That a sync took long is only the occasion to ask the kernel which of both it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Helm {
    /// Syncs that the log's thread is still to lead.
    left: u32,
    /// How many they were at first.
    term: u32,
    /// Syncs of callers since the last that was held up.
    calm: u32,
    /// What the kernel said when it was asked last.
    pub(crate) asked: Option<CoreWait>,
}

impl Helm {
    /// As when a caller was held up.
    #[cfg(all(test, feature = "interleavings"))]
    pub(crate) fn relieving() -> Helm {
        Helm { left: TERM_MIN, term: TERM_MIN, ..Helm::default() }
    }

    /// Whether the log's own thread leads where a caller would.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.left > 0
    }

    /// Whether a sync took so long that the kernel is asked why.
    pub(crate) fn is_doubtful(&self, sync: Duration) -> bool {
        sync > HELD_UP_MIN && !self.is_handed_over()
    }

    /// Notes a sync, and for how long its thread had no core since the last one that was doubtful, if that is known.
    pub(crate) fn note(&mut self, sync: Duration, without_core: Option<Duration>) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return;
        }
        if without_core.is_some_and(|waited| waited > HELD_UP_MIN && waited > sync / 2) {
            self.calm = 0;
            self.term = self.term.saturating_mul(4).clamp(TERM_MIN, TERM_MAX);
            self.left = self.term;
            return;
        }
        self.calm = self.calm.saturating_add(1);
        if self.calm >= CALM {
            self.term = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(50);
    const SLOW: Duration = Duration::from_millis(12);

    /// Lets the log's thread lead its term; returns how long that was.
    fn serve(helm: &mut Helm) -> u32 {
        let mut syncs = 0;
        while helm.is_handed_over() {
            assert!(!helm.is_doubtful(SLOW), "its own thread cannot be relieved");
            helm.note(QUICK, None);
            syncs += 1;
        }
        syncs
    }

    #[test]
    fn quick_syncs_are_led_by_callers_and_not_doubted() {
        let mut helm = Helm::default();
        for _ in 0..1000 {
            assert!(!helm.is_doubtful(QUICK));
            helm.note(QUICK, None);
            assert!(!helm.is_handed_over());
        }
    }

    #[test]
    fn a_slow_disk_is_no_reason_to_hand_over() {
        let mut helm = Helm::default();
        for _ in 0..1000 {
            assert!(helm.is_doubtful(SLOW));
            helm.note(SLOW, Some(SLOW / 3));
            assert!(!helm.is_handed_over());
        }
    }

    #[test]
    fn a_caller_that_gets_no_core_is_relieved_for_longer_each_time() {
        let mut helm = Helm::default();
        helm.note(SLOW, None);
        assert!(!helm.is_handed_over(), "it is not known yet");
        let mut terms = Vec::new();
        for _ in 0..5 {
            helm.note(QUICK, None);
            helm.note(SLOW, Some(SLOW));
            terms.push(serve(&mut helm));
        }
        assert_eq!(terms, [64, 256, 1024, 4096, 4096]);
    }

    #[test]
    fn what_was_long_ago_counts_no_more() {
        let mut helm = Helm::default();
        for _ in 0..3 {
            helm.note(SLOW, Some(SLOW));
            serve(&mut helm);
        }
        (0..CALM).for_each(|_| helm.note(QUICK, None));
        helm.note(SLOW, Some(SLOW));
        assert_eq!(serve(&mut helm), TERM_MIN);
    }
}
