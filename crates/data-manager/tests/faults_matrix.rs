//! Every fault of the origin, on each place of a chunk, once and always. Fails when a chunk ends neither whole nor failed with
//! a reason within a bound, or when wrong bytes stand under a final name.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers fail as tests do")]

mod fixture;

use std::collections::HashMap;
use std::sync::Mutex;

use data_manager::data_chunk::ChunkId;
use data_manager::event::Event;
use fixture::faults::{Case, Fate, damages, refusals};
use fixture::{PATIENCE, Said, Stock, World, assert_nothing_wrong, first_outcomes, stocked};
use origin::Plan;

const ITEMS: [(&str, u64); 3] = [("a.parquet", 3_000), ("b.parquet", 60_000), ("c.parquet", 30_000)];

/// Holds that are tried side by side; most of their time is waiting.
const APART_MAX: usize = 8;

/// A chunk of the trial: which fault strikes where, and what must follow.
struct Trial {
    stock: Stock,
    said: Said,
    what: String,
    fate: Fate,
}

/// Every fault on every place, with one way of saying each, in turn.
fn trials(cases: &[Case], is_always: bool) -> Vec<(Trial, String, Plan)> {
    let mut trials = Vec::new();
    for case in cases {
        for (place, (name, _)) in ITEMS.iter().enumerate() {
            let number = u32::try_from(trials.len()).unwrap() + 1;
            let stock = Stock::new(number, &ITEMS);
            let said = case.seen_with[(place + trials.len() / 3) % case.seen_with.len()];
            let what = format!("{:?} on {} ({said:?}), always: {is_always}", case.fault, name);
            let path = stock.path(place);
            let (plan, fate) = if is_always {
                (Plan::always(case.fault.clone()), case.always)
            } else {
                (Plan::first(1, case.fault.clone()), case.once)
            };
            trials.push((Trial { stock, said, what, fate }, path, plan));
        }
    }
    trials
}

/// Runs each trial on a hold and a source of its own: a fault that strikes always makes its source rest, and then only one
/// chunk at a time tries whether it is well again.
fn run_apart(cases: &[Case]) {
    let planned = Mutex::new(trials(cases, true));
    std::thread::scope(|scope| {
        for _ in 0..APART_MAX {
            scope.spawn(|| {
                while let Some(trial) = take(&planned) {
                    run(vec![trial]);
                }
            });
        }
    });
}

fn take<T>(planned: &Mutex<Vec<T>>) -> Option<T> {
    planned.lock().unwrap().pop()
}

/// Runs all trials at once on one hold: what befalls one chunk must not befall another.
fn run(planned: Vec<(Trial, String, Plan)>) {
    let stock: Vec<Stock> = planned.iter().map(|(trial, _, _)| trial.stock.clone()).collect();
    let world: World = stocked(&stock);
    let hold = world.open();
    let mut watch = hold.watch();
    let mut trials = Vec::new();
    for (trial, path, plan) in planned {
        world.origin.set_fault(&path, plan);
        hold.download_chunk(trial.stock.chunk(&world.origin, trial.said)).unwrap();
        trials.push(trial);
    }
    let ids: Vec<ChunkId> = trials.iter().map(|trial| trial.stock.id()).collect();
    let mut outcomes: HashMap<ChunkId, Event> = HashMap::new();
    for event in first_outcomes(&mut watch, &ids) {
        if let Event::Ready(id) | Event::Failed { id, .. } = event {
            outcomes.entry(id).or_insert(event);
        }
    }
    let mut wrong = Vec::new();
    for trial in &trials {
        let outcome = &outcomes[&trial.stock.id()];
        match (trial.fate, outcome) {
            (Fate::Either | Fate::Whole, Event::Ready(_)) => {}
            // It may fail first, but only once.
            (Fate::Whole, Event::Failed { .. }) => {
                if let Err(error) = hold.wait_chunk(trial.stock.id(), PATIENCE) {
                    wrong.push(format!("{}: {error}", trial.what));
                }
            }
            (Fate::Either, Event::Failed { reason, .. }) if reason.contains("http://") => {}
            (Fate::Failed(text), Event::Failed { reason, .. })
                if reason.contains(text) && (reason.contains("http://") || reason.contains("left alone")) => {
            }
            (_, outcome) => wrong.push(format!("{}: {outcome:?}", trial.what)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), trials.len(), wrong.join("\n"));
    assert_nothing_wrong(&hold, &stock);
}

#[test]
fn a_refusal_that_strikes_once_costs_a_try_and_no_wrong_byte() {
    run(trials(&refusals(), false));
}

#[test]
fn a_refusal_that_strikes_always_ends_with_its_reason() {
    run_apart(&refusals());
}

#[test]
fn a_damage_that_strikes_once_costs_a_try_and_no_wrong_byte() {
    run(trials(&damages(), false));
}

#[test]
fn a_damage_that_strikes_always_ends_whole_or_with_its_reason() {
    run_apart(&damages());
}
