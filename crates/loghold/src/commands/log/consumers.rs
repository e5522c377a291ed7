//! `loghold log consumers` and `loghold log commit`: how far each consumer has got.
//! Refuses to move a consumer while somebody else is it.

use rtrans::TransId;
use serde::Serialize;

use crate::args::log::CommitArguments;
use crate::commands::log::{Context, of_consumer};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_rows;
use crate::suggestion::nearest;

#[derive(Debug, Serialize)]
struct ConsumerReport {
    name: String,
    /// The last record that it is done with.
    position: Option<u64>,
    lag: u64,
}

const HEADINGS: [&str; 3] = ["CONSUMER", "POSITION", "LAG"];

pub(crate) fn run(context: &Context) -> Outcome<Exit> {
    let reader = context.reader()?;
    let reports: Vec<ConsumerReport> = reader
        .consumers()?
        .into_iter()
        .map(|consumer| ConsumerReport {
            name: consumer.name,
            position: consumer.position.map(TransId::get),
            lag: consumer.lag,
        })
        .collect();
    print_rows(context.format, &HEADINGS, &reports, cells)?;
    Ok(Exit::Done)
}

fn cells(report: &ConsumerReport) -> Vec<String> {
    let position = report.position.map_or_else(|| "none".to_string(), |position| position.to_string());
    vec![report.name.clone(), position, report.lag.to_string()]
}

pub(crate) fn commit(context: &Context, arguments: &CommitArguments) -> Outcome<Exit> {
    let reader = context.reader()?;
    let known: Vec<String> = reader.consumers()?.into_iter().map(|consumer| consumer.name).collect();
    let name = &arguments.consumer;
    let mut consumer = reader.consumer(name).map_err(|error| of_consumer(name, error))?;
    consumer.reset(TransId::new(arguments.id)).map_err(|error| match error {
        rtrans::Error::BeyondEnd { .. } => {
            Failure::new(Exit::NotFound, error.to_string()).hint("a position is a record that is there")
        }
        other => of_consumer(name, other),
    })?;
    drop(consumer);
    if !known.contains(&arguments.consumer) {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let meant = nearest(&arguments.consumer, &names)
            .map_or_else(String::new, |name| format!("; did you mean {name}?"));
        context.notes.say(&format!("{} is a new consumer{meant}", arguments.consumer));
    }
    run(context)
}
