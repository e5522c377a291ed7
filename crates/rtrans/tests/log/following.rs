//! How often a follower is woken: by the system's own count of the times at which its thread went to sleep.
//! Refuses to measure how fast it is woken.
#![expect(clippy::disallowed_methods, reason = "the system's count is a file outside of any log")]

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use host::Clock;
use host::sim::SimDisk;
use rtrans::{Follow, Level, Log, Reader, TypeNo};

use super::{fill, id, open_small, small};

/// How often this thread has given its core away to wait for something.
fn sleeps() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("the count is there")
}

/// Waits for the next record, and counts how often the thread slept meanwhile.
fn wait(follow: &mut Follow, timeout: Duration) -> (Option<u64>, u64) {
    let before = sleeps();
    let record = follow.next_within(timeout).expect("the log is well");
    (record.map(|record| record.id.get()), sleeps().saturating_sub(before))
}

/// Has a follower of a log wait for record 11 while `meanwhile` goes on, which appends it in the end; returns its sleeps.
fn sleeps_until_woken(follow: Follow, meanwhile: impl FnOnce()) -> u64 {
    let (begins, begun) = sync_channel(1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let mut follow = follow;
            begins.send(()).expect("somebody waits for it");
            wait(&mut follow, Duration::from_mins(10))
        });
        begun.recv().expect("the thread begins");
        meanwhile();
        let (record, slept) = waiting.join().expect("it does not panic");
        assert_eq!(record, Some(11));
        slept
    })
}

#[test]
fn a_follower_that_waits_in_vain_sleeps_once_and_for_all_of_its_time() {
    let log = open_small(&SimDisk::new(1).disk());
    fill(&log, 10);
    let (clock, time) = (Clock::system(), Duration::from_millis(1500));
    let began = clock.monotonic();
    let (record, slept) = wait(&mut log.follow(id(11)), time);
    assert_eq!(record, None);
    assert!(clock.monotonic().saturating_sub(began) >= time, "it gives up too early");
    // One more for whatever else may hold a thread up.
    assert!(slept <= 2, "it slept {slept} times");
}

#[test]
fn a_follower_is_woken_by_a_record_and_by_nothing_else() {
    let log = open_small(&SimDisk::new(1).disk());
    fill(&log, 10);
    let slept = sleeps_until_woken(log.follow(id(11)), || {
        let mut consumer = log.consumer("busy").expect("the name is free");
        for number in 0..3000 {
            consumer.commit(id(1 + number % 10)).expect("the disk is well");
        }
        for number in 1..=8 {
            log.trim_before(id(number)).expect("the disk is well");
            log.finalize(id(number)).expect("the disk is well");
        }
        log.append(TypeNo(1), b"news").expect("the disk is well");
    });
    assert!(slept <= 3, "it slept {slept} times");
}

#[test]
fn a_follower_beside_a_writer_is_woken_by_the_system_and_looks_four_times_a_second() {
    let dir = tempfile::tempdir().expect("there is room");
    let log = Log::open(dir.path(), small()).expect("the log opens");
    fill(&log, 10);
    let reader = Reader::open(dir.path()).expect("the log is there");
    let mut follow = reader.follow(id(11));
    let (record, slept) = wait(&mut follow, Duration::from_millis(1500));
    assert_eq!(record, None);
    assert!(slept <= 6 + 6, "it slept {slept} times in six quarters of a second");
    let clock = Clock::system();
    let began = clock.monotonic();
    for number in 11..=50 {
        let (tell, told) = sync_channel(1);
        std::thread::scope(|scope| {
            let log = &log;
            scope.spawn(move || {
                told.recv().expect("the follower begins");
                log.append_at(Level::Os, TypeNo(1), b"news").expect("the disk is well");
            });
            tell.send(()).expect("the writer waits for it");
            let record = follow.next_within(Duration::from_mins(10)).expect("the log is well");
            assert_eq!(record.map(|record| record.id), Some(id(number)));
        });
    }
    // By looks alone, which begin when the record before has come, it would take ten seconds.
    assert!(clock.monotonic().saturating_sub(began) < Duration::from_secs(5), "it is not woken");
}
