//! Lanes on a clock that is moved by hand. Fails when hedges cost more than their budget, when chunks that failed before take
//! the places of untried ones, or when a source that is late with most is asked for more.
use std::time::SystemTime;

use host::sim::ManualClock;

use super::*;
use crate::assignment::Priority;
use crate::data_source::{SourceError, SourceErrorKind};

const SOURCE: &str = "http://host:80";

fn lanes(connections_max: u32) -> (Lanes, ManualClock) {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    let limits = Limits { connections_max, ..Limits::default() };
    (Lanes::new(limits, clock.clock()), clock)
}

fn turn(number: u8) -> Turn {
    Turn::new(Priority(0), Duration::ZERO, u64::from(number) << 30, [number; 32])
}

/// A lane that is given out at once; `None` if it is not.
async fn enter(lanes: &Lanes, number: u8, is_retry: bool) -> Option<Lane> {
    let lane = lanes.enter(turn(number), (SOURCE, u64::MAX), is_retry);
    tokio::time::timeout(Duration::from_millis(1), lane).await.ok().map(|lane| lane.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_second_hedge_is_made_only_out_of_three_percent_of_what_came_in() {
    let (lanes, _clock) = lanes(64);
    let first = lanes.try_enter(SOURCE, 1_000, true).expect("one is free");
    assert!(lanes.try_enter(SOURCE, 1_000, true).is_none());
    first.received(33_000);
    assert!(lanes.try_enter(SOURCE, 1_000, true).is_none());
    first.received(1_000);
    assert!(lanes.try_enter(SOURCE, 1_000, true).is_some());
    drop(first);
    assert!(lanes.try_enter(SOURCE, 1_000, true).is_some(), "one is free again");
    assert!(lanes.try_enter("http://mirror:80", 1_000, false).is_some(), "another source is lent for");
}

#[tokio::test(start_paused = true)]
async fn hedges_that_were_not_needed_cost_three_percent_and_what_is_lent_wherever_they_went() {
    let (lanes, _clock) = lanes(64);
    let loaded = enter(&lanes, 0, false).await.unwrap();
    let mirror = ("http://mirror:80", false);
    let asks =
        [(mirror, true, 1_000), ((SOURCE, true), true, 16), (mirror, false, 0), ((SOURCE, true), false, 0)];
    for ((source, is_same), is_needed, expected) in asks {
        let hedge = || lanes.try_enter(source, MIB, is_same);
        let answered = |mut lane: Lane| {
            if is_needed {
                lane.takes_over();
            }
        };
        let count = std::iter::from_fn(hedge).map(answered).take(1_000).count();
        assert_eq!(count, expected, "to {source}, needed: {is_needed}");
    }
    assert!(lanes.try_enter("http://third:80", MIB, false).is_none(), "nothing is left for anybody");
    loaded.received(100 * MIB);
    let lent = std::iter::from_fn(|| lanes.try_enter("http://third:80", MIB, false)).map(drop).count();
    assert_eq!(lent, 3);
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_answers_are_mostly_overdue_is_not_hedged() {
    let (lanes, _clock) = lanes(64);
    let mut open = Vec::new();
    for number in 0..4 {
        open.push(enter(&lanes, number, false).await.unwrap());
    }
    open[0].overdue();
    open[1].overdue();
    drop(lanes.try_enter(SOURCE, 0, true).expect("half is not most"));
    open[2].overdue();
    assert!(lanes.try_enter(SOURCE, 0, true).is_none());
    open[2].answered();
    assert!(lanes.try_enter(SOURCE, 0, true).is_some());
}

#[tokio::test(start_paused = true)]
async fn chunks_that_failed_before_hold_a_quarter_of_the_requests_while_they_are_silent() {
    let (lanes, _clock) = lanes(16);
    let mut open = Vec::new();
    for number in 0..4 {
        let mut lane = enter(&lanes, number, true).await.unwrap();
        lane.overdue();
        open.push(lane);
    }
    assert!(enter(&lanes, 4, true).await.is_none());
    assert!(enter(&lanes, 5, false).await.is_some(), "an untried one is served");
    open.pop();
    assert!(enter(&lanes, 6, true).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_known_source_that_is_late_with_most_is_not_asked_for_more_than_the_window_holds() {
    let (lanes, clock) = lanes(64);
    for number in 0..20 {
        let mut lane = enter(&lanes, number, false).await.unwrap();
        clock.advance(Duration::from_millis(5));
        lane.answered();
    }
    let mut open = Vec::new();
    for number in 0..8 {
        let mut lane = enter(&lanes, number, false).await.unwrap();
        lane.overdue();
        open.push(lane);
    }
    assert!(enter(&lanes, 9, false).await.is_none());
    open[0].answered();
    open[1].answered();
    open[2].answered();
    open[3].answered();
    assert!(enter(&lanes, 9, false).await.is_some(), "half is not most");
}

#[test]
fn a_source_of_which_nothing_is_known_has_fifteen_seconds_for_its_first_byte() {
    let (lanes, _clock) = lanes(16);
    assert_eq!(lanes.patience(SOURCE, 0).first_byte, Duration::from_secs(15));
    assert_eq!(lanes.patience(SOURCE, 9).first_byte, FIRST_BYTE_MAX);
}

#[tokio::test(start_paused = true)]
async fn requests_that_younger_ones_have_outrun_do_not_make_their_source_late() {
    let (lanes, clock) = lanes(64);
    let mut hanging = Vec::new();
    for number in 0..8 {
        let mut lane = enter(&lanes, number, false).await.unwrap();
        lane.overdue();
        hanging.push(lane);
    }
    clock.advance(Duration::from_millis(5));
    for number in 0..20 {
        let mut lane = enter(&lanes, number, false).await.unwrap();
        clock.advance(Duration::from_millis(5));
        lane.answered();
    }
    assert!(enter(&lanes, 9, false).await.is_some(), "what they ask for hangs, and not the source");
    assert!(lanes.is_mostly_silent(SOURCE));
    drop(hanging);
    assert!(!lanes.is_mostly_silent(SOURCE));
}

#[tokio::test(start_paused = true)]
async fn while_nothing_moves_twice_as_many_as_are_silent_are_asked_for() {
    let (lanes, _clock) = lanes(64);
    let mut open = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..3 {
        while let Some(lane) = enter(&lanes, 0, false).await {
            open.push(lane);
        }
        counts.push(open.len());
        open.iter_mut().for_each(Lane::overdue);
    }
    assert_eq!(counts, [8, 24, 56]);
    open[0].answered();
    let more: Vec<Lane> =
        [enter(&lanes, 0, false).await, enter(&lanes, 1, false).await].into_iter().flatten().collect();
    assert_eq!(more.len(), 2, "one of eight moves");
}

const MIB: u64 = 1 << 20;

#[tokio::test(start_paused = true)]
async fn how_long_a_source_is_waited_for_is_known_from_its_first_body_on() {
    for (wait_ms, known) in [(500, 100 * MIB..1_000 * MIB), (5, 16 * MIB..16 * MIB + 1)] {
        let (lanes, clock) = lanes(64);
        let mut lane = enter(&lanes, 0, false).await.unwrap();
        assert_eq!(lanes.run_bytes(SOURCE, 10_000 * MIB), 16 * MIB);
        clock.advance(Duration::from_millis(wait_ms));
        lane.answered();
        lane.delivered(10 * MIB, Duration::from_millis(100));
        let run = lanes.run_bytes(SOURCE, 10_000 * MIB);
        assert!(known.contains(&run), "{run} after a wait of {wait_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_larger_window_that_brings_no_more_is_left_again_although_its_last_request_overshoots() {
    let (lanes, clock) = lanes(256);
    let mut known = enter(&lanes, 0, false).await.unwrap();
    clock.advance(Duration::from_millis(50));
    known.answered();
    known.delivered(MIB, Duration::from_millis(100));
    drop(known);
    // Each is two thirds of a load, so that no number of them is 8 exactly.
    let mut open = Vec::new();
    let mut limits = Vec::new();
    for _ in 0..150 {
        loop {
            let lane = lanes.enter(turn(1), (SOURCE, MIB), false);
            let Ok(lane) = tokio::time::timeout(Duration::from_millis(1), lane).await else { break };
            open.push(lane.unwrap());
        }
        clock.advance(Duration::from_millis(10));
        open[0].received(600_000);
        open.remove(0);
        limits.push(lanes.shared.lock().window.limit());
    }
    assert_eq!(limits.iter().max(), Some(&12), "it was tried, and no more of it than shows what it brings");
    assert_eq!(limits.last(), Some(&8), "{limits:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_lanes_are_for_the_most_urgent_whoever_runs_first() {
    let (lanes, _clock) = lanes(8);
    // Sixteen tasks that run in the order of their spawning, the least urgent first.
    let tasks: Vec<_> = (0..16)
        .rev()
        .map(|place| {
            let lanes = lanes.clone();
            tokio::spawn(
                async move { (place, lanes.enter(turn(place), (SOURCE, MIB), false).await.unwrap()) },
            )
        })
        .collect();
    let mut open = Vec::new();
    for task in tasks.into_iter().rev().take(8) {
        open.push(tokio::time::timeout(Duration::from_millis(1), task).await.expect("it is urgent").unwrap());
    }
    assert_eq!(open.iter().map(|(place, _)| *place).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
}

/// How many requests of so many bytes the window holds, once a source is known to be waited for as long as a MiB takes.
async fn held(bytes: u64) -> usize {
    let (lanes, clock) = lanes(256);
    let mut known = enter(&lanes, 0, false).await.unwrap();
    clock.advance(Duration::from_millis(100));
    known.answered();
    known.delivered(MIB, Duration::from_millis(100));
    drop(known);
    let mut open = Vec::new();
    for number in 1..=200 {
        let lane = lanes.enter(turn(number), (SOURCE, bytes), false);
        let Ok(lane) = tokio::time::timeout(Duration::from_millis(1), lane).await else { break };
        open.push(lane.unwrap());
    }
    let held = open.len();
    // What was taken is given back in full, in whichever state it ends.
    open.iter_mut().step_by(2).for_each(Lane::overdue);
    open.iter_mut().step_by(4).for_each(Lane::answered);
    drop(open);
    assert_eq!(lanes.shared.lock().load, 0);
    held
}

#[tokio::test(start_paused = true)]
async fn the_window_holds_more_requests_of_those_that_mostly_wait() {
    assert_eq!(held(1_000 * MIB).await, 10, "a run brings several times what its wait would have brought");
    assert_eq!(held(MIB).await, 16);
    assert_eq!(held(10_000).await, 64);
}

#[test]
fn sources_that_rest_no_more_are_forgotten_when_there_are_many() {
    let (lanes, clock) = lanes(64);
    let mut inner = lanes.shared.lock();
    let refused = SourceError::new(SourceErrorKind::Transient, "as the test wants".to_string());
    for number in 0..5_000 {
        let now = clock.clock().monotonic();
        let state = inner.source(&format!("http://host-{number}:80"), now);
        for _ in 0..32 {
            state.health.on_failure(now, &refused, 0);
        }
        assert!(state.health.rests_until().is_some(), "it rests");
        clock.advance(Duration::from_mins(1));
    }
    assert!(inner.sources.len() <= SOURCES_MAX, "{} are remembered", inner.sources.len());
}
