//! `loghold chunk verify`: reads chunks back, and has damaged ones fetched again.
//! Refuses to call the hold sound while one damaged chunk is not healed.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use data_manager::data_chunk::{ChunkId, hex_id, parse_hex_id};
use data_manager::data_manager::DataManagerImpl;
use data_manager::status::ChunkState;
use data_manager::verify::{Verification, Verify, VerifyProgress, VerifyReport};
use host::{Clock, Disk};
use serde::Serialize;

use crate::args::VerifyArguments;
use crate::commands::chunk::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::fetched::{End, TICK, Wanted, fetch};
use crate::output::print_rows;
use crate::progress::{Overall, Progress};
use crate::quantity::{counted, show_bytes};
use crate::runtime::runtime;
use crate::settling::{PATIENCE, Patience, Settling};
use crate::stop_signal::StopSignal;

/// A chunk that was found damaged.
#[derive(Debug, Serialize)]
struct Damage {
    id: String,
    reason: String,
    is_healed: bool,
    /// Why it is not.
    error: Option<String>,
}

/// Chunks that were put aside and are named.
const PUT_ASIDE_SHOWN_MAX: usize = 5;

/// What was signed is not kept, and neither is that it was.
const IF_SIGNED: &str = "if its address was signed: ask for it again with `chunk get`, for queries and user information are not kept";

const HEADINGS: [&str; 4] = ["CHUNK", "STATE", "DAMAGE", "ERROR"];

pub(crate) fn run(context: &Context, arguments: &VerifyArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let known = hold.list_chunks();
    let chunks =
        arguments.ids.iter().map(|prefix| prefix.resolve(&known)).collect::<Outcome<Vec<ChunkId>>>()?;
    let what = Verify { chunks, bytes_per_second_max: arguments.rate, ..Verify::default() };
    let verification = hold.verify(what)?;
    let report = read_back(context, verification)?;
    let (settling, end) = heal(context, &hold, &report)?;
    hold.close();
    say(context, &report);
    say_what_is_put_aside(context, &hold);
    let damages = damages(&hold, &report, &settling);
    print_rows(context.settings.format, &HEADINGS, &damages, |damage| {
        let state = if damage.is_healed { "healed" } else { "damaged" };
        let error = damage.error.clone().unwrap_or_default();
        vec![damage.id.clone(), state.to_string(), damage.reason.clone(), error]
    })?;
    let not_healed = damages.iter().filter(|damage| !damage.is_healed).count();
    match end {
        End::Stopped(exit) => Err(Failure::new(
            exit,
            format!("stopped before {} could be healed", counted(not_healed, "damaged chunk")),
        )),
        _ if not_healed > 0 => Err(Failure::new(
            Exit::Corrupt,
            format!("{} could not be healed", counted(not_healed, "damaged chunk")),
        )
        .hint("they are put aside in .quarantine; fetch them anew with `loghold chunk get`")),
        _ => Ok(Exit::Done),
    }
}

/// Waits until all is read, and shows how far that is.
fn read_back(context: &Context, mut verification: Verification) -> Outcome<VerifyReport> {
    runtime()?.block_on(async {
        let mut stop = StopSignal::listen()?;
        let mut progress = Progress::new(context.notes);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let clock = Clock::system();
        let began = clock.monotonic();
        let end = loop {
            let reached = verification.progress();
            tokio::select! {
                report = verification.finished() => break report.ok_or_else(|| {
                    Failure::new(Exit::Error, "the hold was closed before everything was read")
                }),
                exit = stop.received() => {
                    break Err(Failure::new(exit, "stopped before everything was read"));
                }
                _ = ticks.tick() => {
                    progress.show(clock.monotonic().saturating_sub(began), &overall(reached), &[]);
                }
            }
        };
        progress.finish();
        end
    })
}

fn overall(reached: VerifyProgress) -> Overall {
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Overall {
        chunks_ready: count(reached.chunks_done),
        chunks_given_up: 0,
        chunks_all: count(reached.chunks_total),
        bytes_done: reached.bytes_done,
        bytes_all: Some(reached.bytes_total),
        bytes_fetched: reached.bytes_done,
    }
}

/// Waits until the damaged chunks are fetched again. Those whose source is not known are wanted by nobody, and given up.
fn heal(context: &Context, hold: &DataManagerImpl, report: &VerifyReport) -> Outcome<(Settling, End)> {
    let is_fetched = |id: &ChunkId| hold.status(*id).is_some_and(|status| status.is_wanted);
    let wanted = Wanted {
        chunks: report
            .damaged
            .iter()
            .map(|&(id, _)| id)
            .filter(is_fetched)
            .map(|id| (id, None))
            .collect::<HashMap<_, _>>(),
        patience: Patience::Time(PATIENCE),
        timeout: None,
        data_dirs: context.settings.hold_options()?.data_dirs.len(),
    };
    fetch(hold, wanted, context.notes, || Ok(()))
}

fn say(context: &Context, report: &VerifyReport) {
    let sound = match report.sound {
        1 => "1 chunk is sound".to_string(),
        count => format!("{count} chunks are sound"),
    };
    let damaged = match report.damaged.len() {
        1 => "1 was damaged".to_string(),
        count => format!("{count} were damaged"),
    };
    context.notes.say(&format!("{sound}, {damaged}; {} were read", show_bytes(report.bytes)));
    if report.without_digest > 0 {
        let count = report.without_digest;
        context.notes.say(&format!(
            "{count} chunks of other programs have no digests: only their lengths were checked"
        ));
    }
}

/// What was found damaged, now or earlier, and is not here since: a wish to fetch it ends with the process.
fn say_what_is_put_aside(context: &Context, hold: &DataManagerImpl) {
    let ids: BTreeSet<ChunkId> =
        context.settings.data_dirs().iter().flat_map(|dir| ids_put_aside(dir)).collect();
    let is_here = |id: &ChunkId| hold.status(*id).is_some_and(|status| status.state == ChunkState::Ready);
    let absent: Vec<String> = ids.iter().filter(|id| !is_here(id)).map(hex_id).collect();
    if absent.is_empty() {
        return;
    }
    let shown = absent.iter().take(PUT_ASIDE_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if absent.len() > PUT_ASIDE_SHOWN_MAX { " and others" } else { "" };
    context.notes.say(&format!(
        "found damaged and not here since: {shown}{more}; what is left of them is kept in .quarantine, which you may empty"
    ));
}

/// The chunks of which a data directory keeps damaged files. What cannot be read is not worth failing for.
fn ids_put_aside(data_dir: &Path) -> Vec<ChunkId> {
    let listed = Disk::open(data_dir).and_then(|disk| disk.list(Path::new(".quarantine")));
    let names = listed.unwrap_or_default().into_iter().filter_map(|entry| entry.name.into_string().ok());
    names.filter_map(|name| parse_hex_id(name.rsplit_once('-')?.0)).collect()
}

fn damages(hold: &DataManagerImpl, report: &VerifyReport, settling: &Settling) -> Vec<Damage> {
    let is_remote = |id: &ChunkId| {
        let source = hold.status(*id).and_then(|status| status.source);
        source.is_some_and(|source| !source.starts_with("file:"))
    };
    let given_up = |id: &ChunkId| {
        let error = settling.given_up().get(id)?;
        Some(if is_remote(id) { format!("{error}; {IF_SIGNED}") } else { error.clone() })
    };
    report
        .damaged
        .iter()
        .map(|(id, reason)| Damage {
            id: hex_id(id),
            reason: reason.clone(),
            is_healed: settling.is_ready(id),
            error: given_up(id).or_else(|| {
                (!settling.is_wanted(id))
                    .then(|| "its source is not known, so it cannot be fetched again".to_string())
            }),
        })
        .collect()
}
