//! The `loghold` program: reads the command line, runs the command, ends with its exit code.
//! Refuses to do anything itself; see `commands`.

mod args;
mod block_range;
mod commands;
mod dataset;
mod descriptor;
mod exit;
mod fetched;
mod hindrances;
mod id_prefix;
mod import;
mod input;
mod logs;
mod mirror;
mod notes;
mod output;
mod path_report;
mod progress;
mod quantity;
mod record_range;
mod remote;
mod runtime;
mod selection;
mod settings;
mod settling;
mod soundness;
mod stop;
mod stop_signal;
mod store_dir;
mod suggestion;
mod timestamp;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Arguments;

fn main() -> ExitCode {
    let given = args::command().get_matches();
    let arguments = Arguments::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    output::use_colors(arguments.global.color);
    logs::show(&arguments.global);
    match commands::run(arguments) {
        Ok(ending) => ending.into(),
        Err(failure) => {
            output::print_failure(&failure);
            failure.exit.into()
        }
    }
}
