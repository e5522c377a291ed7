//! A log of format 1 as its users see it: rollbacks and trims across power cuts, and copies of logs into others.
//! Refuses to know how it is done; what lies on the disk is tried beside the code.

use std::path::Path;
use std::process::Command;

use host::sim::SimDisk;
use host::{Clock, Disk};
use rtrans::{
    Batch, Error, Level, Log, Options, Parameters, Reader, Threads, TransId, TypeNo, import, import_from,
};

fn id(number: u64) -> TransId {
    TransId::new(number).expect("ids in tests begin at 1")
}

/// Three entries a file, two files a directory, small data files.
fn options() -> Options {
    let parameters = Parameters {
        index_num_per_file: 3,
        index_file_num_per_dir: 2,
        max_size_data_file: 96,
        data_blk_size: 16,
        ..Parameters::format_1()
    };
    Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() }
}

fn open(disk: &Disk) -> Result<Log, Error> {
    Log::open_on(disk, &Clock::system(), options())
}

fn append(log: &Log, number: u32) -> Result<(), Error> {
    log.append(TypeNo(number), format!("record {number}").as_bytes()).map(|_| ())
}

fn fill(log: &Log, count: u32) {
    (0..count).for_each(|number| append(log, number).expect("the record is appended"));
}

/// The types of all records, which are their numbers; each has the bytes that belong to it.
fn numbers(reader: &Reader) -> Vec<u32> {
    let mut numbers = Vec::new();
    for record in reader.scan(..) {
        let record = record.expect("the record is read");
        assert_eq!(record.bytes, format!("record {}", record.type_no).as_bytes());
        numbers.push(record.type_no.0);
    }
    numbers
}

/// Appends, rolls back over the edge of a directory, appends others; tells what is durable.
fn scenario(sim: &SimDisk, durable: &mut Vec<u32>) -> Result<(), Error> {
    let log = open(&sim.disk())?;
    for number in 0..9 {
        append(&log, number)?;
        durable.push(number);
    }
    durable.truncate(4);
    log.truncate_after(Some(id(4)))?;
    for number in 100..104 {
        append(&log, number)?;
        durable.push(number);
    }
    log.close()
}

#[test]
fn a_power_cut_around_a_rollback_loses_nothing_and_reports_no_damage() {
    let calls = {
        let sim = SimDisk::new(0);
        scenario(&sim, &mut Vec::new()).unwrap();
        sim.calls()
    };
    for call in 1..=calls + 1 {
        for seed in 0..4 {
            let sim = SimDisk::new(seed);
            sim.crash_at(call);
            let mut durable = Vec::new();
            let cut = scenario(&sim, &mut durable);
            assert!(cut.is_ok() || call <= calls);
            sim.crash();
            let trace = || format!("call {call}, seed {seed}\n{}", sim.trace().join("\n"));
            let log = open(&sim.disk()).unwrap_or_else(|error| panic!("{error}: {}", trace()));
            assert!(log.recovery().damaged.is_empty(), "{}: {}", log.recovery(), trace());
            let found = numbers(log.reader());
            assert!(found.starts_with(&durable), "{found:?} of {durable:?}: {}", trace());
        }
    }
}

#[test]
fn what_a_rollback_leaves_is_durable_though_nobody_has_asked_for_that_before() {
    for seed in 0..20 {
        let sim = SimDisk::new(seed);
        let log = open(&sim.disk()).unwrap();
        for number in 0..14 {
            let bytes = format!("record {number}");
            log.append_at(Level::Os, TypeNo(number), bytes.as_bytes()).unwrap();
        }
        log.truncate_after(Some(id(11))).unwrap();
        sim.crash();
        drop(log);
        let log = open(&sim.disk()).unwrap();
        assert!(log.recovery().is_clean(), "seed {seed}: {}", log.recovery());
        assert_eq!(numbers(log.reader()), (0..11).collect::<Vec<u32>>(), "seed {seed}");
    }
}

#[test]
fn records_below_a_trim_are_told_as_trimmed_after_a_restart_too() {
    let sim = SimDisk::new(3);
    let log = open(&sim.disk()).unwrap();
    fill(&log, 14);
    log.trim_before(id(9)).unwrap();
    assert_eq!(log.first(), Some(id(7)));
    log.close().unwrap();
    let log = open(&sim.disk()).unwrap();
    assert!(matches!(log.read(id(6)), Err(Error::Trimmed { first }) if first == id(7)));
    assert_eq!(numbers(log.reader()), (6..14).collect::<Vec<u32>>());
}

#[test]
fn what_a_killed_writer_has_written_is_durable_when_the_log_was_opened_again() {
    let sim = SimDisk::new(4);
    let log = open(&sim.disk()).unwrap();
    fill(&log, 3);
    log.append_at(Level::Os, TypeNo(3), b"record 3").unwrap();
    sim.kill();
    drop(log);
    let log = open(&sim.disk()).unwrap();
    assert_eq!(numbers(log.reader()), [0, 1, 2, 3]);
    sim.crash();
    drop(log);
    assert_eq!(numbers(open(&sim.disk()).unwrap().reader()), [0, 1, 2, 3]);
}

#[test]
fn a_log_is_copied_into_one_of_the_other_format_with_its_types_and_order() {
    let (one, two, back) = (SimDisk::new(1), SimDisk::new(2), SimDisk::new(3));
    let log = open(&one.disk()).unwrap();
    fill(&log, 20);
    let to = Log::open_on(&two.disk(), &Clock::system(), Options::default()).unwrap();
    let imported = import_from(log.reader(), &to).unwrap();
    assert_eq!((imported.records, imported.ids, imported.lost), (20, Some((id(1), id(20))), 0));
    assert_eq!(numbers(to.reader()), (0..20).collect::<Vec<u32>>());
    let again = open(&back.disk()).unwrap();
    import_from(to.reader(), &again).unwrap();
    back.crash();
    drop(again);
    assert_eq!(numbers(open(&back.disk()).unwrap().reader()), (0..20).collect::<Vec<u32>>());
}

#[test]
fn a_copy_of_a_damaged_log_lacks_the_damaged_record_and_says_so() {
    let (one, two) = (SimDisk::new(1), SimDisk::new(2));
    let log = open(&one.disk()).unwrap();
    fill(&log, 12);
    one.rot(Path::new("0/data.1"), 14, 3).unwrap();
    let to = Log::open_on(&two.disk(), &Clock::system(), Options::default()).unwrap();
    let imported = import_from(log.reader(), &to).unwrap();
    assert_eq!((imported.records, imported.lost, imported.damaged.len()), (11, 1, 1));
    assert_eq!(imported.damaged[0].path, Path::new("0/data.1"));
    assert_eq!(numbers(to.reader()).len(), 11);
}

#[test]
fn a_log_of_the_original_program_is_copied_and_never_appended_to() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/external/log1_writer.py");
    for layout in ["ruby", "untyped"] {
        let place = tempfile::tempdir().unwrap();
        let (old, new) = (place.path().join("old"), place.path().join("new"));
        // Makes the directory.
        drop(Disk::open(&old).unwrap());
        let arguments = [layout, "1", "1", "5", "40"];
        let Ok(written) = Command::new("python3").arg(&script).arg(&old).args(arguments).output() else {
            eprintln!("LEFT OUT: python3 is not there, so that no log of the original program was tried");
            return;
        };
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        let refused = Log::open(&old, Options::default()).unwrap_err();
        assert!(refused.to_string().contains("loghold log import"), "{refused}");
        let to = Log::open(&new, Options::default()).unwrap();
        let imported = import(&old, &to).unwrap();
        assert_eq!((imported.records, imported.lost), (40, 0));
        let listed = String::from_utf8(written.stdout).unwrap();
        for (line, record) in listed.lines().zip(to.scan(..)) {
            let record = record.unwrap();
            let hex = record.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<String>>().concat();
            assert_eq!(line, format!("{} {} {hex}", record.id, record.type_no));
        }
        assert_eq!(to.last(), Some(id(40)));
    }
}

#[test]
fn a_closed_log_whose_end_is_missing_tells_its_readers_which_records_are_lost() {
    for gone in [&["1/index.0"][..], &["1/index.0", "1/data.0"]] {
        let sim = SimDisk::new(1);
        let log = open(&sim.disk()).unwrap();
        fill(&log, 9);
        log.close().unwrap();
        for path in gone {
            sim.disk().remove_file(Path::new(path)).unwrap();
        }
        let reader = Reader::open_on(&sim.disk()).unwrap();
        let (whole, lost): (Vec<_>, Vec<_>) = reader.scan(..).partition(Result::is_ok);
        assert_eq!((whole.len(), reader.last()), (6, Some(id(9))), "without {gone:?}");
        let lost: Vec<Error> = lost.into_iter().filter_map(Result::err).collect();
        assert!(!lost.is_empty() && lost.iter().all(|error| matches!(error, Error::Corrupt(_))), "{lost:?}");
        reader.refresh().unwrap();
        assert_eq!(reader.last(), Some(id(9)));
    }
}

/// Appends that reach the system, and the disk now and then, over the edges of files and directories.
fn half_durable(sim: &SimDisk, durable: &mut usize) -> Result<(), Error> {
    let log = open(&sim.disk())?;
    for number in 0..20 {
        let level = if number % 5 == 4 { Level::Disk } else { Level::Os };
        log.append_at(level, TypeNo(number), format!("record {number}").as_bytes())?;
        if level == Level::Disk {
            *durable = number as usize + 1;
        }
    }
    Ok(())
}

#[test]
fn readers_that_come_before_the_next_writer_find_the_end_that_it_finds() {
    let calls = {
        let sim = SimDisk::new(0);
        half_durable(&sim, &mut 0).unwrap();
        sim.calls()
    };
    let mut torn = 0;
    for call in 1..=calls {
        for seed in 0..8 {
            let sim = SimDisk::new(seed * 1_000 + call);
            sim.crash_at(call);
            let mut durable = 0;
            drop(half_durable(&sim, &mut durable));
            sim.crash();
            let what = format!("power cut at call {call}, seed {seed}");
            let reader = match Reader::open_on(&sim.disk()) {
                // Before there is a file of parameters there is no log.
                Err(Error::NotALog { .. }) => continue,
                reader => reader.unwrap_or_else(|error| panic!("{what}: {error}")),
            };
            let before = numbers(&reader);
            assert!(before.len() >= durable, "{what}: {before:?}, but {durable} were durable");
            assert_eq!(reader.last().map_or(0, TransId::get), before.len() as u64, "{what}");

            let log = open(&sim.disk()).unwrap();
            torn += usize::from(log.recovery().torn.is_some());
            assert_eq!(numbers(log.reader()), before, "{what}: {}", log.recovery());
            // As many as were torn at the most, so that the log may end where it seemed to.
            for number in before.len()..20 {
                append(&log, u32::try_from(number).unwrap()).unwrap();
                assert_eq!(numbers(&reader).len(), number + 1, "{what}");
            }
        }
    }
    assert!(torn > 20, "only {torn} ends were torn");
}

#[test]
fn damage_behind_which_a_writer_goes_on_is_told_and_ends_no_reader() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk()).unwrap();
    for number in 0..4 {
        log.append_at(Level::Os, TypeNo(number), format!("record {number}").as_bytes()).unwrap();
    }
    let data = sim.disk().edit_file(Path::new("0/data.0")).unwrap();
    data.write_all_at(b"\xff", 12).unwrap();
    let reader = Reader::open_on(&sim.disk()).unwrap();
    log.append_at(Level::Os, TypeNo(4), b"record 4").unwrap();
    let (whole, lost): (Vec<_>, Vec<_>) = reader.scan(..).partition(Result::is_ok);
    assert_eq!((whole.len(), lost.len()), (4, 1), "{lost:?}");
}

#[test]
fn a_batch_with_a_position_in_another_log_is_refused_as_format_1_would_forget_it() {
    let sim = SimDisk::new(1);
    let log = open(&sim.disk()).unwrap();
    let batch = Batch::new().push(TypeNo(1), b"result").position("input", id(7));
    assert!(matches!(log.append_batch(&batch), Err(Error::Unsupported { .. })));
    assert_eq!((log.last(), log.position("input").unwrap()), (None, None));
}
