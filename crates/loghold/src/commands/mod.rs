//! The commands: one file each.
//! Refuses to parse; what a command takes is defined in `args`.

mod apply;
pub(crate) mod chunk;
mod completions;
mod demo;
mod hot_copy;
mod lease;
mod log;
mod man;
mod sealing;
mod sql_init;
pub(crate) mod with;

use crate::args::{Arguments, ChunkCommand, Command, OutputFormat};
use crate::exit::{Ending, Outcome};
use crate::settings::Settings;

/// Runs a command to its end.
pub(crate) fn run(arguments: Arguments) -> Outcome<Ending> {
    let settings = Settings::resolve(&arguments.global, |name| std::env::var_os(name));
    if settings.format == OutputFormat::Raw
        && !matches!(arguments.command, Command::Log(_) | Command::Read(_))
    {
        return Err(log::raw_is_for_records());
    }
    let exit = match arguments.command {
        Command::Chunk(command) => chunk::run(command, settings),
        Command::Apply(arguments) => apply::run(&arguments, &settings),
        Command::Files(arguments) => chunk::run(ChunkCommand::Files(arguments), settings),
        Command::Lease(command) => lease::run(command, settings),
        Command::With(arguments) => return with::run(&arguments, &settings),
        Command::SqlInit(arguments) => sql_init::run(&arguments, &settings),
        Command::Log(arguments) => log::run(arguments, &settings),
        Command::Seal(arguments) => sealing::seal::run(&arguments, &settings),
        Command::Read(arguments) => sealing::read::run(&arguments, &settings),
        Command::Find(arguments) => sealing::find::run(&arguments, &settings),
        Command::Store(command) => sealing::store::run(&command, &settings),
        Command::Demo(arguments) => demo::run(&arguments, &settings),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { command } => man::run(&command),
    };
    exit.map(Ending::from)
}
