//! Records of some types only: the same ones that a scan of everything would leave after a look at each.
//! Refuses to say how they are found.

use std::path::{Path, PathBuf};

use host::sim::SimDisk;
use host::{Clock, Disk};
use rtrans::{Error, Level, Log, Options, Parameters, Reader, Record, Threads, TransId, TypeNo};

const RECORDS: u64 = 700;

fn id(number: u64) -> TransId {
    TransId::new(number).expect("ids in tests begin at 1")
}

/// A log with records of this many types, some of them long, in files that are full and one that is not.
fn log(parameters: Parameters, types: u64) -> Log {
    let options = Options {
        parameters: Some(Parameters { max_size_data_file: 1 << 20, ..parameters }),
        threads: Threads::None,
        ..Options::default()
    };
    let log = Log::open_on(&SimDisk::new(1).disk(), &Clock::system(), options).expect("the log opens");
    for number in 1..=RECORDS {
        let len = match number % 50 {
            7 => 70_000,
            8 if number > 300 => 300_000,
            _ => number % 200,
        };
        let bytes: Vec<u8> = (0..len).map(|place| (place * number).to_le_bytes()[0]).collect();
        let type_no = TypeNo(u32::try_from(number * number % types).expect("there are few types"));
        // Batches of one record and of many.
        let level = if number % 40 < 10 { Level::Os } else { Level::Memory };
        log.append_at(level, type_no, &bytes).expect("the record is appended");
    }
    log
}

fn all(records: impl Iterator<Item = Result<Record, Error>>) -> Vec<Record> {
    records.map(|record| record.expect("the record is read")).collect()
}

fn compare(parameters: Parameters, types: u64) {
    let log = log(parameters, types);
    let everything = all(log.scan(..));
    assert_eq!(everything.len() as u64, RECORDS);
    for wanted in [&[1][..], &[4, 0], &[1, 0, 4, 9], &[4_711]] {
        for (from, end) in [(1, RECORDS + 1), (65, 130), (308, 309), (RECORDS - 3, RECORDS + 1)] {
            let found = all(log.scan(id(from)..id(end)).types(wanted.iter().map(|number| TypeNo(*number))));
            let expected = everything.iter().filter(|record| {
                wanted.contains(&record.type_no.0) && (from..end).contains(&record.id.get())
            });
            assert!(
                found.iter().eq(expected),
                "types {wanted:?} of {types} from {from} to {end}: {:?}",
                found.iter().map(|record| record.id.get()).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn records_of_some_types_are_found_in_all_files() {
    compare(Parameters::format_2(), 16);
}

#[test]
fn records_of_some_types_are_found_among_too_many_for_an_index() {
    compare(Parameters::format_2(), 3_001);
}

#[test]
fn records_of_some_types_are_found_where_all_are_of_one() {
    compare(Parameters::format_2(), 1);
}

#[test]
fn records_of_some_types_are_found_in_compressed_batches() {
    compare(Parameters { need_compress: 3, ..Parameters::format_2() }, 16);
}

#[test]
fn records_of_some_types_are_found_in_format_1() {
    compare(Parameters::format_1(), 16);
}

#[test]
fn a_damaged_record_among_those_of_its_type_is_told_in_its_place() {
    let sim = SimDisk::new(1);
    let log = Log::open_on(&sim.disk(), &Clock::system(), Options::default()).expect("the log opens");
    for number in 1..=100 {
        log.append_at(Level::Memory, TypeNo(number % 2), &[b'x'; 1000]).expect("the record is appended");
    }
    log.sync().expect("all of it is written");
    let file = sim.disk().edit_file(Path::new("0/data.0")).expect("the file is there");
    // In record 49: each takes 1,012 bytes.
    file.write_all_at(b"y", 49_000).expect("a byte is changed");
    let found: Vec<Result<u64, Error>> =
        log.scan(..).types([TypeNo(1)]).map(|record| record.map(|record| record.id.get())).collect();
    let damaged = found.iter().position(Result::is_err).expect("the damage is told");
    let Err(Error::Corrupt(corruption)) = &found[damaged] else { panic!("{:?}", found[damaged]) };
    let (first, last) = corruption.ids.expect("its records are named");
    assert_eq!((first, last.get()), (last, damaged as u64 * 2 + 1));
    let others = found.iter().flatten().copied();
    assert!(others.eq((1..=100).step_by(2).filter(|number| *number != last.get())), "{found:?}");
}

/// A type that few data files have.
const RARE: TypeNo = TypeNo(9);

/// A log of files that are full, all of records of type 1, and in three of them one record of a rare type; returns the ids
/// of those.
fn log_with_rare_records(disk: &Disk) -> (Log, Vec<u64>) {
    let parameters = Parameters { max_size_data_file: 16 << 10, ..Parameters::format_2() };
    let options = Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() };
    let log = Log::open_on(disk, &Clock::system(), options).expect("the log opens");
    let rare = [40, 101, 240];
    for number in 1..=300 {
        let type_no = if rare.contains(&number) { RARE } else { TypeNo(1) };
        log.append_at(Level::Os, type_no, &[b'x'; 700]).expect("the record is appended");
    }
    (log, rare.to_vec())
}

/// The data files of a log, each with the number that the disk knows it by.
fn data_files(sim: &SimDisk) -> Vec<(PathBuf, String)> {
    let files = sim.files().expect("the disk is well").into_iter().map(|(path, _)| path);
    let is_data =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"data."));
    let number = |path: PathBuf| {
        let file = sim.disk().open_file(&path).expect("the file is there");
        file.read_at(&mut [0], 0).expect("the disk is well");
        let line = sim.trace().pop().expect("it was just read");
        (path, line.split(' ').nth(2).expect("a read names its file").to_owned())
    };
    files.filter(is_data).map(number).collect()
}

/// Scans for the rare type, and returns the ids that were found and how many data files were read.
fn scan_for_rare(sim: &SimDisk, reader: &Reader) -> (Vec<u64>, usize) {
    let files = data_files(sim);
    let before = sim.calls();
    let found =
        reader.scan(..).types([RARE]).map(|record| record.expect("nothing is damaged").id.get()).collect();
    assert!(sim.calls() - before < 4000, "the trace is not long enough");
    let trace = sim.trace();
    let is_read = |number: &String| {
        trace.iter().any(|line| {
            let mut words = line.split(' ');
            let is_later =
                words.next().and_then(|call| call.parse().ok()).is_some_and(|call: u64| call > before);
            is_later && words.next() == Some("read") && words.next() == Some(number)
        })
    };
    (found, files.iter().filter(|(_, number)| is_read(number)).count())
}

#[test]
fn files_without_a_type_are_not_read_in_the_search_for_it() {
    let sim = SimDisk::new(1);
    let (log, rare) = log_with_rare_records(&sim.disk());
    let files = data_files(&sim).len();
    assert!(files > 12, "{files} files");
    // By the tables of whoever wrote them, by their indexes after a start, and beside a writer.
    assert_eq!(scan_for_rare(&sim, log.reader()), (rare.clone(), 3), "of {files} files");
    log.close().expect("the disk is well");
    let log = Log::open_on(&sim.disk(), &Clock::system(), Options::default()).expect("the log opens");
    assert_eq!(scan_for_rare(&sim, log.reader()), (rare.clone(), 3), "of {files} files");
    let reader = Reader::open_on(&sim.disk()).expect("the log is there");
    assert_eq!(scan_for_rare(&sim, &reader), (rare, 3), "of {files} files");
    // What was counted is reads: a scan of everything reads them all.
    let before = sim.calls();
    assert_eq!(log.scan(..).count(), 300);
    let is_read = |line: &String| {
        line.split(' ').next().is_some_and(|call| call.parse().is_ok_and(|call: u64| call > before))
    };
    assert!(sim.trace().iter().filter(|line| is_read(line) && line.contains(" read ")).count() >= files);
}

#[test]
fn files_without_a_type_may_be_damaged_while_others_are_searched_for_it() {
    let sim = SimDisk::new(1);
    let (log, rare) = log_with_rare_records(&sim.disk());
    log.close().expect("the disk is well");
    let log = Log::open_on(&sim.disk(), &Clock::system(), Options::default()).expect("the log opens");
    let mut damaged = 0;
    for (path, _) in data_files(&sim) {
        let file = sim.disk().edit_file(&path).expect("the file is there");
        let undamaged = sim.files().expect("the disk is well");
        file.write_all_at(&[0xA5; 12 << 10], 4096).expect("the disk is well");
        // A file that has the rare type is put right again.
        if log.scan(..).types([RARE]).any(|record| record.is_err()) {
            let (_, bytes) = undamaged.into_iter().find(|(found, _)| *found == path).expect("it was there");
            file.write_all_at(&bytes[4096..], 4096).expect("the disk is well");
            continue;
        }
        damaged += 1;
    }
    assert!(damaged > 9, "{damaged} files");
    let found: Vec<u64> =
        log.scan(..).types([RARE]).map(|record| record.expect("it is read").id.get()).collect();
    assert_eq!(found, rare);
}
