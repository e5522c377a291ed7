//! `loghold log`: the commands of the log.
//! Refuses to keep anything between runs; the log's directory does.

mod append;
mod backup;
mod check;
mod consumers;
mod doctor;
mod import;
mod init;
mod ls;
mod meter;
mod read;
mod records_in;
mod records_out;
mod repair;
mod tail;
mod trim;

use std::path::{Path, PathBuf};

use host::Disk;
use rtrans::{Create, Error, Log, Options, Reader, Scheduling};

use crate::args::OutputFormat;
use crate::args::log::{LogArguments, LogCommand, ParametersArguments, SchedulingArguments};
use crate::exit::{Exit, Failure, Outcome};
use crate::notes::Notes;
use crate::settings::Settings;

/// The largest record that is taken and read: what the library allows at most.
const RECORD_BYTES_MAX: u32 = 1 << 30;

/// What every command goes by.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) format: OutputFormat,
    pub(crate) notes: Notes,
    log: Option<PathBuf>,
}

impl Context {
    /// The log's directory.
    fn dir(&self) -> Outcome<&Path> {
        self.log
            .as_deref()
            .filter(|dir| !dir.as_os_str().is_empty())
            .ok_or_else(|| Failure::usage("no log is named").hint("give --log DIR, or set LOGHOLD_LOG"))
    }

    /// The log to read, beside a writer or without one.
    fn reader(&self) -> Outcome<Reader> {
        Reader::open(self.dir()?).map_err(of_what_is_there)
    }

    /// The directory of a log that is there.
    fn disk(&self) -> Outcome<Disk> {
        let dir = self.dir()?;
        // One that cannot be looked at is told as that.
        if !dir.is_dir() && dir.try_exists().is_ok() {
            return Err(Error::NotALog { path: dir.to_owned() }.into());
        }
        Disk::open(dir).map_err(|error| Failure::from(Error::from(error)))
    }

    /// Asks the scheduler for what the command's own thread is to be, as the log's threads will. What it got instead is told.
    fn schedule(&self, arguments: SchedulingArguments) -> Scheduling {
        let wanted = Scheduling::from(arguments.scheduling);
        let reached = wanted.apply_here();
        // The default is worth no word: an older kernel does not know it.
        if reached < wanted && wanted > Options::default().scheduling {
            self.notes.say(&format!("--scheduling {} is not permitted: {}", wanted.name(), reached.name()));
        }
        wanted
    }

    /// The log to write. What opening it found is told.
    fn writer(&self, options: &Options) -> Outcome<Log> {
        let dir = self.dir()?;
        // Opening takes the lock first, and would leave its file in a directory that has nothing to do with logs.
        if options.create == Create::Never && matches!(dir.join("metadata").try_exists(), Ok(false)) {
            return Err(Error::NotALog { path: dir.to_owned() }.into());
        }
        let opened = Log::open(dir, Options { record_bytes_max: RECORD_BYTES_MAX, ..options.clone() });
        let is_asked = options.parameters.is_some();
        let log = opened.map_err(|error| if is_asked { error.into() } else { of_what_is_there(error) })?;
        let recovery = log.recovery();
        if !recovery.is_clean() {
            self.notes.say(&recovery.to_string());
        }
        if !recovery.damaged.is_empty() {
            self.notes.say("what is damaged cannot be read, all else can: see `loghold log check`");
        }
        Ok(log)
    }
}

/// Why a log could not be opened for which no parameters were given: they are what the file says.
fn of_what_is_there(error: Error) -> Failure {
    match error {
        Error::BadParameters { .. } => {
            Failure::new(Exit::Corrupt, format!("the log's parameters are damaged: {error}"))
                .hint("`loghold log repair` can often find out what they were")
        }
        other => other.into(),
    }
}

/// Why somebody could not become this consumer, or could not note how far it got.
pub(crate) fn of_consumer(name: &str, error: Error) -> Failure {
    match error {
        Error::Locked { pid, .. } => {
            let who = pid.map_or_else(|| "another process".to_string(), |pid| format!("process {pid}"));
            Failure::new(Exit::Locked, format!("{who} is the consumer {name}: one process at a time"))
                .hint("end the other process, or be a consumer of another name")
        }
        Error::Poisoned(_) => Failure::new(Exit::Error, error.to_string())
            .hint("nothing is lost: the consumer goes on behind the last position that was noted, and may see records twice"),
        error => error.into(),
    }
}

/// Options for a log that may have to be created.
fn options_of(create: bool, parameters: &ParametersArguments) -> Outcome<Options> {
    if create {
        return Ok(Options {
            parameters: parameters.given(),
            create: Create::IfMissing,
            ..Options::default()
        });
    }
    if parameters.given().is_some() {
        return Err(Failure::usage("parameters are given when a log is created").hint("add --create"));
    }
    Ok(Options { create: Create::Never, ..Options::default() })
}

pub(crate) fn run(arguments: LogArguments, settings: &Settings) -> Outcome<Exit> {
    let context = Context { format: settings.format, notes: Notes::new(settings), log: arguments.log };
    let takes_raw = matches!(arguments.command, LogCommand::Read(_) | LogCommand::Tail(_));
    if context.format == OutputFormat::Raw && !takes_raw {
        return Err(raw_is_for_records());
    }
    match arguments.command {
        LogCommand::Init(arguments) => init::run(&context, &arguments),
        LogCommand::Append(arguments) => append::run(&context, arguments),
        LogCommand::Read(arguments) => read::run(&context, &arguments),
        LogCommand::Tail(arguments) => tail::run(&context, &arguments),
        LogCommand::Ls => ls::run(&context),
        LogCommand::Consumers => consumers::run(&context),
        LogCommand::Commit(arguments) => consumers::commit(&context, &arguments),
        LogCommand::Truncate(arguments) => trim::truncate(&context, &arguments),
        LogCommand::Trim(arguments) => trim::run(&context, &arguments),
        LogCommand::Check(arguments) => check::run(&context, &arguments),
        LogCommand::Repair(arguments) => repair::run(&context, &arguments),
        LogCommand::Import(arguments) => import::run(&context, &arguments),
        LogCommand::Backup(arguments) => backup::run(&context, &arguments),
        LogCommand::Doctor(arguments) => doctor::run(&context, &arguments),
    }
}

/// Bytes without anything around them make sense for records only.
pub(crate) fn raw_is_for_records() -> Failure {
    Failure::usage("-o raw is for records: `loghold log read`, `loghold log tail` and `loghold read`")
}
