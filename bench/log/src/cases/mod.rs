//! The cases: what is measured, one file for each.
//! Refuses to measure two things in one breath.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::args::Options;
use crate::machine;
use crate::records::Records;
use crate::report::Sheet;
use crate::rivals::{Peer, Purpose, Rival};

mod buffered;
mod cursors;
mod durable;
mod follow;
mod open;
mod pressure;
mod read;
mod recover;
mod rotation;
mod scan;
mod seed;
mod space;

pub(crate) use recover::one_file;

/// Runs the case with this name.
pub(crate) fn run(case: &str, options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let result = match case {
        "buffered" => buffered::run(options, sheet),
        "durable" => durable::run(options, sheet),
        "rotation" => rotation::run(options, sheet),
        "pressure" => pressure::run(options, sheet),
        "read" => read::run(options, sheet),
        "scan" => scan::run(options, sheet),
        "recover" => recover::run(options, sheet),
        "open" => open::run(options, sheet),
        "space" => space::run(options, sheet),
        "follow" => follow::run(options, sheet),
        "cursors" => cursors::run(options, sheet),
        "seed" => seed::run(options, sheet),
        "faults" => crate::faults::run(options, sheet),
        "clean" => machine::remove_dir(&options.shared.dir),
        other => Err(format!("there is no case {other}").into()),
    };
    if case != "clean" {
        put_aside(options)?;
    }
    result
}

/// Where contestants lie.
fn place(options: &Options) -> PathBuf {
    options.shared.dir.join("now")
}

/// Where they lie when they were measured, until all cases are over.
///
/// A file system that has just removed many files may take ten times as long to make new ones: that would be the next one's.
pub(crate) fn aside(options: &Options) -> PathBuf {
    options.shared.dir.join("aside")
}

/// An empty directory for the next contestant.
fn fresh(options: &Options) -> Outcome<PathBuf> {
    put_aside(options)?;
    let dir = place(options);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Puts what a contestant has left aside. Large files are removed: they are few, and the disk is not for us alone.
fn put_aside(options: &Options) -> Outcome<()> {
    let dir = place(options);
    if dir.exists() {
        machine::remove_large(&dir)?;
        std::fs::create_dir_all(aside(options))?;
        std::fs::rename(dir, aside(options).join(machine::nanoseconds().to_string()))?;
    }
    Ok(())
}

/// Opens a contestant in an empty directory, measures something, and removes it.
fn with<T>(
    options: &Options,
    rival: &dyn Rival,
    purpose: Purpose,
    measure: impl FnOnce(&mut dyn Peer, &Path) -> Outcome<T>,
) -> Outcome<T> {
    let dir = fresh(options)?;
    let mut peer = rival.open(&dir, purpose)?;
    let result = measure(peer.as_mut(), &dir);
    drop(peer);
    put_aside(options)?;
    result
}

/// Opens and fills every contestant in a directory of its own; who fails is named and left out.
fn filled(
    sheet: &mut Sheet,
    contestants: &[Box<dyn Rival>],
    dir: &Path,
    (records, count): (&Records, u64),
) -> Vec<(&'static str, Box<dyn Peer>)> {
    let mut peers = Vec::new();
    for (place, rival) in contestants.iter().enumerate() {
        let fill = || -> Outcome<Box<dyn Peer>> {
            let dir = dir.join(place.to_string());
            std::fs::create_dir_all(&dir)?;
            let mut peer = rival.open(&dir, Purpose::Buffered)?;
            peer.fill(records, count)?;
            Ok(peer)
        };
        match fill() {
            Ok(peer) => peers.push((rival.name(), peer)),
            Err(error) => sheet.remark(format!("{}: {error}", rival.name())),
        }
    }
    peers
}
