//! `loghold lease`: takes, lists, renews and breaks leases.
//! Refuses to end a lease by accident: a name must be given in full.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use data_manager::lease::LeaseStatus;
use serde::Serialize;

use crate::args::lease::{LeaseBreakArguments, LeaseCommand, LeaseNewArguments, LeaseRenewArguments};
use crate::commands::chunk::Context;
use crate::commands::chunk::report::milliseconds;
use crate::exit::{Exit, Outcome};
use crate::notes::Notes;
use crate::output::print_rows;
use crate::quantity::{counted, show_bytes, show_duration};
use crate::selection::{Question, Selection, lease_named, made_up_name, owner_text, wait_for_freed};
use crate::settings::Settings;
use crate::soundness::{chunks_of, look};

/// A lease as it is listed. Its fields are an interface.
#[derive(Debug, Serialize)]
struct LeaseReport {
    name: String,
    owner: String,
    taken_unix_ms: u64,
    expires_unix_ms: u64,
    age_ms: u64,
    ends_in_ms: u64,
    chunks: usize,
    held_back_chunks: u64,
    held_back_bytes: u64,
    damage: Option<String>,
    #[serde(skip)]
    shown: [String; 3],
}

const HEADINGS: [&str; 6] = ["NAME", "AGE", "ENDS IN", "CHUNKS", "HOLDS BACK", "OWNER"];

pub(crate) fn run(command: LeaseCommand, settings: Settings) -> Outcome<Exit> {
    let context = Context { notes: Notes::new(&settings), settings };
    match command {
        LeaseCommand::Ls => list(&context),
        LeaseCommand::New(arguments) => take(&context, &arguments),
        LeaseCommand::Renew(arguments) => renew(&context, &arguments),
        LeaseCommand::Break(arguments) => break_all(&context, &arguments),
    }
}

fn list(context: &Context) -> Outcome<Exit> {
    let hold = context.hold()?;
    let reports: Vec<LeaseReport> = hold.leases().iter().map(LeaseReport::new).collect();
    print(context, &reports)
}

fn take(context: &Context, arguments: &LeaseNewArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let question = Question { dataset: &arguments.dataset, blocks: Some(&arguments.blocks), tables: &[] };
    look(&hold, chunks_of(&hold, question.dataset, question.blocks))?;
    let mut selection = Selection::find(&hold, question)?;
    // Of a range without any chunk there is nothing to hold.
    if !arguments.allow_gaps || selection.chunks.is_empty() {
        selection.expect_no_gaps(&arguments.dataset)?;
    }
    let name = arguments.name.clone().unwrap_or_else(|| made_up_name("lease"));
    let lease = selection.lease(&hold, (&name, &owner_text(&arguments.owner)), arguments.lifetime)?;
    drop(selection);
    print(context, &[LeaseReport::new(&lease_named(&hold, &lease.name)?)])
}

fn renew(context: &Context, arguments: &LeaseRenewArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let lease = lease_named(&hold, &arguments.name)?.lease;
    hold.renew(&lease, arguments.lifetime)?;
    print(context, &[LeaseReport::new(&lease_named(&hold, &arguments.name)?)])
}

fn break_all(context: &Context, arguments: &LeaseBreakArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let names: BTreeSet<&String> = arguments.names.iter().collect();
    // All of them are looked for before one is broken.
    let statuses =
        names.iter().map(|name| lease_named(&hold, name)).collect::<Outcome<Vec<LeaseStatus>>>()?;
    for status in &statuses {
        hold.break_lease(&status.lease.name)?;
    }
    for status in &statuses {
        wait_for_freed(&hold, &status.lease);
    }
    let broken: Vec<LeaseReport> = statuses.iter().map(LeaseReport::new).collect();
    context.notes.say(&format!("{} broken", counted(broken.len(), "lease")));
    print(context, &broken)
}

fn print(context: &Context, reports: &[LeaseReport]) -> Outcome<Exit> {
    print_rows(context.settings.format, &HEADINGS, reports, cells)?;
    Ok(Exit::Done)
}

fn cells(report: &LeaseReport) -> Vec<String> {
    let [age, ends_in, holds_back] = report.shown.clone();
    let owner = report.damage.as_ref().map_or(report.owner.clone(), |why| format!("cannot be read: {why}"));
    vec![report.name.clone(), age, ends_in, report.chunks.to_string(), holds_back, owner]
}

impl LeaseReport {
    fn new(status: &LeaseStatus) -> LeaseReport {
        let lease = &status.lease;
        let unix_ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, milliseconds);
        let is_damaged = status.damage.is_some();
        let holds_back = match status.held_back_chunks {
            0 => "-".to_string(),
            count => format!("{count} ({})", show_bytes(status.held_back_bytes)),
        };
        let shown = if is_damaged {
            ["-".to_string(), "never".to_string(), holds_back]
        } else {
            [show_duration(status.age), show_duration(status.ends_in), holds_back]
        };
        LeaseReport {
            name: lease.name.clone(),
            owner: lease.owner.clone(),
            taken_unix_ms: unix_ms(lease.taken),
            expires_unix_ms: unix_ms(lease.expires),
            age_ms: milliseconds(status.age),
            ends_in_ms: milliseconds(status.ends_in),
            chunks: lease.chunks.len(),
            held_back_chunks: status.held_back_chunks,
            held_back_bytes: status.held_back_bytes,
            damage: status.damage.clone(),
            shown,
        }
    }
}
