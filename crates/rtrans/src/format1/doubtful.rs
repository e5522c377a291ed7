//! The records of a log of format 1 that a crash may have torn, and where it tore them.
//! Refuses to doubt more than the last two directories: one is begun only when all before the one before it is durable.

use super::files::{Files, Source};
use super::shelf::{Authority, Shelf};
use super::stored::Form;
use super::verdict::{Attested, judge};
use crate::error::{Corruption, Error};
use crate::tail_page;

/// How many bytes of records are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// So many of the last records a reader looks at: what was not synced may be two directories, and it opens the log to read.
const LOOKED_AT_MAX: u64 = 1 << 20;

/// A record, or some, that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) why: Corruption,
}

/// Adds a record to those before it.
pub(super) fn note(unreadable: &mut Vec<Unreadable>, id: u64, why: Corruption) {
    match unreadable.last_mut() {
        Some(bad) if bad.last.saturating_add(1) == id => bad.last = id,
        _ => unreadable.push(Unreadable { first: id, last: id, why }),
    }
}

/// What the directories attest besides: each but the last two is complete and durable.
pub(super) fn at_least(form: &Form, attested: Attested, first: u64, last: u64) -> Attested {
    let before = first_doubtful(form, first, last).saturating_sub(1);
    match attested {
        Attested::Upto(attested) => Attested::Upto(attested.max(before)),
        Attested::Unknown => Attested::Unknown,
    }
}

/// The first record of the last two directories, which alone can be torn.
pub(super) fn first_doubtful(form: &Form, first: u64, last: u64) -> u64 {
    let dir = form.geometry.slot_of(last).map_or(0, |slot| slot.dir).saturating_sub(1);
    form.geometry.first_of(dir).unwrap_or(1).max(first)
}

/// Reads the end of the log, `recheck` records that are known to have been durable among it. What is bad is listed in
/// order; nothing behind the first torn record is looked at.
///
/// The list is no longer than two directories have records.
pub(super) fn scan(
    shelf: &Shelf,
    (first, last): (u64, u64),
    attested: Attested,
    recheck: u64,
) -> Result<Vec<Unreadable>, Error> {
    let from = first_doubtful(shelf.form(), first, last);
    let (mut id, enough) = match attested {
        Attested::Upto(attested) => (from.max(attested.saturating_add(1).saturating_sub(recheck)), attested),
        Attested::Unknown => (from, u64::MAX),
    };
    let mut unreadable: Vec<Unreadable> = Vec::new();
    while id <= last {
        match shelf.read_run(id, last.saturating_add(1), PIECE_BYTES) {
            Ok(batch) => id = id.saturating_add(batch.len() as u64),
            Err(Error::Corrupt(why)) => {
                note(&mut unreadable, id, why);
                if id > enough {
                    break;
                }
                id = id.saturating_add(1);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(unreadable)
}

/// Where the next writer will cut the log, by the same rule: the first record that cannot be read behind the last one that
/// is known to have been durable, among the last [`LOOKED_AT_MAX`] ones. `None` where it will cut nothing, and where nobody
/// knows what was durable: who only reads is told of damage then.
pub(super) fn first_torn(shelf: &Shelf, attested: Attested) -> Option<u64> {
    let (first, next) = shelf.bounds();
    let last = next.saturating_sub(1);
    let known = match at_least(shelf.form(), attested, first, last) {
        Attested::Upto(known) if known < last => known,
        _ => return None,
    };
    let attested = Attested::Upto(known.max(last.saturating_sub(LOOKED_AT_MAX)));
    // It does not look again for what a writer may have changed meanwhile.
    let files = Files::new(shelf.files().disk(), Source::Any);
    let still = Shelf::of(files, *shelf.form(), Authority::Writer);
    still.publish_first(first);
    still.publish_next(next);
    // What cannot be looked at now is told when it is read.
    let unreadable = scan(&still, (first, last), attested, 0).ok()?;
    let bad: Vec<(u64, u64)> = unreadable.iter().map(|bad| (bad.first, bad.last)).collect();
    Some(judge(last, &bad, attested).next).filter(|cut| *cut <= last)
}

/// What the file `tail` says of what had been durable.
pub(super) fn attested_by_tail(disk: &host::Disk) -> Attested {
    tail_page::read(disk).map_or(Attested::Unknown, |tail| Attested::Upto(tail.durable_seq))
}
