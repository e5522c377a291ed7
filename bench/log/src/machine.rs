//! What the benches ask of the machine: directories, space, load, children.
//! Refuses anything that is not Linux.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::Outcome;

/// Makes an empty directory in place of whatever was there.
pub(crate) fn fresh_dir(path: &Path) -> Outcome<()> {
    remove_dir(path)?;
    fs::create_dir_all(path)?;
    Ok(())
}

/// Removes a directory, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Outcome<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The load average of the last minute: a busy machine makes every figure worse.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// What the files of a directory take: their lengths, and their blocks, both in bytes.
pub(crate) fn space(dir: &Path) -> Outcome<(u64, u64)> {
    let (mut lengths, mut blocks) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let (more_lengths, more_blocks) = space(&entry.path())?;
            lengths += more_lengths;
            blocks += more_blocks;
        } else {
            lengths += metadata.len();
            blocks += metadata.blocks() * 512;
        }
    }
    Ok((lengths, blocks))
}

/// How many files of a directory have names that begin so, at any depth.
pub(crate) fn count_files(dir: &Path, prefix: &str) -> Outcome<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += count_files(&entry.path(), prefix)?;
        } else if entry.file_name().to_string_lossy().starts_with(prefix) {
            count += 1;
        }
    }
    Ok(count)
}

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Nanoseconds since 1970, by the clock that all processes share.
pub(crate) fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds since `begin`.
pub(crate) fn seconds_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64()
}

/// The value below which `share` of the values lie. They are sorted on the way.
pub(crate) fn percentile(values: &mut [u32], share: f64) -> f64 {
    values.sort_unstable();
    let place = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(place).map_or(f64::NAN, |&value| f64::from(value))
}

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts this program in a role.
    pub(crate) fn role(name: &str, arguments: &[&str]) -> Outcome<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("role").arg(name).args(arguments);
        Running::start(command)
    }

    /// Starts a program.
    pub(crate) fn start(mut command: Command) -> Outcome<Running> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        Ok(Running { child, output: BufReader::new(output) })
    }

    /// Its next line.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// What it says until it ends, however it ends.
    pub(crate) fn end(mut self) -> Outcome<String> {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest)?;
        self.child.wait()?;
        Ok(rest.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Keeps every core busy until it is dropped.
#[derive(Debug)]
pub(crate) struct Burners {
    _children: Vec<Running>,
}

impl Burners {
    pub(crate) fn start() -> Outcome<Burners> {
        let children = (0..cores()).map(|_| Running::role("burn", &[])).collect::<Outcome<Vec<_>>>()?;
        // The scheduler takes a moment to see that they are no short-lived programs.
        std::thread::sleep(Duration::from_millis(200));
        Ok(Burners { _children: children })
    }
}

/// Where a program is, if it is installed.
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}
