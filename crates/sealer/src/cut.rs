//! Where a chunk ends: by records, bytes or the age of its oldest record.
//! Refuses to look at a log or a clock: it judges numbers that are given to it.

use std::time::{Duration, SystemTime};

/// How large a chunk grows. It ends at the end of the block with which one of the bounds is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Records.
    pub records: Option<u64>,
    /// Bytes of the records' payloads. Always bounded: a chunk is built in memory.
    pub bytes: u64,
    /// How long the first record has waited.
    pub age: Option<Duration>,
}

/// What would go into the next chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// How many records.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// When the first of them was appended.
    pub oldest: Option<SystemTime>,
}

impl Pending {
    /// With one more record.
    pub fn add(&mut self, bytes: usize, appended_at: Option<SystemTime>) {
        if self.records == 0 {
            self.oldest = appended_at;
        }
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

impl Cut {
    /// Whether these are enough for a chunk, whatever time it is.
    pub fn is_full(&self, pending: &Pending) -> bool {
        pending.records > 0
            && (self.records.is_some_and(|records| pending.records >= records) || pending.bytes >= self.bytes)
    }

    /// Whether these have waited long enough to become a chunk, however few they are.
    pub fn is_due(&self, pending: &Pending, now: SystemTime) -> bool {
        self.due_in(pending, now).is_some_and(|left| left.is_zero())
    }

    /// In what time they will have waited long enough; `None` when time alone never makes a chunk of them.
    pub fn due_in(&self, pending: &Pending, now: SystemTime) -> Option<Duration> {
        let (age, oldest) = (self.age?, pending.oldest?);
        if pending.records == 0 {
            return None;
        }
        // A clock that went back makes the record young again: it waits longer, and is not lost.
        Some(age.saturating_sub(now.duration_since(oldest).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn pending(records: u64, bytes: u64, oldest: u64) -> Pending {
        Pending { records, bytes, oldest: Some(at(oldest)) }
    }

    #[test]
    fn any_bound_that_is_reached_ends_a_chunk() {
        let cut = Cut { records: Some(3), bytes: 100, age: Some(Duration::from_secs(10)) };
        assert!(!cut.is_full(&pending(2, 99, 0)));
        assert!(cut.is_full(&pending(3, 0, 0)));
        assert!(cut.is_full(&pending(1, 100, 0)));
        assert!(!cut.is_due(&pending(1, 1, 5), at(14)));
        assert!(cut.is_due(&pending(1, 1, 5), at(15)));
    }

    #[test]
    fn nothing_is_never_a_chunk() {
        let cut = Cut { records: Some(0), bytes: 0, age: Some(Duration::ZERO) };
        assert!(!cut.is_full(&Pending::default()));
        assert!(!cut.is_due(&Pending { oldest: Some(at(0)), ..Pending::default() }, at(9)));
    }

    #[test]
    fn the_age_is_that_of_the_first_record_also_when_the_clock_went_back() {
        let mut pending = Pending::default();
        pending.add(1, Some(at(20)));
        pending.add(1, Some(at(90)));
        let cut = Cut { records: None, bytes: 100, age: Some(Duration::from_secs(10)) };
        assert_eq!(cut.due_in(&pending, at(24)), Some(Duration::from_secs(6)));
        assert_eq!(cut.due_in(&pending, at(3)), Some(Duration::from_secs(10)));
    }
}
