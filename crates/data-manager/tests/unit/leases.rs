//! Tests of the leases' own rules, without disks and chunks. A failure here means a chunk that goes while somebody reads
//! it, or one that never goes.
//! Refuses clocks: the test says what time it is.

use super::*;

const DAY_MS: u64 = 86_400_000;
const TEN: Duration = Duration::from_secs(10);
const ID: ChunkId = [1; 32];

fn at(now_s: u64, wall_ms: u64) -> Moment {
    Moment { now: Duration::from_secs(now_s), wall_ms }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn take(leases: &mut Leases, name: &str, moment: Moment) -> LeaseChange {
    leases.take((name, "test"), (vec![ID], vec![0]), TEN, moment).unwrap()
}

/// Writes everything that is to be written; answers with the leases that are no more.
fn settle(leases: &mut Leases, now: Duration) -> Vec<String> {
    let mut ended = Vec::new();
    while let Some(work) = leases.next_work(now) {
        ended.extend(leases.noted(&work, Ok(()), now).map(|name| name.to_string()));
    }
    ended
}

fn broken() -> std::result::Result<(), (ErrorKind, String)> {
    Err((ErrorKind::Io, "broken".to_string()))
}

#[test]
fn a_lease_holds_from_the_call_on_and_is_promised_once_all_directories_have_it() {
    let mut leases = Leases::default();
    let change = leases.take(("a", "test"), (vec![ID], vec![0, 1]), TEN, at(0, 0)).unwrap();
    assert!(leases.is_held(&ID, 0) && change.outcome.get().is_none());
    let first = leases.next_work(s(0)).unwrap();
    leases.noted(&first, Ok(()), s(0));
    assert!(change.outcome.get().is_none(), "one directory is missing");
    let second = leases.next_work(s(0)).unwrap();
    assert_eq!((first.dir, second.dir), (0, 1));
    leases.noted(&second, Ok(()), s(0));
    assert_eq!(change.outcome.get(), Some(&Ok(())));
}

#[test]
fn a_lease_ends_by_the_clock_that_never_jumps_while_the_hold_is_open() {
    let mut leases = Leases::default();
    take(&mut leases, "a", at(0, 30 * DAY_MS));
    assert!(settle(&mut leases, s(9)).is_empty());
    assert_eq!(leases.next_time(), Some(TEN));
    // The time of day jumps both ways meanwhile; nothing here asks for it.
    assert!(leases.is_held(&ID, 0));
    assert_eq!(settle(&mut leases, TEN), ["a"]);
    assert!(!leases.is_held(&ID, 0) && leases.next_time().is_none());
}

#[test]
fn chunks_are_free_only_when_the_end_is_written() {
    let mut leases = Leases::default();
    let change = take(&mut leases, "a", at(0, 0));
    settle(&mut leases, s(0));
    let end = leases.release(&change.lease).unwrap();
    let work = leases.next_work(s(1)).unwrap();
    assert!(work.bytes.is_none() && leases.is_held(&ID, 0));
    assert_eq!(leases.noted(&work, broken(), s(1)), None);
    assert!(matches!(end.outcome.get(), Some(Err(_))) && leases.is_held(&ID, 0));
    assert!(leases.next_work(s(2)).is_none(), "the next try is later");
    assert_eq!(settle(&mut leases, s(1) + END_RETRY), ["a"]);
}

#[test]
fn a_lease_that_could_not_be_written_goes_away_again() {
    let mut leases = Leases::default();
    let change = take(&mut leases, "a", at(0, 0));
    let work = leases.next_work(s(0)).unwrap();
    leases.noted(&work, broken(), s(0));
    assert!(matches!(change.outcome.get(), Some(Err((ErrorKind::Io, _)))));
    assert_eq!(settle(&mut leases, s(0)), ["a"]);
}

#[test]
fn a_renewal_counts_from_now_and_holds_meanwhile() {
    let mut leases = Leases::default();
    let change = take(&mut leases, "a", at(0, 1_000));
    settle(&mut leases, s(0));
    let renewed = leases.renew(&change.lease, s(60), at(9, 10_000)).unwrap().lease;
    assert_eq!(crate::lease::milliseconds_of(renewed.expires), 70_000);
    assert!(settle(&mut leases, s(20)).is_empty());
    assert_eq!(settle(&mut leases, s(69)), ["a"]);
    assert_eq!(leases.renew(&renewed, TEN, at(70, 80_000)).unwrap_err().kind(), ErrorKind::Missing);
}

#[test]
fn who_held_a_lease_cannot_end_the_next_one_of_its_name() {
    let mut leases = Leases::default();
    let old = take(&mut leases, "a", at(0, 5_000)).lease;
    settle(&mut leases, s(0));
    leases.break_by_name("a").unwrap();
    settle(&mut leases, s(0));
    let new = take(&mut leases, "a", at(0, 5_000)).lease;
    settle(&mut leases, s(0));
    assert_ne!(old.taken, new.taken, "although the clock stood still");
    assert_eq!(leases.release(&old).unwrap_err().kind(), ErrorKind::Missing);
    leases.release(&new).unwrap();
}

#[test]
fn a_name_is_taken_once_and_limits_hold() {
    let mut leases = Leases::default();
    take(&mut leases, "a", at(0, 0));
    let again = leases.take(("a", "test"), (vec![ID], vec![0]), TEN, at(0, 0));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    for chunks in [vec![], vec![ID; LEASE_CHUNKS_MAX + 1]] {
        let refused = leases.take(("b", "test"), (chunks, vec![0]), TEN, at(0, 0));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
    for number in 1..LEASES_MAX {
        take(&mut leases, &format!("n{number}"), at(0, 0));
    }
    let refused = leases.take(("b", "test"), (vec![ID], vec![0]), TEN, at(0, 0));
    assert!(refused.unwrap_err().to_string().contains("1024 leases"));
}

#[test]
fn a_chunk_in_two_leases_is_held_until_both_have_ended() {
    let mut leases = Leases::default();
    let one = take(&mut leases, "a", at(0, 0)).lease;
    take(&mut leases, "b", at(0, 0));
    settle(&mut leases, s(0));
    leases.release(&one).unwrap();
    settle(&mut leases, s(0));
    assert_eq!(leases.holding(&ID), ["b"]);
    assert_eq!(settle(&mut leases, TEN), ["b"]);
    assert!(!leases.is_held(&ID, 0));
}

#[test]
fn what_two_directories_say_of_one_lease_is_joined_and_the_later_end_counts() {
    let record = |expires_ms, chunk: u8| LeaseRecord {
        name: "a".into(),
        owner: "test".to_string(),
        taken_ms: 0,
        expires_ms,
        lifetime_ms: DAY_MS,
        chunks: Arc::from([[chunk; 32]]),
    };
    let mut leases = Leases::default();
    let loaded = |record, dir| Loaded { record, dir, damage: None };
    leases.load(vec![loaded(record(20_000, 1), 0), loaded(record(10_000, 2), 1)], 5_000);
    assert!(leases.is_held(&[1; 32], 0) && leases.is_held(&[2; 32], 1));
    assert!(settle(&mut leases, s(14)).is_empty());
    let works: Vec<u16> = std::iter::from_fn(|| leases.next_work(s(15))).map(|work| work.dir).collect();
    assert_eq!(works, [0, 1], "it is removed from both");
}

#[test]
fn a_lease_that_cannot_be_read_holds_all_of_its_directory_until_it_is_broken() {
    let mut leases = Leases::default();
    let record = LeaseRecord::unreadable("rotten");
    leases.load(vec![Loaded { record, dir: 1, damage: Some("rotten".to_string()) }], 0);
    assert!(leases.is_held(&ID, 1) && !leases.is_held(&ID, 0));
    assert!(settle(&mut leases, Duration::from_hours(24 * 365)).is_empty());
    leases.break_by_name("rotten").unwrap();
    assert_eq!(settle(&mut leases, s(0)), ["rotten"]);
    assert!(!leases.is_held(&ID, 1));
}

#[test]
fn who_waits_when_the_hold_is_closed_is_told() {
    let mut leases = Leases::default();
    let change = take(&mut leases, "a", at(0, 0));
    leases.close();
    assert!(matches!(change.outcome.get(), Some(Err((ErrorKind::Closed, _)))));
}
