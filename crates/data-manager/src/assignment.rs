//! Assignment: the whole set of chunks that a worker is to hold, given in one call.
//! Refuses to be a change: chunks that it does not name are dropped.

use std::time::Duration;

use crate::data_chunk::DataChunk;

/// Which downloads come first: higher ones before lower ones, the shortest first among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(pub i32);

/// The whole wanted set.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// Names this assignment when it is reported as applied.
    pub id: String,
    /// All chunks to be held, with their priorities.
    pub chunks: Vec<(DataChunk, Priority)>,
    /// What happens to chunks that are here and not in the set.
    pub drop: Dropping,
}

/// When the chunks that an assignment no longer names are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dropping {
    /// At once.
    #[default]
    Now,
    /// Once every chunk of the new set is ready, and then after this time: readers find the old ones until the new ones
    /// are there.
    AfterApplied(Duration),
}
