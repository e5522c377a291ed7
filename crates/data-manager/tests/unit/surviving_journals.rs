//! Tests of what journals say without their snapshot. A failure here means a deletion that a lost index undoes, or a chunk that
//! is removed although it was wanted again. Refuses disks: journals are bytes.

use super::*;
use crate::index_file::IndexEntry;
use crate::index_journal::{journal_header, journal_record};

fn publishing(id: u8) -> JournalEntry<'static> {
    JournalEntry::Publishing(IndexEntry {
        id: [id; 32],
        dataset_id: [7; 32],
        block_range: 0..36,
        bytes: 1,
        sequence: 5,
        names: "a.parquet",
        foreign_path: None,
    })
}

fn deleting(id: u8) -> JournalEntry<'static> {
    JournalEntry::Deleting([id; 32])
}

fn journal(generation: u64, entries: &[JournalEntry<'_>]) -> (u64, Vec<u8>) {
    let records = entries.iter().flat_map(|entry| journal_record(generation, entry));
    (generation, journal_header(generation).into_iter().chain(records).collect())
}

/// The first bytes of the ids, in order.
fn deleted(journals: Vec<(u64, Vec<u8>)>) -> Vec<u8> {
    let mut ids: Vec<u8> = deletions(journals).into_iter().map(|id| id[0]).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_last_word_on_a_chunk_counts() {
    let entries = [deleting(1), publishing(2), deleting(3), publishing(3), publishing(4), deleting(4)];
    assert_eq!(deleted(vec![journal(3, &entries)]), [1, 4]);
    let gone = [deleting(1), JournalEntry::Gone([1; 32])];
    assert!(
        deleted(vec![journal(3, &gone)]).is_empty(),
        "what comes back after its end is nobody's to remove"
    );
    assert!(deleted(Vec::new()).is_empty());
}

#[test]
fn a_journal_that_was_used_makes_those_before_it_worthless() {
    let before = journal(3, &[deleting(1), publishing(2)]);
    let after = journal(4, &[publishing(5), deleting(5), deleting(2)]);
    assert_eq!(deleted(vec![after, before]), [2, 5]);
}

#[test]
fn a_journal_that_may_never_have_counted_is_read_behind_the_one_that_went_on() {
    let went_on = journal(3, &[deleting(1), deleting(2), publishing(1), deleting(3)]);
    let begun = journal(4, &[publishing(1), deleting(1), publishing(9), deleting(9)]);
    assert_eq!(deleted(vec![begun, went_on.clone()]), [2, 3, 9], "1 was wanted again");
    assert_eq!(deleted(vec![went_on, journal(4, &[])]), [2, 3]);
}

#[test]
fn what_is_no_journal_says_nothing() {
    let (_, mut torn) = journal(3, &[deleting(1), deleting(2)]);
    torn.pop();
    assert_eq!(deleted(vec![(3, torn.clone())]), [1], "up to where it is torn");
    assert!(deleted(vec![(4, torn)]).is_empty(), "under another number");
}
