//! Starts over things that stand in the place of the hold's own files and directories, or that cannot be read.
//! Fails when one of them stops the start, or costs a chunk.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]

mod fixture;

use std::path::Path;

use data_manager::data_chunk::{DataChunkRef, hex_id};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::error::ErrorKind;
use data_manager::options::Options;
use fixture::scripted::{Manner, Scripted};
use fixture::{PATIENCE, World, id, is_whole, wide_id};

const FILES: [(&str, u64); 2] = [("blocks.parquet", 1_000), ("logs.parquet", 2_000)];

/// Puts something in the place of a file or a directory.
type Plant = fn(&Path);

const PLANTS: [(&str, Plant); 5] =
    [("a directory", dir), ("a pipe", pipe), ("a link", link), ("a socket", socket), ("a file", file)];

fn dir(path: &Path) {
    std::fs::create_dir_all(path.join("below")).expect("nothing is there");
    std::fs::write(path.join("below/keep"), b"mine").expect("nothing is there");
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success()));
}

fn link(path: &Path) {
    std::os::unix::fs::symlink("/proc/self/mem", path).expect("nothing is there");
}

fn socket(path: &Path) {
    // Its path may be longer than that of a socket may be.
    let short = tempfile::tempdir().expect("there is room");
    drop(std::os::unix::net::UnixListener::bind(short.path().join("s")).expect("it can be made"));
    std::fs::rename(short.path().join("s"), path).expect("it is on the same disk");
}

fn file(path: &Path) {
    std::fs::write(path, b"mine").expect("nothing is there");
}

/// A closed hold with the chunks 1 and 2.
fn two_chunks() -> World {
    let world = World::with(3, &FILES);
    let hold = world.open();
    get(&world, &hold, 1);
    get(&world, &hold, 2);
    hold.close();
    world
}

fn get(world: &World, hold: &DataManagerImpl, number: u8) {
    hold.download_chunk(world.chunk_of(number, &FILES, "")).expect("it is taken");
    let chunk = hold.wait_chunk(id(number), PATIENCE).expect("it comes");
    assert!(is_whole(chunk.path(), number, &FILES));
}

/// Opens the hold, expects both chunks, and that it goes on as any.
#[expect(clippy::panic, reason = "it fails as tests do")]
fn expect_both(world: &World, what: &str) {
    for is_first in [true, false] {
        let hold = DataManagerImpl::open_with(world.options(), Parts::default());
        let hold = hold.unwrap_or_else(|error| panic!("{what}: {error}"));
        for number in [1, 2] {
            assert!(hold.get_chunk(id(number)).is_some(), "{what}: chunk {number}");
        }
        if is_first {
            get(world, &hold, 3);
        } else {
            assert!(hold.get_chunk(id(3)).is_some(), "{what}: what came meanwhile");
        }
        hold.close();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("it is there");
    entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn anything_in_the_place_of_the_index_is_moved_aside_and_the_directories_are_looked_at() {
    for name in ["snapshot", "journal"] {
        for (what, plant) in PLANTS {
            let world = two_chunks();
            let catalogue = world.path().join("hold/.catalogue");
            let name = names(&catalogue).into_iter().find(|each| each.starts_with(name)).unwrap();
            std::fs::remove_file(catalogue.join(&name)).unwrap();
            plant(&catalogue.join(&name));
            let what = format!("{what} in the place of {name}");
            expect_both(&world, &what);
            if what.starts_with("a directory") && name == "snapshot" {
                assert_eq!(std::fs::read(catalogue.join("snapshot.aside-1/below/keep")).unwrap(), b"mine");
            }
        }
    }
}

/// Something that loses the snapshot's records, or all of it.
type Loss = fn(&Path);

const LOSSES: [(&str, Loss); 3] = [
    ("it is gone", |path| std::fs::remove_file(path).expect("it is there")),
    ("its head is damaged", |path| flip(path, |_| 9)),
    ("its last record is damaged", |path| flip(path, |len| len - 9)),
];

fn flip(path: &Path, place: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(path).expect("it is there");
    let place = place(bytes.len());
    *bytes.get_mut(place).expect("it is longer") ^= 1;
    std::fs::write(path, bytes).expect("there is room");
}

#[test]
fn a_deletion_that_was_noted_outlives_the_loss_of_the_snapshot() {
    for (what, lose) in LOSSES {
        // Noted in the journal that follows the snapshot, or in the one that a closed hold begins.
        for is_killed in [true, false] {
            let world = two_chunks();
            let (root, copy) = (world.path().join("hold"), world.path().join("copy"));
            let hold = world.open();
            let pin = hold.get_chunk(id(1)).expect("it is here");
            hold.delete_chunk(id(1));
            if is_killed {
                // A deletion is noted before what is asked for behind it is promised.
                get(&world, &hold, 3);
                let copied = std::process::Command::new("cp").arg("-r").args([&root, &copy]).status();
                assert!(copied.is_ok_and(|status| status.success()));
                hold.close();
                std::fs::remove_dir_all(&root).expect("nobody has it");
                std::fs::rename(&copy, &root).expect("it is on the same disk");
            } else {
                hold.close();
            }
            assert!(pin.path().join("blocks.parquet").exists(), "{what}: the directory is still there");
            lose(&root.join(".catalogue/snapshot"));
            let hold = world.open();
            assert!(hold.get_chunk(id(1)).is_none(), "{what}, killed: {is_killed}");
            assert!(hold.get_chunk(id(2)).is_some(), "{what}, killed: {is_killed}");
            hold.wait_gone(id(1), PATIENCE).expect("it goes");
            assert!(!pin.path().exists(), "{what}, killed: {is_killed}");
            hold.close();
            assert!(world.open().get_chunk(id(1)).is_none(), "{what}, killed: {is_killed}");
        }
    }
}

#[test]
fn what_is_named_as_a_journal_and_is_none_stops_no_start_and_no_end() {
    for (what, plant) in PLANTS {
        for name in ["journal.77", "journal.3", "journal.2", "journal.18446744073709551615", ".unpublished-0"]
        {
            for is_lost in [true, false] {
                let world = two_chunks();
                let catalogue = world.path().join("hold/.catalogue");
                if is_lost {
                    std::fs::remove_file(catalogue.join("snapshot")).unwrap();
                }
                if !catalogue.join(name).exists() {
                    plant(&catalogue.join(name));
                    expect_both(&world, &format!("{what} as {name}, the index lost: {is_lost}"));
                }
            }
        }
    }
}

#[test]
fn what_stands_in_the_place_of_our_directories_is_moved_aside_and_kept() {
    for name in [".staging", ".trash", ".quarantine", ".leases", ".catalogue"] {
        for (what, plant) in PLANTS.into_iter().skip(1) {
            let world = two_chunks();
            let root = world.path().join("hold");
            std::fs::remove_dir_all(root.join(name)).unwrap();
            // One that was moved aside before is not replaced.
            file(&root.join(format!("{name}.aside-1")));
            plant(&root.join(name));
            expect_both(&world, &format!("{what} in the place of {name}"));
            let aside = root.join(format!("{name}.aside-2"));
            assert!(aside.symlink_metadata().is_ok_and(|found| !found.is_dir()), "{what}, {name}");
            if what == "a file" {
                assert_eq!(std::fs::read(aside).unwrap(), b"mine");
            }
        }
    }
}

#[test]
fn what_is_in_the_way_and_cannot_be_moved_is_named() {
    let world = two_chunks();
    let root = world.path().join("hold");
    std::fs::remove_dir_all(root.join(".staging")).unwrap();
    file(&root.join(".staging"));
    for number in 1..=1_024 {
        file(&root.join(format!(".staging.aside-{number}")));
    }
    let error = DataManagerImpl::open_with(world.options(), Parts::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains(".staging is there and is no directory"), "{error}");
}

#[test]
fn what_stands_in_the_place_of_the_lock_is_named_and_left_there() {
    let dangling: Plant = |path| std::os::unix::fs::symlink("nowhere", path).expect("nothing is there");
    for (what, plant) in PLANTS.into_iter().take(4).chain([("a dangling link", dangling)]) {
        let world = two_chunks();
        let lock = world.path().join("hold/LOCK");
        std::fs::remove_file(&lock).unwrap();
        plant(&lock);
        let error = DataManagerImpl::open_with(world.options(), Parts::default()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Io, "{what}");
        let message = error.to_string();
        assert!(message.contains("hold/LOCK is there and is no regular file"), "{what}: {message}");
        assert!(message.contains("move it away"), "{what}: {message}");
        std::fs::rename(&lock, world.path().join("away")).expect("it was left there");
        expect_both(&world, what);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_had_only_taken_room_for_is_not_shown_as_done() {
    let dir = tempfile::tempdir().expect("there is room");
    let staged = dir.path().join(".staging").join(hex_id(&wide_id(1)));
    std::fs::create_dir_all(&staged).expect("nothing is there");
    let file = std::fs::File::create(staged.join("a.parquet")).expect("nothing is there");
    file.set_len(1_000).expect("there is room");
    let source = Scripted::new();
    let mut options = Options::new(dir.path());
    // Without room nothing looks into what is staged.
    options.limits.free_bytes_min = u64::MAX;
    let hold = source.open(options);
    hold.download_chunk(source.chunk("host", 1, Manner::Silent)).expect("it is taken");
    let status = hold.status(wide_id(1)).expect("it is known");
    assert_eq!((status.bytes_done, status.bytes_total), (0, Some(1_000)));
    hold.close_in_task().await;
}
