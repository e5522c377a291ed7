//! Every fault of the origin, on each place of a chunk, once and always. Fails when a chunk ends neither whole nor failed with
//! a reason within a bound, or when wrong bytes stand under a final name.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers fail as tests do")]

mod fixture;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::SystemTime;

use data_manager::data_chunk::ChunkId;
use data_manager::event::Event;
use fixture::{PATIENCE, Said, Stock, World, assert_nothing_wrong, first_outcomes, stocked};
use origin::{Fault, Plan, RetryAfter};

const ITEMS: [(&str, u64); 3] = [("a.parquet", 3_000), ("b.parquet", 60_000), ("c.parquet", 30_000)];

/// Holds that are tried side by side; most of their time is waiting.
const APART_MAX: usize = 8;

/// What must become of a chunk that a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Ready, and soon.
    Whole,
    /// Ready or failed: whether the bytes come through depends on what the kernel still held.
    Either,
    /// Failed at first, with a reason that holds this text.
    Failed(&'static str),
}

/// A fault with what must follow when it strikes once, and when it strikes always; and what a descriptor must say for the
/// fault to be visible at all.
struct Case {
    fault: Fault,
    once: Fate,
    always: Fate,
    seen_with: &'static [Said],
}

const ALL: &[Said] = &[Said::Nothing, Said::Size, Said::Blake3, Said::Sha256];
const SIZED: &[Said] = &[Said::Size, Said::Blake3, Said::Sha256];
const DIGESTED: &[Said] = &[Said::Blake3, Said::Sha256];

fn case(fault: Fault, once: Fate, always: Fate) -> Case {
    Case { fault, once, always, seen_with: ALL }
}

fn refusals() -> Vec<Case> {
    use Fate::{Failed, Whole};
    let after = |text: &str| Fault::StatusRetryAfter(503, RetryAfter::Raw(text.to_string()));
    vec![
        case(Fault::Status(500), Whole, Failed("500")),
        case(Fault::Status(503), Failed("503"), Failed("503")),
        case(Fault::Status(403), Failed("403"), Failed("403")),
        case(Fault::Status(204), Whole, Failed("204")),
        case(Fault::Status(416), Whole, Failed("416")),
        case(Fault::Status(412), Failed("412"), Failed("412")),
        case(Fault::StatusRetryAfter(429, RetryAfter::Seconds(1)), Failed("429"), Failed("429")),
        case(
            Fault::StatusRetryAfter(503, RetryAfter::Date(SystemTime::UNIX_EPOCH)),
            Failed("503"),
            Failed("503"),
        ),
        case(after("next week"), Failed("503"), Failed("503")),
        case(after("99999999999999999999999"), Failed("503"), Failed("503")),
        case(Fault::NotFound, Failed("404"), Failed("404")),
        case(Fault::Hang, Whole, Failed("no answer")),
        case(Fault::ResetBeforeAnswer, Whole, Failed("")),
        case(Fault::BadStatusLine, Whole, Failed("")),
        case(Fault::RedirectLoop, Whole, Failed("redirected more than")),
        case(
            Fault::RedirectTo("http://169.254.169.254/latest/meta-data".to_string()),
            Failed("link-local"),
            Failed("link-local"),
        ),
        case(
            Fault::RedirectTo("file:///etc/passwd".to_string()),
            Failed("not followed"),
            Failed("not followed"),
        ),
        case(Fault::HugeHeaders { bytes: 8 << 10 }, Whole, Whole),
        case(Fault::HugeHeaders { bytes: 64 << 20 }, Whole, Failed("")),
        case(Fault::SlowHeaders, Whole, Fate::Either),
        case(Fault::Delay { for_ms: 400 }, Whole, Whole),
        case(Fault::ErrorPage, Whole, Failed("HTML")),
    ]
}

fn damages() -> Vec<Case> {
    use Fate::{Either, Failed, Whole};
    vec![
        // How bodies end that stall or crawl for ever is tried on a paused clock, in faults_silence.
        case(Fault::HangBody { after: 40_000 }, Whole, Whole),
        case(Fault::Reset { after: 1_000 }, Whole, Either),
        case(Fault::Close { after: 1_000 }, Whole, Either),
        Case { seen_with: SIZED, ..case(Fault::Truncate { by: 100 }, Whole, Failed("")) },
        case(Fault::Short, Whole, Failed("Content-Length")),
        case(Fault::Long { extra: 5_000 }, Whole, Whole),
        case(Fault::Endless, Whole, Whole),
        case(Fault::HugeLength, Whole, Failed("Content-Length")),
        Case { seen_with: DIGESTED, ..case(Fault::FlipByte { at: 2_000 }, Whole, Failed("digest")) },
        case(Fault::IgnoreRange, Whole, Whole),
        case(Fault::WrongOffset, Whole, Failed("were asked for")),
        case(Fault::WrongTotal, Whole, Failed("bytes")),
        case(Fault::ETagEachTime, Whole, Whole),
        case(Fault::WeakEtag, Whole, Whole),
        case(Fault::NoEtag, Whole, Whole),
        Case {
            seen_with: DIGESTED,
            ..case(Fault::ChangeAfter { bytes: 1_500 }, Failed("digest"), Failed("digest"))
        },
        case(Fault::Drip { bytes_per_second: 8_000 }, Whole, Whole),
        case(Fault::Stall { after: 1_000, for_ms: 600 }, Whole, Whole),
        case(Fault::GzipEncoding, Failed("Content-Encoding"), Failed("Content-Encoding")),
    ]
}

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
