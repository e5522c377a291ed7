//! The same faults against our log and its rivals, from outside: `cargo xtask bench log faults`.
//! Refuses to judge by promises: what counts is what a second process reads.

mod child;
mod content;
mod damage;
mod engines;
mod inject;
mod power;
mod survey;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::args::Options;
use crate::machine::{fresh_dir, remove_dir};
use crate::report::Sheet;

pub(crate) use child::role;

use child::{Talker, Word};
use damage::Places;
use power::Loop;
use survey::{Kind, Survey, Tally};

/// How many records are acknowledged before a file is damaged.
const RECORDS: u64 = 1_000;
const FLIPS: u64 = 40;
const CUTS: u64 = 20;
/// A file is cut somewhere within so many last records.
const CUT_RECORDS: u64 = 5;
const KILLS: u64 = 10;
const POWER_CUTS: u64 = 5;

/// What an engine made of a fault.
struct Cell {
    is_ok: bool,
    text: String,
}

impl Cell {
    fn of(tally: &Tally, is_ok: bool) -> Cell {
        Cell { is_ok, text: tally.text() }
    }
}

type Fault = fn(&str, &Place) -> Outcome<Cell>;

/// The faults.
const FAULTS: [(&str, Fault); 7] = [
    ("sync fails once", inject::sync_fails),
    ("write finds no space once", inject::no_space),
    ("SIGKILL", killed),
    ("one bit flipped", flipped),
    ("tail cut", |engine, place| torn(engine, place, Tear::Cut)),
    ("tail zeroed", |engine, place| torn(engine, place, Tear::Zeros)),
    ("power cut", power_cut),
];

/// Where an engine lies.
struct Place {
    dir: PathBuf,
    /// What the rounds of each fault are multiplied by.
    scale: f64,
}

impl Place {
    fn fresh(&self) -> Outcome<PathBuf> {
        let dir = self.dir.join("now");
        fresh_dir(&dir)?;
        Ok(dir)
    }

    /// So many times at the scale that was asked for.
    fn times(&self, full: u64) -> u64 {
        ((full as f64 * self.scale).round() as u64).max(1)
    }
}

/// Tries all faults on all engines, and prints what came of it.
pub(crate) fn run(options: &Options, sheet: &mut Sheet) -> Outcome<()> {
    let place = Place { dir: options.shared.dir.join("faults"), scale: options.shared.scale };
    let is_wanted = |engine: &str| {
        let is_ours = engine.starts_with(crate::report::OURS);
        is_ours
            || options.shared.has_rivals
                && options.who.as_ref().is_none_or(|who| engine.contains(who.as_str()))
    };
    for (fault, attempt) in FAULTS {
        for (engine, durable) in engines::ENGINES {
            if !is_wanted(engine) {
                continue;
            }
            let (verdict, text) = match attempt(engine, &place) {
                Ok(cell) => (if cell.is_ok { "ok" } else { "NO" }, cell.text),
                Err(error) => ("?", error.to_string()),
            };
            if options.shared.is_json {
                println!(
                    "{}",
                    serde_json::json!({
                        "case": "faults", "what": fault, "who": engine, "durable_by": durable,
                        "verdict": verdict, "found": text,
                    })
                );
            } else {
                println!("{fault:<26} {engine:<18} {verdict:<3} {text}");
            }
        }
    }
    sheet.remark("ok: what was acknowledged is there, or what is not is told while the rest is read");
    remove_dir(&place.dir)
}

/// Starts somebody who appends, and waits until the first records are acknowledged.
fn started(engine: &str, dir: &Path, count: u64) -> Outcome<Talker> {
    let mut talker = Talker::append(engine, dir, count)?;
    loop {
        match talker.word()? {
            Word::Record(number) => drop(talker.early.insert(number)),
            Word::Ready => return Ok(talker),
            word => return Err(format!("it does not start: {word:?}").into()),
        }
    }
}

/// Appends so many records, and kills whoever did.
fn filled(engine: &str, dir: &Path, count: u64) -> Outcome<BTreeSet<u64>> {
    let mut talker = started(engine, dir, count)?;
    talker.go();
    let mut acknowledged = talker.early.clone();
    loop {
        match talker.word()? {
            Word::Record(number) => drop(acknowledged.insert(number)),
            Word::Done => return Ok(acknowledged),
            word => return Err(format!("it does not append: {word:?}").into()),
        }
    }
}

/// Appends for a while.
fn appended(talker: &mut Talker, span: Duration) -> Outcome<BTreeSet<u64>> {
    talker.go();
    let begin = Instant::now();
    let mut acknowledged = talker.early.clone();
    while begin.elapsed() < span {
        match talker.word()? {
            Word::Record(number) => drop(acknowledged.insert(number)),
            word => return Err(format!("it does not append: {word:?}").into()),
        }
    }
    Ok(acknowledged)
}

/// A time that differs from round to round.
fn moment(round: u64) -> Duration {
    let clock = crate::machine::nanoseconds();
    Duration::from_millis(20 + (clock / 1_000 + round * 37) % 380)
}

fn add_words(acknowledged: &mut BTreeSet<u64>, words: Vec<Word>) {
    acknowledged.extend(words.into_iter().filter_map(|word| match word {
        Word::Record(number) => Some(number),
        _ => None,
    }));
}

fn killed(engine: &str, place: &Place) -> Outcome<Cell> {
    let mut tally = Tally::default();
    for round in 0..place.times(KILLS) {
        let dir = place.fresh()?;
        let mut talker = started(engine, &dir, u64::MAX - 16)?;
        let mut acknowledged = appended(&mut talker, moment(round))?;
        add_words(&mut acknowledged, talker.kill()?);
        drop(talker);
        let last = acknowledged.last().copied().unwrap_or_default();
        tally.add(Survey::take(engine, &dir, last + 16)?.judge(&acknowledged));
    }
    Ok(Cell::of(&tally, tally.is_only(&[Kind::Whole])))
}

fn flipped(engine: &str, place: &Place) -> Outcome<Cell> {
    let dir = place.fresh()?;
    let wanted = filled(engine, &dir, RECORDS)?;
    let places = Places::find(&dir)?;
    let (begin, end) = places.extent();
    let flips = place.times(FLIPS);
    let mut tally = Tally::default();
    let copy = place.dir.join("copy");
    for flip in 0..flips {
        damage::copy(&dir, &copy)?;
        // Records are as long as each other: evenly spread places alone would meet the same byte of each.
        let offset = begin + (end - begin) * (2 * flip + 1) / (2 * flips);
        let offset = (offset + flip * 37 % 211).min(end - 1);
        damage::flip(&copy.join(&places.file), offset, u32::try_from(flip)?)?;
        tally.add(Survey::take(engine, &copy, RECORDS)?.judge(&wanted));
    }
    // One bit lies in one record, or in the bytes around two.
    let is_ok = tally.is_only(&[Kind::Whole, Kind::Reported]) && tally.lost_max() <= 2;
    Ok(Cell::of(&tally, is_ok))
}

/// What becomes of the bytes behind a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tear {
    Cut,
    Zeros,
}

fn torn(engine: &str, place: &Place, tear: Tear) -> Outcome<Cell> {
    if engine.starts_with("redb") {
        return Err("a tree has no tail".into());
    }
    let dir = place.fresh()?;
    filled(engine, &dir, RECORDS)?;
    let places = Places::find(&dir)?;
    let at = |number: u64| places.offsets.get(&number).copied().ok_or("a record is not in the file");
    let (begin, end) = (at(RECORDS - CUT_RECORDS)?, at(RECORDS)? + content::BYTES as u64);
    let cuts = place.times(CUTS);
    let mut tally = Tally::default();
    let copy = place.dir.join("copy");
    for cut in 0..cuts {
        damage::copy(&dir, &copy)?;
        let path = copy.join(&places.file);
        let offset = begin + (end - begin) * cut / cuts;
        let length = std::fs::metadata(&path)?.len();
        damage::cut(&path, offset)?;
        if tear == Tear::Zeros {
            damage::cut(&path, length)?;
        }
        // A record is whole when the next one's bytes begin before the cut.
        let follows = |number: &u64| places.offsets.get(&(number + 1)).is_some_and(|next| *next <= offset);
        let whole = (1..=RECORDS).filter(follows).collect();
        tally.add(Survey::take(engine, &copy, RECORDS)?.judge(&whole));
    }
    Ok(Cell::of(&tally, tally.is_only(&[Kind::Whole])))
}

fn power_cut(engine: &str, place: &Place) -> Outcome<Cell> {
    let mut tally = Tally::default();
    for round in 0..place.times(POWER_CUTS) {
        let disk = Loop::new(&place.dir.join("power"))?;
        let dir = disk.mount.join("log");
        std::fs::create_dir(&dir)?;
        // The directory itself was there long before the power went.
        std::process::Command::new("sync").arg("-f").arg(&disk.mount).status()?;
        let mut talker = started(engine, &dir, u64::MAX - 16)?;
        // What is acknowledged from here on may be a lie of the file system that is being shut down.
        let acknowledged = appended(&mut talker, Duration::from_millis(300) + moment(round))?;
        disk.shut_down()?;
        talker.kill()?;
        drop(talker);
        disk.unmount()?;
        disk.mount()?;
        let last = acknowledged.last().copied().unwrap_or_default();
        let dir = disk.mount.join("log");
        tally.add(Survey::take(engine, &dir, last + 16)?.judge(&acknowledged));
    }
    Ok(Cell::of(&tally, tally.is_only(&[Kind::Whole])))
}
