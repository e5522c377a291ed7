//! A walk with help finds what a walk alone finds, wherever the parts begin and whatever lies in them.
//! Refuses to ask how fast: the benches do.

use std::path::Path;

use host::sim::SimDisk;
use host::{Clock, Disk};

use super::super::batch::BatchHead;
use super::super::segment::read_head;
use super::*;
use crate::{Level, Log, Options, Parameters, Threads, TypeNo};

const DATA: &str = "0/data.0";
const FILE_BYTES: u64 = 64 << 10;

fn parameters() -> Parameters {
    Parameters { max_size_data_file: FILE_BYTES, ..Parameters::format_2() }
}

fn segment(disk: &Disk) -> Segment {
    let head = read_head(disk, Path::new(DATA)).expect("the file is read").expect("it has a head");
    Segment::growing(disk, head, &parameters()).expect("the file is mapped")
}

/// A file of many batches. Each fourth record is all bytes of the batch before, which look like a batch in their own right.
fn filled(disk: &Disk) -> Segment {
    let options = Options { parameters: Some(parameters()), threads: Threads::None, ..Options::default() };
    let log = Log::open_on(disk, &Clock::system(), options).expect("the log opens");
    let mut last: (u64, u64) = (0, 0);
    for number in 0..200_usize {
        let mut payload = vec![7; number * 7 % 200];
        if number % 4 == 3 {
            payload = vec![0; usize::try_from(last.1 - last.0).expect("a batch is short")];
            segment(disk).map.read_exact_at(&mut payload, last.0).expect("the batch is read");
        }
        log.append_at(Level::Os, TypeNo(1), &payload).expect("the record is appended");
        let segment = segment(disk);
        let mut walk = segment.walk_from(last.1.max(80));
        while let Ok(Some(step)) = walk.next_whole(0) {
            walk.resume(&step);
            last = (step.offset, walk.position);
        }
    }
    segment(disk)
}

/// The places of all batches, read on behind damage.
fn places(segment: &Segment, upto: u64, parts: u64) -> Vec<(u64, u64, u32)> {
    walk_in_parts(segment, upto, parts, |mut walk| {
        let (mut places, mut seq, mut next) = (Vec::new(), 1, 1);
        loop {
            let step = match walk.step(seq, next).expect("the file is read") {
                Some(step) => step,
                None => match walk.next_whole(seq).expect("the file is read") {
                    Some(step) => {
                        walk.resume(&step);
                        step
                    }
                    None => return places,
                },
            };
            (seq, next) = (step.head.seq + 1, step.head.next());
            places.push((step.offset, step.head.seq, step.head.count));
        }
    })
}

fn assert_the_same(segment: &Segment, count: usize) {
    let alone = places(segment, FILE_BYTES, 1);
    assert_eq!(alone.len(), count);
    for upto in [0, 100, 20_000, 33_000, FILE_BYTES] {
        for parts in 2..30 {
            assert_eq!(places(segment, upto, parts), alone, "{parts} parts of {upto} bytes");
        }
    }
}

#[test]
fn a_walk_with_help_finds_what_one_alone_finds() {
    assert_the_same(&filled(&SimDisk::new(1).disk()), 201);
}

#[test]
fn help_changes_nothing_about_damage() {
    let sim = SimDisk::new(1);
    let all = places(&filled(&sim.disk()), 0, 1);
    for (damaged, number) in [7, 60, 111, 200].into_iter().enumerate() {
        let offset = all[number].0 + 50;
        sim.rot(Path::new(DATA), offset, 0).expect("a bit is flipped");
        assert_the_same(&segment(&sim.disk()), all.len() - damaged - 1);
    }
}

#[test]
fn what_others_found_counts_in_its_own_place_only() {
    let step = |offset| {
        let (seq, first, appended_at) = (offset, offset, 0);
        let head =
            BatchHead { flags: 0, seq, first, appended_at, body_len: 0, count: 0, digest: 0, durable_lag: 0 };
        Step { offset, head, offsets: Vec::new(), types: Vec::new(), controls: Vec::new() }
    };
    let (sender, receiver) = sync_channel(1);
    let (failed, nothing) = sync_channel(1);
    drop(failed);
    let mut ahead = Ahead { parts: [(100, receiver), (200, nothing)].into(), ..Ahead::default() };
    assert!(ahead.take(96).is_none(), "nobody is waited for before their part begins");
    sender.send([104, 120, 152].map(step).into()).expect("it is received");
    assert_eq!(ahead.take(120).map(|step| step.offset), Some(120));
    assert!(ahead.take(120).is_none());
    assert!(ahead.take(136).is_none());
    assert_eq!(ahead.take(152).map(|step| step.offset), Some(152));
    assert!(ahead.take(208).is_none());
}

#[test]
fn only_what_is_worth_a_thread_is_gone_through_by_several_and_by_no_more_than_there_are_cores() {
    for (mebibytes, wanted) in
        [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (8, 4), (9, 4), (1 << 40, 4)]
    {
        for cores in [0, 1, 2, 3, 64] {
            let parts = parts_of(mebibytes << 20, || cores);
            assert_eq!(parts, wanted.min(cores).max(1), "{mebibytes} MiB, {cores} cores");
        }
    }
    assert_eq!(parts_of((4 << 20) - 1, || 64), 1);
}

#[test]
fn a_file_is_gone_through_up_to_where_its_writer_said_that_it_was_durable() {
    let tail = |number, position| Tail { number, position, ..Tail::default() };
    let of_file_7 = |tail, is_last| written_upto(tail, (7, 1000), is_last);
    assert_eq!(of_file_7(Some(tail(7, 300)), true), 300);
    assert_eq!(of_file_7(Some(tail(7, 300)), false), 300);
    assert_eq!(of_file_7(Some(tail(7, 9000)), true), 1000, "a file has no more than its length");
    for other in [None, Some(tail(6, 300)), Some(tail(8, 300))] {
        assert_eq!(of_file_7(other, true), 0);
        assert_eq!(of_file_7(other, false), 1000, "all of a file that is followed by another is written");
    }
}
