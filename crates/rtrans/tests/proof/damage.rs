//! Bits flip, tails are torn, files go missing, and there are holes in the middle.
//! Refuses silence: either every record comes back as it was, or somebody is told.

use std::path::{Path, PathBuf};

use host::sim::SimDisk;
use host::{Clock, Disk};
use rtrans::{Error, Level, Log, Options, Reader, Record, TransId, TypeNo};

use crate::kit::{id, setting, small};

const RECORDS: u64 = 100;

fn row(number: u64) -> (TypeNo, Vec<u8>) {
    let text = format!("record {number} {}", "abcdefgh".repeat(usize::try_from(number % 12).unwrap()));
    (TypeNo(u32::try_from(number % 3).unwrap()), text.into_bytes())
}

fn open(disk: &Disk, options: Options) -> Result<Log, Error> {
    Log::open_on(disk, &Clock::system(), options)
}

/// A disk with these files.
fn disk_of(files: &[(PathBuf, Vec<u8>)]) -> SimDisk {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    for (path, bytes) in files {
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.create_file(path).unwrap().write_all_at(bytes, 0).unwrap();
    }
    sim
}

/// A log of a hundred records, some in batches, over some files, with a consumer; closed or killed.
fn log_of(options: &Options, is_closed: bool) -> Vec<(PathBuf, Vec<u8>)> {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk(), options.clone()).unwrap();
    for number in 1..=RECORDS {
        let (type_no, bytes) = row(number);
        let level = if number % 10 < 4 { Level::Memory } else { Level::Disk };
        log.append_at(level, type_no, &bytes).unwrap();
    }
    let mut consumer = log.consumer("backend").unwrap();
    consumer.commit(id(60)).unwrap();
    log.finalize(id(50)).unwrap();
    // Two index files are written when the files before the last are first read.
    assert_eq!(log.scan(..).count(), 100);
    if is_closed {
        drop(consumer);
        log.close().unwrap();
        return sim.files().unwrap();
    }
    sim.kill();
    sim.files().unwrap()
}

/// What is read of a log: the records that come back, and whether anything says that some do not.
struct Seen {
    ids: Vec<u64>,
    is_told: bool,
}

fn look(reader: &Reader) -> Seen {
    let mut seen = Seen { ids: Vec::new(), is_told: false };
    for record in reader.scan(..) {
        match record {
            Ok(record) => {
                let (type_no, bytes) = row(record.id.get());
                assert!(record.bytes == bytes && record.type_no == type_no, "record {} is wrong", record.id);
                seen.ids.push(record.id.get());
            }
            Err(_) => seen.is_told = true,
        }
    }
    // Each by itself says the same.
    for number in 1..=RECORDS {
        let is_there = match reader.read(id(number)) {
            Ok(Some(record)) => {
                assert_eq!(record.bytes, row(number).1);
                true
            }
            Ok(None) => false,
            Err(_) => {
                seen.is_told = true;
                false
            }
        };
        assert_eq!(is_there, seen.ids.contains(&number), "record {number} by id and in order");
    }
    for type_no in 0..3 {
        let found = reader.scan(..).types([TypeNo(type_no)]).flatten().map(|record| record.id.get());
        let expected = seen.ids.iter().copied().filter(|number| number % 3 == u64::from(type_no));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "records of type {type_no}");
    }
    seen
}

/// Opens what is left, and fails when something is missing and nobody says so.
fn judge(sim: &SimDisk, options: &Options) {
    if let Ok(reader) = Reader::open_on(&sim.disk()) {
        drop(look(&reader));
    }
    let log = match open(&sim.disk(), Options { parameters: None, ..options.clone() }) {
        Ok(log) => log,
        Err(error) => {
            let is_typed = matches!(
                error,
                Error::Corrupt(_)
                    | Error::BadParameters { .. }
                    | Error::NotALog { .. }
                    | Error::Unsupported { .. }
            );
            assert!(is_typed, "the log does not open: {error}");
            return;
        }
    };
    let seen = look(log.reader());
    let is_told = seen.is_told || !log.recovery().is_clean();
    let is_whole = seen.ids.len() as u64 == RECORDS;
    assert!(is_whole || is_told, "{} records are left, and nobody is told", seen.ids.len());
    let position = log.consumers().unwrap().first().and_then(|consumer| consumer.position).map(TransId::get);
    assert!(position == Some(60) || is_told, "the position is {position:?}, and nobody is told");
    assert!(position <= log.last().map(TransId::get), "the consumer is ahead");
    // A start that appends nothing forgets nothing.
    let end = log.last();
    log.close().unwrap();
    let log = open(&sim.disk(), Options { parameters: None, ..options.clone() }).unwrap();
    assert_eq!(log.last(), end, "the second start ends elsewhere");
    // It goes on, and what was told once is not forgotten.
    let next = log.append(TypeNo(9), b"behind").unwrap();
    assert!(next.get() > RECORDS || is_told);
    assert_eq!(log.read(next).unwrap().unwrap().bytes, b"behind");
    drop(log);
    let log = open(&sim.disk(), Options { parameters: None, ..options.clone() }).unwrap();
    assert_eq!(log.read(next).unwrap().unwrap().bytes, b"behind");
    let again: Vec<u64> = log.scan(..next).flatten().map(|record| record.id.get()).collect();
    assert_eq!(again, seen.ids, "a second start sees something else");
}

/// Flips each bit of each file in turn, or every so many of them.
fn flip_all(need_compress: u16, is_closed: bool) {
    let options = small(need_compress);
    let files = log_of(&options, is_closed);
    // The whole sweep is for `cargo xtask prove`.
    let stride = usize::try_from(setting("LOGHOLD_FLIP_STRIDE", 61)).unwrap();
    let mut flips = 0;
    for (path, bytes) in &files {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for bit in (0..used * 8).step_by(if used < 200 { 1 } else { stride }) {
            let sim = disk_of(&files);
            sim.rot(path, (bit / 8) as u64, u8::try_from(bit % 8).unwrap()).unwrap();
            let panic = std::panic::catch_unwind(|| judge(&sim, &options));
            if let Err(panic) = panic {
                eprintln!("bit {bit} of {} (codec {need_compress}, closed: {is_closed})", path.display());
                std::panic::resume_unwind(panic);
            }
            flips += 1;
        }
    }
    println!("{flips} bits of {} files", files.len());
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_told_or_harmless() {
    flip_all(0, true);
}

#[test]
fn every_flipped_bit_of_a_killed_log_is_told_or_harmless() {
    flip_all(0, false);
}

#[test]
fn every_flipped_bit_of_a_compressed_log_is_told_or_harmless() {
    flip_all(2, true);
}

/// The files of a log, but for one change to one of them.
fn changed(files: &[(PathBuf, Vec<u8>)], path: &str, change: impl FnOnce(&mut Vec<u8>)) -> SimDisk {
    let mut files = files.to_vec();
    change(&mut files.iter_mut().find(|(found, _)| found == Path::new(path)).unwrap().1);
    disk_of(&files)
}

#[test]
fn an_end_that_is_missing_is_told_by_every_start_though_nothing_is_appended() {
    let files = log_of(&small(0), true);
    let (last, _) = file_of(&files, "record 100 ");
    for change in ["gone", "no head", "half"] {
        let sim = changed(&files, &last, |bytes| match change {
            "half" => bytes[100..].fill(0),
            _ => bytes.fill(0),
        });
        if change == "gone" {
            sim.disk().remove_file(Path::new(&last)).unwrap();
        }
        for start in 1..=3 {
            let log = open(&sim.disk(), Options { parameters: None, ..small(0) }).unwrap();
            assert!(!log.recovery().damaged.is_empty(), "{change}: start {start} says nothing");
            assert_eq!(log.last(), Some(id(RECORDS)), "{change}: start {start}");
            log.close().unwrap();
            assert_eq!(Reader::open_on(&sim.disk()).unwrap().last(), Some(id(RECORDS)), "{change}: {start}");
        }
        let log = open(&sim.disk(), Options { parameters: None, ..small(0) }).unwrap();
        assert_eq!(log.append(TypeNo(9), b"behind").unwrap(), id(RECORDS + 1), "{change}");
    }
}

#[test]
fn a_file_that_was_cut_at_any_length_is_told_and_all_other_files_are_read() {
    for (need_compress, is_closed) in [(0, true), (0, false), (3, true)] {
        let options = small(need_compress);
        let files = log_of(&options, is_closed);
        for (path, bytes) in &files {
            for len in (0..bytes.len()).step_by(89) {
                judge(&changed(&files, path.to_str().unwrap(), |bytes| bytes.truncate(len)), &options);
            }
        }
    }
}

#[test]
fn a_last_batch_that_is_torn_at_any_length_is_cut_and_no_other() {
    let options = small(0);
    let sim = SimDisk::new(1);
    let log = open(&sim.disk(), options.clone()).unwrap();
    for number in 1..=9 {
        log.append(row(number).0, &row(number).1).unwrap();
    }
    let before = sim.files().unwrap();
    log.append_at(Level::Os, row(10).0, &[7; 300]).unwrap();
    sim.kill();
    let after = sim.files().unwrap();
    let (path, old) = before.iter().find(|(path, _)| path == Path::new("0/data.0")).unwrap();
    let new = &after.iter().find(|(found, _)| found == path).unwrap().1;
    let start = (0..old.len()).find(|at| old[*at] != new[*at]).unwrap();
    let end = (0..old.len()).rposition(|at| old[at] != new[at]).unwrap() + 1;
    for len in start..end {
        let sim = changed(&after, "0/data.0", |bytes| bytes[len..end].copy_from_slice(&old[len..end]));
        let log = open(&sim.disk(), options.clone()).unwrap();
        assert!(log.recovery().damaged.is_empty(), "torn at {len}: {}", log.recovery());
        assert_eq!(log.last(), Some(id(9)), "torn at {len}");
        assert_eq!(log.append(TypeNo(1), b"again").unwrap(), id(10));
        drop(log);
        let log = open(&sim.disk(), options.clone()).unwrap();
        assert_eq!(log.last(), Some(id(10)), "torn at {len}, and written again");
    }
}

/// Which records cannot be read, as ranges that errors and the recovery name.
fn holes(records: impl Iterator<Item = Result<Record, Error>>) -> Vec<(u64, u64)> {
    let mut holes: Vec<(u64, u64)> = Vec::new();
    for record in records {
        if let Err(Error::Corrupt(corruption)) = record {
            holes.extend(corruption.ids.map(|(first, last)| (first.get(), last.get())));
        }
    }
    holes
}

fn goes_on_around(sim: &SimDisk, options: &Options, expected: &[(u64, u64)], is_in_recovery: bool) {
    for start in 0..3 {
        let log = open(&sim.disk(), options.clone()).unwrap();
        assert_eq!(holes(log.scan(..)), expected, "start {start}");
        for type_no in [0, 2, 77] {
            let records = log.scan(..).types([TypeNo(type_no)]);
            assert_eq!(holes(records), expected, "start {start}, type {type_no}");
        }
        let told = log.recovery().damaged.iter().filter_map(|damaged| damaged.ids);
        let told: Vec<_> = told.map(|(first, last)| (first.get(), last.get())).collect();
        if is_in_recovery {
            assert_eq!(told, expected, "the recovery of start {start}");
        }
        let lost: u64 = expected.iter().map(|(first, last)| last - first + 1).sum();
        let next = log.last().unwrap().get() + 1;
        assert_eq!(log.scan(..).flatten().count() as u64, next - 1 - lost);
        // Enough to fill the file and seal it, with the hole in it.
        for number in next..next + 60 {
            assert_eq!(log.append(row(number).0, &row(number).1).unwrap(), id(number));
        }
    }
}

fn file_of(files: &[(PathBuf, Vec<u8>)], text: &str) -> (String, usize) {
    let find = |bytes: &[u8]| bytes.windows(text.len()).position(|window| window == text.as_bytes());
    let is_data = |path: &Path| path.to_str().is_some_and(|path| path.contains("data."));
    let mut found = files.iter().filter(|(path, _)| is_data(path));
    found.find_map(|(path, bytes)| Some((path.to_str()?.to_owned(), find(bytes)?))).unwrap()
}

/// A log whose every record is a batch, with so many of them.
fn single(count: u64) -> Vec<(PathBuf, Vec<u8>)> {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk(), small(0)).unwrap();
    for number in 1..=count {
        log.append(row(number).0, &row(number).1).unwrap();
    }
    drop(log);
    sim.files().unwrap()
}

#[test]
fn holes_in_the_last_file_are_named_exactly_and_the_log_goes_on() {
    let files = single(20);
    for broken in [vec![7], vec![1], vec![20], vec![5, 6], vec![3, 11], vec![2, 9, 19]] {
        let mut sim = disk_of(&files);
        for number in &broken {
            let (path, at) = file_of(&files, &format!("record {number} "));
            let current = sim.files().unwrap();
            sim = changed(&current, &path, |bytes| bytes[at] ^= 0x10);
        }
        let mut expected: Vec<(u64, u64)> = Vec::new();
        for number in &broken {
            match expected.last_mut() {
                Some((_, last)) if *last + 1 == *number => *last = *number,
                _ => expected.push((*number, *number)),
            }
        }
        goes_on_around(&sim, &small(0), &expected, false);
    }
}

#[test]
fn a_hole_is_told_from_a_torn_end_by_what_follows_it_alone() {
    let files: Vec<_> = single(20).into_iter().filter(|(path, _)| path != Path::new("tail")).collect();
    let (path, at) = file_of(&files, "record 7 ");
    let sim = changed(&files, &path, |bytes| bytes[at] ^= 1);
    goes_on_around(&sim, &small(0), &[(7, 7)], false);
}

#[test]
fn a_whole_file_that_is_missing_is_named_with_its_records() {
    let files = single(200);
    let (second, _) = file_of(&files, "record 60 ");
    let first_of = |path: &str| {
        (1..=200).find(|number| file_of(&files, &format!("record {number} ")).0 == path).unwrap()
    };
    let last_of = |path: &str| {
        (1..=200).rfind(|number| file_of(&files, &format!("record {number} ")).0 == path).unwrap()
    };
    let expected = [(first_of(&second), last_of(&second))];
    // Gone, or its head damaged.
    let without: Vec<_> = files.iter().filter(|(path, _)| path != Path::new(&second)).cloned().collect();
    goes_on_around(&disk_of(&without), &small(0), &expected, true);
    goes_on_around(&changed(&files, &second, |bytes| bytes[20] ^= 1), &small(0), &expected, true);
    // The first of all: its records are lost, and not trimmed.
    let expected = [(1, last_of("0/data.0"))];
    goes_on_around(&changed(&files, "0/data.0", |bytes| bytes[20] ^= 1), &small(0), &expected, true);
}

#[test]
fn all_files_that_are_missing_are_told_and_no_id_is_given_twice() {
    for count in [1, 60, 200] {
        let is_data = |path: &Path| path.to_str().is_some_and(|path| path.contains("data."));
        let left: Vec<_> = single(count).into_iter().filter(|(path, _)| !is_data(path)).collect();
        let reader = Reader::open_on(&disk_of(&left).disk()).unwrap();
        assert_eq!(holes(reader.scan(..)), [(1, count)], "{count}");
        goes_on_around(&disk_of(&left), &small(0), &[(1, count)], true);
    }
}

#[test]
fn more_lost_records_than_a_table_takes_are_told_to_whoever_looks_for_a_type() {
    const FIRST: u64 = 3_000_000;
    let mut files = single(200);
    let of_two = ["metadata", "0/data.0", "0/data.1"];
    files.retain(|(path, _)| of_two.contains(&path.to_str().unwrap()));
    // The second file says that it begins much later.
    let sim = changed(&files, "0/data.1", |bytes| {
        bytes[40..48].copy_from_slice(&FIRST.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..76]);
        bytes[76..80].copy_from_slice(&crc.to_le_bytes());
    });
    let reader = Reader::open_on(&sim.disk()).unwrap();
    let expected = holes(reader.scan(..));
    let left = reader.scan(..).flatten().count() as u64;
    assert_eq!(expected, [(left + 1, FIRST - 1)]);
    for type_no in [0, 2, 77] {
        let typed = || reader.scan(..).types([TypeNo(type_no)]);
        assert_eq!(holes(typed()), expected, "type {type_no}");
        let wanted = (1..=left).filter(|number| row(*number).0 == TypeNo(type_no));
        assert!(typed().flatten().map(|record| record.id.get()).eq(wanted), "type {type_no}");
    }
}

#[test]
fn a_last_file_with_a_damaged_head_is_put_aside_and_not_removed() {
    let files = single(200);
    let (last, _) = file_of(&files, "record 200 ");
    let sim = changed(&files, &last, |bytes| bytes[20] ^= 1);
    let log = open(&sim.disk(), small(0)).unwrap();
    assert!(!log.recovery().damaged.is_empty());
    assert_eq!(log.append(TypeNo(1), b"on").unwrap(), id(201), "no id is given twice");
    let aside = PathBuf::from(format!("{last}.damaged"));
    assert!(sim.files().unwrap().iter().any(|(path, bytes)| *path == aside && bytes.len() == 4096));
    drop(log);
    let log = open(&sim.disk(), small(0)).unwrap();
    assert_eq!(log.read(id(201)).unwrap().unwrap().bytes, b"on");
}

#[test]
fn parameters_that_are_not_those_of_the_files_remove_nothing() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk(), small(0)).unwrap();
    for number in 1..=300 {
        log.append(row(number).0, &row(number).1).unwrap();
    }
    log.trim_before(id(150)).unwrap();
    log.append(TypeNo(1), b"on").unwrap();
    drop(log);
    let files = sim.files().unwrap();
    for bit in 0..28 * 8 {
        let sim = changed(&files, "metadata", |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let opened = open(&sim.disk(), Options { parameters: None, ..small(0) });
        assert!(opened.is_err(), "bit {bit} of metadata");
        let is_data = |path: &Path| path.to_str().is_some_and(|path| path.contains("data."));
        let left = sim.files().unwrap();
        assert!(files.iter().filter(|(path, _)| is_data(path)).all(|file| left.contains(file)), "bit {bit}");
    }
}
