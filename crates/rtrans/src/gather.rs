//! How long a group commit waits for company, from what the last ones were like.
//! Refuses to make a lone producer wait, and anybody longer than a share of one sync.

use std::time::Duration;

/// The share of a sync that may be spent on waiting: 35 of 100.
const SHARE_PERCENT: u32 = 35;

/// The weight of the newest sync in the mean: an eighth.
const WEIGHT: u32 = 8;

/// What the last group commits were like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gather {
    /// The mean of the last syncs.
    sync: Duration,
    /// How many waited for the last one.
    cohort: usize,
}

impl Gather {
    /// Until how many wait it is worth waiting, and for how long at most; `None` when it is not.
    pub(crate) fn patience(&self) -> Option<(usize, Duration)> {
        let limit = self.sync.saturating_mul(SHARE_PERCENT) / 100;
        (self.cohort > 1 && !limit.is_zero()).then_some((self.cohort, limit))
    }

    /// Notes a group commit: how many waited for it, and how long its sync took.
    pub(crate) fn note(&mut self, cohort: usize, sync: Duration) {
        self.cohort = cohort;
        self.sync = if self.sync.is_zero() {
            sync
        } else {
            self.sync.saturating_mul(WEIGHT - 1).saturating_add(sync) / WEIGHT
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_producer_never_waits() {
        let mut gather = Gather::default();
        assert_eq!(gather.patience(), None);
        gather.note(1, Duration::from_micros(100));
        assert_eq!(gather.patience(), None);
    }

    #[test]
    fn a_cohort_is_waited_for_a_share_of_a_sync() {
        let mut gather = Gather::default();
        gather.note(8, Duration::from_micros(100));
        assert_eq!(gather.patience(), Some((8, Duration::from_micros(35))));
        gather.note(3, Duration::from_micros(900));
        assert_eq!(gather.patience(), Some((3, Duration::from_micros(70))));
    }
}
