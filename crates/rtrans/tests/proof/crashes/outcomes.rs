//! Not some outcomes of a power cut but all, wherever they can be counted: each sector, length and name by itself.
//! Refuses to take a sample for all: it says how many points were tried wholly, and how many by a choice.

use host::sim::Random;
use rtrans::Options;

use super::{calls_of, go_on};
use crate::kit::{seeds, small, small_1};
use crate::oracle::Ended;
use crate::scenes;
use crate::world::{Op, World};

/// So many outcomes of one power cut are all tried, for each seed that a sweep takes; of more, there is a choice.
const OUTCOMES_OF_SEED: u64 = 32;

/// The part of that many which a choice has.
const CHOICE: u64 = 32;

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    /// Power cuts of which all outcomes were tried, and these.
    whole_points: u64,
    whole_outcomes: u64,
    /// Others, and the outcomes that were chosen.
    part_points: u64,
    part_outcomes: u64,
}

/// What changes the disk, done so far: between two of these a power cut has the same outcomes.
fn changes(world: &World) -> usize {
    let is_change = |line: &&String| {
        let verb = line.split(' ').nth(1).unwrap_or_default();
        !["read", "open", "list", "stat", "len", "map", "evict", "begin_sync", "space"].contains(&verb)
            || line.contains(" open Create ")
    };
    world.sim.trace().iter().filter(is_change).filter(|line| !line.ends_with("the machine is off")).count()
}

/// The outcomes to try of so many: all, or a choice that has the least and the most of them.
fn chosen(all: u64, most: u64, seed: u64) -> Vec<u64> {
    if all <= most {
        return (0..all).collect();
    }
    let mut random = Random::new(seed);
    [0, all - 1].into_iter().chain((0..most / CHOICE).map(|_| random.below(all))).collect()
}

fn try_each(name: &str, scene: &[Op], options: &Options) -> Tried {
    let most = seeds(64).len() as u64 * OUTCOMES_OF_SEED;
    let mut tried = Tried::default();
    let mut before = None;
    for call in 1..=calls_of(scene, options) {
        let mut world = World::new(1, options.clone());
        world.run_until_off(scene, call);
        world.end();
        let now = Some((changes(&world), format!("{:?}", world.oracle)));
        if now == before {
            continue;
        }
        before = now;
        let all = world.sim.outcomes();
        let outcomes = chosen(all, most, call);
        let mut count = 0;
        for outcome in &outcomes {
            let Some(mut cut) = world.cut_as(*outcome) else { continue };
            count += 1;
            cut.watched(
                &format!("scene {name:?}, power cut at call {call}, outcome {outcome} of {all}"),
                |cut| {
                    // The power is off already.
                    cut.restart_after(Ended::Closed, Ended::Cut);
                    go_on(cut);
                    cut.restart(Ended::Cut);
                },
            );
        }
        if all <= most {
            (tried.whole_points, tried.whole_outcomes) =
                (tried.whole_points + 1, tried.whole_outcomes + count);
        } else {
            (tried.part_points, tried.part_outcomes) = (tried.part_points + 1, tried.part_outcomes + count);
        }
    }
    println!("{name}: {tried:?}");
    tried
}

/// Every other scene, so that two cores share them.
fn sweep(scenes: Vec<(&'static str, Vec<Op>)>, from: usize, options: &Options) {
    let mut all = Tried::default();
    for (name, scene) in scenes.into_iter().skip(from).step_by(2) {
        let tried = try_each(name, &scene, options);
        all.whole_points += tried.whole_points;
        all.whole_outcomes += tried.whole_outcomes;
        all.part_points += tried.part_points;
        all.part_outcomes += tried.part_outcomes;
    }
    println!("{all:?}");
    assert!(all.whole_points > all.part_points, "most power cuts have few outcomes: {all:?}");
}

#[test]
fn every_outcome_of_a_power_cut_leaves_all_that_was_acknowledged() {
    sweep(scenes::all(), 0, &small(0));
}

#[test]
fn every_outcome_of_a_power_cut_in_the_other_scenes_leaves_all_that_was_acknowledged() {
    sweep(scenes::all(), 1, &small(0));
}

#[test]
fn every_outcome_of_a_power_cut_of_format_1_leaves_all_that_was_acknowledged() {
    sweep(scenes::of_format_1(), 0, &small_1(0));
}

#[test]
fn every_outcome_of_a_power_cut_of_format_1_in_the_other_scenes_leaves_all_that_was_acknowledged() {
    sweep(scenes::of_format_1(), 1, &small_1(0));
}
