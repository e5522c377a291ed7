//! Measures the product beside its rivals and its raw limits: `cargo xtask bench hold [CASE...]`.
//! Refuses to hide a goal that is missed.

mod args;
mod cases;
mod child;
mod chunks;
mod hold;
mod machine;
mod memory;
mod report;
mod rivals;
mod roles;
mod stand_in;

use std::path::Path;
use std::process::ExitCode;

use crate::args::{Options, USAGE};
use crate::report::Report;

pub(crate) use bench_kit::Outcome;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["fetch", spec] => roles::fetch(Path::new(spec)),
        ["serve", spec] => roles::serve(Path::new(spec)),
        ["floor", spec] => roles::floor(Path::new(spec)),
        ["restart", spec] => roles::restart(Path::new(spec)),
        ["hold", ..] => hold(arguments.get(1..).unwrap_or_default()),
        _ => Err(USAGE.into()),
    };
    bench_kit::end(result)
}

/// The benches of the hold.
fn hold(arguments: &[String]) -> Outcome<()> {
    let options = args::parse(arguments).map_err(|reason| format!("{reason}\n\n{USAGE}"))?;
    // rustls is built without a default for cryptography.
    let _was_first = rustls::crypto::ring::default_provider().install_default().is_ok();
    std::fs::create_dir_all(&options.shared.dir)?;
    std::fs::create_dir_all(&options.memory)?;
    let mut report = Report::new(options.shared.is_json);
    bench_kit::each(&options.shared.cases, |case| {
        let result = run(case, &options, &mut report);
        report.flush();
        result
    })
}

fn run(case: &str, options: &Options, report: &mut Report) -> Outcome<()> {
    match case {
        "fill" => cases::fill::run(options, report),
        "find" => cases::find::run(options, report),
        "restart" => cases::restart::run(options, report),
        "poison" => cases::poison::run(options, report),
        "latency" => cases::latency::run(options, report),
        "throughput" => cases::throughput::run(options, report),
        "damaged" => cases::damaged::run(options, report),
        "order" => cases::order::run(options, report),
        "clean" => {
            machine::remove_dir(&options.memory)?;
            machine::remove_dir(&options.shared.dir)
        }
        other => Err(format!("there is no case {other}").into()),
    }
}
