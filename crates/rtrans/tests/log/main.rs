//! The log as its users see it, on the real disk and on the simulated one.
//! Refuses to know how it is done.

mod bounds;
mod following;
mod leaving;
mod reuse;

use std::path::Path;
use std::time::Duration;

use host::sim::SimDisk;
use host::{Clock, Disk};
use rtrans::{
    Batch, Consumers, Create, Error, Level, Log, Options, Parameters, Reader, Retention, Scheduling, Threads,
    TransId, TypeNo,
};

fn id(number: u64) -> TransId {
    TransId::new(number).expect("ids in tests begin at 1")
}

fn open(disk: &Disk) -> Log {
    Log::open_on(disk, &Clock::system(), Options::default()).expect("the log opens")
}

/// Small files, so that a few records fill some.
fn small() -> Options {
    let parameters = Parameters { max_size_data_file: 4096, ..Parameters::format_2() };
    Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() }
}

fn open_small(disk: &Disk) -> Log {
    Log::open_on(disk, &Clock::system(), small()).expect("the log opens")
}

fn fill(log: &Log, count: u64) {
    for number in 0..count {
        log.append(TypeNo((number % 3) as u32), format!("record {number} {}", "x".repeat(100)).as_bytes())
            .expect("the record is appended");
    }
}

fn ids(log: &Log) -> Vec<u64> {
    log.scan(..).map(|record| record.expect("the record is read").id.get()).collect()
}

#[test]
fn what_was_appended_is_read_back_by_id_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    assert_eq!((log.first(), log.last()), (None, None));
    assert_eq!(log.append(TypeNo(7), b"one").unwrap(), id(1));
    assert_eq!(log.append(TypeNo(8), b"").unwrap(), id(2));
    assert_eq!(log.append(TypeNo(u32::MAX), &[0; 1000]).unwrap(), id(3));
    let record = log.read(id(1)).unwrap().unwrap();
    assert_eq!((record.id, record.type_no, record.bytes.as_slice()), (id(1), TypeNo(7), b"one".as_slice()));
    assert_eq!(log.read(id(2)).unwrap().unwrap().bytes, b"");
    assert_eq!(log.read(id(4)).unwrap(), None);
    assert_eq!(ids(&log), [1, 2, 3]);
    assert_eq!((log.first(), log.last()), (Some(id(1)), Some(id(3))));
}

#[test]
fn a_log_is_there_again_after_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    fill(&log, 100);
    log.close().unwrap();
    let log = Log::open(dir.path(), Options { create: Create::Never, ..Options::default() }).unwrap();
    assert!(log.recovery().is_clean(), "{}", log.recovery());
    assert_eq!(ids(&log), (1..=100).collect::<Vec<_>>());
    assert_eq!(log.append(TypeNo(1), b"more").unwrap(), id(101));
}

#[test]
fn a_large_file_is_recovered_by_several_threads_as_by_one() {
    let recovered = |threads| {
        let sim = SimDisk::new(1);
        let options = |threads| Options { threads, ..Options::default() };
        let log = Log::open_on(&sim.disk(), &Clock::system(), options(Threads::None)).unwrap();
        for number in 0..400_usize {
            let bytes = vec![7; 20_000 + number * 977 % 20_000];
            log.append_at(Level::Os, TypeNo(1), &bytes).unwrap();
        }
        log.sync().unwrap();
        sim.kill();
        drop(log);
        // The first file is a short one.
        for offset in [5_000_000, 7_900_000] {
            sim.rot(Path::new("0/data.1"), offset, 0).unwrap();
        }
        let log = Log::open_on(&sim.disk(), &Clock::system(), options(threads)).unwrap();
        let found: Vec<_> = log.scan(..).map(|record| record.map(|record| record.id).ok()).collect();
        (log.recovery().damaged.clone(), found)
    };
    let (together, alone) = (recovered(Threads::Own), recovered(Threads::None));
    assert_eq!((together.0.len(), together.1.iter().flatten().count()), (2, 398));
    assert_eq!(together, alone);
}

#[test]
fn a_log_goes_on_over_many_files_and_finds_records_in_all_of_them() {
    let sim = SimDisk::new(1);
    let log = open_small(&sim.disk());
    fill(&log, 500);
    for number in [1, 2, 33, 250, 499, 500] {
        let record = log.read(id(number)).unwrap().unwrap();
        assert!(record.bytes.starts_with(format!("record {} ", number - 1).as_bytes()), "record {number}");
    }
    assert_eq!(ids(&log), (1..=500).collect::<Vec<_>>());
    let reversed: Vec<u64> = log.scan_rev(id(490)..).map(|record| record.unwrap().id.get()).collect();
    assert_eq!(reversed, (490..=500).rev().collect::<Vec<_>>());
    let last: Vec<u64> = log.tail(3).map(|record| record.unwrap().id.get()).collect();
    assert_eq!(last, [498, 499, 500]);
    drop(log);
    let log = open_small(&sim.disk());
    assert!(log.recovery().is_clean(), "{}", log.recovery());
    assert_eq!(ids(&log), (1..=500).collect::<Vec<_>>());
    assert_eq!(log.read(id(250)).unwrap().unwrap().id, id(250));
}

#[test]
fn records_of_one_type_are_found_among_others() {
    let sim = SimDisk::new(1);
    let log = open_small(&sim.disk());
    fill(&log, 300);
    let found: Vec<u64> =
        log.scan(id(10)..).types([TypeNo(2)]).map(|record| record.unwrap().id.get()).collect();
    assert_eq!(found, (10..=300).filter(|number| (number - 1) % 3 == 2).collect::<Vec<_>>());
    assert_eq!(log.scan(..).types([TypeNo(9)]).count(), 0);
}

#[test]
fn a_batch_is_all_there_with_its_conditions() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk());
    let batch = Batch::new().push(TypeNo(1), b"a").push(TypeNo(2), b"b").expect_last(None);
    let appended = log.append_batch(&batch).unwrap();
    assert_eq!((appended.first, appended.count, appended.reached), (Some(id(1)), 2, Level::Disk));
    assert!(matches!(
        log.append_batch(&batch),
        Err(Error::Conflict { expected: None, found: Some(found) }) if found == id(2)
    ));
    log.fence(5).unwrap();
    let stale = Batch::new().push(TypeNo(1), b"a").epoch(4);
    assert!(matches!(log.append_batch(&stale), Err(Error::Fenced { epoch: 5 })));
    log.append_batch(&stale.epoch(5)).unwrap();
    assert!(matches!(log.append_if(Some(id(1)), TypeNo(1), b"x"), Err(Error::Conflict { .. })));
    assert_eq!(log.append_if(Some(id(3)), TypeNo(1), b"x").unwrap(), id(4));
}

#[test]
fn a_level_is_reached_and_told() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk());
    for level in [Level::Memory, Level::Os, Level::Disk] {
        assert!(log.append_at(level, TypeNo(1), b"x").unwrap().reached >= level);
    }
    assert_eq!(ids(&log), [1, 2, 3]);
}

#[test]
fn durable_records_survive_a_power_cut_and_others_leave_no_hole() {
    for seed in 0..50 {
        let sim = SimDisk::new(seed);
        let log = open_small(&sim.disk());
        fill(&log, 20);
        for number in 0..10 {
            log.append_at(Level::Os, TypeNo(1), format!("loose {number}").as_bytes()).unwrap();
        }
        sim.crash();
        drop(log);
        let log = open_small(&sim.disk());
        let found = ids(&log);
        assert!(found.len() >= 20, "seed {seed}: only {found:?}");
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "seed {seed}");
        assert!(log.recovery().damaged.is_empty(), "seed {seed}: {}", log.recovery());
        let next = log.append(TypeNo(1), b"behind").unwrap();
        assert_eq!(next.get(), found.len() as u64 + 1);
    }
}

#[test]
fn tickets_are_fulfilled_in_order() {
    let sim = SimDisk::new(1);
    for threads in [Threads::Own, Threads::None] {
        let options = Options { threads, ..Options::default() };
        let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
        let tickets: Vec<_> = (0..1000).map(|_| log.append_async(TypeNo(1), b"x").unwrap()).collect();
        for ticket in &tickets {
            let appended = ticket.wait().unwrap();
            assert_eq!((appended.first, appended.reached), (ticket.id(), Level::Disk));
        }
    }
}

#[test]
fn the_thread_that_commits_tells_what_the_scheduler_gave_it() {
    let sim = SimDisk::new(1);
    let permitted = |scheduling: Scheduling| {
        let ask = move || scheduling.apply_here();
        std::thread::Builder::new().name("asks".to_owned()).spawn(ask).unwrap().join().unwrap()
    };
    let asked = [Scheduling::Inherited, Scheduling::ShortSlice, Scheduling::Favoured, Scheduling::RealTime];
    for scheduling in asked {
        let options = Options { scheduling, ..Options::default() };
        let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
        // Closing waits for the thread, which has asked before all else.
        log.clone().close().unwrap();
        assert_eq!(log.metrics().scheduling, permitted(scheduling), "{scheduling:?}");
    }
}

#[test]
fn many_producers_share_syncs_and_each_gets_ids_of_its_own() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk());
    let mut all: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..200).map(|_| log.append(TypeNo(1), b"x").unwrap().get()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    assert_eq!(all, (1..=1600).collect::<Vec<_>>());
}

#[test]
fn a_follower_is_woken_by_an_append_in_this_process() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk());
    let mut follow = log.follow(TransId::FIRST);
    let stop = follow.stop_handle();
    let seen = std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let seen = follow.by_ref().map(|record| record.unwrap().id.get());
            seen.take_while(|number| *number <= 50).collect::<Vec<_>>()
        });
        fill(&log, 51);
        reading.join().unwrap()
    });
    assert_eq!(seen, (1..=50).collect::<Vec<_>>());
    stop.stop();
}

#[test]
fn a_reader_beside_the_writer_sees_what_comes_and_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), small()).unwrap();
    fill(&log, 10);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.scan(..).count(), 10);
    fill(&log, 200);
    assert_eq!(reader.last(), Some(id(210)));
    let mut follow = reader.follow(id(211));
    std::thread::scope(|scope| {
        scope.spawn(|| fill(&log, 100));
        for number in 211..=310 {
            let record = follow.next_within(Duration::from_secs(20)).unwrap().expect("it comes");
            assert_eq!(record.id, id(number));
        }
    });
    log.truncate_after(Some(id(300))).unwrap();
    log.append(TypeNo(1), b"other").unwrap();
    assert!(
        matches!(follow.next_within(Duration::from_secs(20)), Err(Error::RolledBack { after }) if after == Some(id(300)))
    );
    assert_eq!(follow.next_within(Duration::from_secs(20)).unwrap().unwrap().bytes, b"other");
    log.trim_before(id(250)).unwrap();
    reader.refresh().unwrap();
    assert!(matches!(reader.read(id(1)), Err(Error::Trimmed { .. })));
    assert_eq!(reader.first(), Some(id(250)));
}

#[test]
fn a_failed_sync_poisons_and_reads_go_on() {
    let sim = SimDisk::new(6);
    let log = open_small(&sim.disk());
    fill(&log, 5);
    sim.fail_sync_next();
    assert!(matches!(log.append(TypeNo(1), b"x"), Err(Error::Poisoned(_))));
    assert!(matches!(log.append(TypeNo(1), b"x"), Err(Error::Poisoned(_))));
    assert_eq!(log.read(id(5)).unwrap().unwrap().id, id(5));
    sim.crash();
    drop(log);
    let log = open_small(&sim.disk());
    assert!(ids(&log).len() >= 5);
    log.append(TypeNo(1), b"again").unwrap();
}

/// It is longer than what is written again at once, and a write past the memory takes more out of it than it writes.
#[test]
fn a_long_record_that_a_failed_sync_has_left_in_memory_is_whole_behind_the_next_start() {
    let payload = vec![7; 300_000];
    for format_no in [1, 2] {
        let sim = SimDisk::new(31);
        let parameters = if format_no == 1 { Parameters::format_1() } else { Parameters::format_2() };
        let options = Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() };
        let open = || Log::open_on(&sim.disk(), &Clock::system(), options.clone()).unwrap();
        let log = open();
        log.append(TypeNo(1), b"kept").unwrap();
        sim.fail_sync_next();
        assert!(matches!(log.append(TypeNo(1), &payload), Err(Error::Poisoned(_))));
        drop(log);
        let log = open();
        log.append(TypeNo(1), b"again").unwrap();
        let before = ids(&log);
        drop(log);
        sim.crash();
        let log = open();
        assert_eq!(ids(&log), before, "format {format_no}");
        let is_whole = |bytes: &[u8]| [b"kept", payload.as_slice(), b"again"].contains(&bytes);
        assert!(log.scan(..).all(|record| is_whole(&record.unwrap().bytes)), "format {format_no}");
    }
}

#[test]
fn a_full_disk_refuses_appends_cleanly_and_takes_them_again() {
    let sim = SimDisk::new(7);
    let disk = sim.disk();
    let log = open_small(&disk);
    log.consumer("c").unwrap();
    fill(&log, 20);
    sim.capacity(0);
    let mut count = 20;
    let error = loop {
        match log.append(TypeNo(1), &[1; 200]) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::DiskFull(_)), "{error}");
    log.consumer("c").unwrap().commit(id(count)).unwrap();
    assert_eq!(log.read(id(count)).unwrap().unwrap().id, id(count));
    sim.capacity(1 << 30);
    assert_eq!(log.append(TypeNo(1), b"again").unwrap(), id(count + 1));
    assert_eq!(ids(&log), (1..=count + 1).collect::<Vec<_>>());
}

#[test]
fn a_second_writer_is_refused_by_name() {
    let sim = SimDisk::new(8);
    let log = open(&sim.disk());
    let error = Log::open_on(&sim.disk(), &Clock::system(), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Locked { pid: Some(_), .. }));
    drop(log);
    open(&sim.disk());
}

#[test]
fn every_codec_gives_back_what_was_appended() {
    for need_compress in 0..=3 {
        let sim = SimDisk::new(9);
        let parameters = Parameters { need_compress, max_size_data_file: 8192, ..Parameters::format_2() };
        let options = Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() };
        let log = Log::open_on(&sim.disk(), &Clock::system(), options.clone()).unwrap();
        for _ in 0..30 {
            let texts: Vec<String> = (0..20).map(|number| format!("{number} {}", "y".repeat(50))).collect();
            let batch = texts.iter().fold(Batch::new(), |batch, text| batch.push(TypeNo(3), text.as_bytes()));
            log.append_batch(&batch).unwrap();
        }
        for reopened in 0..2 {
            let log = if reopened == 0 { log.clone() } else { continue };
            assert_eq!(ids(&log), (1..=600).collect::<Vec<_>>(), "codec {need_compress}");
            assert!(log.read(id(321)).unwrap().unwrap().bytes.starts_with(b"0 y"));
        }
        drop(log);
        let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
        assert_eq!(ids(&log), (1..=600).collect::<Vec<_>>(), "codec {need_compress} reopened");
    }
}

#[test]
fn a_time_finds_the_first_record_at_or_after_it() {
    let sim = SimDisk::new(10);
    let clock = host::sim::ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000));
    let log = Log::open_on(&sim.disk(), &clock.clock(), small()).unwrap();
    let mut times = Vec::new();
    for number in 0..200u64 {
        clock.advance(Duration::from_secs(1));
        times.push(clock.clock().wall());
        log.append(TypeNo(1), &number.to_le_bytes().repeat(10)).unwrap();
    }
    for number in [0, 1, 77, 199] {
        assert_eq!(log.seek_time(times[number]).unwrap(), Some(id(number as u64 + 1)));
        let between = times[number] - Duration::from_millis(500);
        assert_eq!(log.seek_time(between).unwrap(), Some(id(number as u64 + 1)));
        assert_eq!(log.read(id(number as u64 + 1)).unwrap().unwrap().appended_at, Some(times[number]));
    }
    assert_eq!(log.seek_time(times[199] + Duration::from_secs(1)).unwrap(), None);
}

#[test]
fn a_large_record_gets_a_file_of_its_own() {
    let sim = SimDisk::new(11);
    let log = open_small(&sim.disk());
    fill(&log, 3);
    let large = vec![7; 100_000];
    assert_eq!(log.append(TypeNo(5), &large).unwrap(), id(4));
    fill(&log, 3);
    assert_eq!(log.read(id(4)).unwrap().unwrap().bytes, large);
    assert_eq!(ids(&log), (1..=7).collect::<Vec<_>>());
    let options = Options { record_bytes_max: 10, ..small() };
    drop(log);
    let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
    assert!(matches!(log.append(TypeNo(5), &large), Err(Error::TooLarge { bytes: 100_000, bytes_max: 10 })));
}

#[test]
fn files_that_are_prepared_in_the_background_are_never_taken_from_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { threads: Threads::Own, level: Level::Memory, ..small() };
    let log = Log::open(dir.path(), options).unwrap();
    for number in 0..20_000u64 {
        log.append(TypeNo(1), &number.to_le_bytes().repeat(20)).unwrap();
    }
    log.sync().unwrap();
    for (number, record) in log.scan(..).enumerate() {
        assert_eq!(record.unwrap().bytes[..8], (number as u64).to_le_bytes());
    }
    assert_eq!(log.last(), Some(id(20_000)));
}

#[test]
fn a_file_that_waits_stays_over_a_start_and_nothing_in_it_counts() {
    let sim = SimDisk::new(3);
    let log = open_small(&sim.disk());
    fill(&log, 60);
    drop(log);
    let disk = sim.disk();
    let path = |number: u32| std::path::PathBuf::from(format!("0/data.{number}"));
    let bytes_of = |number: u32| {
        let mut bytes = vec![0; 4096];
        let file = disk.open_file(&path(number)).ok()?;
        file.read_exact_at(&mut bytes, 0).ok().filter(|()| bytes[0] != 0).map(|()| bytes)
    };
    let waiting = (0..100).find(|number| bytes_of(*number).is_none()).expect("there is a last file");
    // It holds what it held when it was another file, batches that are whole, behind a head that was never written.
    let mut bytes = bytes_of(waiting - 1).expect("it has a head");
    bytes[..80].fill(0);
    drop(disk.remove_file(&path(waiting)));
    disk.create_file(&path(waiting)).unwrap().write_all_at(&bytes, 0).unwrap();
    let log = open_small(&disk);
    assert!(log.recovery().is_clean(), "{}", log.recovery());
    assert!(disk.stat(&path(waiting)).is_ok(), "nobody waits for its removal");
    assert_eq!(ids(&log), (1..=60).collect::<Vec<_>>());
    fill(&log, 60);
    drop(log);
    assert_eq!(ids(&open_small(&disk)), (1..=120).collect::<Vec<_>>());
}

#[test]
fn records_that_come_during_a_rollback_get_ids_behind_it() {
    let sim = SimDisk::new(12);
    let log = open(&sim.disk());
    fill(&log, 10);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fill(&log, 200));
        }
        for _ in 0..50 {
            let last = log.last().expect("there are records").get();
            let kept = id(last - last.min(9) / 3);
            match log.truncate_after(Some(kept)) {
                Ok(()) | Err(Error::BeyondEnd { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    let found = ids(&log);
    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
    drop(log);
    assert_eq!(ids(&open(&sim.disk())), found);
}

#[test]
fn a_path_that_leads_through_a_file_holds_no_log() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path(), &file.path().join("log")] {
        let opened = Reader::open(path);
        assert!(matches!(opened, Err(Error::NotALog { .. })), "{}: {opened:?}", path.display());
    }
}
