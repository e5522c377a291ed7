//! `loghold chunk get`: fetches what descriptors name and waits until it is ready.
//! Refuses to begin when any descriptor is wrong.

use std::collections::HashMap;

use data_manager::assignment::Priority;
use data_manager::data_chunk::hex_id;
use data_manager::data_manager::DataManagerImpl;
use data_manager::error::Error;

use crate::args::GetArguments;
use crate::commands::chunk::Context;
use crate::commands::chunk::report::{ChunkReport, HEADINGS, NO_ROOM, cells};
use crate::descriptor::{Descriptor, INPUT_BYTES_MAX, parse_descriptors};
use crate::exit::{Exit, Failure, Outcome};
use crate::fetched::{End, Wanted, fetch};
use crate::hindrances::Stuck;
use crate::input::{read_input, shown};
use crate::output::print_rows;
use crate::quantity::{counted, show_bytes};
use crate::settling::{Patience, Settling};
use crate::soundness::look;

pub(crate) fn run(context: &Context, arguments: &GetArguments) -> Outcome<Exit> {
    let descriptors = read_descriptors(arguments)?;
    let hold = context.hold_or_new()?;
    let wanted = Wanted {
        chunks: descriptors.iter().map(|descriptor| (descriptor.id, descriptor.bytes())).collect(),
        patience: arguments.give_up_after.map_or(Patience::Time(arguments.patience), Patience::Tries),
        timeout: arguments.timeout,
        data_dirs: context.settings.hold_options()?.data_dirs.len(),
    };
    // What is here counts as got only if it is.
    look(&hold, descriptors.iter().map(|descriptor| descriptor.id).collect())?;
    let (settling, end) = fetch(&hold, wanted, context.notes, || ask(&hold, &descriptors))?;
    // Downloads stop here, and are left so that the next run goes on with them. What is staged is counted after that.
    hold.close();
    let reports: Vec<ChunkReport> = descriptors
        .iter()
        .filter_map(|descriptor| hold.status(descriptor.id))
        .map(|status| ChunkReport::new(&status))
        .collect();
    print_rows(context.settings.format, &HEADINGS, &reports, cells)?;
    let outcome = conclude(&settling, end, &reports);
    // Each failure was told when it happened, unless nothing was to be said.
    outcome.map_err(|failure| match (context.notes.is_quiet(), first_reason(&settling)) {
        (true, Some(reason)) if failure.hint.is_none() => failure.hint(reason),
        _ => failure,
    })
}

/// Why the first of the chunks was given up.
fn first_reason(settling: &Settling) -> Option<String> {
    let (id, reason) = settling.given_up().first_key_value()?;
    Some(format!("chunk {}: {reason}", hex_id(id)))
}

fn read_descriptors(arguments: &GetArguments) -> Outcome<Vec<Descriptor>> {
    let mut all: Vec<Descriptor> = Vec::new();
    let mut places = HashMap::new();
    for input in &arguments.inputs {
        let text = read_input(input, INPUT_BYTES_MAX)?;
        let shown = shown(input);
        let read =
            parse_descriptors(&text).map_err(|problem| Failure::usage(format!("{shown}: {problem}")))?;
        for descriptor in read {
            match places.get(&descriptor.id).and_then(|&at: &usize| all.get(at)) {
                Some(earlier) if *earlier == descriptor => {}
                Some(_) => {
                    let id = hex_id(&descriptor.id);
                    return Err(Failure::usage(format!(
                        "{shown}: id {id} was given before with other content"
                    )));
                }
                None => {
                    places.insert(descriptor.id, all.len());
                    all.push(descriptor);
                }
            }
        }
    }
    if all.is_empty() {
        return Err(Failure::usage("the input names no chunk"));
    }
    Ok(all)
}

fn ask(hold: &DataManagerImpl, descriptors: &[Descriptor]) -> Outcome<()> {
    // All are looked at before the first is begun.
    for descriptor in descriptors {
        hold.check_chunk(descriptor.chunk()).map_err(|error| refused(descriptor, error))?;
    }
    for descriptor in descriptors {
        hold.download_with(descriptor.chunk(), Priority(descriptor.priority))
            .map_err(|error| refused(descriptor, error))?;
    }
    Ok(())
}

fn refused(descriptor: &Descriptor, error: Error) -> Failure {
    let failure = Failure::from(error);
    let id = hex_id(&descriptor.id);
    if failure.message.contains(&id) {
        return failure;
    }
    Failure { message: format!("chunk {id}: {}", failure.message), ..failure }
}

/// The exit code, and the words for what is not done.
fn conclude(settling: &Settling, end: End, reports: &[ChunkReport]) -> Outcome<Exit> {
    const KEPT: &str = "run the same command again to go on";
    // As the table has it: some may have come behind the last event that was heard.
    let ready = reports.iter().filter(|report| report.state == "ready").count();
    let all = settling.wanted_len();
    let staged: u64 =
        reports.iter().filter(|report| report.state != "ready").map(|report| report.bytes).sum();
    let is = if all == 1 { "is" } else { "are" };
    let so_far = format!("{ready} of {} {is} ready", counted(all, "chunk"));
    let kept = format!("{} of the others are kept: {KEPT}", show_bytes(staged));
    match end {
        End::Settled => {
            let Some((_, reason)) = settling.given_up().first_key_value() else { return Ok(Exit::Done) };
            if reports.iter().any(|report| report.last_failure == Some(NO_ROOM)) {
                let hint = format!("{reason}; free some space; {kept}");
                return Err(Failure::new(Exit::DiskFull, format!("no room: {so_far}")).hint(hint));
            }
            let exit = if ready > 0 { Exit::Incomplete } else { Exit::SourceFails };
            let message = format!("{so_far}; {} could not be had", settling.given_up().len());
            Err(Failure::new(exit, message))
        }
        End::Stopped(exit) => Err(Failure::new(exit, format!("stopped: {so_far}")).hint(kept)),
        End::TimedOut if ready == all => Ok(Exit::Done),
        End::TimedOut => Err(Failure::new(Exit::TimedOut, format!("timed out: {so_far}")).hint(kept)),
        End::Stuck(Stuck::NoRoom(reason)) => {
            let hint = format!("free some space, or leave less of it free (--keep-free); {kept}");
            Err(Failure::new(Exit::DiskFull, format!("no room: {reason}; {so_far}")).hint(hint))
        }
        End::Stuck(Stuck::DiskFailed(reason)) => {
            let hint = format!("see to the disk; {kept}");
            Err(Failure::new(Exit::Error, format!("{reason}; {so_far}")).hint(hint))
        }
        End::Closed => Err(Failure::new(Exit::Error, format!("the hold was closed: {so_far}")).hint(kept)),
    }
}
