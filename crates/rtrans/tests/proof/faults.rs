//! Every disk call fails, once and for ever, in three ways; and the disk is full after every call of a scene.
//! Refuses a panic, a false acknowledgement, and the loss of a true one.

use host::sim::{Fault, Times};
use rtrans::{Error, Level, Log, Options};

use crate::kit::{setting, small, small_1};
use crate::oracle::Ended;
use crate::scenes;
use crate::world::{NAMES, Op, World};

/// How many calls a scene makes without faults.
fn calls_of(scene: &[Op], options: &Options) -> u64 {
    let mut world = World::new(1, options.clone());
    world.open().unwrap();
    for op in scene {
        world.apply(op).unwrap();
    }
    world.end();
    world.sim.calls()
}

/// Whether the call that failed was the sync of a directory: it keeps names in memory that no later sync writes. Only the
/// power cut shows that, and no program can mend it.
fn is_of_names(world: &World, call: u64) -> bool {
    world.sim.trace().iter().any(|line| line.starts_with(&format!("{call} sync_dir ")))
}

/// Runs a scene to its end, whatever fails.
fn run(world: &mut World, scene: &[Op]) {
    for op in scene {
        if world.log.is_none() && world.open().is_err() {
            return;
        }
        if matches!(op, Op::Close) {
            let log = world.log.clone().unwrap();
            world.end();
            if log.close().is_err() {
                // What is left of the last calls is seen at the next start, without faults.
                return;
            }
            world.oracle.settle();
            continue;
        }
        let was_poisoned = world.is_poisoned;
        if let Err(error) = world.apply(op) {
            // Whatever the disk says since: a log that was poisoned answers with what poisoned it.
            // A consumer has files of its own besides.
            let is_told = if was_poisoned && !op.is_of_a_consumer() {
                is_poison(&error)
            } else {
                is_of_the_disk(&error)
            };
            // A poisoned log does not have what the scene goes on from.
            let is_told = is_told || world.is_poisoned && matches!(error, Error::BeyondEnd { .. });
            assert!(is_told, "{op:?} fails with {error}");
        }
    }
    if let Some(log) = world.log.clone() {
        for record in log.scan(..) {
            match record {
                Ok(record) => world.oracle.compare_one(&record),
                // What lies in memory is written first: that may be what fails.
                Err(error) => {
                    assert!(is_of_the_disk(&error), "a read fails with {error}");
                }
            }
        }
    }
}

fn is_of_the_disk(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::DiskFull(_) | Error::NoHandles(_) | Error::Poisoned(_))
}

fn is_poison(error: &Error) -> bool {
    matches!(error, Error::Poisoned(_))
}

fn go_on(world: &mut World) {
    let append = |level, bytes| Op::Append { level, bytes };
    for op in [append(Level::Disk, 100), append(Level::Os, 900), Op::Commit { name: 0, back: 0 }, Op::Scan] {
        world.apply(&op).unwrap();
    }
}

/// All scenes of both formats.
fn all() -> impl Iterator<Item = (&'static str, Vec<Op>, Options)> {
    let of_2 = scenes::all().into_iter().map(|(name, scene)| (name, scene, small(0)));
    of_2.chain(scenes::of_format_1().into_iter().map(|(name, scene)| (name, scene, small_1(0))))
}

fn sweep(name: &str, scene: &[Op], options: &Options, fault: Fault) {
    let calls = calls_of(scene, options);
    println!("{name}: {calls} disk calls");
    for times in [Times::Once, Times::Forever] {
        for call in 1..=calls {
            for ended in [Ended::Cut, Ended::Killed] {
                let mut world = World::new(call, options.clone());
                let what =
                    format!("scene {name:?}, {fault:?} {times:?} at call {call} of {calls}, then {ended:?}");
                world.watched(&what, |world| {
                    world.sim.fail_call(call, fault, times);
                    run(world, scene);
                    let is_lost = times == Times::Forever || is_of_names(world, call);
                    world.restart(ended);
                    go_on(world);
                    if ended == Ended::Cut || !is_lost {
                        world.restart(Ended::Cut);
                    }
                });
            }
        }
    }
}

fn sweep_all(fault: Fault) {
    for (name, scene, options) in all() {
        sweep(name, &scene, &options, fault);
    }
}

#[test]
fn a_device_that_fails_at_any_call_loses_nothing_that_was_acknowledged() {
    sweep_all(Fault::Eio);
}

#[test]
fn a_call_that_finds_the_disk_full_loses_nothing_that_was_acknowledged() {
    sweep_all(Fault::Enospc);
}

#[test]
fn a_process_without_file_handles_loses_nothing_that_was_acknowledged() {
    sweep_all(Fault::Emfile);
}

/// A call fails, and from then on the disk is full: first of all it is the failure that counts.
fn fill_up_when_poisoned(name: &str, scene: &[Op], options: &Options) {
    let calls = calls_of(scene, options);
    for call in 1..=calls {
        for ended in [Ended::Cut, Ended::Killed] {
            let mut world = World::new(call, options.clone());
            let what =
                format!("scene {name:?}, EIO at call {call} of {calls}, full from there on, then {ended:?}");
            world.watched(&what, |world| {
                world.sim.fail_call(call, Fault::Eio, Times::Once);
                world.sim.full_from(call + 1);
                run(world, scene);
                expect_poison(world);
                let is_lost = is_of_names(world, call);
                // A start on the full disk may say so, and takes nothing away.
                if ended == Ended::Cut {
                    world.sim.crash();
                } else {
                    world.sim.kill();
                }
                world.end();
                let opened = world.open();
                assert!(opened.as_ref().err().is_none_or(is_of_the_disk), "on a full disk: {opened:?}");
                world.end();
                world.sim.capacity(1 << 30);
                // A second power cut would show what no program can mend: names whose sync failed.
                world.restart_after(Ended::Killed, ended);
                go_on(world);
                if ended == Ended::Cut || !is_lost {
                    world.restart(Ended::Cut);
                }
            });
        }
    }
}

/// A log that a failure has poisoned says that failure, not that there is no room now.
fn expect_poison(world: &mut World) {
    let Some(log) = world.log.clone().filter(|log| log.failure().is_some()) else { return };
    let failure = log.failure().map(|error| error.to_string());
    for op in [
        Op::Append { level: Level::Memory, bytes: 10 },
        Op::Append { level: Level::Disk, bytes: 5000 },
        Op::Batch { level: Level::Os, count: 3, bytes: 10 },
        Op::Sync,
        Op::Async { bytes: 10 },
    ] {
        let done = world.apply(&op);
        assert_eq!(done.map_err(|error| error.to_string()), Err(failure.clone().unwrap()), "{op:?}");
    }
    assert_eq!(log.failure().map(|error| error.to_string()), failure, "the first failure stays");
}

#[test]
fn a_disk_that_is_full_behind_a_failure_hides_it_from_nobody_and_loses_nothing_that_was_acknowledged() {
    for (name, scene, options) in all() {
        fill_up_when_poisoned(name, &scene, &options);
    }
}

/// Runs a scene until the power is cut at a call of it, and turns the machine on again.
fn cut_at(scene: &[Op], options: &Options, call: u64) -> World {
    let mut world = World::new(call, options.clone());
    world.run_until_off(scene, call);
    world.sim.crash();
    world.end();
    world
}

/// The numbers of the calls with this name, as far back as the trace goes.
fn calls_named(world: &World, name: &str) -> Vec<u64> {
    let lines = world.sim.trace().into_iter().filter(|line| line.contains(&format!(" {name} ")));
    lines.filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

/// Opens a log after a power cut, with one call of that failing, and then without faults.
fn recover_with(
    (scene, options, cut): (&[Op], &Options, u64),
    within: u64,
    fault: Fault,
    times: Times,
    ended: Ended,
) -> bool {
    let mut world = cut_at(scene, options, cut);
    let begun = world.sim.calls();
    let what =
        format!("cut at call {cut}, then {fault:?} {times:?} at call {within} of the start, {ended:?}");
    world.watched(&what, |world| {
        world.sim.fail_call(begun + within, fault, times);
        let opened = world.open();
        assert!(opened.as_ref().err().is_none_or(is_of_the_disk), "the log does not open: {opened:?}");
        let is_over = world.sim.calls() < begun + within;
        // Names whose sync failed are written by no later one.
        let is_lost = calls_named(world, "sync_dir").into_iter().any(|call| match times {
            Times::Once => call == begun + within,
            Times::Forever => call >= begun + within,
        });
        if ended == Ended::Cut {
            world.restart(Ended::Cut);
        } else {
            world.sim.kill();
            world.end();
            world.open().unwrap_or_else(|error| panic!("the log does not open afterwards: {error}"));
            let log: Log = world.log.clone().unwrap();
            // The power was cut before.
            world.oracle.accept(&log, Ended::Cut);
        }
        go_on(world);
        if ended == Ended::Cut || !is_lost {
            world.restart(Ended::Cut);
        }
        is_over
    })
}

/// Each sync of the start after a power cut fails in turn: what it leaves in memory only shows later, when the program
/// was killed, and after that the power was cut.
#[test]
fn a_sync_that_fails_in_a_recovery_leaves_nothing_in_memory_that_is_taken_for_durable() {
    let mut count = 0;
    for (_, scene, options) in all() {
        for cut in 1..=calls_of(&scene, &options) {
            let mut world = cut_at(&scene, &options, cut);
            let begun = world.sim.calls();
            world.open().unwrap();
            for call in calls_named(&world, "sync").into_iter().filter(|call| *call > begun) {
                let from = (&*scene, &options, cut);
                recover_with(from, call - begun, Fault::Eio, Times::Once, Ended::Killed);
                count += 1;
            }
        }
    }
    println!("{count} syncs");
}

/// Each call of the start after a power cut fails in turn, for a choice of cuts; `cargo xtask prove` asks for more of them.
fn sweep_recoveries(fault: Fault) {
    let stride = usize::try_from(setting("LOGHOLD_CUT_STRIDE", 97)).unwrap();
    // The start of a log of some small files makes about thirty calls.
    for (number, (name, scene, options)) in all().enumerate() {
        let calls = calls_of(&scene, &options);
        println!("{name}: {calls} disk calls");
        for cut in (1 + number as u64..=calls).step_by(stride) {
            for (times, ended) in [
                (Times::Once, Ended::Cut),
                (Times::Once, Ended::Killed),
                (Times::Forever, Ended::Cut),
                (Times::Forever, Ended::Killed),
            ] {
                let is_over = |within| recover_with((&scene, &options, cut), within, fault, times, ended);
                assert!((1..200).any(is_over), "a start makes more calls than that");
            }
        }
    }
}

#[test]
fn a_device_that_fails_at_any_call_of_a_recovery_loses_nothing_that_was_acknowledged() {
    sweep_recoveries(Fault::Eio);
}

#[test]
fn a_disk_that_is_full_at_any_call_of_a_recovery_loses_nothing_that_was_acknowledged() {
    sweep_recoveries(Fault::Enospc);
}

#[test]
fn a_process_without_file_handles_at_any_call_of_a_recovery_loses_nothing_that_was_acknowledged() {
    sweep_recoveries(Fault::Emfile);
}

/// Fills the disk after so many calls of a scene, and frees it again.
fn fill_up(world: &mut World, scene: &[Op]) {
    world.open().unwrap();
    // The names of the consumers are there already.
    for name in 0..NAMES.len() {
        world.apply(&Op::Append { level: Level::Disk, bytes: 8 }).unwrap();
        world.apply(&Op::Commit { name, back: 0 }).unwrap();
    }
    for op in scene {
        world.apply(op).unwrap();
    }
    if world.oracle.is_format_1() {
        // A full disk takes what lies in memory, and tells the next caller besides: no file was made for it before.
        world.apply(&Op::Sync).unwrap();
    }
    world.sim.capacity(0);
    let is_full = (0..100).any(|number| {
        let done = world.apply(&Op::Append { level: Level::Disk, bytes: 10 + number * 37 % 900 });
        assert!(done.as_ref().err().is_none_or(|error| matches!(error, Error::DiskFull(_))), "{done:?}");
        done.is_err()
    });
    assert!(is_full, "a full disk takes a hundred records");
    assert!(world.log.as_ref().unwrap().failure().is_none(), "a full disk poisons nothing");
    for op in [
        Op::Commit { name: 0, back: 0 },
        Op::Scan,
        Op::Follow { count: 1000 },
        Op::Trim { back: 1 },
        Op::Beside,
    ] {
        world.apply(&op).unwrap_or_else(|error| panic!("on a full disk, {op:?}: {error}"));
    }
    world.sim.capacity(1 << 30);
    go_on(world);
}

#[test]
fn a_full_disk_goes_on_with_positions_and_trims_and_heals_without_a_restart() {
    for (name, scene, options) in all() {
        for count in 0..=scene.len() {
            let mut world = World::new(count as u64 + 1, options.clone());
            world.watched(&format!("scene {name:?}, full after {count} calls"), |world| {
                fill_up(world, &scene[..count]);
                world.restart(Ended::Cut);
                go_on(world);
            });
        }
    }
}
