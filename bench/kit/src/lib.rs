//! What all benches need: their command line, the machine, other programs, and figures.
//! Refuses to know what is measured.

pub mod args;
pub mod child;
pub mod machine;
pub mod report;

/// What went wrong, for a person to read.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs the cases one after the other, and prints the figures of each and, in the end, how the goals were met. A case that
/// fails is named, and the others are measured.
pub fn measure(
    options: &args::Shared,
    mut run: impl FnMut(&str, &mut report::Sheet) -> Outcome<()>,
) -> Outcome<()> {
    let mut verdicts = Vec::new();
    let failed = each(&options.cases, |case| {
        let mut sheet = report::Sheet::new(case, options.is_json);
        let result = run(case, &mut sheet);
        verdicts.extend(sheet.finish());
        result
    });
    report::Verdict::print(&verdicts, options.is_json, options.rounds);
    failed
}

/// Runs the cases one after the other; those that fail are named in the end.
pub fn each(cases: &[String], mut run: impl FnMut(&str) -> Outcome<()>) -> Outcome<()> {
    let mut failed = Vec::new();
    for case in cases {
        eprintln!("{case}: load average {}", machine::load());
        if let Err(error) = run(case) {
            eprintln!("{case}: {error}");
            failed.push(case.as_str());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("could not be measured: {}", failed.join(", ")).into())
    }
}

/// Says what went wrong, if anything did, and ends with the code of it.
pub fn end(result: Outcome<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
