//! What a log is held to: bytes on their way, sizes of records and batches, its parameters; and what it counts.
//! Refuses to know how it is done.

use super::*;
use rtrans::WhenFull;

#[test]
fn an_append_that_finds_too_much_on_its_way_is_refused_and_works_when_that_is_written() {
    let sim = SimDisk::new(1);
    let options =
        Options { batch_bytes_max: 4096, in_flight_bytes_max: 8192, when_full: WhenFull::Refuse, ..small() };
    let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
    let ticket = log.append_async(TypeNo(1), &[7; 500]).unwrap();
    for _ in 0..2 {
        let refused = log.append_async(TypeNo(1), &[8; 8000]).unwrap_err();
        assert!(matches!(refused, Error::Full { in_flight_bytes_max: 8192 }), "{refused}");
        assert!(refused.is_transient());
    }
    assert_eq!(ticket.wait().unwrap().first, Some(id(1)));
    assert_eq!(log.append(TypeNo(1), &[8; 8000]).unwrap(), id(2), "what was refused left nothing");
    assert_eq!(ids(&log), [1, 2]);
}

#[test]
fn a_batch_that_is_larger_than_records_and_batches_may_be_is_refused_whole() {
    let sim = SimDisk::new(1);
    let options = Options { record_bytes_max: 1 << 20, ..small() };
    let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
    let record = vec![7; 1 << 20];
    let batch = (0..4).fold(Batch::new(), |batch, _| batch.push(TypeNo(1), &record));
    assert!(matches!(log.append_batch(&batch), Err(Error::TooLarge { .. })));
    assert_eq!(log.append(TypeNo(1), &record).unwrap(), id(1));
}

#[test]
fn other_parameters_are_refused_with_both_values_and_change_nothing() {
    for usual in [Parameters::format_1(), Parameters::format_2()] {
        let sim = SimDisk::new(1);
        let options = |parameters| Options { parameters: Some(parameters), ..small() };
        let log = Log::open_on(&sim.disk(), &Clock::system(), options(usual)).unwrap();
        fill(&log, 3);
        drop(log);
        let files = sim.files().unwrap();
        let size_per_index = usual.size_per_index + u32::from(usual.format_version == 1) * 4;
        let others = [
            Parameters { size_per_index, ..usual },
            Parameters { index_num_per_file: 999, ..usual },
            Parameters { index_file_num_per_dir: 7, ..usual },
            Parameters { max_size_data_file: 1 << 21, ..usual },
            Parameters { data_blk_size: 16, ..usual },
            Parameters { need_compress: 1, ..usual },
            if usual.format_version == 1 { Parameters::format_2() } else { Parameters::format_1() },
        ];
        let fields = |parameters: &Parameters| {
            [
                ("format_version", u64::from(parameters.format_version)),
                ("size_per_index", u64::from(parameters.size_per_index)),
                ("index_num_per_file", u64::from(parameters.index_num_per_file)),
                ("index_file_num_per_dir", u64::from(parameters.index_file_num_per_dir)),
                ("max_size_data_file", parameters.max_size_data_file),
                ("data_blk_size", u64::from(parameters.data_blk_size)),
                ("need_compress", u64::from(parameters.need_compress)),
            ]
        };
        for other in others.into_iter().filter(|other| *other != usual) {
            let refused = Log::open_on(&sim.disk(), &Clock::system(), options(other)).unwrap_err();
            let mut pairs = fields(&usual).into_iter().zip(fields(&other));
            let ((name, found), (_, given)) = pairs.find(|(one, another)| one != another).unwrap();
            let told = refused.to_string();
            for part in [name.to_owned(), found.to_string(), given.to_string()] {
                assert!(told.contains(&part), "{part} is not told: {told}");
            }
            assert!(matches!(refused, Error::BadParameters { .. }), "{told}");
            let left = sim.files().unwrap();
            assert!(
                files.iter().filter(|(path, _)| path != Path::new("LOCK")).all(|file| left.contains(file))
            );
        }
    }
}

#[test]
fn a_log_counts_what_it_takes_and_what_its_syncs_are_shared_by() {
    let sim = SimDisk::new(1);
    let log = open_small(&sim.disk());
    let tickets: Vec<_> = (0..20).map(|_| log.append_async(TypeNo(1), &[7; 10]).unwrap()).collect();
    for ticket in &tickets {
        ticket.wait().unwrap();
    }
    let shared = log.metrics();
    assert_eq!((shared.records, shared.bytes, shared.appends), (20, 200, 20));
    assert_eq!(shared.syncs, 1, "who waits for the first has all the others synced with it");
    log.append_batch(&Batch::new().push(TypeNo(1), b"one").push(TypeNo(1), b"two")).unwrap();
    log.append_at(Level::Os, TypeNo(1), b"no sync").unwrap();
    let after = log.metrics();
    assert_eq!((after.records, after.bytes, after.appends, after.syncs), (23, 213, 22, 2));
    assert!(after.sync_waiters >= after.syncs && after.sync_micros >= after.sync_micros_max);
    assert!(after.wake_micros >= after.wake_micros_max);
}
