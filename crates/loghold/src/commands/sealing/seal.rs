//! `loghold seal`: makes chunks of what is final in a log.
//! Refuses to wait for anything but the log and the store: it may be killed at any moment.

use rtrans::{Create, Log, Options, Reader};
use sealer::{Plan, Sealer, Source, Step};

use super::{CHUNK_HEADINGS, ChunkReport, read_plan, why};
use crate::args::OutputFormat;
use crate::args::sealing::SealArguments;
use crate::exit::{Exit, Outcome};
use crate::notes::Notes;
use crate::output::print_rows;
use crate::settings::Settings;
use crate::stop::Stop;

pub(crate) fn run(arguments: &SealArguments, settings: &Settings) -> Outcome<Exit> {
    let notes = Notes::new(settings);
    let plan = read_plan(&arguments.plan)?;
    if arguments.why {
        return why::run(&plan, arguments, settings);
    }
    let mut sealer = open(plan, arguments)?;
    if arguments.follow {
        return follow(&mut sealer, settings, notes);
    }
    let mut chunks = Vec::new();
    let waiting = loop {
        match sealer.step()? {
            Step::Sealed(chunk) => chunks.push(ChunkReport::new(&chunk)),
            Step::Overtaken => notes.say("another sealer was first; going on behind it"),
            Step::Waiting { records } => break records,
        }
    };
    print_rows(settings.format, &CHUNK_HEADINGS, &chunks, ChunkReport::cells)?;
    if waiting > 0 {
        notes.say(&format!("{waiting} final records wait for the rest of their chunk"));
    }
    Ok(Exit::Done)
}

fn open(plan: Plan, arguments: &SealArguments) -> Outcome<Sealer> {
    let source = if plan.needs_writer() {
        let options = Options { create: Create::Never, ..Options::default() };
        Source::Writer(Log::open(&arguments.log, options).map_err(sealer::Error::from)?)
    } else {
        Source::Reader(Reader::open(&arguments.log).map_err(sealer::Error::from)?)
    };
    Ok(Sealer::open(plan, source)?)
}

/// Until it is stopped, or somebody has to decide. A stop is looked at between chunks, and after a second of waiting at most.
fn follow(sealer: &mut Sealer, settings: &Settings, notes: Notes) -> Outcome<Exit> {
    let stop = Stop::listen(|_| {})?;
    let format = if settings.format == OutputFormat::Json { OutputFormat::Jsonl } else { settings.format };
    loop {
        match sealer.step() {
            Ok(Step::Sealed(chunk)) => {
                print_rows(format, &CHUNK_HEADINGS, &[ChunkReport::new(&chunk)], ChunkReport::cells)?;
            }
            Ok(Step::Overtaken) => notes.say("another sealer was first; going on behind it"),
            Ok(Step::Waiting { .. }) => sealer.wait()?,
            Err(error) if error.is_transient() => {
                notes.say(&format!("{error}; trying again"));
                sealer.wait()?;
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(exit) = stop.exit() {
            return Ok(exit);
        }
    }
}
