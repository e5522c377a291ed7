//! Measures the log beside its rivals and its raw limits: `cargo xtask bench log [CASE...]`.
//! Refuses to hide a goal that is missed, and to print a ratio that the machine's noise has made up.

mod args;
mod cases;
mod faults;
mod machine;
mod raw;
mod records;
mod rivals;
mod roles;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use bench_kit::report;

pub(crate) use bench_kit::Outcome;

use crate::args::USAGE;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["role", name, rest @ ..] if name.starts_with("fault-") => faults::role(name, rest),
        ["role", name, rest @ ..] => roles::run(name, rest),
        ["log", ..] => log(arguments.get(1..).unwrap_or_default()),
        _ => Err(USAGE.into()),
    };
    bench_kit::end(result)
}

/// The benches of the log.
fn log(arguments: &[String]) -> Outcome<()> {
    let options = args::parse(arguments).map_err(|reason| format!("{reason}\n\n{USAGE}"))?;
    std::fs::create_dir_all(&options.shared.dir)?;
    if std::env::var_os(rivals::WALRUS_DIR).is_none() {
        // One rival takes its directory from the environment, and prints what it does unless told not to.
        let own = std::env::current_exe()?;
        let mut again = if options.is_real_time {
            let mut again = Command::new("chrt");
            again.args(["--fifo", "1"]).arg(own);
            again
        } else {
            Command::new(own)
        };
        again.arg("log").args(arguments);
        again.env(rivals::WALRUS_DIR, options.shared.dir.join("walrus")).env("WALRUS_QUIET", "1");
        return Err(again.exec().into());
    }
    let measured = bench_kit::measure(&options.shared, |case, sheet| cases::run(case, &options, sheet));
    machine::remove_dir(&cases::aside(&options))?;
    measured
}
