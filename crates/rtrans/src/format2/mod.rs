//! Format 2: data files are the only truth, one sync a commit, indexes are derived. See `docs/formats/log-2.md`.
//! Refuses to know who appends or reads: that is the same for both formats.

mod batch;
mod chaser;
pub(crate) mod depot;
mod index_file;
mod recover;
mod segment;
mod segment_head;
mod shelf;
mod table;
mod walk;
pub(crate) mod writer;

pub(crate) use chaser::Chaser;
pub(crate) use shelf::Shelf;
pub(crate) use writer::Writer;
