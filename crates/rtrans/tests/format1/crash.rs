//! The power goes at every call, and every call fails once: nothing that was durable is lost, and what is left is a prefix.
//! Refuses to look at the calls: it counts them, and tries each.

use host::sim::{Fault, SimDisk, Times};

use super::super::{Opened, Writer};
use super::support::{Dice, Found, Item, read_all, reopen, small, write};
use crate::error::Error;

/// What a scenario has done when it ends, of itself or because the power went.
#[derive(Clone, Debug, Default)]
struct Done {
    /// All that was appended, also in calls that failed.
    offered: Vec<Item>,
    durable: u64,
    first_min: u64,
    first_max: u64,
}

impl Done {
    fn write(&mut self, writer: &mut Writer, items: &[Item]) -> Result<(), Error> {
        self.offered.extend_from_slice(items);
        write(writer, items)
    }

    fn sync(&mut self, writer: &mut Writer) -> Result<(), Error> {
        writer.sync()?;
        self.durable = writer.next() - 1;
        Ok(())
    }

    fn truncate(&mut self, writer: &mut Writer, last: u64) -> Result<(), Error> {
        // Who rolls back lowers what he knows to be durable first.
        self.durable = self.durable.min(last);
        writer.truncate_after(last)?;
        self.offered.truncate(usize::try_from(last).unwrap());
        Ok(())
    }

    fn trim(&mut self, writer: &mut Writer, first: u64) -> Result<(), Error> {
        self.first_max = (first - 1) / 6 * 6 + 1;
        self.first_min = writer.trim_before(first)?;
        Ok(())
    }
}

/// Everything that a writer does: records of all sizes, files and directories that fill up, a rollback over a directory's
/// edge, a trim, and appends behind both.
fn scenario(sim: &SimDisk, done: &mut Done) -> Result<(), Error> {
    let mut dice = Dice(3);
    let mut items = |count: u64| -> Vec<Item> { (0..count).map(|_| dice.item(90)).collect() };
    let Opened { mut writer, .. } = super::super::open(&sim.disk(), &small(), done.durable)?;
    done.write(&mut writer, &items(1))?;
    done.sync(&mut writer)?;
    done.write(&mut writer, &items(3))?;
    done.write(&mut writer, &items(1))?;
    done.sync(&mut writer)?;
    done.write(&mut writer, &items(9))?;
    done.sync(&mut writer)?;
    done.write(&mut writer, &items(2))?;
    done.truncate(&mut writer, 10)?;
    done.write(&mut writer, &items(1))?;
    done.sync(&mut writer)?;
    done.truncate(&mut writer, 5)?;
    done.write(&mut writer, &items(9))?;
    done.sync(&mut writer)?;
    done.trim(&mut writer, 14)?;
    done.write(&mut writer, &items(3))?;
    done.sync(&mut writer)
}

fn fresh() -> Done {
    Done { first_min: 1, first_max: 1, ..Done::default() }
}

/// Opens what is left, compares it with what was done, and goes on with it.
fn check(sim: &SimDisk, done: &Done, attested: u64, what: &str) {
    let Opened { mut writer, shelf, recovery } = reopen(sim, &small(), attested);
    let trace = || format!("{what}\n{}", sim.trace().join("\n"));
    let (first, next) = shelf.bounds();
    assert!(recovery.damaged.is_empty(), "{recovery}: {}", trace());
    assert!(done.first_min <= first && first <= done.first_max, "{first}: {}", trace());
    assert!(next > done.durable, "{next} after {} was durable: {}", done.durable, trace());
    assert!(next <= done.offered.len() as u64 + 1, "{next}: {}", trace());
    for (id, found) in read_all(&shelf) {
        let item = &done.offered[usize::try_from(id - 1).unwrap()];
        assert_eq!(found, Found::Record(item.clone()), "record {id}: {}", trace());
    }
    let more = (7, b"more".to_vec());
    write(&mut writer, std::slice::from_ref(&more)).unwrap();
    writer.sync().unwrap();
    let again = reopen(sim, &small(), next);
    assert!(again.recovery.is_clean(), "{}: {}", again.recovery, trace());
    assert_eq!(read_all(&again.shelf).last(), Some(&(next, Found::Record(more))), "{}", trace());
}

fn calls_of_the_scenario() -> u64 {
    let sim = SimDisk::new(0);
    scenario(&sim, &mut fresh()).unwrap();
    sim.calls()
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_that_was_durable() {
    let calls = calls_of_the_scenario();
    for call in 1..=calls + 1 {
        for seed in 0..12 {
            let sim = SimDisk::new(seed);
            sim.crash_at(call);
            let mut done = fresh();
            let cut = scenario(&sim, &mut done);
            assert_eq!(cut.is_err(), call <= calls);
            sim.crash();
            // What the last start knew may be older than what was durable.
            let attested = if seed % 3 == 0 { 0 } else { done.durable };
            check(&sim, &done, attested, &format!("power cut at call {call}, seed {seed}"));
        }
    }
}

#[test]
fn a_power_cut_during_the_repair_of_a_power_cut_changes_nothing() {
    let calls = calls_of_the_scenario();
    for call in (1..=calls).step_by(5) {
        for repair_call in 1..60 {
            let sim = SimDisk::new(call);
            sim.crash_at(call);
            let mut done = fresh();
            assert!(scenario(&sim, &mut done).is_err());
            sim.crash();
            sim.crash_at(sim.calls() + repair_call);
            let opened = super::super::open(&sim.disk(), &small(), done.durable);
            let is_over = opened.is_ok();
            sim.crash();
            check(
                &sim,
                &done,
                done.durable,
                &format!("power cut at call {call}, then {repair_call} of the repair"),
            );
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_was_written() {
    let calls = calls_of_the_scenario();
    for call in 1..=calls {
        let sim = SimDisk::new(call);
        sim.crash_at(call);
        let mut done = fresh();
        assert!(scenario(&sim, &mut done).is_err());
        sim.kill();
        check(&sim, &done, done.durable, &format!("killed at call {call}"));
    }
}

#[test]
fn a_call_that_fails_leaves_a_log_that_opens_with_all_that_was_durable() {
    let calls = calls_of_the_scenario();
    for call in 1..=calls {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Emfile] {
            let sim = SimDisk::new(call);
            sim.fail_call(call, fault, Times::Once);
            let mut done = fresh();
            if scenario(&sim, &mut done).is_ok() {
                continue;
            }
            sim.crash();
            check(&sim, &done, done.durable, &format!("call {call} failed with {fault:?}"));
        }
    }
}

#[test]
fn a_full_disk_refuses_records_whole_and_takes_others_when_there_is_room() {
    let parameters = small();
    for call in 1..40 {
        let sim = SimDisk::new(call);
        let Opened { mut writer, shelf, .. } = reopen(&sim, &parameters, 0);
        let kept: Vec<Item> = (0..4).map(|number| (number, vec![1; 40])).collect();
        write(&mut writer, &kept).unwrap();
        writer.sync().unwrap();
        let sync = format!("{} sync", sim.calls() + call);
        sim.fail_call(sim.calls() + call, Fault::Enospc, Times::Once);
        let refused: Vec<Item> = (0..5).map(|number| (number, vec![2; 40])).collect();
        match write(&mut writer, &refused) {
            Ok(()) => break,
            // A sync that finds no room has failed like any other.
            Err(Error::Io(_)) if sim.trace().iter().any(|line| line.starts_with(&sync)) => continue,
            Err(Error::DiskFull(_)) => {}
            Err(other) => panic!("call {call}: {other}\n{}", sim.trace().join("\n")),
        }
        assert_eq!((writer.next(), shelf.bounds()), (5, (1, 5)), "call {call}");
        let later = (9, vec![3; 20]);
        write(&mut writer, std::slice::from_ref(&later)).unwrap();
        writer.sync().unwrap();
        sim.crash();
        let opened = reopen(&sim, &parameters, 5);
        let wanted: Vec<Found> = kept.into_iter().chain([later]).map(Found::Record).collect();
        let found: Vec<Found> = read_all(&opened.shelf).into_iter().map(|(_, found)| found).collect();
        assert_eq!(found, wanted, "call {call}");
        assert!(opened.recovery.is_clean(), "call {call}: {}", opened.recovery);
    }
}

#[test]
fn a_failed_sync_is_told_and_what_it_lost_is_found_when_the_log_is_opened() {
    let sim = SimDisk::new(5);
    let Opened { mut writer, .. } = reopen(&sim, &small(), 0);
    write(&mut writer, &[(1, b"kept".to_vec())]).unwrap();
    writer.sync().unwrap();
    write(&mut writer, &[(1, b"lost".to_vec())]).unwrap();
    sim.fail_sync_next();
    assert!(matches!(writer.sync(), Err(Error::Io(_))));
    sim.crash();
    let opened = reopen(&sim, &small(), 1);
    assert_eq!(read_all(&opened.shelf), [(1, Found::Record((1, b"kept".to_vec())))]);
}

#[test]
fn a_rollback_that_was_cut_short_leaves_a_prefix_even_when_nobody_knows_what_was_durable() {
    let mut dice = Dice(9);
    let items: Vec<Item> = (0..17).map(|_| dice.item(30)).collect();
    for call in 1.. {
        let sim = super::support::log_of(&small(), &items);
        let mut writer = reopen(&sim, &small(), 17).writer;
        sim.crash_at(sim.calls() + call);
        let is_over = writer.truncate_after(4).is_ok();
        sim.crash();
        let opened = reopen(&sim, &small(), None);
        assert!(opened.recovery.damaged.is_empty(), "call {call}: {}", opened.recovery);
        let (_, next) = opened.shelf.bounds();
        assert!((5..=18).contains(&next) && (!is_over || next == 5), "call {call}: {next}");
        if is_over {
            break;
        }
    }
}

#[test]
fn what_a_thread_syncs_is_durable_when_the_writer_says_so() {
    for seed in 0..50 {
        let sim = SimDisk::new(seed);
        let mut writer = reopen(&sim, &small(), 0).writer.with_thread();
        let items: Vec<Item> = (0..30).map(|number| (number, vec![1; 40])).collect();
        write(&mut writer, &items).unwrap();
        writer.sync().unwrap();
        sim.crash();
        let opened = reopen(&sim, &small(), 30);
        let wanted: Vec<Found> = items.into_iter().map(Found::Record).collect();
        let found: Vec<Found> = read_all(&opened.shelf).into_iter().map(|(_, found)| found).collect();
        assert_eq!(found, wanted, "seed {seed}: {}", opened.recovery);
    }
}

#[test]
fn a_sync_that_fails_in_a_thread_is_told_before_anything_behind_it_is_called_durable() {
    for call in 1..60 {
        let sim = SimDisk::new(call);
        let mut writer = reopen(&sim, &small(), 0).writer.with_thread();
        let items: Vec<Item> = (0..30).map(|number| (number, vec![1; 40])).collect();
        sim.fail_call(sim.calls() + call, Fault::Eio, Times::Once);
        let done = write(&mut writer, &items).and_then(|()| writer.sync());
        let is_told = matches!(done, Err(Error::Io(_)));
        assert!(is_told, "call {call}: {done:?}\n{}", sim.trace().join("\n"));
    }
}
