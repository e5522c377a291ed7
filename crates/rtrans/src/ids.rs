//! `TransId` and `TypeNo`: what a record is called, and of which type it is.
//! Refuses the number 0 as an id: on disk it stands for nil.

use std::fmt;
use std::num::NonZeroU64;

/// The id of a record: 1, 2, 3 and so on, without holes, in the order in which records were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransId(NonZeroU64);

impl TransId {
    /// The id of the first record of a log.
    pub const FIRST: TransId = TransId(NonZeroU64::MIN);

    /// The id with this number; `None` for 0, which stands for nil.
    pub fn new(number: u64) -> Option<TransId> {
        NonZeroU64::new(number).map(TransId)
    }

    /// The number, at least 1.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The id that follows. The last number of all follows itself: no log gets there.
    #[must_use]
    pub fn next(self) -> TransId {
        TransId(self.0.saturating_add(1))
    }

    /// The id before, `None` for the first.
    pub fn previous(self) -> Option<TransId> {
        TransId::new(self.get().wrapping_sub(1))
    }

    /// The id that follows the last one, the first where there is none.
    pub fn after(last: Option<TransId>) -> TransId {
        last.map_or(TransId::FIRST, TransId::next)
    }
}

impl fmt::Display for TransId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of a record: a number whose meaning is the user's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeNo(pub u32);

impl fmt::Display for TypeNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
