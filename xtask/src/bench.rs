//! Hands a bench to the workspace of its own in `bench/`, where the rivals' dependencies live.
//! Refuses to measure anything itself.

use std::path::Path;

use crate::tools;

/// Runs `bench/` in release mode with these arguments.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<(), String> {
    // The log's rivals take long to build: who measures the hold need not wait for them.
    let is_log = arguments.first().is_some_and(|name| name == "log");
    let manifest = root.join(if is_log { "bench/log/Cargo.toml" } else { "bench/Cargo.toml" });
    if !manifest.exists() {
        return Err(format!("error: {} is missing, so there is nothing to run", manifest.display()));
    }
    let mut command = tools::cargo(root);
    command.args(["run", "--release", "--manifest-path"]).arg(manifest).arg("--").args(arguments);
    tools::run(&mut command)
}
