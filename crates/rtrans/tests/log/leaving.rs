//! Records that go: rollbacks, trims and retention, and the positions of consumers, which decide what may go.
//! Refuses to know how it is done.

use super::*;

#[test]
fn a_rollback_takes_records_back_and_others_take_their_ids() {
    let sim = SimDisk::new(3);
    let log = open_small(&sim.disk());
    fill(&log, 200);
    log.consumer("ahead").unwrap().commit(id(180)).unwrap();
    log.finalize(id(120)).unwrap();
    assert!(matches!(log.truncate_after(Some(id(119))), Err(Error::Finalized { upto }) if upto == id(120)));
    log.truncate_after(Some(id(150))).unwrap();
    assert_eq!(log.last(), Some(id(150)));
    assert_eq!(log.read(id(151)).unwrap(), None);
    assert_eq!(log.append(TypeNo(9), b"new").unwrap(), id(151));
    assert_eq!(log.read(id(151)).unwrap().unwrap().bytes, b"new");
    assert_eq!(log.consumers().unwrap()[0].position, Some(id(150)));
    fill(&log, 100);
    sim.crash();
    drop(log);
    let log = open_small(&sim.disk());
    assert!(log.recovery().damaged.is_empty(), "{}", log.recovery());
    assert_eq!(ids(&log), (1..=251).collect::<Vec<_>>());
    assert_eq!(log.read(id(151)).unwrap().unwrap().bytes, b"new");
    assert_eq!(log.finalized().unwrap(), Some(id(120)));
}

#[test]
fn a_trim_removes_files_and_is_remembered() {
    let sim = SimDisk::new(4);
    let log = open_small(&sim.disk());
    fill(&log, 300);
    let trimmed = log.trim_before(id(200)).unwrap();
    assert_eq!((trimmed.first, trimmed.records), (Some(id(200)), 199));
    assert!(matches!(log.read(id(199)), Err(Error::Trimmed { first }) if first == id(200)));
    assert_eq!(ids(&log), (200..=300).collect::<Vec<_>>());
    fill(&log, 300);
    sim.crash();
    drop(log);
    let log = open_small(&sim.disk());
    assert!(log.recovery().damaged.is_empty(), "{}", log.recovery());
    assert_eq!(log.first(), Some(id(200)));
    assert_eq!(ids(&log), (200..=600).collect::<Vec<_>>());
}

#[test]
fn retention_spares_what_a_consumer_has_not_seen() {
    let sim = SimDisk::new(4);
    let log = open_small(&sim.disk());
    fill(&log, 300);
    log.consumer("slow").unwrap().commit(id(50)).unwrap();
    let policy = Retention { records_max: Some(10), ..Retention::default() };
    assert_eq!(log.retain(&policy).unwrap().first, Some(id(51)));
    let blockers = log.who_blocks(id(291)).unwrap();
    assert_eq!((blockers[0].consumer.as_str(), blockers[0].records), ("slow", 240));
    let policy = Retention { consumers: Consumers::Ignore, ..policy };
    assert_eq!(log.retain(&policy).unwrap().first, Some(id(291)));
}

#[test]
fn retention_by_size_keeps_the_last_files_and_one_in_any_case() {
    for (bytes_max, files) in [(1, 1), (4096, 1), (3 * 4096 + 1, 3), (1 << 30, 10)] {
        let sim = SimDisk::new(4);
        let disk = sim.disk();
        let log = open_small(&disk);
        fill(&log, 300);
        let before = ids(&log);
        let policy = Retention { bytes_max: Some(bytes_max), ..Retention::default() };
        let trimmed = log.retain(&policy).unwrap();
        let after = ids(&log);
        assert_eq!((trimmed.first, after.last()), (log.first(), Some(&300)));
        assert_eq!(after, before[before.len() - after.len()..], "{bytes_max} bytes");
        // About 30 records fill a file; the last one has begun.
        let (least, most) = (28 * (files - 1), 34 * files);
        assert!((least..=most).contains(&after.len()), "{bytes_max} bytes: {} records", after.len());
    }
    let sim = SimDisk::new(4);
    let options =
        Options { parameters: Some(Parameters::format_1()), threads: Threads::None, ..Options::default() };
    let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
    let refused = log.retain(&Retention { bytes_max: Some(1), ..Retention::default() });
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}

#[test]
fn a_position_that_rides_in_the_next_commit_is_durable_once_its_ticket_is() {
    let sim = SimDisk::new(5);
    let log = open(&sim.disk());
    fill(&log, 10);
    let mut consumer = log.consumer("backend").unwrap();
    let ticket = consumer.commit_async(id(3)).unwrap();
    assert!(matches!(consumer.commit_async(id(11)), Err(Error::BeyondEnd { .. })));
    assert_eq!(ticket.wait().unwrap().reached, Level::Disk);
    let beside = Reader::open_on(&sim.disk()).unwrap();
    let mut other = beside.consumer("other").unwrap();
    assert!(matches!(other.commit_async(id(3)), Err(Error::Unsupported { .. })));
    sim.crash();
    drop((consumer, other, log));
    assert_eq!(open(&sim.disk()).consumer("backend").unwrap().position(), Some(id(3)));
}

#[test]
fn a_consumer_goes_on_behind_what_it_committed() {
    let sim = SimDisk::new(5);
    let log = open(&sim.disk());
    fill(&log, 10);
    let mut consumer = log.consumer("backend").unwrap();
    assert!(matches!(log.consumer("backend"), Err(Error::Locked { .. })));
    let batch = consumer.next_batch(4).unwrap();
    assert_eq!(batch.iter().map(|record| record.id.get()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    consumer.commit(id(3)).unwrap();
    assert!(matches!(consumer.commit(id(11)), Err(Error::BeyondEnd { .. })));
    sim.crash();
    drop((consumer, log));
    let log = open(&sim.disk());
    let mut consumer = log.consumer("backend").unwrap();
    assert_eq!(consumer.position(), Some(id(3)));
    assert_eq!(consumer.next_batch(100).unwrap().len(), 7);
    assert!(consumer.next_batch(100).unwrap().is_empty());
}

#[test]
fn a_position_is_noted_in_one_step_with_the_records_that_come_of_it() {
    let sim = SimDisk::new(5);
    let log = open(&sim.disk());
    log.append_batch(&Batch::new().push(TypeNo(1), b"result").position("input", id(77))).unwrap();
    sim.crash();
    drop(log);
    let log = open(&sim.disk());
    assert_eq!(log.position("input").unwrap(), Some(id(77)));
    assert_eq!(log.last(), Some(id(1)));
}
