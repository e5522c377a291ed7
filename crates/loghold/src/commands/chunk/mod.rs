//! `loghold chunk`: the commands of the hold.
//! Refuses to keep anything between runs; the data directory does.

pub(crate) mod absent;
mod files;
mod find;
mod get;
mod import;
mod ls;
pub(crate) mod report;
mod rm;
mod verify;
mod wait;
mod why;

use std::collections::HashSet;
use std::path::Path;

use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::error::Error;
use data_manager::options::Options;
use host::{Disk, Entry, Kind};

use crate::args::ChunkCommand;
use crate::commands::with::file_list::sweep;
use crate::exit::{Exit, Failure, Outcome};
use crate::notes::Notes;
use crate::settings::Settings;

/// What every command goes by.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) notes: Notes,
}

impl Context {
    /// Opens the hold: takes the data directories' locks and loads the catalogue.
    pub(crate) fn hold(&self) -> Outcome<DataManagerImpl> {
        expect_data_dirs(&self.settings)?;
        self.hold_or_new()
    }

    /// The same, and makes data directories that are not there.
    pub(crate) fn hold_or_new(&self) -> Outcome<DataManagerImpl> {
        open_or_make(&self.settings, self.settings.hold_options()?, self.settings.hold_parts())
    }
}

/// Opens a hold of these parts, makes data directories that are not there, and removes what killed runs have left.
pub(crate) fn open_or_make(settings: &Settings, options: Options, parts: Parts) -> Outcome<DataManagerImpl> {
    expect_one_of_each(settings)?;
    let hold = DataManagerImpl::open_with(options, parts).map_err(|error| of_open(settings, error))?;
    sweep(&hold, settings.data_dirs());
    Ok(hold)
}

/// Why a hold could not be opened. One that could not be made has no owner to run as.
fn of_open(settings: &Settings, error: Error) -> Failure {
    let failure = Failure::from(error);
    let absent = settings.data_dirs().iter().find(|dir| matches!(dir.try_exists(), Ok(false)));
    match absent.filter(|_| failure.exit == Exit::Error && failure.hint.is_some()) {
        Some(dir) => failure.hint(format!(
            "{} is not there yet and could not be made: make it, or name another with --data-dir",
            dir.display()
        )),
        None => failure,
    }
}

/// A misspelt directory, or a disk that is not mounted, is no empty hold; and a directory with other things in it is not
/// made one by a command that only looks.
pub(crate) fn expect_data_dirs(settings: &Settings) -> Outcome<()> {
    settings.hold_options()?;
    for dir in settings.data_dirs() {
        let shown = dir.display();
        let message = if !dir.exists() {
            format!("there is no data directory {shown}")
        } else if is_something_else(dir) {
            format!("{shown} is not a data directory: it holds other things, and no chunks")
        } else {
            continue;
        };
        let hint = "--data-dir names the directory that `loghold chunk get` fetches into, and makes";
        return Err(Failure::new(Exit::NotFound, message).hint(hint));
    }
    Ok(())
}

/// Whether a directory has things in it, of which none is a hold's. What cannot be listed is judged when it is opened.
fn is_something_else(dir: &Path) -> bool {
    let Ok(disk) = Disk::open(dir) else { return false };
    let Ok(entries) = disk.list(Path::new("")) else { return false };
    let is_number = |name: &str| name.len() >= 10 && name.bytes().all(|byte| byte.is_ascii_digit());
    let has_numbers = |name: &str| {
        let below = disk.list(Path::new(name)).unwrap_or_default();
        below.iter().any(|entry| entry.name.to_str().is_some_and(is_number))
    };
    // Its lock, chunks that were copied without it, and those of an SQD worker, which lie below ten digits.
    let is_ours = |entry: &Entry| {
        let name = entry.name.to_str().unwrap_or_default();
        name == "LOCK" || name.starts_with("dataset_id=") || (entry.kind == Kind::Dir && has_numbers(name))
    };
    // A new file system has a directory of its own.
    let mut things = entries.iter().filter(|entry| entry.name != "lost+found").peekable();
    things.peek().is_some() && !things.any(is_ours)
}

/// One directory named twice, be it in two ways, would wait for itself.
fn expect_one_of_each(settings: &Settings) -> Outcome<()> {
    let mut seen = HashSet::new();
    // What cannot be resolved is not there yet, or told of when it is opened.
    let resolved = settings.data_dirs().iter().filter_map(|dir| Some((dir, dir.canonicalize().ok()?)));
    for (dir, place) in resolved {
        if !seen.insert(place) {
            return Err(Failure::usage(format!("the data directory {} is named twice", dir.display())));
        }
    }
    Ok(())
}

pub(crate) fn run(command: ChunkCommand, settings: Settings) -> Outcome<Exit> {
    let context = Context { notes: Notes::new(&settings), settings };
    match command {
        ChunkCommand::Get(arguments) => get::run(&context, &arguments),
        ChunkCommand::Rm(arguments) => rm::run(&context, &arguments),
        ChunkCommand::Ls(arguments) => ls::run(&context, &arguments),
        ChunkCommand::Find(arguments) => find::run(&context, &arguments),
        ChunkCommand::Why(arguments) => why::run(&context, &arguments),
        ChunkCommand::Wait(arguments) => wait::run(&context, &arguments),
        ChunkCommand::Files(arguments) => files::run(&context, &arguments),
        ChunkCommand::Verify(arguments) => verify::run(&context, &arguments),
        ChunkCommand::Import(arguments) => import::run(&context, &arguments),
    }
}
