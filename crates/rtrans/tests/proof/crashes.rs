//! The power is cut at every disk call of every scene, and again while the log recovers.
//! Refuses to accept anything but a prefix that holds all that was acknowledged.

use crate::kit::{seeds, small};
use crate::oracle::Ended;
use crate::scenes;
use crate::world::{Op, World};
use host::sim::Random;
use rtrans::Level;

/// How many calls a scene makes in all.
fn calls_of(scene: &[Op], need_compress: u16) -> u64 {
    let mut world = World::new(1, small(need_compress));
    world.open().unwrap();
    for op in scene {
        world.apply(op).unwrap();
    }
    world.end();
    world.sim.calls()
}

fn go_on(world: &mut World) {
    for op in [
        Op::Append { level: Level::Disk, bytes: 100 },
        Op::Commit { name: 0, back: 0 },
        Op::Append { level: Level::Os, bytes: 40 },
        Op::Scan,
    ] {
        world.apply(&op).unwrap();
    }
}

fn sweep(number: usize, need_compress: u16) {
    let (name, scene) = scenes::all().swap_remove(number);
    let calls = calls_of(&scene, need_compress);
    println!("{name}: {calls} disk calls");
    for seed in seeds(64) {
        for call in 1..=calls {
            let mut world = World::new(seed * 1_000 + call, small(need_compress));
            let what = format!("scene {name:?}, seed {seed}, power cut at call {call} of {calls}");
            world.watched(&what, |world| {
                world.run_until_off(&scene, call);
                recover_twice(world, seed * 7_919 + call);
            });
        }
    }
}

/// Cuts the power again inside the recovery, then lets it finish, goes on, and cuts once more.
fn recover_twice(world: &mut World, seed: u64) {
    world.sim.crash();
    world.end();
    let within = 1 + Random::new(seed).below(40);
    world.sim.crash_at(world.sim.calls() + within);
    drop(world.open());
    world.restart(Ended::Cut);
    go_on(world);
    world.restart(Ended::Cut);
    go_on(world);
    world.restart(Ended::Killed);
}

/// Kills the program at each call of its recovery from a power cut, lets the next one finish it and go on, and cuts the power.
fn kill_in_recoveries(number: usize, cuts: usize) {
    let (name, scene) = scenes::all().swap_remove(number);
    for call in (1..=calls_of(&scene, 0)).step_by(cuts) {
        for within in 1.. {
            let mut world = World::new(call, small(0));
            let what = format!("scene {name:?}, cut at call {call}, killed at call {within} of the start");
            let is_over = world.watched(&what, |world| {
                world.run_until_off(&scene, call);
                world.sim.crash();
                world.end();
                let killed_at = world.sim.calls() + within;
                world.sim.crash_at(killed_at);
                drop(world.open());
                let is_over = world.sim.calls() < killed_at;
                world.sim.kill();
                world.end();
                world.open().unwrap();
                // What the power cut has left is what the kill left.
                let log = world.log.clone().unwrap();
                world.oracle.accept(&log, Ended::Cut);
                go_on(world);
                world.restart(Ended::Cut);
                is_over
            });
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_kill_at_any_call_of_a_recovery_leaves_nothing_that_a_power_cut_brings_back() {
    kill_in_recoveries(1, 1);
    kill_in_recoveries(5, 11);
}

#[test]
fn a_power_cut_at_any_call_of_appends_leaves_all_that_was_acknowledged() {
    sweep(0, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_rotation_leaves_all_that_was_acknowledged() {
    sweep(1, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_large_record_leaves_all_that_was_acknowledged() {
    sweep(2, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_batch_leaves_all_of_it_or_nothing() {
    sweep(3, 0);
    sweep(3, 2);
}

#[test]
fn a_power_cut_at_any_call_of_a_trim_leaves_the_old_beginning_or_the_new_one() {
    sweep(4, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_rollback_leaves_the_old_end_or_the_new_one() {
    sweep(5, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_commit_leaves_the_old_position_or_the_new_one() {
    sweep(6, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_mark_or_a_fence_leaves_it_set_or_not() {
    sweep(7, 0);
}

#[test]
fn a_power_cut_at_any_call_of_a_close_or_an_open_loses_nothing() {
    sweep(8, 0);
}
