//! Measures the joint of log and chunks beside its raw limits and other programs: `cargo xtask bench joint [CASE...]`.
//! Refuses to hide a goal that is missed, and to pass over a rival that is not there.

mod args;
mod cases;
mod duckdb;
mod logs;
mod payloads;
mod s3;

use std::process::ExitCode;

pub(crate) use bench_kit::Outcome;

use crate::args::USAGE;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    bench_kit::end(match arguments.split_first() {
        Some((name, rest)) if name == "joint" => joint(rest),
        _ => Err(USAGE.into()),
    })
}

/// The benches of the joint.
fn joint(arguments: &[String]) -> Outcome<()> {
    let options = args::parse(arguments).map_err(|reason| format!("{reason}\n\n{USAGE}"))?;
    s3::with_variables()?;
    std::fs::create_dir_all(&options.dir)?;
    bench_kit::measure(&options, |case, sheet| cases::run(case, &options, sheet))
}
