//! The project's chores, run as `cargo xtask COMMAND`: test, tidy, prove, bench.
//! Refuses to ship: nothing in the product depends on this crate.

use std::process::ExitCode;

mod args;
mod bench;
mod external;
#[expect(
    clippy::disallowed_methods,
    reason = "a development tool: it reads the real tree and removes its own build leftovers"
)]
mod files;
mod prerequisites;
mod prove;
#[expect(
    clippy::disallowed_methods,
    reason = "a development tool: it reports how long each step really took"
)]
mod steps;
mod test;
mod tidy;
mod tools;

use args::Command;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match args::parse(&arguments) {
        Ok(command) => command,
        Err(reason) => {
            eprintln!("error: {reason}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let root = files::root();
    let outcome = match command {
        Command::Help => {
            println!("{}", args::USAGE);
            Ok(())
        }
        Command::Test(options) => test::run(&options, &root),
        Command::Tidy => tidy::run(&root),
        Command::Prove(parts) => prove::run(&parts, &root),
        Command::Bench(arguments) => bench::run(&arguments, &root),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
