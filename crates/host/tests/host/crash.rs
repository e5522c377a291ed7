//! What a power cut may leave on the simulated disk, and what it may not. Each law is tried with many seeds.
//! It refuses to trust the simulation: that every bad outcome does occur is tested as well as that no other does.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::sim::SimDisk;
use host::{Disk, LockError};

use crate::tree::{bytes, put, tree};

const SEEDS: u64 = 300;
const SECTOR: usize = 512;

fn path(path: &str) -> &Path {
    Path::new(path)
}

/// A file "file" whose name and bytes (`old`, 2000 times 1) are durable.
fn disk_with_a_durable_file(seed: u64) -> SimDisk {
    let sim = SimDisk::new(seed);
    put(&sim.disk(), "file", &[1; 2000]).sync().unwrap();
    sim.disk().sync_dir(path("")).unwrap();
    sim
}

#[test]
fn synced_bytes_under_a_synced_name_survive() {
    for seed in 0..SEEDS {
        let sim = disk_with_a_durable_file(seed);
        put(&sim.disk(), "another", b"not synced");
        sim.crash();
        assert_eq!(bytes(&sim.disk(), "file"), [1; 2000], "seed {seed}");
    }
}

#[test]
fn a_synced_file_whose_name_is_not_synced_is_whole_or_missing() {
    let mut found = BTreeSet::new();
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        put(&sim.disk(), "file", b"bytes").sync().unwrap();
        sim.crash();
        found.insert(tree(&sim.disk()).into_values().collect::<Vec<_>>());
    }
    assert_eq!(found, BTreeSet::from([vec![], vec![Some(b"bytes".to_vec())]]));
}

#[test]
fn a_synced_name_without_synced_bytes_may_be_empty_zeroed_torn_or_whole() {
    let written: Vec<u8> = (0..2000).map(|index| if index < 1000 { 7 } else { 8 }).collect();
    let (mut empty, mut zeroed, mut torn, mut whole) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        put(&sim.disk(), "file", &written);
        sim.disk().sync_dir(path("")).unwrap();
        sim.crash();
        let found = bytes(&sim.disk(), "file");
        for (sector, expected) in found.chunks(SECTOR).zip(written.chunks(SECTOR)) {
            let is_zero = sector.iter().all(|&byte| byte == 0);
            assert!(is_zero || sector == expected, "seed {seed}: a sector is torn");
        }
        match found {
            found if found.is_empty() => empty += 1,
            found if found == written => whole += 1,
            found if found == [0; 2000] => zeroed += 1,
            _ => torn += 1,
        }
    }
    assert!(empty > 0 && zeroed > 0 && torn > 0 && whole > 0, "{empty} {zeroed} {torn} {whole}");
}

#[test]
fn only_what_was_not_synced_is_torn() {
    let mut torn = 0;
    for seed in 0..SEEDS {
        let sim = disk_with_a_durable_file(seed);
        let file = sim.disk().edit_file(path("file")).unwrap();
        file.write_all_at(&[2; 1000], 700).unwrap();
        sim.crash();
        let found = bytes(&sim.disk(), "file");
        assert_eq!(found.len(), 2000, "seed {seed}");
        assert!(found[..700].iter().chain(&found[1700..]).all(|&byte| byte == 1), "seed {seed}");
        assert!(found[700..1700].iter().all(|&byte| byte == 1 || byte == 2), "seed {seed}");
        let tears: Vec<usize> = (701..1700).filter(|&index| found[index] != found[index - 1]).collect();
        assert!(tears.iter().all(|tear| tear % SECTOR == 0), "seed {seed}: {tears:?}");
        torn += u32::from(!tears.is_empty());
    }
    assert!(torn > 0);
}

#[test]
fn writes_reach_the_disk_in_any_order() {
    let mut only_later = 0;
    for seed in 0..SEEDS {
        let sim = disk_with_a_durable_file(seed);
        let file = sim.disk().edit_file(path("file")).unwrap();
        file.write_all_at(&[2], 0).unwrap();
        file.write_all_at(&[3], 1500).unwrap();
        sim.crash();
        let found = bytes(&sim.disk(), "file");
        only_later += u32::from(found[0] == 1 && found[1500] == 3);
    }
    assert!(only_later > 0);
}

#[test]
fn a_cut_may_be_forgotten_but_not_after_a_sync() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let sim = disk_with_a_durable_file(seed);
        let file = sim.disk().edit_file(path("file")).unwrap();
        file.set_len(1500).unwrap();
        file.sync().unwrap();
        file.set_len(100).unwrap();
        sim.crash();
        lengths.insert(bytes(&sim.disk(), "file").len());
    }
    assert_eq!(lengths, BTreeSet::from([100, 1500]));
}

#[test]
fn a_renamed_file_is_in_one_place_whatever_was_synced() {
    for synced in ["", "from", "to"] {
        let mut found = BTreeSet::new();
        for seed in 0..SEEDS {
            let sim = SimDisk::new(seed);
            let disk = sim.disk();
            disk.create_dir_all(path("from")).unwrap();
            disk.create_dir_all(path("to")).unwrap();
            put(&disk, "from/file", b"1");
            disk.sync_all().unwrap();
            disk.rename(path("from/file"), path("to/file")).unwrap();
            if !synced.is_empty() {
                disk.sync_dir(path(synced)).unwrap();
            }
            sim.crash();
            let places = ["from/file", "to/file"].map(|place| sim.disk().stat(path(place)).is_ok());
            assert!(places[0] != places[1], "seed {seed}, synced {synced:?}: {places:?}");
            found.insert(places[1]);
        }
        // One synced parent is enough: the move is one change.
        assert_eq!(found.contains(&false), synced.is_empty(), "synced {synced:?}");
        assert!(found.contains(&true));
    }
}

/// Runs `changes` on a disk where `paths` are durable; the file "x" must be in one of the `places` after each crash.
fn assert_x_is_in_one_place(paths: &[&str], changes: fn(&Disk), places: &[&str]) {
    let mut found = BTreeSet::new();
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        for dir in paths {
            sim.disk().create_dir_all(path(dir)).unwrap();
        }
        put(&sim.disk(), places[0], b"x");
        sim.disk().sync_all().unwrap();
        changes(&sim.disk());
        sim.crash();
        let names = tree(&sim.disk()).into_keys().filter(|name| name.ends_with("x")).collect::<Vec<_>>();
        assert_eq!(names.len(), 1, "seed {seed}: {names:?}");
        found.extend(names);
    }
    assert_eq!(found, places.iter().map(PathBuf::from).collect());
}

#[test]
fn a_file_that_is_renamed_twice_is_in_one_place() {
    let changes = |disk: &Disk| {
        disk.rename(path("a/x"), path("b/x")).unwrap();
        disk.rename(path("b/x"), path("c/x")).unwrap();
    };
    assert_x_is_in_one_place(&["a", "b", "c"], changes, &["a/x", "b/x", "c/x"]);
}

#[test]
fn a_directory_is_not_gone_before_what_was_moved_out_of_it() {
    let changes = |disk: &Disk| {
        disk.rename(path("dir/x"), path("x")).unwrap();
        disk.remove_dir(path("dir")).unwrap();
    };
    assert_x_is_in_one_place(&["dir"], changes, &["dir/x", "x"]);
}

#[test]
fn a_directory_never_ends_below_itself() {
    let changes = |disk: &Disk| {
        disk.rename(path("a"), path("b/a")).unwrap();
        disk.rename(path("b/a"), path("c")).unwrap();
        disk.rename(path("b"), path("c/b")).unwrap();
    };
    assert_x_is_in_one_place(&["a", "b"], changes, &["a/x", "b/a/x", "c/x"]);
}

#[test]
fn a_name_in_a_directory_that_is_not_durable_is_not_durable_either() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        let disk = sim.disk();
        disk.create_dir(path("dir")).unwrap();
        put(&disk, "dir/file", b"1").sync().unwrap();
        disk.sync_dir(path("dir")).unwrap();
        sim.crash();
        match sim.disk().stat(path("dir")) {
            Ok(_) => assert_eq!(bytes(&sim.disk(), "dir/file"), b"1", "seed {seed}"),
            Err(_) => lost += 1,
        }
    }
    assert!(lost > 0);
}

#[test]
fn names_survive_in_the_order_of_a_journal_or_in_none() {
    let (mut prefixes, mut others) = (BTreeSet::new(), 0);
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        for name in ["0", "1", "2", "3"] {
            put(&sim.disk(), name, b"");
        }
        sim.crash();
        let found: String = tree(&sim.disk()).keys().map(|path| path.to_str().unwrap()).collect();
        let is_journal = sim.trace().iter().any(|line| line == "crash: a prefix of the names survives");
        if "0123".starts_with(&found) {
            prefixes.insert(found);
        } else {
            assert!(!is_journal, "seed {seed}: {found}");
            others += 1;
        }
    }
    assert_eq!(prefixes.len(), 5);
    assert!(others > 0);
}

#[test]
fn a_removed_file_may_come_back_but_not_after_a_sync() {
    for is_synced in [false, true] {
        let mut back = 0;
        for seed in 0..SEEDS {
            let sim = disk_with_a_durable_file(seed);
            sim.disk().remove_file(path("file")).unwrap();
            if is_synced {
                sim.disk().sync_dir(path("")).unwrap();
            }
            sim.crash();
            if sim.disk().stat(path("file")).is_ok() {
                assert_eq!(bytes(&sim.disk(), "file"), [1; 2000], "seed {seed}");
                back += 1;
            }
        }
        assert_eq!(back > 0, !is_synced, "{back}");
    }
}

#[test]
fn handles_and_locks_from_before_a_crash_are_dead() {
    let sim = disk_with_a_durable_file(1);
    let disk = sim.disk();
    let file = disk.edit_file(path("file")).unwrap();
    let lock = disk.lock(path("LOCK")).unwrap();
    disk.sync_all().unwrap();
    sim.crash();
    let calls = sim.calls();
    for error in [
        disk.list(path("")).unwrap_err(),
        disk.create_file(path("new")).unwrap_err(),
        disk.sync_all().unwrap_err(),
        file.read_at(&mut [0], 0).unwrap_err(),
        file.write_all_at(b"zombie", 0).unwrap_err(),
        file.sync().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.to_string().contains("from before the crash"), "{error}");
    }
    assert!(matches!(disk.lock(path("LOCK")), Err(LockError::Io(_))));
    assert_eq!(sim.calls(), calls, "dead handles make no calls");
    let mine = sim.disk().lock(path("LOCK")).unwrap();
    // A dead guard that is dropped late must not end the lock of the restarted program.
    drop((lock, file));
    assert!(matches!(sim.disk().lock(path("LOCK")), Err(LockError::Held { .. })));
    drop(mine);
}

#[test]
fn the_same_seed_and_calls_leave_the_same_disk() {
    let run = |seed| {
        let sim = SimDisk::new(seed);
        let mut trees = Vec::new();
        for round in 0..5_u8 {
            let disk = sim.disk();
            for name in 0..10 {
                put(&disk, format!("{round}-{name}"), &[round; 3000]);
            }
            disk.rename(path(&format!("{round}-1")), path(&format!("{round}-a"))).unwrap();
            sim.crash();
            trees.push(tree(&sim.disk()));
        }
        (trees, sim.trace(), sim.calls())
    };
    assert!(run(5) == run(5));
    assert!(run(5).0 != run(6).0);
}

#[test]
fn a_killed_program_loses_its_handles_and_nothing_else() {
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        let (disk, file) = (sim.disk(), put(&sim.disk(), "file", b"not synced"));
        let lock = disk.lock(path("LOCK")).unwrap();
        sim.kill();
        assert!(file.len().is_err() && disk.list(path("")).is_err(), "seed {seed}");
        drop(sim.disk().lock(path("LOCK")).unwrap());
        drop(lock);
        assert_eq!(bytes(&sim.disk(), "file"), b"not synced", "seed {seed}");
        sim.disk().edit_file(path("file")).unwrap().sync().unwrap();
        sim.disk().sync_dir(path("")).unwrap();
        sim.crash();
        assert_eq!(bytes(&sim.disk(), "file"), b"not synced", "seed {seed}");
    }
}

/// All outcomes of a power cut that make sense, as the trees that they leave.
fn all_outcomes(sim: &SimDisk) -> BTreeSet<Vec<(PathBuf, Option<Vec<u8>>)>> {
    let outcomes = (0..sim.outcomes()).filter_map(|number| {
        let cut = sim.fork();
        cut.crash_as(number).then(|| tree(&cut.disk()).into_iter().collect())
    });
    outcomes.collect()
}

#[test]
fn the_outcomes_of_a_power_cut_are_all_that_sectors_lengths_and_names_may_become_by_themselves() {
    let sim = disk_with_a_durable_file(1);
    assert_eq!((sim.outcomes(), all_outcomes(&sim).len()), (1, 1));
    let file = sim.disk().edit_file(path("file")).unwrap();
    // Two sectors, one of them twice: it is never as only the second write would have made it.
    file.write_all_at(&[2; 4], 510).unwrap();
    file.write_all_at(&[3; 2], 600).unwrap();
    let bytes_at = |found: &[u8]| (found[510], found[512], found[600]);
    let found = |sim: &SimDisk| -> BTreeSet<_> {
        let of = |tree: Vec<(PathBuf, Option<Vec<u8>>)>| bytes_at(tree[0].1.as_ref().unwrap());
        all_outcomes(sim).into_iter().map(of).collect()
    };
    let wanted = [1, 2].into_iter().flat_map(|first| [(first, 1, 1), (first, 2, 1), (first, 2, 3)]);
    assert_eq!((sim.outcomes(), found(&sim)), (6, wanted.collect()));
    // A length comes without its bytes, and bytes do not come without their length.
    file.sync().unwrap();
    file.write_all_at(&[4; 1], 3000).unwrap();
    let lens: BTreeSet<_> = all_outcomes(&sim)
        .into_iter()
        .map(|tree| tree[0].1.as_ref().map(|bytes| (bytes.len(), bytes.get(3000).copied())).unwrap())
        .collect();
    assert_eq!(lens, BTreeSet::from([(2000, None), (3001, Some(0)), (3001, Some(4))]));
    // Bytes that are there already make no outcome, and names need what they rest on.
    file.sync().unwrap();
    file.write_all_at(&[1; 8], 0).unwrap();
    assert_eq!(sim.outcomes(), 1);
    sim.disk().create_dir(path("dir")).unwrap();
    sim.disk().rename(path("file"), path("dir/moved")).unwrap();
    let names: BTreeSet<Vec<PathBuf>> =
        all_outcomes(&sim).into_iter().map(|tree| tree.into_iter().map(|(path, _)| path).collect()).collect();
    assert!(names.contains(&vec![PathBuf::from("file")]), "{names:?}");
    assert!(names.iter().any(|names| names.contains(&PathBuf::from("dir/moved"))), "{names:?}");
    assert!(sim.fork().crash_as(0) && sim.calls() > 0);
}

#[test]
fn what_is_done_to_the_copy_of_a_disk_is_not_done_to_the_disk() {
    let sim = disk_with_a_durable_file(1);
    let copy = sim.fork();
    copy.disk().remove_file(path("file")).unwrap();
    put(&sim.disk(), "another", b"bytes").sync().unwrap();
    assert_eq!(copy.disk().list(path("")).unwrap().len(), 0);
    assert_eq!(bytes(&sim.disk(), "file"), [1; 2000]);
}
