//! Publishing is all or nothing: cut at every call, and with every call failing, for many seeds.
//! It refuses to assume: the same check finds the classic mistakes when the publishing is done wrong.

use std::io;
use std::path::Path;

use host::sim::{Fault, SimDisk, Times};
use host::{Disk, is_unpublished};

use crate::tree::{bytes, put, tree};

const SEEDS: u64 = 60;
const OLD: [u8; 3000] = [1; 3000];
const NEW: [u8; 4000] = [2; 4000];

/// More calls than any of the operations here makes: a loop that does not end is a mistake.
const CALLS_MAX: u64 = 100;

fn path(path: &str) -> &Path {
    Path::new(path)
}

fn with_old_file(seed: u64) -> SimDisk {
    let sim = SimDisk::new(seed);
    sim.disk().create_dir_all(path("dir")).unwrap();
    sim.disk().publish_file(path("dir/file"), &OLD).unwrap();
    sim
}

fn with_staged_dir(seed: u64) -> SimDisk {
    let sim = SimDisk::new(seed);
    let disk = sim.disk();
    disk.create_dir_all(path("staging/chunk")).unwrap();
    for name in ["a", "b", "c"] {
        put(&disk, format!("staging/chunk/{name}"), name.repeat(900).as_bytes()).sync().unwrap();
    }
    sim
}

/// A chunk is published with the directories above it.
fn publish_chunk(disk: &Disk) -> io::Result<()> {
    disk.create_dir_all(path("dataset/range"))?;
    disk.publish_dir(path("staging/chunk"), path("dataset/range/chunk"))
}

/// What is wrong with a disk after an operation that was disturbed; `is_done` when the operation returned `Ok`.
type Judge = fn(disk: &Disk, is_done: bool) -> Result<(), String>;

fn ensure(is_fine: bool, wrong: &str) -> Result<(), String> {
    if is_fine { Ok(()) } else { Err(wrong.to_owned()) }
}

/// Cuts the power at each call of `operation` in turn, for all seeds, and judges the disk after each.
fn cut_everywhere(
    start: impl Fn(u64) -> SimDisk,
    operation: impl Fn(&Disk) -> io::Result<()>,
    judge: Judge,
) -> Result<(), String> {
    for seed in 0..SEEDS {
        for call in 1..=CALLS_MAX {
            ensure(call < CALLS_MAX, "the operation makes too many calls")?;
            let sim = start(seed);
            sim.crash_at(sim.calls() + call);
            let is_done = operation(&sim.disk()).is_ok();
            sim.crash();
            judge(&sim.disk(), is_done)
                .map_err(|wrong| format!("{wrong}; seed {seed}, call {call}: {:#?}", sim.trace()))?;
            if is_done {
                break;
            }
        }
    }
    Ok(())
}

/// Lets each call of `operation` fail in turn, and judges the disk at once and after a crash.
fn fail_everywhere(
    start: impl Fn(u64) -> SimDisk,
    operation: impl Fn(&Disk) -> io::Result<()>,
    judge: Judge,
) -> Result<(), String> {
    for fault in [Fault::Eio, Fault::Enospc, Fault::Emfile] {
        for (times, seed) in
            [Times::Once, Times::Forever].into_iter().flat_map(|times| (0..20).map(move |seed| (times, seed)))
        {
            for call in 1..=CALLS_MAX {
                ensure(call < CALLS_MAX, "the operation makes too many calls")?;
                let sim = start(seed);
                let failing = sim.calls() + call;
                sim.fail_call(failing, fault, times);
                let is_done = operation(&sim.disk()).is_ok();
                if sim.calls() < failing {
                    break;
                }
                let told = |wrong| format!("{wrong}; {fault:?} {times:?}, seed {seed}: {:#?}", sim.trace());
                ensure(!is_done, "a failure was swallowed").map_err(told)?;
                if times == Times::Once {
                    judge(&sim.disk(), false).map_err(told)?;
                }
                sim.crash();
                judge(&sim.disk(), false).map_err(told)?;
            }
        }
    }
    Ok(())
}

fn judge_file(disk: &Disk, is_done: bool) -> Result<(), String> {
    let found = bytes(disk, "dir/file");
    ensure(found == NEW || found == OLD, "the file is neither the old nor the new one")?;
    ensure(found == NEW || !is_done, "the file is old though the new one was acknowledged")?;
    let names = disk.list(path("dir")).unwrap();
    let is_known = |name: &std::ffi::OsStr| name == "file" || is_unpublished(name);
    ensure(names.iter().all(|entry| is_known(&entry.name)), "something else is beside the file")
}

fn judge_first_file(disk: &Disk, is_done: bool) -> Result<(), String> {
    match disk.stat(path("file")) {
        Ok(_) => ensure(bytes(disk, "file") == NEW, "the file is not whole"),
        Err(_) => ensure(!is_done, "the file is missing though it was acknowledged"),
    }
}

fn judge_chunk(disk: &Disk, is_done: bool) -> Result<(), String> {
    let tree = tree(disk);
    let published = path("dataset/range/chunk");
    if !tree.contains_key(published) {
        ensure(tree.contains_key(path("staging/chunk")), "the chunk is at neither place")?;
        return ensure(!is_done, "the chunk is not published though it was acknowledged");
    }
    ensure(!tree.contains_key(path("staging/chunk")), "the chunk is at both places")?;
    for name in ["a", "b", "c"] {
        let found = tree.get(&published.join(name)).cloned().flatten();
        ensure(found == Some(name.repeat(900).into_bytes()), "a file of the chunk is not whole")?;
    }
    Ok(())
}

#[test]
fn a_file_that_is_published_is_old_or_new_after_a_cut_anywhere() {
    cut_everywhere(with_old_file, |disk| disk.publish_file(path("dir/file"), &NEW), judge_file).unwrap();
}

#[test]
fn a_first_file_is_missing_or_whole_after_a_cut_anywhere() {
    cut_everywhere(SimDisk::new, |disk| disk.publish_file(path("file"), &NEW), judge_first_file).unwrap();
}

#[test]
fn a_directory_that_is_published_is_all_or_nothing_after_a_cut_anywhere() {
    cut_everywhere(with_staged_dir, publish_chunk, judge_chunk).unwrap();
}

#[test]
fn publishing_a_directory_syncs_its_names_and_both_parents() {
    let sim = with_staged_dir(1);
    sim.disk().create_dir_all(path("shelf")).unwrap();
    let before = sim.trace().len();
    sim.disk().publish_dir(path("staging/chunk"), path("shelf/chunk")).unwrap();
    let trace = sim.trace();
    let calls: Vec<&str> =
        trace[before..].iter().filter_map(|line| line.split_once(' ')).map(|(_, call)| call).collect();
    // A file system without a journal may write the two parents apart: neither sync stands for the other.
    let expected =
        ["sync_dir staging/chunk", "rename staging/chunk shelf/chunk", "sync_dir shelf", "sync_dir staging"];
    assert_eq!(calls, expected);
}

#[test]
fn directories_that_were_made_are_durable() {
    let judge: Judge =
        |disk, is_done| ensure(!is_done || disk.stat(path("a/b/c")).is_ok(), "a directory was forgotten");
    cut_everywhere(SimDisk::new, |disk| disk.create_dir_all(path("a/b/c")), judge).unwrap();
}

#[test]
fn directories_that_somebody_else_made_are_durable_too() {
    let make = |disk: &Disk| {
        // As a thread does that has not come to its sync yet, or a process that was killed before it.
        disk.create_dir(path("a"))?;
        disk.create_dir_all(path("a/b"))
    };
    let judge: Judge =
        |disk, is_done| ensure(!is_done || disk.stat(path("a/b")).is_ok(), "a directory was forgotten");
    cut_everywhere(SimDisk::new, make, judge).unwrap();
}

#[test]
fn a_file_is_old_or_new_whatever_call_fails() {
    fail_everywhere(with_old_file, |disk| disk.publish_file(path("dir/file"), &NEW), judge_file).unwrap();
}

#[test]
fn a_directory_is_all_or_nothing_whatever_call_fails() {
    let start = |seed| {
        let sim = with_staged_dir(seed);
        sim.disk().create_dir_all(path("dataset/range")).unwrap();
        sim
    };
    let publish = |disk: &Disk| disk.publish_dir(path("staging/chunk"), path("dataset/range/chunk"));
    fail_everywhere(start, publish, judge_chunk).unwrap();
}

#[test]
fn a_file_that_is_renamed_without_a_sync_is_caught() {
    let publish = |disk: &Disk| {
        put(disk, "dir/.unpublished-x", &NEW);
        disk.replace(path("dir/.unpublished-x"), path("dir/file"))?;
        disk.sync_dir(path("dir"))
    };
    assert_caught(&cut_at_the_end(with_old_file, publish, judge_file), "neither the old nor the new");
}

#[test]
fn a_rename_without_a_sync_of_the_directory_is_caught() {
    let publish = |disk: &Disk| {
        put(disk, "dir/.unpublished-x", &NEW).sync()?;
        disk.replace(path("dir/.unpublished-x"), path("dir/file"))
    };
    assert_caught(&cut_at_the_end(with_old_file, publish, judge_file), "the new one was acknowledged");
}

#[test]
fn a_file_that_is_written_in_place_is_caught() {
    let publish = |disk: &Disk| disk.edit_file(path("dir/file"))?.write_all_at(&NEW, 0);
    assert_caught(&cut_at_the_end(with_old_file, publish, judge_file), "neither the old nor the new");
}

#[test]
fn a_chunk_in_a_directory_that_is_not_durable_is_caught() {
    let publish = |disk: &Disk| {
        disk.create_dir(path("dataset"))?;
        disk.create_dir(path("dataset/range"))?;
        disk.publish_dir(path("staging/chunk"), path("dataset/range/chunk"))
    };
    assert_caught(&cut_at_the_end(with_staged_dir, publish, judge_chunk), "neither place");
}

#[test]
fn a_chunk_whose_own_names_are_not_durable_is_caught() {
    let publish = |disk: &Disk| {
        disk.create_dir_all(path("dataset/range"))?;
        disk.rename(path("staging/chunk"), path("dataset/range/chunk"))?;
        disk.sync_dir(path("dataset/range"))
    };
    assert_caught(&cut_at_the_end(with_staged_dir, publish, judge_chunk), "a file of the chunk is not whole");
}

/// Cuts the power right after the whole operation: the mistakes above show without any cut in between.
fn cut_at_the_end(
    start: impl Fn(u64) -> SimDisk,
    operation: impl Fn(&Disk) -> io::Result<()>,
    judge: Judge,
) -> Vec<String> {
    let wrong = (0..SEEDS).filter_map(|seed| {
        let sim = start(seed);
        operation(&sim.disk()).unwrap();
        sim.crash();
        judge(&sim.disk(), true).err()
    });
    wrong.collect()
}

fn assert_caught(found: &[String], mistake: &str) {
    assert!(found.iter().any(|wrong| wrong.contains(mistake)), "{found:?}");
}
