//! Hands a bench to the workspace of its own in `bench/`, where the rivals' dependencies live.
//! Refuses to measure anything itself.

use std::path::Path;

use crate::tools;

/// Runs `bench/` in release mode with these arguments.
pub(crate) fn run(arguments: &[String], root: &Path) -> Result<(), String> {
    let manifest = root.join("bench/Cargo.toml");
    if !manifest.exists() {
        return Err(format!("error: {} is missing, so there is nothing to run", manifest.display()));
    }
    let mut command = tools::cargo(root);
    command.args(["run", "--release", "--manifest-path"]).arg(manifest).arg("--").args(arguments);
    tools::run(&mut command)
}
