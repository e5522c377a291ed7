//! `loghold seal --why`: how far sealing has come, and why it is not further.
//! Refuses to seal, and to be the log's consumer: it may run beside a sealer.

use host::Clock;
use rtrans::{Reader, TransId};
use sealer::{Finality, Plan, SealState, Store, Why};
use serde::Serialize;

use crate::args::sealing::SealArguments;
use crate::exit::{Exit, Outcome};
use crate::output::print_rows;
use crate::settings::Settings;

/// Its fields are an interface.
#[derive(Debug, Serialize)]
struct WhyReport {
    /// `ready`, `waiting` or `halted`.
    state: &'static str,
    /// The last block and record that were sealed.
    sealed_block: Option<u64>,
    sealed_transid: Option<u64>,
    /// The last record of the log.
    last_transid: Option<u64>,
    unsealed_records: u64,
    final_records: u64,
    final_bytes: u64,
    reason: String,
}

const HEADINGS: [&str; 6] = ["STATE", "SEALED TO BLOCK", "RECORD", "UNSEALED", "FINAL", "REASON"];

pub(super) fn run(plan: &Plan, arguments: &SealArguments, settings: &Settings) -> Outcome<Exit> {
    let log = Reader::open(&arguments.log).map_err(sealer::Error::from)?;
    let why = sealer::why(plan, &log, &Store::open(&plan.store)?, &Clock::system())?;
    print_rows(settings.format, &HEADINGS, &[WhyReport::new(plan, &why)], WhyReport::cells)?;
    Ok(Exit::Done)
}

impl WhyReport {
    fn new(plan: &Plan, why: &Why) -> WhyReport {
        let (state, reason) = match &why.state {
            SealState::Ready { last } => ("ready", format!("the next chunk ends with record {last}")),
            SealState::Waiting => ("waiting", waiting(plan, why)),
            SealState::Halted(halt) => ("halted", halt.to_string()),
        };
        WhyReport {
            state,
            sealed_block: why.sealed.as_ref().map(|chunk| chunk.last_block),
            sealed_transid: why.sealed.as_ref().map(|chunk| chunk.last_transid),
            last_transid: why.last.map(TransId::get),
            unsealed_records: why.unsealed,
            final_records: why.pending.records,
            final_bytes: why.pending.bytes,
            reason,
        }
    }

    fn cells(&self) -> Vec<String> {
        let number =
            |number: Option<u64>| number.map_or_else(|| "none".to_string(), |number| number.to_string());
        vec![
            self.state.to_string(),
            number(self.sealed_block),
            number(self.sealed_transid),
            self.unsealed_records.to_string(),
            self.final_records.to_string(),
            self.reason.clone(),
        ]
    }
}

fn waiting(plan: &Plan, why: &Why) -> String {
    if why.unsealed == 0 {
        return "all records of the log are sealed".to_string();
    }
    match plan.finality {
        Finality::Mark => "what is final is known to the process that writes the log".to_string(),
        Finality::Lag(lag) if why.pending.records == 0 => {
            format!("no block is whole and final: {lag} more have to follow one")
        }
        Finality::Lag(_) => {
            let records = plan.cut.records.map(|records| format!("{records} records"));
            let age = plan.cut.age.map(|age| format!("an age of {} s", age.as_secs()));
            let bounds = [records, Some(format!("{} bytes", plan.cut.bytes)), age];
            format!("a chunk ends with {}", bounds.into_iter().flatten().collect::<Vec<_>>().join(" or "))
        }
    }
}
