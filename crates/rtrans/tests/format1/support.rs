//! What the tests of format 1 share: small logs, their bytes, and numbers that look random.
//! Refuses to assert anything about behaviour.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::sim::SimDisk;
use host::{Disk, Kind};

use super::super::{Opened, Shelf, Writer, open};
use crate::error::Error;
use crate::frame::Unframed;
use crate::outgoing::Outgoing;
use crate::parameters::Parameters;

/// A type and its bytes.
pub(super) type Item = (u32, Vec<u8>);

/// Small enough that a few records fill files and directories.
pub(super) fn small() -> Parameters {
    Parameters {
        index_num_per_file: 3,
        index_file_num_per_dir: 2,
        max_size_data_file: 96,
        data_blk_size: 16,
        ..Parameters::format_1()
    }
}

/// Numbers that look random, the same for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    pub(super) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.roll(256).to_le_bytes()[0]).collect()
    }

    pub(super) fn item(&mut self, len_max: u64) -> Item {
        let len = self.roll(len_max + 1);
        (u32::try_from(self.roll(1 << 32)).unwrap(), self.bytes(len))
    }
}

/// Appends records in one batch.
pub(super) fn write(writer: &mut Writer, items: &[Item]) -> Result<(), Error> {
    let mut outgoing = Outgoing::new(writer.next(), Vec::new(), Vec::new());
    for (type_no, bytes) in items {
        outgoing.push(&Unframed::new(*type_no, bytes));
    }
    writer.write(&outgoing)
}

/// A log with these records, all of them durable.
pub(super) fn log_of(parameters: &Parameters, items: &[Item]) -> SimDisk {
    let sim = SimDisk::new(1);
    let mut opened = open(&sim.disk(), parameters, 0).unwrap();
    for item in items {
        write(&mut opened.writer, std::slice::from_ref(item)).unwrap();
    }
    opened.writer.sync().unwrap();
    sim
}

/// What a reader finds of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Record(Item),
    Corrupt(String),
    Other(String),
}

/// Reads everything between the bounds, one by one.
pub(super) fn read_all(shelf: &Shelf) -> Vec<(u64, Found)> {
    let (first, next) = shelf.bounds();
    (first..next)
        .map(|id| (id, found(shelf.read(id).map(|record| (record.type_no.0, record.bytes)))))
        .collect()
}

pub(super) fn found(read: Result<Item, Error>) -> Found {
    match read {
        Ok(item) => Found::Record(item),
        Err(Error::Corrupt(corruption)) => Found::Corrupt(corruption.to_string()),
        Err(other) => Found::Other(other.to_string()),
    }
}

/// Reads everything in runs; what is damaged is passed over.
pub(super) fn read_in_runs(shelf: &Shelf, bytes_max: usize) -> Vec<(u64, Item)> {
    let (mut id, next) = shelf.bounds();
    let mut records = Vec::new();
    while id < next {
        match shelf.read_run(id, next, bytes_max) {
            Ok(batch) => {
                assert_eq!(batch.first().get(), id);
                records.extend(
                    batch
                        .records()
                        .map(|record| (record.id.get(), (record.type_no.0, record.bytes.to_vec()))),
                );
                id += batch.len() as u64;
            }
            Err(Error::Corrupt(_)) => id += 1,
            Err(other) => panic!("record {id}: {other}"),
        }
    }
    records
}

pub(super) fn reopen(sim: &SimDisk, parameters: &Parameters, attested: impl Into<Option<u64>>) -> Opened {
    open(&sim.disk(), parameters, attested)
        .unwrap_or_else(|error| panic!("{error}\n{}", sim.trace().join("\n")))
}

/// All files of a disk.
pub(super) type Image = BTreeMap<PathBuf, Vec<u8>>;

pub(super) fn image_of(disk: &Disk) -> Image {
    let mut image = Image::new();
    for dir in disk.list(Path::new("")).unwrap() {
        if dir.kind != Kind::Dir {
            continue;
        }
        for file in disk.list(Path::new(&dir.name)).unwrap() {
            let path = Path::new(&dir.name).join(file.name);
            let opened = disk.open_file(&path).unwrap();
            let mut bytes = vec![0; usize::try_from(opened.len().unwrap()).unwrap()];
            opened.read_exact_at(&mut bytes, 0).unwrap();
            image.insert(path, bytes);
        }
    }
    image
}

/// A disk with these files, durable.
pub(super) fn disk_of(image: &Image) -> SimDisk {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    for (path, bytes) in image {
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.publish_file(path, bytes).unwrap();
    }
    sim
}
