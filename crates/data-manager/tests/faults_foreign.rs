//! Chunks of other programs' layouts: what of them is found, handed out, looked at and removed.
//! Fails when a damaged one is called sound.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]

mod fixture;

use std::path::{Path, PathBuf};

use data_manager::data_chunk::{ChunkId, DataChunkRef, DatasetId};
use data_manager::data_manager::DataManagerImpl;
use data_manager::event::Event;
use data_manager::status::ChunkState;
use data_manager::verify::{Depth, Verify, VerifyReport};
use fixture::{PATIENCE, World, expect_event};

/// Blocks 100 to 199 of one dataset, and 200 to 299, in each of the layouts.
const LAYOUTS: [[&str; 2]; 2] = [
    [
        "dataset_id=1111111111111111111111111111111111111111111111111111111111111111/block_range=100_199",
        "dataset_id=1111111111111111111111111111111111111111111111111111111111111111/block_range=200_299",
    ],
    // s3://solana
    [
        "czM6Ly9zb2xhbmE/0000000100/0000000100-0000000199-deadbeef",
        "czM6Ly9zb2xhbmE/0000000100/0000000200-0000000299-deadbeef",
    ],
];

/// Does harm to a chunk's directory.
type Spoil = fn(&Path);

/// What becomes of the first chunk's directory, and what is said of it.
const HARMS: [(&str, Spoil, &str); 5] = [
    ("a file is cut", |dir| write(&dir.join("logs.parquet"), &[1; 20]), "should have"),
    ("a file grows", |dir| write(&dir.join("logs.parquet"), &[1; 9_000]), "should have"),
    ("a file is removed", |dir| remove(&dir.join("logs.parquet")), "logs.parquet"),
    ("a link is put in a file's place", link, "logs.parquet"),
    (
        "all files are removed",
        |dir| ["blocks", "logs"].iter().for_each(|name| remove(&dir.join(format!("{name}.parquet")))),
        "blocks.parquet",
    ),
];

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("it can be written");
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("it is there");
}

fn link(dir: &Path) {
    let file = dir.join("logs.parquet");
    std::fs::rename(&file, dir.join(".moved")).expect("it is there");
    std::os::unix::fs::symlink(dir.join(".moved"), &file).expect("nothing is there now");
}

/// A world with two chunks of a layout, and their directories.
fn planted(layout: &[&str; 2]) -> (World, [PathBuf; 2]) {
    let world = World::new(0);
    let dirs = layout.map(|path| world.path().join("hold").join(path));
    for dir in &dirs {
        std::fs::create_dir_all(dir).expect("it can be made");
        write(&dir.join("blocks.parquet"), &[7; 1_000]);
        write(&dir.join("logs.parquet"), &[8; 2_000]);
    }
    (world, dirs)
}

fn only_dataset(hold: &DataManagerImpl) -> DatasetId {
    let datasets = hold.datasets();
    *datasets.first().filter(|_| datasets.len() == 1).expect("there is one")
}

fn found(hold: &DataManagerImpl, block: u64) -> Option<ChunkId> {
    hold.find_chunk(only_dataset(hold), block).map(|chunk| chunk.id())
}

fn lengths(hold: &DataManagerImpl) -> VerifyReport {
    let what = Verify { depth: Depth::Lengths, ..Verify::default() };
    hold.verify(what).expect("it is open").wait().expect("it ends")
}

#[test]
fn a_damaged_chunk_of_another_layout_is_found_by_verify_hidden_and_put_aside() {
    for layout in &LAYOUTS {
        for (harm, spoil, words) in HARMS {
            let (world, dirs) = planted(layout);
            let hold = world.open();
            let (bad, good) = (found(&hold, 100).unwrap(), found(&hold, 299).unwrap());
            assert_eq!(lengths(&hold).without_digest, 2, "{harm}");
            let mut watch = hold.watch();
            spoil(&dirs[0]);
            let report = hold.verify(Verify::default()).unwrap().wait().unwrap();
            assert_eq!((report.sound, report.without_digest), (0, 1), "{harm}");
            // The look after the start may have been first.
            assert!(report.damaged.iter().all(|(id, _)| *id == bad), "{harm}: {report:?}");
            let is_it = |event: &Event| matches!(event, Event::Quarantined { id, reason } if *id == bad && reason.contains(words));
            expect_event(&mut watch, harm, is_it);
            expect_event(&mut watch, "the removal", |event| *event == Event::Removed(bad));
            assert_eq!(hold.list_chunks(), [good], "{harm}");
            assert!(!dirs[0].exists() && dirs[1].exists(), "{harm}");
            let aside = std::fs::read_dir(world.path().join("hold/.quarantine")).unwrap();
            assert_eq!(aside.count(), 1, "{harm}");
        }
    }
}

#[test]
fn a_start_finds_damage_of_another_layout_by_itself() {
    for layout in &LAYOUTS {
        let (world, dirs) = planted(layout);
        let hold = world.open();
        let bad = found(&hold, 100).unwrap();
        hold.close();
        drop(hold);
        remove(&dirs[0].join("logs.parquet"));
        let hold = world.open();
        hold.wait_gone(bad, PATIENCE).unwrap();
        assert_eq!(hold.list_chunks().len(), 1);
        assert!(!dirs[0].exists() && dirs[1].exists());
    }
}

#[test]
fn a_chunk_of_another_layout_is_deleted_with_its_files() {
    for layout in &LAYOUTS {
        let (world, dirs) = planted(layout);
        let hold = world.open();
        let id = found(&hold, 150).unwrap();
        assert_eq!(hold.get_chunk(id).unwrap().path(), dirs[0]);
        assert!(hold.status(id).is_some_and(|status| status.state == ChunkState::Ready));
        assert!(hold.delete_chunk(id));
        hold.wait_gone(id, PATIENCE).unwrap();
        assert!(!dirs[0].exists() && dirs[1].exists());
        assert_eq!(found(&hold, 150), None);
        hold.close();
        drop(hold);
        assert_eq!(world.open().list_chunks().len(), 1);
    }
}
