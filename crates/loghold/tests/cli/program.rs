//! The program in a directory of its own, and an origin that it fetches from.
//! Refuses to assert; the tests do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use host::Disk;
use origin::{Content, Origin, Site};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// No run of a test takes nearly as long; one that hangs is ended by this.
const RUN_TIME_MAX: Duration = Duration::from_mins(2);

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// stdout as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program, with a data directory.
#[derive(Debug)]
pub(crate) struct Program {
    dir: TempDir,
}

impl Program {
    pub(crate) fn new() -> Program {
        Program { dir: tempfile::tempdir().unwrap() }
    }

    /// With chunks 1, 2 and 3 of `trial`: blocks 0..10, 10..20 and 30..40, described in `chunks.jsonl`.
    pub(crate) fn with_three_chunks() -> Program {
        let program = Program::new();
        let descriptors: Vec<String> = [(1, 0, 10), (2, 10, 20), (3, 30, 40)]
            .into_iter()
            .map(|(byte, start, end)| {
                let file = program.write(&format!("source/{byte}.parquet"), [byte; 1_000]);
                descriptor(byte, start, end, &format!("file://{}#size=1000", file.display()))
            })
            .collect();
        program.write("chunks.jsonl", descriptors.join("\n"));
        let run = program.run(&["chunk", "get", "chunks.jsonl", "--allow-files"]);
        assert_eq!(run.code, 0, "{run:?}");
        program
    }

    /// A path beside the data directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file beside the data directory, and the directories above it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &str) -> Run {
        self.finish(Command::new(env!("CARGO_BIN_EXE_loghold")).args(arguments).write_stdin(stdin))
    }

    /// With a log named by the environment.
    pub(crate) fn run_in(&self, arguments: &[&str], log: Option<&str>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loghold"));
        self.finish(command.args(arguments).envs(log.map(|log| ("LOGHOLD_LOG", log))))
    }

    fn finish(&self, command: &mut Command) -> Run {
        let output = command
            .current_dir(self.dir.path())
            .env_remove("NO_COLOR")
            .env("LOGHOLD_DATA_DIR", self.path("data"))
            .timeout(RUN_TIME_MAX)
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a run that goes on beside the test.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env("LOGHOLD_DATA_DIR", self.path("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Waits for a run that goes on beside the test.
pub(crate) fn ended(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal by name, such as `INT`.
pub(crate) fn send_signal(child: &Child, signal: &str) {
    let command = format!("kill -{signal} {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Flips one bit of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = read(path);
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

pub(crate) fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

/// Removes a directory and all that is in it.
pub(crate) fn remove_all(path: &Path) {
    std::fs::remove_dir_all(path).unwrap();
}

/// The names in a directory, which is made if it is not there.
pub(crate) fn names_in(path: &Path) -> Vec<OsString> {
    Disk::open(path).unwrap().list(Path::new("")).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// A chunk id of one byte, repeated.
pub(crate) fn id_of(byte: u8) -> String {
    format!("0x{}", format!("{byte:02x}").repeat(32))
}

/// A descriptor of the dataset `trial`, with blocks `start..end` and one file `blocks.parquet`.
pub(crate) fn descriptor(byte: u8, start: u64, end: u64, url: &str) -> String {
    json!({
        "id": id_of(byte), "dataset_id": "trial", "block_range": {"start": start, "end": end},
        "files": {"blocks.parquet": url},
    })
    .to_string()
}

/// A running origin on loopback.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) origin: Origin,
    pub(crate) runtime: Runtime,
}

impl Served {
    /// Files by name, each of so many generated bytes.
    pub(crate) fn start(files: &[(&str, u64)]) -> Served {
        let runtime = Runtime::new().unwrap();
        let site = files.iter().zip(1u64..).fold(Site::new().listing(), |site, (&(name, len), seed)| {
            site.file(name, Content::Generated { seed, len })
        });
        let origin = runtime.block_on(Origin::start(site)).unwrap();
        Served { origin, runtime }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.origin.url(path)
    }

    /// What a file holds.
    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        self.origin.content(path).unwrap().read().unwrap()
    }
}
