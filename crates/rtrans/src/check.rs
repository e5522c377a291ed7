//! `check`: reads a whole log and says everything that is not as it was written.
//! Refuses to change anything, and to stop at the first damage.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use host::Disk;

use crate::beside::{expect_dir, read_parameters};
use crate::consumer_name::ConsumerName;
use crate::control::Position;
use crate::error::{Corruption, Error};
use crate::ids::TransId;
use crate::parameters::METADATA;
use crate::position_file;
use crate::{format1, format2};

/// Findings of one kind of place that are listed; a log whose every file is damaged needs no longer list.
const FINDINGS_MAX: usize = 10_000;

/// What reading a whole log has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Findings {
    /// Everything that is not as it was written, or worth knowing, in the order in which it was found.
    pub list: Vec<Finding>,
    /// The first record and the last; `None` when there is none.
    pub ids: Option<(TransId, TransId)>,
    /// How many records were read and verified.
    pub records: u64,
    /// Data files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One thing that is not as it was written, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it means for the log.
    pub severity: Severity,
    /// What it is about.
    pub kind: FindingKind,
    /// Where it is, which records it concerns, and what was found.
    pub at: Corruption,
    /// For damage to records: the first id that is gone, and the first behind it that is there; both the same when the
    /// bytes held none.
    pub(crate) gap: Option<(u64, u64)>,
}

/// What a finding means for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong: a crash, or a repair before, has left it so.
    Note,
    /// Nothing is lost: what is wrong can be made again, or is set right when the log is opened to be written.
    Mendable,
    /// Something cannot be read any more.
    Damage,
}

impl Severity {
    /// The word for it: `note`, `mendable`, `damage`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Mendable => "mendable",
            Severity::Damage => "damage",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// Records that cannot be read.
    Records,
    /// Records that a repair has given up before.
    KnownGap,
    /// An unfinished write at the end, of which nothing had been acknowledged as durable.
    TornTail,
    /// A file that leads to records, and can be made again from them.
    Index,
    /// A consumer's position.
    Position,
    /// The parameters.
    Metadata,
}

impl FindingKind {
    /// The words for it, such as `torn tail`.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::Records => "records",
            FindingKind::KnownGap => "known gap",
            FindingKind::TornTail => "torn tail",
            FindingKind::Index => "index",
            FindingKind::Position => "position",
            FindingKind::Metadata => "metadata",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity.name(), self.kind.name(), self.at)
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckProgress {
    /// Bytes of data files that were read.
    pub bytes_done: u64,
    /// Bytes of all data files.
    pub bytes_all: u64,
}

impl Findings {
    /// Whether every record that was ever durable can be read, but for those that a repair has given up.
    pub fn is_sound(&self) -> bool {
        self.worst() < Some(Severity::Damage)
    }

    /// The worst that was found; `None` when nothing was.
    pub fn worst(&self) -> Option<Severity> {
        self.list.iter().map(|finding| finding.severity).max()
    }
}

/// Reads the whole log in a directory, each file from the device where the system allows it.
///
/// Beside a writer it works as well; what is being written at that moment may look like a torn tail.
///
/// ```
/// use rtrans::{Log, Options, TypeNo, check};
///
/// # let dir = tempfile::tempdir()?;
/// let log = Log::open(dir.path(), Options::default())?;
/// log.append(TypeNo(7), b"bytes")?;
/// log.close()?;
///
/// let findings = check(dir.path())?;
/// assert!(findings.is_sound());
/// assert_eq!(findings.records, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotALog`]; [`Error::Io`] when a file cannot be read, which is worse than damage: the disk itself fails.
pub fn check(dir: impl AsRef<Path>) -> Result<Findings, Error> {
    let dir = dir.as_ref();
    expect_dir(dir)?;
    check_on(&Disk::open(dir)?)
}

/// As [`check`], of the log at the root of a disk.
pub fn check_on(disk: &Disk) -> Result<Findings, Error> {
    check_watched(disk, &mut |_| Ok(()))
}

/// As [`check_on`], telling how far it is after each file. An error of `watch` ends the check, and is its outcome.
pub fn check_watched(
    disk: &Disk,
    watch: &mut dyn FnMut(CheckProgress) -> Result<(), Error>,
) -> Result<Findings, Error> {
    let mut audit = Audit {
        findings: Findings::default(),
        progress: CheckProgress::default(),
        next: 1,
        positions: BTreeMap::new(),
        watch,
    };
    let checked = read_parameters(disk).and_then(|parameters| {
        if parameters.format_version == 1 {
            return format1::audit(disk, &parameters, &mut audit);
        }
        parameters.validate()?;
        format2::audit(disk, &parameters, &mut audit)
    });
    match checked {
        Ok(()) => {}
        Err(Error::Corrupt(at)) if at.path == Path::new(METADATA) => audit.note_metadata(at),
        Err(Error::BadParameters { name, given, wanted }) => {
            audit.note_metadata(Corruption::of(
                Path::new(METADATA),
                format!("{name} is {given}, but {wanted}"),
            ));
        }
        Err(Error::NotALog { path }) => {
            if !format2::has_files(disk)? {
                return Err(Error::NotALog { path });
            }
            audit.note_metadata(Corruption::of(Path::new(METADATA), "the file is missing"));
        }
        Err(error) => return Err(error),
    }
    // Without parameters no record is known, and every position would seem to lie beyond the last one.
    if audit.findings.list.iter().all(|finding| finding.kind != FindingKind::Metadata) {
        audit_positions(disk, &mut audit)?;
    }
    Ok(audit.findings)
}

/// What the checks of both formats write to.
pub(crate) struct Audit<'a> {
    pub(crate) findings: Findings,
    pub(crate) progress: CheckProgress,
    /// The id behind the last record, also when all are trimmed.
    pub(crate) next: u64,
    /// The positions of consumers that the log itself knows.
    pub(crate) positions: BTreeMap<ConsumerName, Position>,
    watch: &'a mut dyn FnMut(CheckProgress) -> Result<(), Error>,
}

impl Audit<'_> {
    /// Notes something that is no damage to records.
    pub(crate) fn note(&mut self, severity: Severity, kind: FindingKind, at: Corruption) {
        self.push(Finding { severity, kind, at, gap: None });
    }

    /// Notes records that are gone, from `first` up to `upto`, which is not.
    pub(crate) fn note_gap(&mut self, at: Corruption, first: u64, upto: u64) {
        let ids = TransId::new(first).zip(TransId::new(upto.saturating_sub(1)));
        let at = match ids.filter(|(first, last)| first <= last) {
            Some((first, last)) => at.losing(first, last),
            None => at,
        };
        self.push(Finding {
            severity: Severity::Damage,
            kind: FindingKind::Records,
            at,
            gap: Some((first, upto)),
        });
    }

    /// Counts a data file that was read to its end.
    pub(crate) fn count_file(&mut self, records: u64, bytes: u64) -> Result<(), Error> {
        self.findings.files = self.findings.files.saturating_add(1);
        self.count_records(records, bytes)
    }

    /// Counts records that were read.
    pub(crate) fn count_records(&mut self, records: u64, bytes: u64) -> Result<(), Error> {
        self.findings.records = self.findings.records.saturating_add(records);
        self.findings.bytes = self.findings.bytes.saturating_add(bytes);
        self.progress.bytes_done = self.progress.bytes_done.saturating_add(bytes);
        (self.watch)(self.progress)
    }

    fn note_metadata(&mut self, at: Corruption) {
        self.note(Severity::Damage, FindingKind::Metadata, at);
    }

    fn push(&mut self, finding: Finding) {
        if self.findings.list.len() < FINDINGS_MAX {
            self.findings.list.push(finding);
        }
    }
}

/// Positions that cannot be read, or lie beyond the last record.
fn audit_positions(disk: &Disk, audit: &mut Audit<'_>) -> Result<(), Error> {
    let last = audit.next.saturating_sub(1);
    for name in position_file::list(disk)? {
        let path = Path::new(position_file::TRANSID).join(name.as_str());
        let in_log = audit.positions.get(&name).map_or(0, |position| position.generation);
        let what = match position_file::read(disk, &name) {
            // The log has a later one, which counts, and may have been rolled back since.
            Ok(Some(position)) if position.generation < in_log => continue,
            Ok(None) => {
                "nothing in it is a position: the consumer goes on from what the log itself knows".to_owned()
            }
            Ok(Some(position)) if position.transid > last => {
                format!(
                    "it is at {}, beyond the last record: it is set back when the log is opened",
                    position.transid
                )
            }
            Ok(Some(_)) if position_file::is_half_damaged(disk, &name)? => {
                "one of its two places is damaged: the other one counts".to_owned()
            }
            Ok(Some(_)) => continue,
            Err(Error::Io(error)) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        audit.note(Severity::Mendable, FindingKind::Position, Corruption::of(&path, what));
    }
    Ok(())
}
