//! Other programs: how they are called, and what their failure says.
//! Refuses to install any: that is for the prerequisites.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The cargo that runs us, started at the root.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    // `cargo run` leaves its own package in the environment, and some build scripts read it.
    command.current_dir(root).env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    command
}

/// Runs to the end with the terminal's own output; a failure names the command.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{} cannot be run: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", shown(command))) }
}

/// Runs to the end silently; whether it could be run and succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What a command prints, when it can be run and succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", shown(command)))?;
    if !output.status.success() {
        return Err(format!("{} failed: {}", shown(command), output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("{} printed something that is not text", shown(command)))
}

/// Where a command says what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Its stdout.
    Stdout,
    /// Its stderr.
    Stderr,
}

/// Runs to the end, passes one of its streams on to stderr as it comes, and returns the last line there that `is_wanted`
/// accepts, also when the command fails.
pub(crate) fn run_and_keep(
    command: &mut Command,
    stream: Stream,
    is_wanted: fn(&str) -> bool,
) -> (Result<(), String>, Option<String>) {
    let piped = match stream {
        Stream::Stdout => command.stdout(Stdio::piped()),
        Stream::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = match piped.spawn() {
        Ok(child) => child,
        Err(error) => return (Err(format!("{} cannot be run: {error}", shown(command))), None),
    };
    let mut kept = None;
    let pipe: Option<Box<dyn Read>> = match stream {
        Stream::Stdout => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        Stream::Stderr => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    for line in pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
        let Ok(bytes) = line else { break };
        let line = String::from_utf8_lossy(&bytes).into_owned();
        eprintln!("{line}");
        if is_wanted(&line) {
            kept = Some(line.trim().to_owned());
        }
    }
    let outcome = match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} failed: {status}", shown(command))),
        Err(error) => Err(format!("{} was lost: {error}", shown(command))),
    };
    (outcome, kept)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// What cargo knows of the workspace, without its dependencies.
pub(crate) fn metadata(root: &Path) -> Result<Value, String> {
    let mut command = cargo(root);
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = output(&mut command)?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata printed bad JSON: {error}"))
}

/// Where cargo builds, which is where installed tools are kept too.
pub(crate) fn target_directory(metadata: &Value) -> Result<PathBuf, String> {
    let directory = metadata.get("target_directory").and_then(Value::as_str);
    directory.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".to_owned())
}
