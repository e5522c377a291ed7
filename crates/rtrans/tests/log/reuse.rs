//! Data files before they are needed and after: prepared in the background, and used again behind a trim.
//! Refuses to look at records alone: which file it is, the disk says.
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers fail as tests do; which file it is, no disk of the product tells"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::sim::SimDisk;
use host::{Clock, Disk};
use rtrans::{Log, Options, Parameters, Reader, Threads, TypeNo, check_on};

use super::id;

const FILE_BYTES: u64 = 64 << 10;

fn options(threads: Threads) -> Options {
    let parameters = Parameters { max_size_data_file: FILE_BYTES, ..Parameters::format_2() };
    Options { parameters: Some(parameters), threads, ..Options::default() }
}

fn open(sim: &SimDisk) -> Log {
    Log::open_on(&sim.disk(), &Clock::system(), options(Threads::None)).expect("the log opens")
}

/// Appends records of one length, each durably, so that batches of any two files lie in the same places.
fn fill(log: &Log, count: u64) {
    for _ in 0..count {
        let number = log.last().map_or(0, rtrans::TransId::get) + 1;
        log.append(TypeNo(1), &number.to_le_bytes().repeat(125)).expect("there is room");
    }
}

fn expect(reader: &Reader, first: u64, last: u64) {
    let mut next = first;
    for record in reader.scan(..) {
        let record = record.unwrap_or_else(|error| panic!("record {next} of {first} to {last}: {error}"));
        assert_eq!((record.id, record.bytes), (id(next), next.to_le_bytes().repeat(125)));
        next += 1;
    }
    assert_eq!(next, last + 1, "the log ends there");
}

fn data_path(number: u64) -> PathBuf {
    PathBuf::from(format!("0/data.{number}"))
}

/// The bytes of the data files.
fn data_files(sim: &SimDisk) -> BTreeMap<u64, Vec<u8>> {
    let files = sim.files().expect("the disk is well").into_iter();
    let number = |path: &Path| path.to_str()?.strip_prefix("0/data.")?.parse().ok();
    files.filter_map(|(path, bytes)| Some((number(&path)?, bytes))).collect()
}

/// How many bytes of zeros were written to the files of a disk, by the numbers that it knows them by.
fn zeros_written(sim: &SimDisk) -> BTreeMap<String, u64> {
    let mut written = BTreeMap::new();
    for line in sim.trace() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["write", file, _, bytes] = words[1..] {
            *written.entry(file.to_owned()).or_default() += bytes.parse::<u64>().expect("it is a number");
        }
    }
    written
}

#[test]
fn the_next_file_is_there_with_all_its_bytes_before_it_is_needed() {
    let sim = SimDisk::new(1);
    let log = open(&sim);
    let mut begun = 0;
    let mut prepared = BTreeMap::new();
    for _ in 0..400 {
        fill(&log, 1);
        for (number, bytes) in data_files(&sim) {
            assert!(bytes.len() as u64 == FILE_BYTES, "data.{number} has {} bytes", bytes.len());
            if bytes.iter().all(|byte| *byte == 0) {
                prepared.entry(number).or_insert_with(|| zeros_written(&sim));
            } else if number > begun {
                // It was seen before the first of its own bytes was written, full of zeros that had been written.
                let before = prepared.get(&number).unwrap_or_else(|| panic!("data.{number} comes too late"));
                assert!(
                    before.values().any(|bytes| *bytes >= FILE_BYTES),
                    "data.{number} is not zeroed: {before:?}"
                );
                begun = number;
            }
        }
    }
    assert!(begun > 5, "only {begun} files");
}

#[test]
fn the_next_file_is_prepared_in_the_background_and_is_the_one_that_is_used() {
    let dir = tempfile::tempdir().expect("there is room");
    let log = Log::open(dir.path(), options(Threads::Own)).expect("the log opens");
    fill(&log, 1);
    let mut watch = Disk::open(dir.path()).and_then(|disk| disk.watch(Path::new("0"))).expect("it is there");
    // Half of the file, and nothing more from this thread.
    fill(&log, FILE_BYTES / 2 / 1000);
    let next = dir.path().join(data_path(1));
    let len = || std::fs::metadata(&next).map_or(0, |found| found.len());
    while len() < FILE_BYTES {
        assert!(watch.wait(Duration::from_mins(10)).expect("it is watched"), "nobody prepares it");
    }
    let prepared = std::fs::metadata(&next).expect("it is there").ino();
    fill(&log, FILE_BYTES / 2 / 1000 + 5);
    let bytes = std::fs::read(&next).expect("it is there");
    assert!(bytes.iter().any(|byte| *byte != 0), "it is written by now");
    assert_eq!(std::fs::metadata(&next).expect("it is there").ino(), prepared, "another file took its name");
}

#[test]
fn a_file_that_was_trimmed_is_used_again() {
    let dir = tempfile::tempdir().expect("there is room");
    let log = Log::open(dir.path(), options(Threads::None)).expect("the log opens");
    fill(&log, 400);
    let inodes = || -> BTreeMap<u64, u64> {
        let ino = |number| Some((std::fs::metadata(dir.path().join(data_path(number))).ok()?.ino(), number));
        (0..40).filter_map(ino).collect()
    };
    let before = inodes();
    log.trim_before(id(350)).expect("there is room");
    fill(&log, 200);
    let again = inodes().into_iter().filter(|(ino, number)| before.get(ino).is_some_and(|old| old < number));
    let again: Vec<u64> = again.map(|(_, number)| number).collect();
    // As many as are kept, one after the other.
    assert_eq!(again.len(), 2, "of {before:?}, {:?} are there", inodes());
    expect(log.reader(), 350, 600);
}

/// A log whose next files are old ones, up to the last records before these are used.
fn with_old_files(seed: u64) -> (SimDisk, Log) {
    let sim = SimDisk::new(seed);
    let log = open(&sim);
    fill(&log, 190);
    log.trim_before(id(186)).expect("there is room");
    (sim, log)
}

/// How often a data file has taken the place of another by now.
fn reuses(sim: &SimDisk) -> usize {
    sim.trace().iter().filter(|line| line.contains(" rename 0/data.") && !line.contains(": ")).count()
}

#[test]
fn what_a_file_held_before_it_was_used_again_is_no_part_of_the_log_at_any_length() {
    // From before the first of the two is begun to behind the end of the second, with a start at each record.
    let (sim, log) = with_old_files(1);
    fill(&log, 150);
    assert_eq!(reuses(&sim), 2, "{:#?}", sim.trace());
    for count in 0..150 {
        let (sim, log) = with_old_files(1);
        fill(&log, count);
        sim.kill();
        drop(log);
        let reader = Reader::open_on(&sim.disk()).expect("the log is there");
        expect(&reader, 186, 190 + count);
        let log = open(&sim);
        assert!(log.recovery().is_clean(), "behind {count} records: {}", log.recovery());
        expect(log.reader(), 186, 190 + count);
        fill(&log, 3);
        expect(log.reader(), 186, 193 + count);
        log.close().expect("the disk is well");
        let findings = check_on(&sim.disk()).expect("the log is there").list;
        assert!(findings.is_empty(), "behind {count} records: {findings:?}");
    }
}

#[test]
fn a_power_cut_at_any_call_while_files_are_used_again_brings_nothing_back_of_what_they_held() {
    let (sim, log) = with_old_files(1);
    let begun = sim.calls();
    fill(&log, 150);
    let calls = sim.calls() - begun;
    let mut cut = 0;
    for call in 1..=calls {
        for seed in 0..2 {
            let (sim, log) = with_old_files(seed * 10_000 + call);
            sim.crash_at(sim.calls() + call);
            let acknowledged = (0..150).take_while(|_| {
                let number = log.last().map_or(0, rtrans::TransId::get) + 1;
                log.append(TypeNo(1), &number.to_le_bytes().repeat(125)).is_ok()
            });
            let acknowledged = 190 + acknowledged.count() as u64;
            sim.crash();
            drop(log);
            let log = open(&sim);
            assert!(log.recovery().damaged.is_empty(), "call {call}, seed {seed}: {}", log.recovery());
            let last = log.last().map_or(0, rtrans::TransId::get);
            assert!(
                last == acknowledged || last == acknowledged + 1,
                "call {call}, seed {seed}: {last} of {acknowledged}"
            );
            expect(log.reader(), 186, last);
            fill(&log, 2);
            sim.crash();
            drop(log);
            expect(open(&sim).reader(), 186, last + 2);
            cut += u64::from(acknowledged < 340);
        }
    }
    assert!(cut > calls, "{cut} cuts of {calls} calls came");
}
