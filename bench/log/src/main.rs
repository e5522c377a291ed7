//! Measures the log beside its rivals and its raw limits: `cargo xtask bench log [CASE...]`.
//! Refuses to hide a goal that is missed, and to print a ratio that the machine's noise has made up.

mod args;
mod cases;
mod faults;
mod machine;
mod raw;
mod records;
mod report;
mod rivals;
mod roles;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::args::USAGE;
use crate::report::{Sheet, Verdict};

/// What went wrong, for a person to read.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["role", name, rest @ ..] if name.starts_with("fault-") => faults::role(name, rest),
        ["role", name, rest @ ..] => roles::run(name, rest),
        ["log", ..] => log(arguments.get(1..).unwrap_or_default()),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The benches of the log.
fn log(arguments: &[String]) -> Outcome<()> {
    let options = args::parse(arguments).map_err(|reason| format!("{reason}\n\n{USAGE}"))?;
    std::fs::create_dir_all(&options.dir)?;
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
        again.env(rivals::WALRUS_DIR, options.dir.join("walrus")).env("WALRUS_QUIET", "1");
        return Err(again.exec().into());
    }
    let mut verdicts = Vec::new();
    let mut failed = Vec::new();
    for case in &options.cases {
        eprintln!("{case}: load average {}", machine::load());
        let mut sheet = Sheet::new(case, options.is_json);
        if let Err(error) = cases::run(case, &options, &mut sheet) {
            eprintln!("{case}: {error}");
            failed.push(case.as_str());
        }
        verdicts.extend(sheet.finish());
    }
    Verdict::print(&verdicts, &options);
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("could not be measured: {}", failed.join(", ")).into())
    }
}
