//! Random calls, crashes, kills and restarts against the oracle.
//! Refuses to forget how it got there: the seed is printed, and set with `LOGHOLD_SEED`, its length with `LOGHOLD_STEPS`.

use rtrans::Level;

use crate::kit::{seeds, setting, small};
use crate::oracle::Ended;
use crate::world::{Op, World};
use host::sim::Random;

/// Steps over all seeds; `cargo xtask prove` asks for more.
const STEPS: u64 = 120_000;

/// Steps of one life of a log: then another one begins, empty.
const LIFE_STEPS: u64 = 1_500;

fn level(random: &mut Random) -> Level {
    [Level::Memory, Level::Os, Level::Disk][usize::try_from(random.below(3)).unwrap()]
}

fn bytes(random: &mut Random) -> usize {
    let bytes = match random.below(40) {
        0 => random.below(12_000),
        1..=4 => random.below(1_500),
        _ => random.below(120),
    };
    usize::try_from(bytes).unwrap()
}

/// How far back from the end: mostly little.
fn back(random: &mut Random) -> u64 {
    if random.once_in(4) { random.below(400) } else { random.below(8) }
}

fn op(random: &mut Random) -> Op {
    let name = usize::try_from(random.below(3)).unwrap();
    match random.below(100) {
        0..=29 => Op::Append { level: level(random), bytes: bytes(random) },
        30..=37 => {
            let count = usize::try_from(random.below(9)).unwrap();
            Op::Batch { level: level(random), count, bytes: bytes(random) / 4 }
        }
        38..=44 => Op::Async { bytes: bytes(random) },
        45..=47 => Op::Wait,
        48..=49 => Op::Sync,
        50..=56 => Op::Commit { name, back: back(random) },
        57 => Op::Reset { name, back: back(random) },
        58 => Op::Trim { back: 20 + random.below(300) },
        59 => Op::Retain { records: 20 + random.below(200), is_protecting: random.once_in(2) },
        60..=62 => Op::Truncate { back: back(random) },
        63 => Op::Finalize { back: 2 + back(random) },
        64 => Op::Fence,
        65..=74 => Op::Read { back: back(random) },
        75 => Op::Scan,
        76..=79 => Op::Reverse { count: random.below(30) },
        80..=81 => Op::Types { type_no: u32::try_from(random.below(6)).unwrap() },
        82..=83 => Op::SeekTime { back: back(random) },
        84..=93 => Op::Follow { count: usize::try_from(random.below(40)).unwrap() },
        _ => Op::Beside,
    }
}

/// One log from its creation on, through many ends and starts.
fn live(seed: u64, steps: u64) {
    let mut random = Random::new(seed ^ 0x5EED);
    let need_compress = u16::try_from(random.below(6).saturating_sub(2)).unwrap();
    let mut world = World::new(seed, small(need_compress));
    let mut step = 0;
    let what = format!("seed {seed}: set LOGHOLD_SEED={seed} to see it again");
    world.watched(&what, |world| {
        world.open().unwrap();
        while step < steps {
            step += 1;
            if random.once_in(4) {
                world.clock.advance(std::time::Duration::from_micros(random.below(5_000_000)));
            }
            let call = op(&mut random);
            if random.once_in(90) {
                end(world, &call, &mut random);
            } else if let Err(error) = world.apply(&call) {
                panic!("step {step}, {call:?}: {error}");
            }
        }
    });
}

/// Ends the program in the middle of a call, or between two.
fn end(world: &mut World, call: &Op, random: &mut Random) {
    match random.below(8) {
        0..=2 if !call.is_read() => {
            world.sim.crash_at(world.sim.calls() + 1 + random.below(12));
            drop(world.apply(call));
            world.restart(Ended::Cut);
        }
        0..=4 => world.restart(Ended::Cut),
        5 => world.restart(Ended::Killed),
        6 => {
            // And once more while it recovers.
            world.sim.crash();
            world.end();
            world.sim.crash_at(world.sim.calls() + 1 + random.below(40));
            drop(world.open());
            world.restart(Ended::Cut);
        }
        _ => world.apply(&Op::Close).unwrap(),
    }
}

#[test]
fn any_sequence_of_calls_and_crashes_leaves_what_the_oracle_says() {
    let steps = setting("LOGHOLD_STEPS", STEPS);
    let lives = steps.div_ceil(LIFE_STEPS);
    for seed in seeds(lives) {
        live(seed, LIFE_STEPS.min(steps));
    }
}
