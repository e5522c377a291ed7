//! The cases: what is measured, one file for each.
//! Refuses to measure two things in one breath.

use bench_kit::args::Shared;
use bench_kit::machine;
use bench_kit::report::Sheet;

use crate::Outcome;

mod files;
mod pinned;
mod read;
mod seal;

/// Runs the case with this name in a directory of its own.
pub(crate) fn run(case: &str, options: &Shared, sheet: &mut Sheet) -> Outcome<()> {
    if case == "clean" {
        return machine::remove_dir(&options.dir);
    }
    let dir = options.dir.join(case);
    machine::fresh_dir(&dir)?;
    let result = match case {
        "seal" => seal::run(options, &dir, sheet),
        "pinned" => pinned::run(options, &dir, sheet),
        "read" => read::run(options, &dir, sheet),
        "files" => files::run(options, &dir, sheet),
        other => Err(format!("there is no case {other}").into()),
    };
    machine::remove_dir(&dir)?;
    result
}
