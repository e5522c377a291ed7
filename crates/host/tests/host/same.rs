//! Any calls in any order: the twins answer alike, and what a crash leaves is never more or less than it may be.
//! It refuses faults: those are planned one by one in `fault`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use host::sim::SimDisk;
use host::{Disk, Kind};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::tree::{content, tree};

#[derive(Clone, Debug)]
enum Call {
    CreateDir(PathBuf),
    CreateDirAll(PathBuf),
    List(PathBuf),
    Stat(PathBuf),
    Read(PathBuf),
    Create(PathBuf, u8),
    Edit(PathBuf, u64, usize),
    SetLen(PathBuf, u64),
    Preallocate(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Replace(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    RemoveTree(PathBuf),
    SyncDir(PathBuf),
    PublishFile(PathBuf, u8),
    PublishDir(PathBuf, PathBuf),
}

/// Few names and little depth, so that paths meet.
fn any_path() -> impl Strategy<Value = PathBuf> {
    vec(prop_oneof![Just("a"), Just("b"), Just(".")], 0..4).prop_map(PathBuf::from_iter)
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => any_path().prop_map(Call::CreateDir),
        1 => any_path().prop_map(Call::CreateDirAll),
        1 => any_path().prop_map(Call::List),
        1 => any_path().prop_map(Call::Stat),
        1 => any_path().prop_map(Call::Read),
        3 => (any_path(), any::<u8>()).prop_map(|(path, byte)| Call::Create(path, byte)),
        1 => (any_path(), 0..9000_u64, 0..9000_usize).prop_map(|(path, offset, len)| Call::Edit(path, offset, len)),
        1 => (any_path(), 0..9000_u64).prop_map(|(path, len)| Call::SetLen(path, len)),
        1 => (any_path(), 0..9000_u64).prop_map(|(path, len)| Call::Preallocate(path, len)),
        3 => (any_path(), any_path()).prop_map(|(from, to)| Call::Rename(from, to)),
        3 => (any_path(), any_path()).prop_map(|(from, to)| Call::Replace(from, to)),
        1 => any_path().prop_map(Call::RemoveFile),
        1 => any_path().prop_map(Call::RemoveDir),
        1 => any_path().prop_map(Call::RemoveTree),
        1 => any_path().prop_map(Call::SyncDir),
        1 => (any_path(), any::<u8>()).prop_map(|(path, byte)| Call::PublishFile(path, byte)),
        1 => (any_path(), any_path()).prop_map(|(from, to)| Call::PublishDir(from, to)),
    ]
}

/// The answer of a call as text: its value or the kind of its error.
fn answer(disk: &Disk, call: &Call) -> String {
    match call {
        Call::CreateDir(path) => told(disk.create_dir(path)),
        Call::CreateDirAll(path) => told(disk.create_dir_all(path)),
        Call::List(path) => told(disk.list(path)),
        Call::Stat(path) => {
            told(disk.stat(path).map(|stat| (stat.kind, if stat.kind == Kind::File { stat.len } else { 0 })))
        }
        Call::Read(path) => told(disk.open_file(path).map(|file| content(&file))),
        Call::Create(path, byte) => {
            told(disk.create_file(path).and_then(|file| file.write_all_at(&[*byte; 10], 0)))
        }
        Call::Edit(path, offset, len) => {
            told(disk.edit_file(path).and_then(|file| file.write_all_at(&vec![1; *len], *offset)))
        }
        Call::SetLen(path, len) => told(disk.edit_file(path).and_then(|file| file.set_len(*len))),
        Call::Preallocate(path, len) => told(disk.edit_file(path).and_then(|file| file.preallocate(*len))),
        Call::Rename(from, to) => told(disk.rename(from, to)),
        Call::Replace(from, to) => told(disk.replace(from, to)),
        Call::RemoveFile(path) => told(disk.remove_file(path)),
        Call::RemoveDir(path) => told(disk.remove_dir(path)),
        Call::RemoveTree(path) => told(disk.remove_tree(path)),
        Call::SyncDir(path) => told(disk.sync_dir(path)),
        Call::PublishFile(path, byte) => told(disk.publish_file(path, &[*byte; 5])),
        Call::PublishDir(from, to) => told(disk.publish_dir(from, to)),
    }
}

fn told<T: fmt::Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Syncs every file and every directory by itself.
fn sync_each(disk: &Disk) {
    disk.sync_dir(Path::new("")).unwrap();
    for (path, bytes) in tree(disk) {
        match bytes {
            Some(_) => disk.open_file(&path).unwrap().sync().unwrap(),
            None => disk.sync_dir(&path).unwrap(),
        }
    }
}

/// Whether the call changes names in one step, and syncs nothing.
fn is_one_change(call: &Call) -> bool {
    matches!(
        call,
        Call::CreateDir(_)
            | Call::Create(..)
            | Call::Rename(..)
            | Call::Replace(..)
            | Call::RemoveFile(_)
            | Call::RemoveDir(_)
    )
}

/// The number of cases is taken from `PROPTEST_CASES`, divided where each one is slow.
fn cases_divided_by(divisor: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.div_ceil(divisor), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(cases_divided_by(4))]

    #[test]
    fn the_twins_answer_every_call_alike(calls in vec(any_call(), 1..60)) {
        let root = tempfile::tempdir().unwrap();
        let (real, sim) = (Disk::open(root.path()).unwrap(), SimDisk::new(1).disk());
        for call in &calls {
            prop_assert_eq!(answer(&real, call), answer(&sim, call), "{:?}", call);
        }
        prop_assert_eq!(tree(&real), tree(&sim));
    }
}

proptest! {
    #![proptest_config(cases_divided_by(1))]

    #[test]
    fn what_is_synced_survives_every_crash(seed: u64, calls in vec(any_call(), 1..60), each: bool) {
        let sim = SimDisk::new(seed);
        let disk = sim.disk();
        for call in &calls {
            answer(&disk, call);
        }
        if each { sync_each(&disk) } else { disk.sync_all().unwrap() }
        let synced = tree(&disk);
        sim.crash();
        prop_assert_eq!(tree(&sim.disk()), synced, "{:#?}", sim.trace());
    }

    #[test]
    fn the_names_of_a_journalled_disk_are_those_of_some_moment(
        seed: u64,
        before in vec(any_call(), 1..40),
        after in vec(any_call(), 1..60),
    ) {
        let sim = SimDisk::new(seed);
        let disk = sim.disk();
        for call in &before {
            answer(&disk, call);
        }
        disk.sync_all().unwrap();
        let names = |disk: &Disk| tree(disk).into_keys().collect::<Vec<_>>();
        let mut moments = vec![names(&disk)];
        for call in after.iter().filter(|call| is_one_change(call)) {
            answer(&disk, call);
            moments.push(names(&disk));
        }
        sim.crash();
        let found = names(&sim.disk());
        let is_journal = sim.trace().iter().any(|line| line.contains("a prefix of the names"));
        prop_assert!(moments.contains(&found) || !is_journal, "{:#?}", sim.trace());
    }

    #[test]
    fn whatever_a_crash_leaves_is_a_sound_disk(seed: u64, calls in vec(any_call(), 1..60)) {
        let sim = SimDisk::new(seed);
        for call in &calls {
            answer(&sim.disk(), call);
        }
        sim.crash();
        let found = tree(&sim.disk());
        sim.crash();
        prop_assert_eq!(tree(&sim.disk()), found);
        for entry in sim.disk().list(Path::new("")).unwrap() {
            sim.disk().remove_tree(entry.name.as_ref()).unwrap();
        }
        prop_assert!(tree(&sim.disk()).is_empty());
    }
}
