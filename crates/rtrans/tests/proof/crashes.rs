//! The power is cut at every disk call of every scene, and again while the log recovers.
//! Refuses to accept anything but a prefix that holds all that was acknowledged.

mod outcomes;

use crate::kit::{seeds, small, small_1};
use crate::oracle::Ended;
use crate::scenes;
use crate::world::{Op, World};
use host::sim::Random;
use rtrans::{Level, Options};

/// How many calls a scene makes in all.
fn calls_of(scene: &[Op], options: &Options) -> u64 {
    let mut world = World::new(1, options.clone());
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
    sweep_scene(name, &scene, &small(need_compress), 64);
}

/// A scene of format 1, with so many seeds.
fn sweep_1(name: &str, need_compress: u16, count: u64) {
    let scene = scenes::of_format_1().into_iter().find(|(found, _)| *found == name);
    sweep_scene(name, &scene.unwrap().1, &small_1(need_compress), count);
}

fn sweep_scene(name: &str, scene: &[Op], options: &Options, count: u64) {
    let calls = calls_of(scene, options);
    println!("{name}: {calls} disk calls");
    for seed in seeds(count) {
        for call in 1..=calls {
            let mut world = World::new(seed * 1_000 + call, options.clone());
            let what = format!("scene {name:?}, seed {seed}, power cut at call {call} of {calls}");
            world.watched(&what, |world| {
                world.run_until_off(scene, call);
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
fn kill_in_recoveries(name: &str, options: &Options, cuts: usize) {
    let (_, scene) = scenes::all().into_iter().find(|(found, _)| *found == name).unwrap();
    for call in (1..=calls_of(&scene, options)).step_by(cuts) {
        for within in 1.. {
            let mut world = World::new(call, options.clone());
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

/// Kills the program at each call, lets the next one go on, and cuts the power: what that one acknowledged is there,
/// whatever the first had left in memory alone.
fn kill_and_cut(scenes: Vec<(&'static str, Vec<Op>)>, options: &Options) {
    for (name, scene) in scenes {
        for call in 1..=calls_of(&scene, options) {
            for seed in seeds(8) {
                let mut world = World::new(seed * 1_000 + call, options.clone());
                world.watched(&format!("scene {name:?}, seed {seed}, killed at call {call}"), |world| {
                    world.run_until_off(&scene, call);
                    world.restart(Ended::Killed);
                    go_on(world);
                    go_on(world);
                    world.restart(Ended::Cut);
                    go_on(world);
                });
            }
        }
    }
}

#[test]
fn a_power_cut_behind_a_kill_at_any_call_takes_nothing_that_the_next_writer_acknowledged() {
    kill_and_cut(scenes::all(), &small(0));
    kill_and_cut(scenes::of_format_1(), &small_1(0));
}

#[test]
fn a_kill_at_any_call_of_a_recovery_leaves_nothing_that_a_power_cut_brings_back() {
    kill_in_recoveries("a full file", &small(0), 1);
    kill_in_recoveries("rollbacks", &small(0), 11);
    kill_in_recoveries("a full file", &small_1(0), 3);
    kill_in_recoveries("rollbacks", &small_1(0), 3);
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

#[test]
fn a_power_cut_at_any_call_of_positions_that_ride_together_leaves_none_behind_what_was_told() {
    sweep(9, 0);
}

#[test]
fn a_power_cut_at_any_call_of_appends_of_format_1_leaves_all_that_was_acknowledged() {
    sweep_1("appends at each level", 0, 64);
    sweep_1("large records", 0, 64);
}

#[test]
fn a_power_cut_at_any_call_of_a_rotation_of_format_1_leaves_all_that_was_acknowledged() {
    sweep_1("a full file", 0, 64);
}

#[test]
fn a_power_cut_at_any_call_of_a_batch_of_format_1_leaves_a_prefix_of_it() {
    sweep_1("batches and tickets", 0, 64);
    // Compressing costs more than all the rest.
    sweep_1("batches and tickets", 1, 16);
}

#[test]
fn a_power_cut_at_any_call_of_a_trim_of_format_1_leaves_whole_directories() {
    sweep_1("a trim", 0, 64);
}

#[test]
fn a_power_cut_at_any_call_of_a_rollback_of_format_1_leaves_one_of_the_ends_or_one_between() {
    sweep_1("rollbacks", 0, 64);
    sweep_1("a rollback over directories", 0, 64);
}

#[test]
fn a_power_cut_at_any_call_of_a_commit_of_format_1_leaves_the_old_position_or_the_new_one() {
    sweep_1("positions", 0, 64);
    sweep_1("positions on their way", 0, 64);
}

#[test]
fn a_power_cut_at_any_call_of_a_close_or_an_open_of_format_1_loses_nothing() {
    sweep_1("closing", 0, 32);
}
