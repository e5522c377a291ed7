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

use data_manager::data_manager::DataManagerImpl;

use crate::args::ChunkCommand;
use crate::exit::{Exit, Outcome};
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
        Ok(DataManagerImpl::open_with(self.settings.hold_options()?, self.settings.hold_parts())?)
    }
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
