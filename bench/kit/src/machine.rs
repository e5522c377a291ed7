//! What all benches ask of the machine: directories, load, cores, ports, programs.
//! Refuses anything that is not Linux.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Outcome;

/// Makes an empty directory in place of whatever was there.
pub fn fresh_dir(path: &Path) -> Outcome<()> {
    remove_dir(path)?;
    fs::create_dir_all(path)?;
    Ok(())
}

/// Removes a directory, if it is there.
pub fn remove_dir(path: &Path) -> Outcome<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The load average of the last minute: a busy machine makes every figure worse.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// How many cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Seconds since `begin`.
pub fn seconds_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64()
}

/// A port that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where a program is, if it is installed: also where only root looks, and where `cargo xtask test` keeps its tools.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.push("/usr/sbin".into());
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_path_buf);
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    for target in beside.into_iter().chain([root]) {
        dirs.extend([target.join("tools/bin"), target.join("tools/venv/bin")]);
    }
    dirs.into_iter().map(|dir| dir.join(name)).find(|path| path.is_file())
}
