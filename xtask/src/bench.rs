//! Hands a bench to the workspace of its own in `bench/`, where the rivals' dependencies live.
//! Refuses to measure anything itself.

use std::path::Path;

use crate::prerequisites::Toolbox;
use crate::tools;

/// Runs `bench/` in release mode with these arguments.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<(), String> {
    // What is measured takes long to build: who measures the hold need not wait for the rest.
    let manifest = root.join(match arguments.first().map(String::as_str) {
        Some("joint") => "bench/joint/Cargo.toml",
        Some("log") => "bench/log/Cargo.toml",
        _ => "bench/Cargo.toml",
    });
    if !manifest.exists() {
        return Err(format!("error: {} is missing, so there is nothing to run", manifest.display()));
    }
    let target = tools::target_directory(&tools::metadata(root)?)?;
    let mut command = tools::cargo(root);
    // Rivals and servers that the tests have installed are found there.
    command.env("PATH", Toolbox::new(root, &target).path());
    command.args(["run", "--release", "--manifest-path"]).arg(manifest).arg("--").args(arguments);
    tools::run(&mut command)
}
