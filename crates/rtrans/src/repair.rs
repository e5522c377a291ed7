//! `repair`: a plan of what would be done about each finding, and its execution.
//! Refuses to act on a plan that no longer fits, and to give up a record that the plan did not name.

use std::fmt;
use std::path::{Path, PathBuf};

use host::{Clock, Disk, LockError};

use crate::beside::read_parameters;
use crate::check::{Finding, FindingKind, Findings, Severity, check_on};
use crate::consumer_name::ConsumerName;
use crate::control::Control;
use crate::error::{Corruption, Error};
use crate::format2;
use crate::log::{LOCK, Log};
use crate::options::{Create, Options};
use crate::parameters::{METADATA, METADATA_BYTES, Parameters};
use crate::position_file::{self, TRANSID};

/// What a repair would do, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The steps.
    pub actions: Vec<Action>,
    /// What nothing can be done about here.
    pub unmendable: Vec<Finding>,
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Write the file `metadata` anew: these are the parameters whose checksum every data file names.
    RestoreParameters(Parameters),
    /// Make a file that leads to records again from the records.
    RebuildIndex {
        /// The file, relative to the log's directory.
        path: PathBuf,
    },
    /// Remove a consumer's file in which nothing is a position: what the log itself knows counts then, or the beginning.
    ForgetPosition {
        /// The consumer.
        consumer: String,
    },
    /// Set a consumer's position right: back to the last record, or into both places of its file.
    MendPosition {
        /// The consumer.
        consumer: String,
    },
    /// Cut an unfinished write off the end, of which nothing had been acknowledged as durable.
    CutTail {
        /// The file, relative to the log's directory.
        path: PathBuf,
        /// Where the log ends then, in bytes.
        offset: Option<u64>,
    },
    /// Note in the log that these records are lost, so that it opens without a complaint. They are lost already: this
    /// only says that nobody waits for a copy of the log any more.
    GiveUp {
        /// Where they were, and which.
        at: Corruption,
        /// The first that is gone; the same as `upto` for a place that held none.
        first: u64,
        /// The first behind them that is there.
        upto: u64,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::RestoreParameters(parameters) => {
                write!(
                    f,
                    "write {METADATA} anew, as every data file remembers it: format {}",
                    parameters.format_version
                )
            }
            Action::RebuildIndex { path } => write!(f, "make {} again from its data", path.display()),
            Action::ForgetPosition { consumer } => {
                write!(f, "remove {TRANSID}/{consumer}: the position that the log itself knows counts then")
            }
            Action::MendPosition { consumer } => write!(f, "set the position of {consumer} right"),
            Action::CutTail { path, offset } => {
                write!(f, "cut the unfinished write at the end of {}", path.display())?;
                offset.map_or(Ok(()), |offset| write!(f, ", from byte {offset} on"))
            }
            Action::GiveUp { at, first, upto } if first >= upto => {
                write!(f, "pass over damage that cost no record: {at}")
            }
            Action::GiveUp { at, .. } => write!(f, "GIVE UP what cannot be read: {at}"),
        }
    }
}

impl Plan {
    /// Whether records are given up.
    pub fn gives_up(&self) -> bool {
        self.actions.iter().any(is_giving_up)
    }

    /// The same plan without the steps that give up records.
    #[must_use]
    pub fn without_giving_up(mut self) -> Plan {
        self.actions.retain(|action| !is_giving_up(action));
        self
    }
}

fn is_giving_up(action: &Action) -> bool {
    matches!(action, Action::GiveUp { first, upto, .. } if first < upto)
}

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// The steps, as they were done.
    pub actions: Vec<Action>,
    /// What a check finds now.
    pub findings: Findings,
}

/// Says what could be done about what a check has found in a directory. Nothing is changed.
///
/// # Errors
/// Those of reading the directory.
pub fn plan_repair(dir: impl AsRef<Path>, findings: &Findings) -> Result<Plan, Error> {
    plan_on(&Disk::open(dir.as_ref())?, findings)
}

fn plan_on(disk: &Disk, findings: &Findings) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let format = read_parameters(disk).map_or(0, |parameters| parameters.format_version);
    for finding in &findings.list {
        match action_for(disk, finding, format)? {
            Some(action) => plan.actions.push(action),
            None if finding.severity == Severity::Note => {}
            None => plan.unmendable.push(finding.clone()),
        }
    }
    plan.actions.sort_by_key(order);
    Ok(plan)
}

fn action_for(disk: &Disk, finding: &Finding, format: u16) -> Result<Option<Action>, Error> {
    let path = finding.at.path.clone();
    Ok(match finding.kind {
        FindingKind::KnownGap => None,
        FindingKind::TornTail => Some(Action::CutTail { path, offset: finding.at.offset }),
        FindingKind::Index => Some(Action::RebuildIndex { path }),
        FindingKind::Position => {
            let name = path.file_name().and_then(|name| ConsumerName::new(name.to_str()?).ok());
            let Some(name) = name else { return Ok(None) };
            let consumer = name.as_str().to_owned();
            Some(match position_file::read(disk, &name)? {
                None => Action::ForgetPosition { consumer },
                Some(_) => Action::MendPosition { consumer },
            })
        }
        FindingKind::Metadata => parameters_by_checksum(disk)?.map(Action::RestoreParameters),
        // Format 1 has no place to note a gap in.
        FindingKind::Records => finding.gap.filter(|_| format == 2).map(|(first, upto)| Action::GiveUp {
            at: finding.at.clone(),
            first,
            upto,
        }),
    })
}

/// What others build upon comes first.
fn order(action: &Action) -> u8 {
    match action {
        Action::RestoreParameters(_) => 0,
        Action::ForgetPosition { .. } => 1,
        Action::CutTail { .. } => 2,
        Action::MendPosition { .. } => 3,
        Action::GiveUp { .. } => 4,
        Action::RebuildIndex { .. } => 5,
    }
}

/// Does what a plan says to the log in a directory, durably. Nobody else may write it meanwhile.
///
/// # Errors
/// [`Error::Locked`]; [`Error::Unsupported`] when the log is no longer as it was when the plan was made.
pub fn repair(dir: impl AsRef<Path>, plan: &Plan) -> Result<Repaired, Error> {
    repair_on(&Disk::open(dir.as_ref())?, &Clock::system(), plan)
}

/// As [`repair`], of the log at the root of a disk.
pub fn repair_on(disk: &Disk, clock: &Clock, plan: &Plan) -> Result<Repaired, Error> {
    let lock = disk.lock(Path::new(LOCK)).map_err(|error| match error {
        LockError::Held { pid } => Error::Locked { pid, path: disk.root().to_owned() },
        LockError::Io(error) => error.into(),
    })?;
    let now = plan_on(disk, &check_on(disk)?)?;
    if plan.actions.iter().any(|action| !now.actions.contains(action)) {
        return Err(Error::Unsupported {
            what: "the log is no longer as it was when this repair was planned",
            instead: "plan it again, and look at what it would do",
        });
    }
    for action in &plan.actions {
        before_opening(disk, action)?;
    }
    // Opening takes it.
    drop(lock);
    let parameters = read_parameters(disk)?;
    if !plan.actions.is_empty() && parameters.validate().is_ok() {
        let log = Log::open_on(disk, clock, Options { create: Create::Never, ..Options::default() })?;
        for action in &plan.actions {
            while_open(&log, action)?;
        }
        log.close()?;
    }
    for action in &plan.actions {
        if let Action::RebuildIndex { path } = action {
            format2::rebuild_index(disk, &parameters, path)?;
        }
    }
    Ok(Repaired { actions: plan.actions.clone(), findings: check_on(disk)? })
}

fn before_opening(disk: &Disk, action: &Action) -> Result<(), Error> {
    match action {
        Action::RestoreParameters(parameters) => {
            let bytes = parameters.encode();
            match disk.remove_file(Path::new(METADATA)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            Ok(disk.publish_file(Path::new(METADATA), &bytes)?)
        }
        Action::ForgetPosition { consumer } => position_file::forget(disk, &ConsumerName::new(consumer)?),
        _ => Ok(()),
    }
}

/// Opening the log has cut the tail and set back positions already.
fn while_open(log: &Log, action: &Action) -> Result<(), Error> {
    match action {
        Action::GiveUp { first, upto, .. } => {
            log.note(Control::Lost { first: *first, last: upto.saturating_sub(1) })
        }
        Action::MendPosition { consumer } => {
            // Each write goes to the place that the last one left alone.
            let mut consumer = log.consumer(consumer)?;
            let position = consumer.position();
            consumer.write_file(position)?;
            consumer.write_file(position)
        }
        _ => Ok(()),
    }
}

/// The parameters with the checksum that the data files name: those that are there with one bit flipped, or usual ones.
fn parameters_by_checksum(disk: &Disk) -> Result<Option<Parameters>, Error> {
    let Some(checksum) = format2::metadata_crc(disk)? else { return Ok(None) };
    let mut candidates = vec![Parameters::format_2(), Parameters::format_1()];
    if let Ok(file) = disk.open_file(Path::new(METADATA)) {
        let mut bytes = [0; METADATA_BYTES];
        if file.read_exact_at(&mut bytes, 0).is_ok() {
            for bit in 0..METADATA_BYTES.saturating_mul(8) {
                let mut flipped = bytes;
                if let Some(byte) = flipped.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                candidates.extend(Parameters::decode(&flipped));
            }
            candidates.extend(Parameters::decode(&bytes));
        }
    }
    Ok(candidates
        .into_iter()
        .find(|parameters| parameters.validate().is_ok() && parameters.checksum() == checksum))
}
