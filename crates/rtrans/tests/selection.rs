//! Records of some types only: the same ones that a scan of everything would leave after a look at each.
//! Refuses to say how they are found.

use std::path::Path;

use host::Clock;
use host::sim::SimDisk;
use rtrans::{Error, Level, Log, Options, Parameters, Record, Threads, TransId, TypeNo};

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
