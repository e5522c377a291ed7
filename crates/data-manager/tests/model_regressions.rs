//! Bugs that the model found, or that reading the code for it did, each as the shortest story that shows it.
//! Refuses chance: every story is told step by step.

use std::path::Path;
use std::time::Duration;

use data_manager::assignment::{Assignment, Dropping, Priority};
use data_manager::data_source::SourceErrorKind;
use data_manager::error::ErrorKind;
use data_manager::event::Event;
use data_manager::verify::Verify;
use host::sim::{Fault, SimDisk, Times};

#[cfg(test)]
#[path = "model/look.rs"]
mod look;
#[cfg(test)]
#[path = "model/source.rs"]
#[expect(dead_code, reason = "the model uses the rest")]
mod source;
#[cfg(test)]
#[path = "model/world.rs"]
#[expect(dead_code, reason = "the model uses the rest")]
mod world;

use look::Look;
use source::{Manner, chunk, id};
use world::World;

const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn regression_1_a_deletion_just_before_a_close_is_not_forgotten() {
    let mut world = World::started(1);
    world.fetch(0..10);
    for number in 0..10 {
        // The restart leaves an empty journal behind, so that nothing but the deletion asks for a new index.
        world.restart();
        world.pass(MOMENT);
        world.call(|hold| hold.delete_chunk(id(number)));
        world.restart();
        assert!(!world.list().contains(&number));
    }
}

/// A removal that failed is tried again half a minute later, and was so whatever had been called meanwhile.
#[test]
fn regression_2_a_removal_that_is_tried_again_spares_a_chunk_that_was_pinned_meanwhile() {
    for call in 1..=12 {
        let mut world = World::started(2);
        world.fetch([1]);
        world.sim.fail_call(world.sim.calls() + call, Fault::Enospc, Times::Once);
        world.call(|hold| hold.delete_chunk(id(1)));
        world.pass(MOMENT);
        world.call(|hold| hold.download_chunk(chunk(1, 0))).unwrap();
        let Some(pin) = world.call(|hold| hold.get_chunk(id(1))) else { continue };
        world.call(|hold| hold.delete_chunk(id(1)));
        world.pass(Duration::from_secs(100));
        assert_eq!(world.look_at(&pin), Look::Whole, "the {call}th call failed");
    }
}

#[test]
fn regression_3_an_assignment_does_not_drop_what_was_asked_for_after_it() {
    let mut world = World::started(3);
    world.fetch([1, 2]);
    let drop = Dropping::AfterApplied(Duration::from_secs(10));
    let chunks = vec![(chunk(2, 0), Priority::default())];
    world.call(|hold| hold.apply(Assignment { id: "a".to_string(), chunks, drop })).unwrap();
    world.call(|hold| hold.download_chunk(chunk(1, 0))).unwrap();
    world.pass(Duration::from_mins(1));
    assert_eq!(world.list(), [1, 2]);
}

#[test]
fn regression_4_a_full_disk_takes_deletions_and_has_room_after_them() {
    let mut world = World::started(4);
    world.fetch([1, 2]);
    world.sim.capacity(1);
    world.call(|hold| hold.delete_chunk(id(1)));
    world.expect(|event| *event == Event::Removed(id(1)));
    world.sim.capacity(1 << 30);
    world.call(|hold| hold.download_chunk(chunk(3, 0))).unwrap();
    world.expect(|event| *event == Event::Ready(id(3)));
    assert_eq!(world.list(), [2, 3]);
}

/// Fills the journal nearly to the length at which it is folded into a new snapshot.
fn lengthen_the_journal(world: &World, records: usize) {
    let _pin = world.pin(1);
    for _ in 0..records / 2 {
        world.call(|hold| hold.delete_chunk(id(1)));
        world.call(|hold| hold.download_chunk(chunk(1, 0))).expect("it is taken");
    }
    world.pass(MOMENT);
}

#[test]
fn regression_5_a_chunk_published_while_the_index_is_written_anew_is_in_it() {
    let mut world = World::started(5);
    world.fetch([1, 3]);
    // Now it has 4,096 records: one more, and it is folded.
    lengthen_the_journal(&world, 4_094);
    assert!(world.names(".catalogue").contains(&"journal.1".to_string()));
    world.call(|hold| hold.download_chunk(chunk(2, 0))).unwrap();
    world.expect(|event| *event == Event::Ready(id(2)));
    assert!(world.names(".catalogue").contains(&"journal.2".to_string()), "the index was written anew");
    world.cut_power();
    world.open().unwrap();
    assert_eq!(world.list(), [1, 2, 3]);
}

#[test]
fn regression_6_an_index_that_finds_no_room_stops_nothing() {
    let mut world = World::started(6);
    world.fetch([1]);
    lengthen_the_journal(&world, 4_080);
    world.sim.capacity(1);
    lengthen_the_journal(&world, 40);
    assert!(world.names(".catalogue").contains(&"journal.1".to_string()), "the old index goes on");
    world.sim.capacity(1 << 30);
    world.fetch([2]);
    world.cut_power();
    world.open().unwrap();
    assert_eq!(world.list(), [1, 2]);
}

#[test]
fn regression_7_an_older_intent_that_waited_for_room_does_not_undo_a_newer_one() {
    for call in 1..=6 {
        let mut world = World::started(7);
        world.fetch([1]);
        let pin = world.pin(1);
        world.events();
        world.sim.fail_call(world.sim.calls() + call, Fault::Enospc, Times::Once);
        world.call(|hold| hold.delete_chunk(id(1)));
        world.pass(MOMENT);
        world.call(|hold| hold.download_chunk(chunk(1, 0))).unwrap();
        world.pass(Duration::from_secs(10));
        let is_promised = world.events().iter().any(|event| *event == Event::Ready(id(1)));
        drop(pin);
        world.cut_power();
        world.open().unwrap();
        if is_promised {
            assert_eq!(world.list(), [1], "the {call}th call had no room");
        }
    }
}

#[test]
fn regression_8_a_damaged_chunk_that_was_put_aside_is_not_shown_by_the_next_start() {
    for call in 1..60 {
        let mut world = World::started(call);
        world.fetch([1]);
        // Into the snapshot, which is believed without a look.
        world.restart();
        let path = world.call(|hold| hold.status(id(1))).unwrap().path.unwrap();
        let path = path.strip_prefix("/sim").unwrap().to_path_buf();
        world.sim.rot(&path.join("blocks.parquet"), 7, 1).unwrap();
        world.source.set(1, Manner::Hangs);
        drop(world.call(|hold| hold.verify(Verify::default())));
        world.sim.crash_at(world.sim.calls() + call);
        world.pass(Duration::from_secs(1));
        world.cut_power();
        world.open().unwrap();
        for _ in world.list() {
            let stat = world.sim.disk().stat(&path.join("blocks.parquet"));
            assert!(stat.is_ok(), "the power went at call {call}, and nothing is there");
        }
    }
}

#[test]
fn regression_9_too_many_open_files_condemn_no_chunk_and_stop_no_directory() {
    let mut world = World::started(9);
    world.fetch([1, 2, 4]);
    world.close();
    world.open().unwrap();
    for call in 1..20 {
        world.sim.fail_call(world.sim.calls() + call, Fault::Emfile, Times::Once);
    }
    world.pass(MOMENT);
    assert_eq!(world.list(), [1, 2, 4]);
    let events = world.events();
    assert!(!events.iter().any(|event| matches!(event, Event::Quarantined { .. })), "{events:?}");
    world.fetch([5]);
}

#[test]
fn regression_10_what_a_killed_run_did_not_sync_is_synced_before_it_is_built_upon() {
    // The rename of a publication, the line of a deletion: the kill comes between them and their sync.
    for call in 0..90 {
        let mut world = World::started(call);
        world.fetch([1, 2]);
        world.sim.crash_at(world.sim.calls() + 1 + call);
        world.call(|hold| hold.delete_chunk(id(1)));
        world.call(|hold| hold.download_chunk(chunk(3, 0))).unwrap();
        world.pass(MOMENT);
        world.kill_where_stopped();
        world.open().unwrap();
        world.pass(MOMENT);
        let listed = world.list();
        world.close();
        world.open().unwrap();
        world.cut_power();
        world.open().unwrap();
        assert!(listed.iter().all(|number| world.list().contains(number)), "killed at call {call}");
        for number in world.list() {
            assert_eq!(world.look_at(&world.pin(number)), Look::Whole, "killed at call {call}");
        }
    }
}

#[test]
fn a_failed_sync_stops_publications_until_the_next_start() {
    let mut world = World::started(11);
    world.fetch([1]);
    world.events();
    world.sim.fail_sync_next();
    world.call(|hold| hold.download_chunk(chunk(2, 0))).unwrap();
    world.expect(|event| matches!(event, Event::Paused { .. }));
    world.call(|hold| hold.download_chunk(chunk(3, 0))).unwrap();
    world.pass(Duration::from_hours(1));
    assert!(!world.events().iter().any(|event| matches!(event, Event::Ready(_))));
    assert_eq!(world.list(), [1], "what is here is found on");
    world.cut_power();
    world.open().unwrap();
    world.fetch([2, 3]);
}

#[test]
fn a_disk_that_has_room_again_is_used_again_without_a_restart() {
    let mut world = World::started(12);
    world.fetch([1]);
    world.sim.capacity(1);
    (2..6).for_each(|number| world.call(|hold| hold.download_chunk(chunk(number, 0))).unwrap());
    world.pass(Duration::from_mins(1));
    assert_eq!(world.list(), [1]);
    world.sim.capacity(1 << 30);
    world.pass(Duration::from_mins(1));
    assert_eq!(world.list(), [1, 2, 3, 4, 5]);
    assert!(world.sim.disk().list(Path::new(".staging")).unwrap().is_empty());
}

#[test]
fn a_chunk_staged_where_a_sync_failed_moves_to_another_directory_and_leaves_nothing_behind() {
    let mut world = World::new(13);
    let other = SimDisk::new(14);
    // Less room there, so that everything begins on the first disk.
    other.capacity(1 << 30);
    world.more.push(other);
    world.open().unwrap();
    let staged = |sim: &SimDisk| sim.disk().list(Path::new(".staging")).unwrap().len();
    // It has its directory there, and waits for its next try.
    world.source.set(4, Manner::Fails(SourceErrorKind::Busy));
    world.call(|hold| hold.download_chunk(chunk(4, 0))).unwrap();
    world.expect(|event| matches!(event, Event::Failed { .. }));
    assert_eq!((staged(&world.sim), staged(&world.more[0])), (1, 0));
    world.sim.fail_sync_next();
    world.call(|hold| hold.download_chunk(chunk(2, 0))).unwrap();
    world.expect(|event| matches!(event, Event::Paused { .. }));
    world.source.set(4, Manner::Good);
    world.pass(Duration::from_mins(2));
    assert_eq!(world.list(), [2, 4], "the other disk takes what the first one cannot");
    assert!(world.standing().is_empty());
    world.cut_power();
    world.open().unwrap();
    world.pass(MOMENT);
    assert_eq!(world.list(), [2, 4]);
    assert_eq!((staged(&world.sim), staged(&world.more[0])), (0, 0));
}

#[test]
fn a_chunk_of_small_files_has_a_part_map_only_when_it_is_left_for_later() {
    let mut world = World::started(9);
    let maps = |world: &World| {
        world.sim.trace().iter().filter(|line| line.contains("Create") && line.contains("_parts")).count()
    };
    world.fetch(1..4);
    assert_eq!(maps(&world), 0, "nobody needs one");
    world.source.set(4, Manner::Hangs);
    world.call(|hold| hold.download_chunk(chunk(4, 0))).unwrap();
    world.pass(MOMENT);
    assert_eq!(maps(&world), 0);
    world.restart();
    assert_eq!(maps(&world), 1);
}

/// A chunk that came and went and came again is in the snapshot and in the journal. Where it was to go once more, the next start
/// believed the snapshot: it had another's place among the chunks of its first block, which hid either, or the files of then.
#[test]
fn a_chunk_that_was_there_before_is_found_again_as_what_it_is_now() {
    let mut world = World::started(15);
    let now = chunk(1, 0);
    let mut before = now.clone();
    let name = before.files.keys().max().unwrap().clone();
    before.files.remove(&name);
    world.call(|hold| hold.download_chunk(before)).unwrap();
    world.expect(|event| matches!(event, Event::Ready(_)));
    // Into the snapshot; what follows is in the journal.
    world.restart();
    world.call(|hold| hold.delete_chunk(id(1)));
    world.expect(|event| matches!(event, Event::Removed(_)));
    world.call(|hold| hold.download_chunk(now.clone())).unwrap();
    world.expect(|event| matches!(event, Event::Ready(_)));
    // It is still there when the power goes, noted as one that is to go.
    world.lease("kept", &[world.pin(1)], Duration::from_hours(1)).unwrap();
    world.call(|hold| hold.delete_chunk(id(1)));
    world.pass(MOMENT);
    world.cut_power();
    world.open().unwrap();
    assert!(world.list().is_empty());
    world.source.set(1, Manner::Fails(SourceErrorKind::Permanent));
    world.call(|hold| hold.download_chunk(now)).unwrap();
    world.expect(|event| matches!(event, Event::Ready(_)));
    assert_eq!(world.list(), [1], "nothing is fetched for it");
    assert_eq!(world.look_at(&world.pin(1)), Look::Whole);
}

/// What a start only reads, and can do without: the index, a chunk, and what lies in staging and aside.
const READS: [&str; 7] = [
    "open Read .catalogue",
    "evict",
    "read",
    "list .staging",
    "list .trash",
    "list .quarantine",
    "stat dataset",
];

#[test]
fn a_device_that_fails_while_a_start_reads_costs_no_chunk_and_stops_no_start() {
    // What matters is read a second time, which fails again or does not.
    for failing in [1, 2] {
        let reads =
            (1..).map_while(|call| start_on_a_device_that_fails(call, failing)).filter(|is_read| *is_read);
        assert!(reads.count() >= 10, "{failing} calls fail");
    }
}

/// Starts while calls fail. Returns whether the first of them was a read that the start can do without; `None` when it had
/// ended before.
#[expect(clippy::unwrap_used, reason = "a part of a test, and fails as tests do")]
fn start_on_a_device_that_fails(call: u64, failing: u64) -> Option<bool> {
    let mut world = World::started(16);
    world.fetch([1, 2, 4]);
    // Into the snapshot; what follows is in the journal.
    world.restart();
    world.fetch([3]);
    world.source.set(5, Manner::Hangs);
    world.call(|hold| hold.download_chunk(chunk(5, 0))).unwrap();
    let _pin = world.pin(4);
    world.call(|hold| hold.delete_chunk(id(4)));
    world.pass(MOMENT);
    world.kill();
    let first = world.sim.calls() + call;
    (first..first + failing).for_each(|call| world.sim.fail_call(call, Fault::Eio, Times::Once));
    let opened = world.open();
    let behind = usize::try_from(world.sim.calls().checked_sub(first)?).unwrap();
    let failed = world.sim.trace().iter().rev().nth(behind).unwrap().clone();
    // The call behind that of the list is one that the start cannot do without.
    let is_read =
        READS.iter().any(|read| failed.contains(read)) && !(failed.contains("staging") && failing > 1);
    assert!(opened.is_ok() || !is_read, "{failed}: {opened:?}");
    let is_index_lost = opened.is_ok() && failing > 1 && !failed.contains("stat") && !failed.contains("list");
    if opened.is_err() {
        world.open().or_else(|_| world.open()).unwrap();
    }
    for _ in 0..2 {
        world.pass(MOMENT);
        let (deleted, listed): (Vec<u8>, Vec<u8>) = world.list().into_iter().partition(|number| *number == 4);
        assert_eq!(listed, [1, 2, 3], "{failed}");
        // Only where the index cannot be read, nothing says any more that it was deleted.
        assert!(deleted.is_empty() || is_index_lost, "{failed}");
        world.restart();
    }
    Some(is_read)
}

#[test]
fn an_unknown_directory_that_cannot_be_put_aside_keeps_no_other_from_being_judged() {
    let mut failures = 0;
    for call in 1..60 {
        let mut world = World::started(17);
        world.restart();
        world.pass(MOMENT);
        world.kill();
        let disk = world.sim.disk();
        for number in ["11", "22"] {
            let id = number.repeat(32);
            let path = format!("dataset_id=0x{id}/first_block=0/last_block=9/chunk=0x{id}");
            disk.create_dir_all(Path::new(&path)).unwrap();
        }
        world.open().unwrap();
        let first = world.sim.calls() + call;
        world.sim.fail_call(first, Fault::Enospc, Times::Once);
        world.pass(MOMENT);
        let behind = usize::try_from(world.sim.calls().saturating_sub(first)).unwrap();
        let failed = world.sim.trace().iter().rev().nth(behind).unwrap().clone();
        if failed.contains("rename") {
            failures += 1;
            assert_eq!(world.standing().len(), 1, "{failed}");
        }
    }
    assert_eq!(failures, 2);
}

#[test]
fn who_waits_for_a_deletion_is_told_at_once_that_a_sync_has_failed() {
    let mut world = World::started(18);
    world.fetch([1, 2, 3]);
    let told = |world: &World, number| {
        // It would block for ever in the paused time, if it waited.
        let error = world.call(|hold| hold.wait_gone(id(number), Duration::ZERO)).unwrap_err();
        (error.kind(), error.to_string())
    };
    world.sim.fail_sync_next();
    world.call(|hold| hold.delete_chunk(id(1)));
    assert_eq!(told(&world, 1).0, ErrorKind::TimedOut, "nothing has failed yet");
    world.pass(MOMENT);
    // Of the second one the directory was known to take no more writes.
    world.call(|hold| hold.delete_chunk(id(2)));
    world.pass(MOMENT);
    for number in [1, 2] {
        let (kind, message) = told(&world, number);
        assert!(kind == ErrorKind::Io && message.contains("syncing the catalogue's journal"), "{message}");
    }
    assert_eq!(told(&world, 3).0, ErrorKind::TimedOut, "nobody has deleted it");
    world.cut_power();
    world.open().unwrap();
    world.call(|hold| hold.delete_chunk(id(2)));
    world.pass(MOMENT);
    world.call(|hold| hold.wait_gone(id(2), Duration::ZERO)).unwrap();
}
