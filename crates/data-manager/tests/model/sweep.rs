//! The same few calls again and again, with one disk call after the other cut off or failing.
//! Refuses to leave a call out: what is counted in an undisturbed run is swept from the first to the last.

use host::sim::Fault;

use crate::oracle::End;
use crate::source::Manner;
use crate::walk::Walk;

/// Something that is done to a hold, and what has to be there before.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn(&mut Walk),
    pub(crate) act: fn(&mut Walk),
}

fn nothing(_: &mut Walk) {}

fn two_chunks(walk: &mut Walk) {
    for number in [2, 12] {
        walk.download(number);
    }
    walk.come_to_rest();
}

/// Chunks 2 and 12 have the same blocks, so that their directories have the same parents.
fn replace(walk: &mut Walk) {
    walk.delete(2);
    walk.come_to_rest();
    walk.download(2);
    walk.come_to_rest();
}

fn hang_eight(walk: &mut Walk) {
    for number in 0..8 {
        walk.world.source.set(number, Manner::Hangs);
        walk.download(number);
    }
    walk.come_to_rest();
}

fn a_run_that_left_everything_behind(walk: &mut Walk) {
    for number in [1, 2, 3, 12] {
        walk.download(number);
    }
    walk.come_to_rest();
    walk.world.source.set(5, Manner::BreaksOff);
    walk.download(5);
    walk.pin(3);
    walk.delete(2);
    walk.delete(3);
    walk.come_to_rest();
}

fn two_leases_on_deleted_chunks(walk: &mut Walk) {
    two_chunks(walk);
    walk.take_lease(2);
    walk.take_lease(12);
    walk.delete(2);
    walk.delete(12);
    walk.come_to_rest();
}

pub(crate) const SCENES: [Scene; 10] = [
    Scene {
        name: "the publication of a chunk",
        prepare: nothing,
        act: |walk| {
            walk.download(2);
            walk.come_to_rest();
        },
    },
    Scene {
        name: "the publication of eight chunks at once",
        prepare: hang_eight,
        act: |walk| {
            walk.world.source.heal();
            walk.come_to_rest();
        },
    },
    Scene {
        name: "a removal",
        prepare: two_chunks,
        act: |walk| {
            walk.delete(2);
            walk.come_to_rest();
        },
    },
    Scene { name: "a removal and a new download", prepare: two_chunks, act: replace },
    Scene {
        name: "a revival",
        prepare: |walk| {
            two_chunks(walk);
            walk.pin(2);
        },
        act: |walk| {
            walk.delete(2);
            walk.come_to_rest();
            walk.download(2);
            walk.unpin_all();
            walk.come_to_rest();
        },
    },
    Scene {
        name: "the taking of a lease and the deletion of its chunk",
        prepare: two_chunks,
        act: |walk| {
            walk.take_lease(2);
            walk.delete(2);
            walk.come_to_rest();
        },
    },
    Scene {
        name: "the end of a lease that held deleted chunks back",
        prepare: two_leases_on_deleted_chunks,
        act: |walk| {
            walk.release_lease();
            walk.come_to_rest();
        },
    },
    Scene {
        name: "a start with leases",
        prepare: two_leases_on_deleted_chunks,
        act: |walk| {
            walk.restart(End::Killed);
            walk.come_to_rest();
        },
    },
    Scene {
        name: "a start",
        prepare: a_run_that_left_everything_behind,
        act: |walk| {
            walk.restart(End::Killed);
            walk.come_to_rest();
        },
    },
    Scene {
        name: "a close, which writes the index anew",
        prepare: a_run_that_left_everything_behind,
        act: |walk| walk.restart(End::Closed),
    },
];

/// How many disk calls the scene makes when nothing disturbs it.
pub(crate) fn count_calls(scene: &Scene) -> u64 {
    let mut walk = Walk::new(1);
    (scene.prepare)(&mut walk);
    let before = walk.world.sim.calls();
    (scene.act)(&mut walk);
    walk.world.sim.calls() - before
}

/// Cuts the power at every disk call of the scene.
pub(crate) fn cut_power_at_every_call(scene: &Scene, seeds: u64) -> u64 {
    let calls = count_calls(scene);
    for call in 1..=calls {
        for seed in 0..seeds {
            // Kept from one call to the next, so that both laws of what survives meet each of them.
            println!(
                "{}: the power goes at call {call} of {calls}, seed {}",
                scene.name,
                call * seeds + seed
            );
            let mut walk = Walk::new(call * seeds + seed);
            (scene.prepare)(&mut walk);
            walk.cut_power_in(call);
            (scene.act)(&mut walk);
            walk.restart(End::PowerCut);
            walk.settle_down();
        }
    }
    calls
}

/// Lets every disk call of the scene fail once.
pub(crate) fn fail_every_call(scene: &Scene, fault: Fault) {
    for call in 1..=count_calls(scene) {
        println!("{}: call {call} fails: {fault:?}", scene.name);
        let mut walk = Walk::new(call);
        (scene.prepare)(&mut walk);
        walk.fail_in(call, fault);
        (scene.act)(&mut walk);
        let was_sync =
            walk.world.sim.trace().iter().any(|line| line.contains("sync") && line.contains("os error"));
        assert!(was_sync || !walk.oracle.is_poisoned, "{}: only a failed sync stops a directory", scene.name);
        walk.settle_down();
    }
}
