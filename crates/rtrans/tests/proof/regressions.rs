//! Faults that the proofs have found, each as the shortest history that shows it.
//! Refuses to grow by guesses: each was seen to fail once.

use std::path::Path;

use host::Clock;
use host::sim::{Fault, ManualClock, SimDisk, Times};
use rtrans::{Batch, Error, Level, Log, Options, Reader, Retention, TransId, TypeNo, check_on};

use crate::kit::{id, small, small_1};

fn open(sim: &SimDisk) -> Log {
    Log::open_on(&sim.disk(), &Clock::system(), small(0)).unwrap()
}

fn fill(log: &Log, level: Level, count: u64, bytes: usize) {
    for number in 0..count {
        log.append_at(level, TypeNo(1), &vec![number.to_le_bytes()[0]; bytes]).unwrap();
    }
}

#[test]
fn a_position_committed_after_two_rollbacks_is_kept() {
    let sim = SimDisk::new(1);
    let log = open(&sim);
    fill(&log, Level::Disk, 20, 10);
    let mut consumer = log.consumer("backend").unwrap();
    consumer.commit(id(20)).unwrap();
    log.truncate_after(Some(id(15))).unwrap();
    log.truncate_after(Some(id(10))).unwrap();
    consumer.commit(id(5)).unwrap();
    assert_eq!(log.consumers().unwrap()[0].position, Some(id(5)));
    sim.crash();
    drop((consumer, log));
    assert_eq!(open(&sim).consumers().unwrap()[0].position, Some(id(5)));
}

#[test]
fn positions_survive_a_crash_that_tears_the_first_batch_of_a_new_file() {
    for seed in 0..400 {
        let sim = SimDisk::new(seed);
        let log = open(&sim);
        fill(&log, Level::Disk, 1, 10);
        for number in 0..30 {
            log.consumer(&format!("consumer-{number}")).unwrap().commit(id(1)).unwrap();
        }
        // More than a sector of positions stands in front of these records.
        fill(&log, Level::Disk, 1, 900);
        fill(&log, Level::Os, 3, 900);
        sim.crash();
        drop(log);
        let log = open(&sim);
        assert!(log.recovery().damaged.is_empty(), "seed {seed}: {}", log.recovery());
        let consumers = log.consumers().unwrap();
        assert_eq!(consumers.len(), 30, "seed {seed}");
        assert!(consumers.iter().all(|consumer| consumer.position == Some(id(1))), "seed {seed}");
    }
}

#[test]
fn an_index_from_before_a_crash_leads_to_no_other_record() {
    for seed in 0..400 {
        let sim = SimDisk::new(seed);
        let mut log = open(&sim);
        fill(&log, Level::Disk, 3, 700);
        for round in 0..3u64 {
            // The end of one file and the beginning of the next are lost, the index of the first perhaps not.
            fill(&log, Level::Os, 8, 300 + usize::try_from(round).unwrap() * 90);
            sim.crash();
            drop(log);
            log = open(&sim);
            assert!(log.recovery().damaged.is_empty(), "seed {seed}: {}", log.recovery());
            for record in log.scan(..) {
                record.unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
            }
            fill(&log, Level::Disk, 4 + round, 200 + usize::try_from(seed % 7).unwrap() * 100);
        }
    }
}

#[test]
fn a_reader_beside_goes_on_when_the_next_file_is_gone_and_its_own_is_not() {
    let sim = SimDisk::new(1);
    let log = open(&sim);
    fill(&log, Level::Disk, 6, 1000);
    let reader = Reader::open_on(&sim.disk()).unwrap();
    assert_eq!(reader.last(), Some(id(6)));
    for _ in 0..20 {
        fill(&log, Level::Disk, 4, 1000);
        let last = log.last().unwrap();
        log.trim_before(last).unwrap();
        if last.get().is_multiple_of(3) {
            assert_eq!(reader.last(), Some(last));
        }
    }
    assert_eq!(reader.last(), log.last());
}

#[test]
fn a_file_that_a_rollback_has_made_void_is_missed_by_nobody() {
    let sim = SimDisk::new(1);
    let log = open(&sim);
    fill(&log, Level::Disk, 30, 1000);
    log.truncate_after(Some(id(15))).unwrap();
    fill(&log, Level::Disk, 6, 1000);
    log.trim_before(id(14)).unwrap();
    fill(&log, Level::Disk, 12, 1000);
    drop(log);
    let log = open(&sim);
    assert!(log.recovery().damaged.is_empty(), "{}", log.recovery());
    assert_eq!(
        log.scan(..).map(|record| record.unwrap().id.get()).collect::<Vec<_>>(),
        (14..=33).collect::<Vec<_>>()
    );
}

#[test]
fn a_sync_tells_of_records_in_memory_that_a_full_disk_has_taken() {
    let sim = SimDisk::new(1);
    let log = open(&sim);
    fill(&log, Level::Disk, 3, 100);
    sim.capacity(0);
    fill(&log, Level::Memory, 1, 30_000);
    // Whoever comes next writes it, and finds no room.
    assert!(matches!(log.append(TypeNo(1), b"x"), Err(Error::DiskFull(_))));
    sim.capacity(1 << 30);
    assert_eq!(log.append(TypeNo(1), b"x").unwrap(), id(4));
    sim.capacity(0);
    fill(&log, Level::Memory, 1, 30_000);
    assert!(matches!(log.sync(), Err(Error::DiskFull(_))), "it is not durable");
}

#[test]
fn a_full_disk_that_takes_records_of_tickets_from_memory_is_told_to_the_next_append() {
    for in_batches in [false, true] {
        let sim = SimDisk::new(1);
        let options = Options { level: Level::Memory, ..small(0) };
        let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
        let put = |byte: u8| {
            let bytes = vec![byte; 30_000];
            let ticket = if in_batches {
                log.append_batch_async(&Batch::new().push(TypeNo(1), &bytes))
            } else {
                log.append_async(TypeNo(1), &bytes)
            };
            ticket.map(|ticket| ticket.wait().unwrap().reached)
        };
        assert_eq!(put(1).unwrap(), Level::Memory);
        log.sync().unwrap();
        sim.capacity(0);
        assert_eq!(put(2).unwrap(), Level::Memory);
        // Readers have it written, and find no room.
        assert_eq!(log.read(id(2)).unwrap(), None);
        sim.capacity(1 << 30);
        assert!(matches!(put(3), Err(Error::DiskFull(_))), "it would take the lost record's place");
        assert_eq!(put(4).unwrap(), Level::Memory);
        log.sync().unwrap();
        assert_eq!(log.read(id(2)).unwrap().unwrap().bytes[0], 4);
    }
}

#[test]
fn a_directory_that_a_chore_could_not_sync_takes_no_more_records() {
    for call in 1..200 {
        let sim = SimDisk::new(call);
        let log = open(&sim);
        sim.fail_call(sim.calls() + call, Fault::Emfile, Times::Once);
        let mut acknowledged = 0;
        for _ in 0..14 {
            acknowledged = log.append(TypeNo(1), &[7; 900]).map_or(acknowledged, TransId::get);
        }
        sim.crash();
        drop(log);
        let found = open(&sim).last().map_or(0, TransId::get);
        assert!(found >= acknowledged, "call {call}: {found} of {acknowledged} are left");
    }
}

/// Whether a call by this name needs a file handle of its own.
fn needs_a_handle(line: &str) -> bool {
    let verb = line.split(' ').nth(1).unwrap();
    !["read", "write", "sync", "len", "preallocate", "map", "evict"].contains(&verb)
}

#[test]
fn an_append_that_finds_no_file_handle_leaves_a_log_that_goes_on() {
    for level in [Level::Disk, Level::Os] {
        let append = |log: &Log| log.append_at(level, TypeNo(1), &[7; 900]).map(|ack| ack.id.get());
        let sim = SimDisk::new(1);
        let log = open(&sim);
        let before = sim.trace().len();
        for number in 1..=30 {
            assert_eq!(append(&log).unwrap(), number);
        }
        let trace = sim.trace();
        let calls: Vec<usize> = (before..trace.len()).filter(|call| needs_a_handle(&trace[*call])).collect();
        assert!(calls.len() > 20, "{trace:#?}");
        let mut refused = 0;
        for call in calls {
            let sim = SimDisk::new(call as u64);
            let log = open(&sim);
            sim.fail_call(call as u64 + 1, Fault::Emfile, Times::Once);
            let mut last = 0;
            for _ in 0..30 {
                match append(&log) {
                    Ok(id) => last = id,
                    Err(Error::NoHandles(_)) => refused += 1,
                    Err(other) => panic!("{}: {other}", trace[call]),
                }
                assert_eq!(log.last().map_or(0, TransId::get), last, "{}", trace[call]);
            }
            log.sync().unwrap();
            sim.crash();
            drop(log);
            let log = open(&sim);
            assert_eq!(log.scan(..).map(Result::unwrap).count() as u64, last, "{}", trace[call]);
            assert!(log.recovery().damaged.is_empty(), "{}: {}", trace[call], log.recovery());
        }
        assert!(refused > 10, "only {refused} appends met it");
    }
}

#[test]
fn a_rollback_that_finds_no_file_handle_is_not_told_as_an_error_to_try_again_after() {
    let filled = |seed| {
        let sim = SimDisk::new(seed);
        let log = open(&sim);
        for _ in 0..30 {
            log.append(TypeNo(1), &[7; 900]).unwrap();
        }
        (sim, log)
    };
    let (sim, log) = filled(1);
    let before = sim.trace().len();
    log.truncate_after(Some(id(10))).unwrap();
    let trace = sim.trace();
    let mut refused = 0;
    for call in (before..trace.len()).filter(|call| needs_a_handle(&trace[*call])) {
        let (sim, log) = filled(1);
        sim.fail_call(call as u64 + 1, Fault::Emfile, Times::Once);
        let Err(error) = log.truncate_after(Some(id(10))) else { continue };
        let is_over = log.append(TypeNo(1), b"on").is_err();
        assert!(
            matches!(error, Error::Io(_)) && !error.is_transient() && is_over,
            "{}: {error}",
            trace[call]
        );
        refused += 1;
    }
    assert!(refused > 0, "{trace:#?}");
}

#[test]
fn retention_by_age_goes_by_the_clock_of_the_writer() {
    let sim = SimDisk::new(1);
    let clock = ManualClock::new(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000));
    let log = Log::open_on(&sim.disk(), &clock.clock(), small(0)).unwrap();
    for _ in 0..10 {
        clock.advance(std::time::Duration::from_secs(10));
        fill(&log, Level::Disk, 1, 10);
    }
    let policy = Retention { age_max: Some(std::time::Duration::from_secs(35)), ..Retention::default() };
    assert_eq!(log.retain(&policy).unwrap().first, Some(id(7)));
}

#[test]
fn what_a_power_cut_took_does_not_come_back_behind_what_takes_its_place() {
    for seed in 0..400 {
        let sim = SimDisk::new(seed);
        let log = open(&sim);
        fill(&log, Level::Disk, 2, 50);
        fill(&log, Level::Os, 4, 50);
        sim.crash();
        drop(log);
        let log = open(&sim);
        let left = log.last().unwrap().get();
        // As long as the one that was lost: a later one that survived would fit behind it.
        log.append(TypeNo(2), &[9; 50]).unwrap();
        sim.crash();
        drop(log);
        let log = open(&sim);
        assert_eq!(log.last().map(TransId::get), Some(left + 1), "seed {seed}: a lost record is back");
        assert_eq!(log.read(id(left + 1)).unwrap().unwrap().type_no, TypeNo(2));
    }
}

#[test]
fn a_file_without_the_one_before_it_is_no_log_when_nothing_was_durable() {
    for seed in 0..400 {
        let sim = SimDisk::new(seed);
        let log = open(&sim);
        fill(&log, Level::Os, 6, 900);
        sim.crash();
        drop(log);
        let log = open(&sim);
        assert!(log.recovery().damaged.is_empty(), "seed {seed}: {}", log.recovery());
        let left = log.last().map_or(0, TransId::get);
        assert_eq!(log.append(TypeNo(1), b"on").unwrap().get(), left + 1);
        let seen: Vec<_> = log.scan(..).collect::<Result<_, _>>().unwrap();
        assert_eq!(seen.len() as u64, left + 1);
    }
}

#[test]
fn a_log_that_is_empty_finds_no_time() {
    let sim = SimDisk::new(1);
    let log = open(&sim);
    fill(&log, Level::Disk, 3, 10);
    log.truncate_after(None).unwrap();
    assert_eq!(log.seek_time(std::time::UNIX_EPOCH).unwrap(), None);
}

/// One commit of a consumer beside a writer, which may fail.
fn commit_beside(sim: &SimDisk, position: TransId) -> Result<(), Error> {
    Reader::open_on(&sim.disk())?.consumer("backend")?.commit(position)
}

#[test]
fn a_position_is_durable_although_who_made_its_file_was_killed_before_the_name_was() {
    for seed in 0..20 {
        for call in 1.. {
            let sim = SimDisk::new(seed);
            let log = open(&sim);
            fill(&log, Level::Disk, 3, 10);
            log.close().unwrap();
            // Whatever is called from there on does nothing, as if it were never called.
            sim.fail_call(sim.calls() + call, Fault::Emfile, Times::Forever);
            let first = commit_beside(&sim, id(1));
            sim.kill();
            commit_beside(&sim, id(2)).unwrap();
            sim.crash();
            let consumers = Reader::open_on(&sim.disk()).unwrap().consumers().unwrap();
            assert_eq!(consumers[0].position, Some(id(2)), "seed {seed}, call {call}");
            if first.is_ok() {
                break;
            }
        }
    }
}

/// The position that is durable: what a start after a power cut finds.
fn durable_position(sim: &SimDisk) -> Option<TransId> {
    sim.crash();
    Reader::open_on(&sim.disk()).unwrap().consumers().unwrap().first().and_then(|consumer| consumer.position)
}

/// A commit of a consumer beside a writer fails at one of its calls; returns whether the commit did not get that far.
fn fail_beside(options: &Options, is_new: bool, fault: Fault, call: u64) -> bool {
    let what = format!("{:?}, new: {is_new}, {fault:?} at call {call}", options.parameters.unwrap());
    let sim = SimDisk::new(call);
    let log = Log::open_on(&sim.disk(), &Clock::system(), options.clone()).unwrap();
    fill(&log, Level::Disk, 6, 10);
    let reader = Reader::open_on(&sim.disk()).unwrap();
    let mut consumer = reader.consumer("backend").unwrap();
    if !is_new {
        consumer.commit(id(1)).unwrap();
    }
    let failing = sim.calls() + call;
    sim.fail_call(failing, fault, Times::Once);
    let failed = consumer.commit(id(2));
    if failed.is_ok() {
        return true;
    }
    if sim.trace().iter().any(|line| line.starts_with(&format!("{failing} sync_dir "))) {
        // A name that stays in memory: nothing writes it again. Nothing is acknowledged without it either.
        assert!(matches!(consumer.commit(id(3)), Err(Error::Poisoned(_))), "{what}");
        return false;
    }
    if let Err(Error::DiskFull(_) | Error::NoHandles(_)) = failed {
        consumer.commit(id(3)).unwrap();
        assert_eq!(durable_position(&sim), Some(id(3)), "{what}: {failed:?}");
        return false;
    }
    assert!(matches!(failed, Err(Error::Poisoned(_))), "{what}: {failed:?}");
    assert!(matches!(consumer.commit(id(3)), Err(Error::Poisoned(_))), "{what}");
    assert!(matches!(consumer.reset(None), Err(Error::Poisoned(_))), "{what}");
    assert_eq!(consumer.next_batch(1).unwrap().len(), 1, "{what}: reads go on");
    drop(consumer);

    let later = sim.fork();
    let seen = reader.consumer("backend").unwrap().position();
    if options.parameters.unwrap().format_version == 2 {
        assert_eq!(durable_position(&sim), seen, "{what}: it goes back behind what was seen");
    }
    // A writer that starts sees it as well, whatever the format.
    later.kill();
    let log = Log::open_on(&later.disk(), &Clock::system(), options.clone()).unwrap();
    let seen = log.consumers().unwrap().first().and_then(|consumer| consumer.position);
    let next = later.fork();
    assert_eq!(durable_position(&later), seen, "{what}: it goes back behind what a writer saw");
    commit_beside(&next, id(4)).unwrap();
    assert_eq!(durable_position(&next), Some(id(4)), "{what}");
    false
}

#[test]
fn a_consumer_beside_a_writer_acknowledges_nothing_behind_a_failure_of_its_own() {
    for options in [small(0), small_1(0)] {
        for is_new in [true, false] {
            for fault in [Fault::Eio, Fault::Enospc, Fault::Emfile] {
                // More calls than a commit makes.
                let made = (1..30).take_while(|call| !fail_beside(&options, is_new, fault, *call)).count();
                assert!((2..29).contains(&made), "{made} calls, where a commit writes and syncs");
            }
        }
    }
}

#[test]
fn a_consumer_that_ends_leaves_no_commit_on_its_way() {
    for options in [small(0), small_1(0)] {
        let sim = SimDisk::new(1);
        let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
        fill(&log, Level::Disk, 6, 10);
        let ticket = log.consumer("backend").unwrap().commit_async(id(5)).unwrap();
        // Here or in another process: what is not written would be found by neither.
        let found = Reader::open_on(&sim.disk()).unwrap().consumer("backend").unwrap().position();
        assert_eq!(found, Some(id(5)));
        ticket.wait().unwrap();
        assert_eq!(durable_position(&sim), Some(id(5)));
    }
}

/// A start after a writer that was killed writes positions again, in whole blocks: what if the power goes meanwhile?
#[test]
fn a_position_of_the_original_program_outlives_every_power_cut_in_a_start() {
    for seed in 0..10 {
        for call in 1.. {
            let sim = SimDisk::new(seed);
            let disk = sim.disk();
            let log = Log::open_on(&disk, &Clock::system(), small_1(0)).unwrap();
            fill(&log, Level::Disk, 6, 10);
            disk.publish_file(Path::new("transid/backend"), &5u64.to_le_bytes()).unwrap();
            sim.kill();
            sim.crash_at(sim.calls() + call);
            let opened = Log::open_on(&sim.disk(), &Clock::system(), small_1(0));
            assert_eq!(durable_position(&sim), Some(id(5)), "seed {seed}, call {call}");
            let log = Log::open_on(&sim.disk(), &Clock::system(), small_1(0)).unwrap();
            assert_eq!(log.consumer("backend").unwrap().position(), Some(id(5)), "seed {seed}, call {call}");
            if opened.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_position_that_finds_no_room_leaves_no_file_that_looks_damaged() {
    // More calls than a commit makes: some of those that fail do no harm.
    for call in 1..60 {
        let sim = SimDisk::new(1);
        let log = open(&sim);
        fill(&log, Level::Disk, 3, 10);
        log.close().unwrap();
        sim.fail_call(sim.calls() + call, Fault::Enospc, Times::Once);
        let committed = commit_beside(&sim, id(1));
        // A call that was not made does not fail later.
        sim.kill();
        assert!(check_on(&sim.disk()).unwrap().list.is_empty(), "call {call}: {committed:?}");
    }
}

#[test]
fn an_index_that_finds_no_room_leaves_no_file_that_looks_damaged() {
    let mut refused = 0;
    // More calls than are made while two files become full and are indexed.
    for call in 1..120 {
        let sim = SimDisk::new(1);
        let log = open(&sim);
        sim.fail_call(sim.calls() + call, Fault::Enospc, Times::Once);
        for number in 0..30 {
            refused += u32::from(log.append(TypeNo(1), &[number; 300]).is_err());
        }
        drop(log);
        // A call that was not made does not fail later.
        sim.kill();
        // The next start makes what is missing.
        open(&sim).close().unwrap();
        let findings = check_on(&sim.disk()).unwrap().list;
        assert!(findings.is_empty(), "call {call}: {findings:?}");
    }
    assert!(refused > 0, "no call failed");
}

#[test]
fn what_the_tail_said_before_a_sync_of_it_failed_is_not_said_again_after_a_power_cut() {
    for options in [small(0), small_1(0)] {
        let open = |sim: &SimDisk| Log::open_on(&sim.disk(), &Clock::system(), options.clone());
        let mut failed = 0;
        for call in 1.. {
            let sim = SimDisk::new(call);
            let log = open(&sim).unwrap();
            fill(&log, Level::Disk, 6, 100);
            // It says durably that the log ends with record 6.
            log.close().unwrap();
            let begun = sim.calls();
            sim.fail_call(begun + call, Fault::Eio, Times::Once);
            let opened = open(&sim);
            let is_over = sim.calls() < begun + call;
            failed += u32::from(opened.is_err());
            drop(opened);
            sim.kill();
            let log = open(&sim).unwrap();
            log.truncate_after(Some(id(3))).unwrap();
            sim.crash();
            drop(log);
            let log = open(&sim).unwrap();
            assert!(log.recovery().damaged.is_empty(), "call {call}: {}", log.recovery());
            assert_eq!(log.last(), Some(id(3)), "call {call}");
            if is_over {
                break;
            }
        }
        assert!(failed > 5, "{failed} starts failed");
    }
}
