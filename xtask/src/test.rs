//! Every gate, in one command: what is right here is right everywhere.
//! Refuses to pass over a gate silently: what is left out stands in the last lines.

use std::path::Path;

use crate::args::TestOptions;
use crate::external::{EXTERNAL_DIRECTORY, External};
use crate::prerequisites::{Gate, Toolbox};
use crate::steps::{Outcome, Steps};
use crate::tools::Stream;
use crate::{tidy, tools};

/// The tests whose locks and atomics are a scheduler's. The other unit tests cannot run with those.
const INTERLEAVINGS: [&str; 10] = [
    "test",
    "--quiet",
    "--package",
    "data-manager",
    "--package",
    "rtrans",
    "--lib",
    "--features",
    "data-manager/interleavings,rtrans/interleavings",
    "interleavings::",
];

/// Features that our own programs do not use, and that are tested all the same.
const FEATURES: [&str; 2] = ["--features", "rtrans/async"];

/// Runs the gates until one fails. The last line printed is the summary of the test runner.
pub(crate) fn run(options: &TestOptions, root: &Path) -> Result<(), String> {
    let target = tools::target_directory(&tools::metadata(root)?)?;
    let toolbox = Toolbox::new(root, &target);
    let mut steps = Steps::start();
    let external = External::find(root);

    let mut has_nextest = false;
    let mut missing_for_external = None;
    steps.run("prerequisites", || {
        has_nextest = provide_nextest(&toolbox, options);
        if !options.is_quick && !external.is_empty() {
            let provided = toolbox.provide(Gate::External, !options.is_install_forbidden);
            match provided {
                Err(reason) if options.may_skip_external => missing_for_external = Some(reason),
                provided => provided?,
            }
        }
        Ok(Outcome::Done)
    })?;

    cargo_step(&mut steps, root, "format", &["fmt", "--all", "--check"])?;
    let clippy =
        ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo_step(&mut steps, root, "clippy", &clippy)?;
    steps.run("tidy", || tidy::run(root).map(|()| Outcome::Done))?;
    steps.run("dependencies", || dependencies(root))?;
    let mut runner_summary = None;
    steps.run("tests", || {
        let (outcome, summary) = workspace_tests(root, &toolbox, has_nextest);
        runner_summary = summary;
        outcome.map(|()| Outcome::Done)
    })?;
    cargo_step(&mut steps, root, "interleavings", &INTERLEAVINGS)?;
    cargo_step(&mut steps, root, "doctests", &["test", "--quiet", "--workspace", "--doc"])?;
    steps.run("documents", || {
        let mut command = tools::cargo(root);
        command.args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        tools::run(&mut command).map(|()| Outcome::Done)
    })?;
    steps.run("external tests", || match missing_for_external {
        Some(reason) => Ok(Outcome::LeftOut(reason)),
        None if options.is_quick => Ok(Outcome::LeftOut("--quick".to_owned())),
        None if external.is_empty() => Ok(Outcome::LeftOut(format!("{EXTERNAL_DIRECTORY} has none"))),
        None => external.run(root, &target, &toolbox).map(|()| Outcome::Done),
    })?;

    eprintln!("{}", steps.summary());
    if let Some(summary) = runner_summary {
        eprintln!("{summary}");
    }
    Ok(())
}

fn cargo_step(steps: &mut Steps, root: &Path, name: &str, arguments: &[&str]) -> Result<(), String> {
    steps.run(name, || tools::run(tools::cargo(root).args(arguments)).map(|()| Outcome::Done))
}

/// Whether nextest can be used; it is better, but `cargo test` does as well.
fn provide_nextest(toolbox: &Toolbox, options: &TestOptions) -> bool {
    let provided = toolbox.provide(Gate::Tests, !options.is_install_forbidden);
    if let Err(reason) = &provided {
        eprintln!("    `cargo test` runs the tests instead of nextest: {reason}");
    }
    provided.is_ok()
}

/// The policy on licences, duplicates and sources, where the program that checks it is installed.
fn dependencies(root: &Path) -> Result<Outcome, String> {
    if !tools::succeeds(tools::cargo(root).args(["deny", "--version"])) {
        return Ok(Outcome::LeftOut("cargo-deny is not installed".to_owned()));
    }
    let arguments = ["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    tools::run(tools::cargo(root).args(arguments)).map(|()| Outcome::Done)
}

fn workspace_tests(
    root: &Path,
    toolbox: &Toolbox,
    has_nextest: bool,
) -> (Result<(), String>, Option<String>) {
    let mut command = tools::cargo(root);
    if !has_nextest {
        // The runner's lines come on stdout there; there is no single summary to repeat.
        command.args(["test", "--quiet", "--workspace", "--all-targets"]).args(FEATURES);
        return (tools::run(&mut command), None);
    }
    command
        .args(["nextest", "run", "--workspace", "--cargo-quiet"])
        .args(FEATURES)
        .env("PATH", toolbox.path());
    if std::env::var_os("CI").is_some() {
        command.args(["--profile", "ci"]);
    }
    tools::run_and_keep(&mut command, Stream::Stderr, |line| line.trim_start().starts_with("Summary ["))
}
