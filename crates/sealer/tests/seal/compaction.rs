//! Many small chunks into one, beside a sealer that goes on, and through failures of the store.
//! Refuses to lose the old ones: they stay readable.

use rtrans::TypeNo;
use sealer::{Compaction, ManifestChain, compact};

use crate::world::{World, Wrong, plan, records};

const ALL: Compaction = Compaction { bytes_max: 1 << 30, chunks_min: 2 };

fn filled(world: &World, plan: &sealer::Plan, chunks: u8) -> rtrans::Log {
    let log = world.log();
    for number in 0..chunks * 2 {
        log.append(TypeNo(1), &[number]).unwrap();
    }
    world.sealer(plan, &log).seal_all().unwrap();
    log
}

#[test]
fn small_chunks_become_one_and_the_line_stays_the_same() {
    let (world, plan) = (World::new(1), plan("[cut]\nrecords = 2"));
    let log = filled(&world, &plan, 5);
    let before = world.read(&plan, None, 0..100);
    let names = world.memory.names();
    let written = compact(&plan, &world.memory.store(), ALL).unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!((written[0].replaces.len(), written[0].first_block, written[0].last_block), (5, 0, 9));
    assert_eq!(world.read(&plan, None, 0..100), before);
    assert!(names.iter().all(|name| world.memory.names().contains(name)), "old chunks stay");
    let mut chain = ManifestChain::of(&world.memory.store());
    assert_eq!(chain.next_after(5).unwrap(), written);
    assert_eq!(chain.live().len(), 1);
    assert_eq!(compact(&plan, &world.memory.store(), ALL).unwrap(), []);
    for _ in 0..2 {
        log.append(TypeNo(1), b"more").unwrap();
    }
    assert_eq!(world.sealer(&plan, &log).seal_all().unwrap()[0].sequence, 7);
    assert_eq!(records(&world.read(&plan, None, 0..100)).len(), 12);
}

#[test]
fn a_compaction_that_fails_at_any_call_changes_nothing_that_is_read() {
    let plan = plan("[cut]\nrecords = 2");
    for wrong in [Wrong::Refused, Wrong::AnswerLost, Wrong::Off] {
        for calls in 0.. {
            let world = World::new(1);
            drop(filled(&world, &plan, 3));
            let before = world.read(&plan, None, 0..100);
            let from = world.memory.calls();
            world.memory.go_wrong(calls, wrong);
            let compacted = compact(&plan, &world.memory.store(), ALL);
            let is_behind = world.memory.calls() <= from + calls;
            world.memory.heal();
            assert_eq!(world.read(&plan, None, 0..100), before, "{wrong:?} at {calls}");
            if is_behind && compacted.is_ok() {
                break;
            }
        }
    }
}
