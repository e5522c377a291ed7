//! The hold against a plain map, on a simulated disk and a scripted source: random calls, faults, crashes and restarts.
//! Refuses to hide its luck: every seed is printed. `LOGHOLD_SEED` runs one, `LOGHOLD_STEPS` sets how many steps in all.

#[cfg(test)]
#[path = "model/leases.rs"]
mod leases;
#[cfg(test)]
#[path = "model/look.rs"]
mod look;
#[cfg(test)]
#[path = "model/oracle.rs"]
mod oracle;
#[cfg(test)]
#[path = "model/source.rs"]
mod source;
#[cfg(test)]
#[path = "model/sweep.rs"]
mod sweep;
#[cfg(test)]
#[path = "model/walk.rs"]
mod walk;
#[cfg(test)]
#[path = "model/world.rs"]
#[expect(dead_code, reason = "the regressions use the rest")]
mod world;

use host::sim::Fault;

use sweep::{SCENES, cut_power_at_every_call, fail_every_call};
use walk::Walk;

/// Steps of one walk.
const STEPS_PER_SEED: u64 = 2_000;

/// Steps in all, unless `LOGHOLD_STEPS` says otherwise.
const STEPS: u64 = 100_000;

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn any_sequence_of_calls_faults_and_crashes_ends_in_what_the_last_calls_said() {
    let steps = number_from("LOGHOLD_STEPS").unwrap_or(STEPS);
    let seeds = match number_from("LOGHOLD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + steps.div_ceil(STEPS_PER_SEED),
    };
    for seed in seeds {
        println!("LOGHOLD_SEED={seed}");
        Walk::new(seed).run(STEPS_PER_SEED.min(steps));
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed: u64| {
        let mut walk = Walk::new(seed).telling_all();
        walk.run(1_000);
        walk.story
    };
    for seed in 1..=8 {
        println!("LOGHOLD_SEED={seed}");
        let (one, other) = (story(seed), story(seed));
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other);
        }
        assert_eq!(one.len(), other.len());
    }
}

#[test]
fn a_power_cut_at_any_disk_call_breaks_no_promise() {
    for scene in &SCENES {
        let calls = cut_power_at_every_call(scene, 3);
        println!("{}: {calls} calls", scene.name);
    }
}

#[test]
fn a_disk_call_that_fails_breaks_no_promise() {
    for scene in &SCENES {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Emfile] {
            fail_every_call(scene, fault);
        }
    }
}
