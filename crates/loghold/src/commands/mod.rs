//! The commands: one file each.
//! Refuses to parse; what a command takes is defined in `args`.

pub(crate) mod chunk;
mod completions;
mod demo;
mod man;

use crate::args::{Arguments, Command};
use crate::exit::{Exit, Outcome};
use crate::settings::Settings;

/// Runs a command to its end.
pub(crate) fn run(arguments: Arguments) -> Outcome<Exit> {
    let settings = Settings::resolve(&arguments.global, |name| std::env::var_os(name));
    match arguments.command {
        Command::Chunk(command) => chunk::run(command, settings),
        Command::Demo(arguments) => demo::run(&arguments, &settings),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { command } => man::run(&command),
    }
}
