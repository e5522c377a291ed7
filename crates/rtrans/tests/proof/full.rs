//! A disk that is full and stays so: what goes on in the room that is kept, for how long, and what a trim makes of it.
//! Refuses to free room in any other way than the log itself does.

use host::Clock;
use host::sim::SimDisk;
use rtrans::{Consumer, Error, Level, Log, Options, Parameters, TransId, TypeNo};

use crate::kit::{id, small, small_1};

fn open(sim: &SimDisk, options: &Options) -> Log {
    Log::open_on(&sim.disk(), &Clock::system(), options.clone()).unwrap()
}

/// Small options with data files of this length.
fn with_files_of(bytes: u64) -> Options {
    let parameters = Parameters { max_size_data_file: bytes, ..small(0).parameters.unwrap() };
    Options { parameters: Some(parameters), ..small(0) }
}

/// Appends records until the disk, which is full from now on, takes no more of this length; returns the last one.
fn fill_up(sim: &SimDisk, log: &Log, bytes: usize) -> u64 {
    sim.capacity(0);
    loop {
        match log.append(TypeNo(1), &vec![7; bytes]) {
            Ok(_) => {}
            Err(Error::DiskFull(_)) => break,
            Err(other) => panic!("a full disk is told as {other}"),
        }
    }
    assert!(log.failure().is_none(), "a full disk poisons nothing");
    log.last().unwrap().get()
}

/// Commits positions until there is no room for them either, and returns how many that were.
fn commit_all(consumer: &mut Consumer, last: u64, most: u64) -> u64 {
    for number in 0..most {
        match consumer.commit(id(1 + number % last)) {
            Ok(()) => {}
            Err(Error::DiskFull(_)) => return number,
            Err(other) => panic!("a full disk is told as {other}"),
        }
    }
    most
}

/// Holds a log against what it has to be.
fn expect(log: &Log, (first, last): (u64, u64), position: u64) {
    let found = log.scan(..).map(|record| record.unwrap().id.get());
    assert!(found.eq(first..=last), "records {first} to {last} are there");
    assert_eq!(log.consumers().unwrap()[0].position, TransId::new(position));
}

/// A log with so many records behind some full files fills the disk, takes as many positions as there is room for, and goes
/// on in the room that a trim makes.
fn go_on_behind_a_trim(options: &Options, count: u64, bytes: usize, commits_min: u64) {
    let sim = SimDisk::new(count + 1);
    let log = open(&sim, options);
    let mut consumer = log.consumer("one").unwrap();
    for _ in 0..count {
        log.append_at(Level::Os, TypeNo(1), &vec![1; bytes]).unwrap();
    }
    consumer.commit(id(1)).unwrap();
    let mut last = fill_up(&sim, &log, bytes);
    let committed = commit_all(&mut consumer, last, 3000);
    assert!(committed >= commits_min, "behind {count} records, {committed} positions find room");
    let mut position = 1 + (committed - 1) % last;
    // Whatever positions have taken, a trim finds room, and what it frees is used at once.
    let trimmed = log.trim_before(id(last)).unwrap_or_else(|error| panic!("behind {count} records: {error}"));
    let first = trimmed.first.unwrap().get();
    expect(&log, (first, last), position);
    last = log.append(TypeNo(2), &vec![8; bytes]).unwrap().get();
    position = last;
    consumer.commit(id(position)).unwrap();
    expect(&log, (first, last), position);
    sim.crash();
    drop((consumer, log));
    let log = open(&sim, options);
    assert!(log.recovery().damaged.is_empty(), "{}", log.recovery());
    expect(&log, (first, last), position);
}

#[test]
fn a_full_disk_takes_positions_for_long_and_then_still_the_trim_that_makes_room_at_every_place_of_a_file() {
    for count in 30..80 {
        go_on_behind_a_trim(&with_files_of(4096), count, 150, 1);
        go_on_behind_a_trim(&with_files_of(64 << 10), count * 20, 150, 30);
    }
    for bytes in (100..4000).step_by(397) {
        go_on_behind_a_trim(&with_files_of(2 << 20), 40_000_000 / 8 / bytes as u64, bytes, 600);
    }
}

#[test]
fn a_full_disk_takes_positions_and_trims_of_format_1_without_end() {
    for count in 10..30 {
        let sim = SimDisk::new(count);
        let log = open(&sim, &small_1(0));
        let mut consumer = log.consumer("one").unwrap();
        for _ in 0..count {
            log.append_at(Level::Os, TypeNo(1), &[1; 150]).unwrap();
        }
        consumer.commit(id(1)).unwrap();
        let last = fill_up(&sim, &log, 150);
        assert_eq!(commit_all(&mut consumer, last, 1000), 1000);
        let trimmed = log.trim_before(id(last)).unwrap();
        expect(&log, (trimmed.first.unwrap().get(), last), 1 + 999 % last);
    }
}

#[test]
fn a_rollback_without_room_says_so_and_changes_nothing_and_finds_the_room_that_a_trim_makes() {
    for count in 30..80 {
        let sim = SimDisk::new(count);
        let log = open(&sim, &small(0));
        let mut consumer = log.consumer("one").unwrap();
        for _ in 0..count {
            log.append_at(Level::Os, TypeNo(1), &[1; 150]).unwrap();
        }
        let last = fill_up(&sim, &log, 150);
        consumer.commit(id(last)).unwrap();
        let mut follow = log.follow(id(last + 1));
        // It goes on in a new file, and there is no room for one.
        let error = log.truncate_after(TransId::new(last - 3)).unwrap_err();
        assert!(matches!(error, Error::DiskFull(_)) && error.is_transient(), "{error}");
        assert!(log.failure().is_none() && follow.next_within(std::time::Duration::ZERO).unwrap().is_none());
        expect(&log, (1, last), last);
        log.trim_before(id(last - 4)).unwrap();
        log.truncate_after(TransId::new(last - 3)).unwrap();
        expect(&log, (last - 4, last - 3), last - 3);
        assert_eq!(log.append(TypeNo(2), b"again").unwrap(), id(last - 2));
        sim.crash();
        drop((follow, consumer, log));
        expect(&open(&sim, &small(0)), (last - 4, last - 2), last - 3);
    }
}

#[test]
fn a_rollback_of_format_1_needs_no_room() {
    for count in 10..40 {
        let sim = SimDisk::new(count);
        let log = open(&sim, &small_1(0));
        let mut consumer = log.consumer("one").unwrap();
        for _ in 0..count {
            log.append_at(Level::Os, TypeNo(1), &[1; 150]).unwrap();
        }
        consumer.commit(id(count)).unwrap();
        let last = fill_up(&sim, &log, 150);
        log.truncate_after(TransId::new(last - 7)).unwrap();
        expect(&log, (1, last - 7), (last - 7).min(count));
        sim.crash();
        drop((consumer, log));
        expect(&open(&sim, &small_1(0)), (1, last - 7), (last - 7).min(count));
    }
}
