//! Walking through a large data file with help: threads verify its later parts while the walk goes through the first one.
//! Refuses to judge: what they find counts where the walk comes to the same place, and is what it would have read there.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::segment::Segment;
use super::walk::{Step, Walk};
use crate::tail_page::Tail;

/// A part that takes less than a thousandth of a second is not worth a thread.
const PART_BYTES_MIN: u64 = 2 << 20;

/// Who goes through a file at once: each may keep a batch as large as the file, and memory is what they share.
const PARTS_MAX: u64 = 4;

/// Batches that each of them keeps at the most, about 200 bytes each: a file of tiny ones has a million.
const STEPS_MAX: usize = 1 << 16;

/// What others find in parts of a file.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Where each part begins, and whence its batches come, all at once.
    parts: VecDeque<(u64, Receiver<Vec<Step>>)>,
    /// In the order of their places.
    steps: VecDeque<Step>,
}

impl Ahead {
    /// The batch that begins here, if somebody found it whole.
    pub(crate) fn take(&mut self, position: u64) -> Option<Step> {
        while let Some((_, found)) = self.parts.pop_front_if(|(from, _)| *from <= position) {
            // Nothing comes from a thread that could not be started, or failed: then the walk reads by itself.
            self.steps.extend(found.recv().unwrap_or_default());
        }
        while self.steps.pop_front_if(|step| step.offset < position).is_some() {}
        self.steps.pop_front_if(|step| step.offset == position)
    }
}

/// About how far batches reach in a file with this number and length: nothing depends on it but the time of a start.
pub(crate) fn written_upto(tail: Option<Tail>, (number, len): (u64, u64), is_last: bool) -> u64 {
    match tail.filter(|tail| tail.number == number) {
        Some(tail) => tail.position.min(len),
        // Of the last file nobody knows; what is behind its end is nothing to read with help.
        None if is_last => 0,
        None => len,
    }
}

/// In how many parts so many bytes are gone through. How many `cores` there are is asked for where it matters.
pub(crate) fn parts_of(bytes: u64, cores: impl FnOnce() -> u64) -> u64 {
    let parts = (bytes / PART_BYTES_MIN).min(PARTS_MAX);
    if parts < 2 { 1 } else { parts.min(cores()).max(1) }
}

/// How many cores this process may use.
pub(crate) fn cores() -> u64 {
    thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// Hands a walk through a file to `walk`, and meanwhile has threads verify the later ones of `parts` equal parts of what
/// lies before `upto`.
pub(crate) fn walk_in_parts<T>(
    segment: &Segment,
    upto: u64,
    parts: u64,
    walk: impl FnOnce(Walk<'_>) -> T,
) -> T {
    let whole = segment.walk();
    let part_bytes = upto.saturating_sub(whole.position) / parts.max(1);
    let begin = |part: u64| whole.aligned(whole.position.saturating_add(part_bytes.saturating_mul(part)));
    thread::scope(|scope| {
        let mut ahead = Ahead::default();
        for part in 1..parts {
            let (from, end) = (begin(part), begin(part.saturating_add(1)));
            let (sender, receiver) = sync_channel(1);
            let help = move || drop(sender.send(read_part(segment.walk_from(from), end)));
            if thread::Builder::new().name("rtrans-start".to_owned()).spawn_scoped(scope, help).is_ok() {
                ahead.parts.push_back((from, receiver));
            }
        }
        walk(segment.walk().helped(ahead))
    })
}

/// Finds the whole batches that begin before `end`. What cannot be read is left to the walk, which tells of it, and so is
/// what there is no memory for.
fn read_part(mut walk: Walk<'_>, end: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    while walk.position < end
        && steps.len() < STEPS_MAX
        && let Ok(Some(step)) = walk.next_whole(0)
    {
        walk.resume(&step);
        steps.push(step);
    }
    steps
}

#[cfg(test)]
#[path = "../../tests/unit/ahead.rs"]
mod tests;
