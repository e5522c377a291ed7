//! `loghold log trim` and `loghold log truncate`: removing records from the beginning, and from the end.
//! Refuses to remove what a consumer has not seen, unless it is told to.

use rtrans::{Create, Options, TransId};
use serde::Serialize;

use crate::args::log::{TrimArguments, TruncateArguments};
use crate::commands::log::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_object;

/// What is there now.
#[derive(Debug, Serialize)]
struct Left {
    first: Option<u64>,
    last: Option<u64>,
    records_removed: u64,
}

pub(crate) fn run(context: &Context, arguments: &TrimArguments) -> Outcome<Exit> {
    let first = TransId::new(arguments.before)
        .ok_or_else(|| Failure::usage("ids begin with 1: before 0 there is nothing to trim"))?;
    let log = context.writer(&Options { create: Create::Never, ..Options::default() })?;
    let blockers = log.who_blocks(first)?;
    if !blockers.is_empty() {
        let behind: Vec<String> = blockers
            .iter()
            .map(|blocker| match blocker.position {
                Some(position) => format!("{} (at {position})", blocker.consumer),
                None => format!("{} (has seen nothing)", blocker.consumer),
            })
            .collect();
        let message = format!("not all records before {first} were seen by {}", behind.join(", "));
        if !arguments.force {
            return Err(Failure::new(Exit::Error, message)
                .hint("wait for them, move them with `loghold log commit`, or add --force: they are told what they missed"));
        }
        context.notes.say(&message);
    }
    let records_removed = log.trim_before(first)?.records;
    let left =
        Left { first: log.first().map(TransId::get), last: log.last().map(TransId::get), records_removed };
    log.close()?;
    if left.first.is_some_and(|kept| kept < arguments.before) {
        context.notes.say("format 1 removes whole directories only: some records before that one stay");
    }
    print(context, &left)
}

pub(crate) fn truncate(context: &Context, arguments: &TruncateArguments) -> Outcome<Exit> {
    let log = context.writer(&Options { create: Create::Never, ..Options::default() })?;
    let before = log.last().map_or(0, TransId::get);
    log.truncate_after(TransId::new(arguments.after))?;
    let last = log.last().map(TransId::get);
    let records_removed = before.saturating_sub(last.unwrap_or(arguments.after));
    let left = Left { first: log.first().map(TransId::get), last, records_removed };
    log.close()?;
    print(context, &left)
}

fn print(context: &Context, left: &Left) -> Outcome<Exit> {
    let or_none = |id: Option<u64>| id.map_or_else(|| "none".to_string(), |id| id.to_string());
    print_object(context.format, left, || {
        vec![
            ("first", or_none(left.first)),
            ("last", or_none(left.last)),
            ("records removed", left.records_removed.to_string()),
        ]
    })?;
    Ok(Exit::Done)
}
