//! `loghold seal`: makes chunks of what is final in a log.
//! Refuses to wait for anything but the log and the store: it may be killed at any moment.

use rtrans::{Create, Log, Options, Reader};
use sealer::{Plan, Sealer, Source, Step};

use super::{CHUNK_HEADINGS, ChunkReport, read_plan, why};
use crate::args::sealing::SealArguments;
use crate::exit::{Exit, Outcome};
use crate::notes::Notes;
use crate::output::Stream;
use crate::settings::Settings;
use crate::stop::Stop;

pub(crate) fn run(arguments: &SealArguments, settings: &Settings) -> Outcome<Exit> {
    let notes = Notes::new(settings);
    let plan = read_plan(&arguments.plan)?;
    if arguments.why {
        return why::run(&plan, arguments, settings);
    }
    let mut sealer = open(plan, arguments)?;
    let mut out = Stream::new(settings.format);
    let exit = if arguments.follow {
        Stop::listen(|_| {}).and_then(|stop| follow(&mut sealer, &mut out, &stop, notes))
    } else {
        once(&mut sealer, &mut out, notes)
    };
    let ended = out.end();
    exit.and_then(|exit| ended.map(|()| exit))
}

/// Each chunk is told when it is sealed: what comes next may fail.
fn once(sealer: &mut Sealer, out: &mut Stream, notes: Notes) -> Outcome<Exit> {
    loop {
        match sealer.step()? {
            Step::Sealed(chunk) => {
                out.print_row(&CHUNK_HEADINGS, &ChunkReport::new(&chunk), ChunkReport::cells)?;
            }
            Step::Overtaken => notes.say("another sealer was first; going on behind it"),
            Step::Waiting { records } => {
                if records > 0 {
                    notes.say(&format!("{records} final records wait for the rest of their chunk"));
                }
                return Ok(Exit::Done);
            }
        }
    }
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
fn follow(sealer: &mut Sealer, out: &mut Stream, stop: &Stop, notes: Notes) -> Outcome<Exit> {
    loop {
        match sealer.step() {
            Ok(Step::Sealed(chunk)) => {
                out.print_row(&CHUNK_HEADINGS, &ChunkReport::new(&chunk), ChunkReport::cells)?;
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
