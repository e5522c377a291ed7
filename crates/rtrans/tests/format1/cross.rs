//! A reader and a writer in Python, written from the document alone, against ours: each reads what the other writes.
//! Refuses to pass in silence where there is no Python: it says so aloud.

use std::path::{Path, PathBuf};
use std::process::Command;

use host::Disk;

use super::super::{Shelf, open};
use super::support::{Dice, Found, Item, read_all, read_in_runs, write};
use crate::error::Error;
use crate::parameters::{METADATA, Parameters};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/external").join(name)
}

/// Runs a script and returns what it says; `None` where there is no Python.
fn python(name: &str, arguments: &[&str]) -> Option<String> {
    let run = Command::new("python3").arg(script(name)).args(arguments).output();
    let Ok(run) = run else {
        eprintln!("LEFT OUT: python3 is not there, so that {name} was not tried");
        return None;
    };
    assert!(run.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    Some(String::from_utf8(run.stdout).unwrap())
}

fn listed(records: impl IntoIterator<Item = (u64, Item)>) -> String {
    use std::fmt::Write;
    records.into_iter().fold(String::new(), |mut text, (id, (type_no, bytes))| {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        writeln!(text, "{id} {type_no} {hex}").unwrap();
        text
    })
}

/// Opens whatever is there as a reader does.
fn shelf_of(place: &Path) -> (Disk, Parameters, std::sync::Arc<Shelf>) {
    let disk = Disk::open(place).unwrap();
    let file = disk.open_file(Path::new(METADATA)).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let parameters = Parameters::decode(&bytes).unwrap();
    let shelf = Shelf::open(&disk, &parameters).unwrap();
    (disk, parameters, shelf)
}

/// As the independent writer has them.
const GEOMETRIES: [(u32, u32, u64, u32); 5] =
    [(1000, 64, 20 << 20, 64), (3, 2, 100, 16), (1, 1, 64, 64), (7, 5, 4096, 1), (10, 3, 1000, 128)];

/// Logs of each kind.
const SEEDS: u64 = 20;

/// The lists of several logs, by the names that head them.
fn lists(said: &str) -> Vec<(&str, String)> {
    let mut lists: Vec<(&str, String)> = Vec::new();
    for line in said.lines() {
        match (line.strip_prefix("log "), lists.last_mut()) {
            (Some(name), _) => lists.push((name, String::new())),
            (None, Some((_, list))) => list.extend([line, "\n"]),
            (None, None) => panic!("a list without a name"),
        }
    }
    lists
}

/// Writes random records with us; what is written.
fn write_random(place: &Path, parameters: &Parameters, seed: u64) -> Vec<Item> {
    let mut dice = Dice(seed);
    let disk = Disk::open(place).unwrap();
    disk.publish_file(Path::new(METADATA), &parameters.encode()).unwrap();
    let mut writer = open(&disk, parameters, 0).unwrap().writer;
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..=dice.roll(5) {
        let more: Vec<Item> = (0..=dice.roll(6)).map(|_| dice.item(200)).collect();
        write(&mut writer, &more).unwrap();
        items.extend(more);
    }
    items
}

#[test]
fn an_independent_reader_finds_no_fault_with_what_we_write_in_any_geometry() {
    for (number, geometry) in GEOMETRIES.into_iter().enumerate() {
        // Entries of 40 bytes are read, and never written by us: they are those of the original program.
        for (size_per_index, need_compress) in [(36, 0), (36, 1), (48, 0), (48, 1)] {
            let (index_num_per_file, index_file_num_per_dir, max_size_data_file, data_blk_size) = geometry;
            let parameters = Parameters {
                size_per_index,
                index_num_per_file,
                index_file_num_per_dir,
                max_size_data_file,
                data_blk_size,
                need_compress,
                ..Parameters::format_1()
            };
            let place = tempfile::tempdir().unwrap();
            let paths: Vec<PathBuf> = (0..SEEDS).map(|seed| place.path().join(seed.to_string())).collect();
            let written: Vec<Vec<Item>> = (0u64..)
                .zip(&paths)
                .map(|(seed, path)| write_random(path, &parameters, seed * 31 + number as u64))
                .collect();
            let mut arguments: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
            arguments.push("--verify");
            let Some(said) = python("log1_reader.py", &arguments) else { return };
            let lists = lists(&said);
            assert_eq!(lists.len(), written.len());
            for ((seed, list), items) in lists.into_iter().zip(written) {
                assert_eq!(list, listed((1u64..).zip(items)), "seed {seed}: {parameters:?}");
            }
        }
    }
}

#[test]
fn an_independent_reader_finds_no_fault_with_what_we_write() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let block = 1 + dice.roll(70);
        let parameters = Parameters {
            size_per_index: [36, 48][usize::try_from(dice.roll(2)).unwrap()],
            index_num_per_file: u32::try_from(1 + dice.roll(9)).unwrap(),
            index_file_num_per_dir: u32::try_from(1 + dice.roll(5)).unwrap(),
            max_size_data_file: block + dice.roll(600),
            data_blk_size: u32::try_from(block).unwrap(),
            need_compress: u16::try_from(dice.roll(2)).unwrap(),
            ..Parameters::format_1()
        };
        let place = tempfile::tempdir().unwrap();
        let disk = Disk::open(place.path()).unwrap();
        disk.publish_file(Path::new(METADATA), &parameters.encode()).unwrap();
        let mut writer = open(&disk, &parameters, 0).unwrap().writer;
        let mut items: Vec<Item> = Vec::new();
        for _ in 0..=dice.roll(12) {
            let more: Vec<Item> = (0..=dice.roll(6)).map(|_| dice.item(200)).collect();
            write(&mut writer, &more).unwrap();
            items.extend(more);
        }
        let path = place.path().to_str().unwrap();
        let Some(read) = python("log1_reader.py", &[path, "--verify"]) else { return };
        assert_eq!(read, listed((1u64..).zip(items)), "seed {seed}: {parameters:?}");
    }
}

/// Reads logs that another program has written, and compares each with the list that the program gave.
fn check_foreign(layout: &str, geometry: usize, compress: usize, seeds: (u64, u64), count: u64) {
    let what = format!("layout {layout}, geometry {geometry}, compressed {compress}, {count} records");
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    let (geometry, compress, count) = (geometry.to_string(), compress.to_string(), count.to_string());
    let seeds = format!("{}-{}", seeds.0, seeds.1);
    let Some(said) = python("log1_writer.py", &[path, layout, &geometry, &compress, &seeds, &count]) else {
        return;
    };
    let lists = lists(&said);
    assert!(!lists.is_empty());
    for (seed, wanted) in lists {
        check_one(layout, &place.path().join(seed), &wanted, &format!("{what}, seed {seed}"));
    }
}

fn check_one(layout: &str, place: &Path, wanted: &str, what: &str) {
    let (disk, parameters, shelf) = shelf_of(place);
    let records = read_all(&shelf).into_iter().map(|(id, found)| match found {
        Found::Record(item) => (id, item),
        other => panic!("{what}: record {id}: {other:?}"),
    });
    assert_eq!(listed(records), wanted, "{what}");
    assert_eq!(listed(read_in_runs(&shelf, 1 << 20)), wanted, "{what}");
    match (layout, open(&disk, &parameters, None)) {
        ("plain", opened) => assert!(opened.unwrap().recovery.is_clean(), "{what}"),
        (_, Err(Error::Unsupported { instead, .. })) => {
            assert!(instead.contains("loghold log import"), "{what}");
        }
        (_, opened) => panic!("{what}: {opened:?}"),
    }
}

#[test]
fn what_independent_writers_write_is_read_in_every_layout() {
    for (number, layout) in ["plain", "ruby", "untyped"].into_iter().enumerate() {
        for geometry in 0..5 {
            let compress = (number + geometry) % 2;
            check_foreign(layout, geometry, compress, (7, 7), 30);
        }
        check_foreign(layout, 0, 0, (7, 7), 1);
        check_foreign(layout, 1, 1, (7, 7), 1);
    }
}

#[test]
fn what_independent_writers_write_with_entries_of_36_and_of_40_bytes_is_read_in_any_geometry() {
    for layout in ["plain", "plain40", "ruby", "untyped"] {
        for (geometry, compress) in (0..5).flat_map(|geometry| [(geometry, 0), (geometry, 1)]) {
            check_foreign(layout, geometry, compress, (100, 99 + SEEDS), 14);
        }
    }
}
