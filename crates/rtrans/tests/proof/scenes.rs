//! Short histories that touch every kind of call, for crashes and faults at each disk call of them.
//! Refuses to be long: each is run once for every call it makes.

use rtrans::Level;

use crate::world::Op;

/// The scenes, and what they are about.
pub(crate) fn all() -> Vec<(&'static str, Vec<Op>)> {
    vec![
        ("appends at each level", levels()),
        ("a full file", rotate()),
        ("large records", large()),
        ("batches and tickets", batches()),
        ("a trim", trim()),
        ("rollbacks", rollback()),
        ("positions", consumers()),
        ("marks and fences", marks()),
        ("closing", closes()),
        ("positions on their way", rides()),
    ]
}

/// The scenes that mean something in format 1, which has no place for marks and fences.
pub(crate) fn of_format_1() -> Vec<(&'static str, Vec<Op>)> {
    let scenes = all().into_iter().filter(|(name, _)| *name != "marks and fences");
    scenes.chain([("a rollback over directories", far_back())]).collect()
}

/// Rollbacks over the edges of files and directories, of records that are durable and of others.
fn far_back() -> Vec<Op> {
    [
        vec![disk(50); 3],
        vec![append(Level::Os, 50); 4],
        vec![Op::Truncate { back: 5 }],
        vec![disk(50); 9],
        vec![Op::Truncate { back: 10 }, disk(9)],
    ]
    .concat()
}

fn append(level: Level, bytes: usize) -> Op {
    Op::Append { level, bytes }
}

fn disk(bytes: usize) -> Op {
    append(Level::Disk, bytes)
}

fn levels() -> Vec<Op> {
    vec![
        append(Level::Memory, 20),
        append(Level::Os, 90),
        disk(10),
        append(Level::Os, 700),
        append(Level::Memory, 300),
        append(Level::Os, 0),
        disk(100),
        append(Level::Os, 600),
        append(Level::Os, 600),
    ]
}

fn rotate() -> Vec<Op> {
    [vec![disk(1200); 7], vec![append(Level::Os, 900); 5], vec![disk(5)]].concat()
}

fn large() -> Vec<Op> {
    vec![disk(50), disk(20_000), append(Level::Os, 9_000), disk(1), append(Level::Memory, 30_000), Op::Sync]
}

fn batches() -> Vec<Op> {
    vec![
        Op::Batch { level: Level::Disk, count: 5, bytes: 100 },
        Op::Batch { level: Level::Os, count: 3, bytes: 900 },
        Op::Async { bytes: 100 },
        Op::Async { bytes: 2000 },
        Op::Async { bytes: 2000 },
        Op::Wait,
        Op::Batch { level: Level::Disk, count: 12, bytes: 600 },
        Op::Batch { level: Level::Memory, count: 2, bytes: 30 },
    ]
}

fn trim() -> Vec<Op> {
    [
        vec![disk(1500); 12],
        vec![Op::Trim { back: 3 }],
        vec![disk(1500); 5],
        vec![append(Level::Os, 1500); 3],
        vec![Op::Retain { records: 2, is_protecting: false }, disk(10)],
    ]
    .concat()
}

fn rollback() -> Vec<Op> {
    [
        vec![disk(1300); 5],
        vec![Op::Commit { name: 0, back: 0 }, append(Level::Os, 400), Op::Truncate { back: 3 }],
        vec![disk(700); 3],
        vec![
            append(Level::Os, 700),
            Op::Truncate { back: 1 },
            append(Level::Os, 10),
            Op::Truncate { back: 1 },
            disk(9),
        ],
    ]
    .concat()
}

fn consumers() -> Vec<Op> {
    vec![
        disk(100),
        append(Level::Os, 100),
        Op::Commit { name: 0, back: 1 },
        append(Level::Memory, 1900),
        Op::Commit { name: 1, back: 0 },
        disk(1900),
        Op::Commit { name: 0, back: 0 },
        Op::Reset { name: 1, back: 2 },
        append(Level::Os, 1000),
        Op::Commit { name: 2, back: 0 },
    ]
}

/// Positions that ride in a round together, the same one more than once.
fn rides() -> Vec<Op> {
    let ride = |name, back| Op::CommitAsync { name, back };
    vec![
        disk(100),
        disk(100),
        Op::Commit { name: 0, back: 1 },
        Op::Async { bytes: 300 },
        ride(0, 1),
        ride(1, 1),
        ride(0, 0),
        Op::Wait,
        ride(0, 2),
        ride(0, 1),
        ride(0, 0),
        Op::Async { bytes: 3000 },
        ride(1, 2),
        Op::Wait,
        append(Level::Os, 100),
        ride(1, 1),
        disk(10),
        ride(0, 0),
        Op::Commit { name: 1, back: 0 },
    ]
}

fn marks() -> Vec<Op> {
    vec![
        disk(100),
        Op::Finalize { back: 0 },
        append(Level::Os, 3000),
        Op::Fence,
        append(Level::Os, 3000),
        Op::Finalize { back: 1 },
        Op::Truncate { back: 1 },
        Op::Fence,
    ]
}

fn closes() -> Vec<Op> {
    vec![
        disk(100),
        append(Level::Os, 100),
        append(Level::Memory, 100),
        Op::Close,
        append(Level::Os, 300),
        append(Level::Os, 300),
        append(Level::Os, 300),
        Op::Close,
        append(Level::Os, 3000),
        Op::Truncate { back: 2 },
        Op::Close,
        Op::Trim { back: 1 },
        append(Level::Memory, 8),
    ]
}
