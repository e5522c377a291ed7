//! A log with one file that is not ours, driven through everything that reads it. Fuzzers use it as well.
//! Refuses to judge what is read: only that it ends, without a panic.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use host::sim::SimDisk;
use rtrans::{Log, Options, Parameters, Reader, Threads, TransId, TypeNo};

/// Reads that are made of one log: a hostile gap may be as long as the numbers go.
const READS_MAX: usize = 2_000;

/// Which file is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Metadata,
    /// A data file between others.
    Sealed,
    /// The data file that is written.
    Last,
    Index,
    Tail,
    Transid,
}

pub(crate) const PARTS: [Part; 6] =
    [Part::Metadata, Part::Sealed, Part::Last, Part::Index, Part::Tail, Part::Transid];

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Metadata => "metadata",
            Part::Sealed => "sealed",
            Part::Last => "last",
            Part::Index => "index",
            Part::Tail => "tail",
            Part::Transid => "transid",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Part::Metadata => "metadata",
            Part::Sealed => "0/data.1",
            Part::Last => "1/data.0",
            Part::Index => "0/index.1",
            Part::Tail => "tail",
            Part::Transid => "transid/backend",
        }
    }
}

fn options() -> Options {
    let parameters =
        Parameters { max_size_data_file: 4096, index_file_num_per_dir: 2, ..Parameters::format_2() };
    Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() }
}

/// The files of an honest log: two full data files with their indexes, one that is written, and a position.
pub(crate) fn honest() -> &'static [(PathBuf, Vec<u8>)] {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let sim = SimDisk::new(1);
        let clock = host::sim::ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let log = Log::open_on(&sim.disk(), &clock.clock(), options()).unwrap();
        for number in 0..70u32 {
            log.append(TypeNo(number % 3), format!("record {number} {}", "x".repeat(70)).as_bytes()).unwrap();
        }
        assert_eq!(log.scan(..).count(), 70);
        drop(log);
        let reader = Reader::open_on(&sim.disk()).unwrap();
        reader.consumer("backend").unwrap().commit(TransId::FIRST).unwrap();
        drop(reader);
        sim.files().unwrap()
    })
}

/// The honest bytes of a part.
pub(crate) fn honest_bytes(part: Part) -> &'static [u8] {
    let found = honest().iter().find(|(path, _)| path == Path::new(part.path()));
    &found.unwrap_or_else(|| panic!("{part:?} is missing")).1
}

/// Reads a log whose `part` has these bytes, writes to it, and reads it again.
pub(crate) fn drive(part: Part, bytes: &[u8]) {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    for (path, honest) in honest() {
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = if path == Path::new(part.path()) { bytes } else { honest };
        disk.create_file(path).unwrap().write_all_at(bytes, 0).unwrap();
    }
    if let Ok(reader) = Reader::open_on(&disk) {
        read(&reader);
    }
    let clock = host::sim::ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(2_000_000));
    for _ in 0..2 {
        let Ok(log) = Log::open_on(&disk, &clock.clock(), Options { parameters: None, ..options() }) else {
            return;
        };
        read(log.reader());
        drop(log.recovery().to_string());
        if let Ok(mut consumer) = log.consumer("backend") {
            drop(consumer.next_batch(10));
            drop(log.last().map(|last| consumer.commit(last)));
        }
        drop((log.append(TypeNo(1), b"on"), log.truncate_after(log.last().and_then(TransId::previous))));
        drop(log.trim_before(TransId::new(30).unwrap()));
    }
}

fn read(reader: &Reader) {
    drop(reader.refresh());
    let scans = [reader.scan(..), reader.scan(..).types([TypeNo(2)]), reader.tail(5)];
    for scan in scans {
        scan.take(READS_MAX).for_each(drop);
    }
    reader.scan_rev(..).take(READS_MAX).for_each(drop);
    for number in [1, 2, 35, 64, 70, 71, 1 << 40, u64::MAX] {
        drop(reader.read(TransId::new(number).unwrap()));
    }
    drop(reader.seek_time(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000)));
    drop(reader.consumers());
    let mut follow = reader.follow(TransId::FIRST);
    for _ in 0..100 {
        drop(follow.next_within(Duration::ZERO));
    }
}
