//! Backups: a copy of a log that is in use, as it was at one moment, read back before it is called one.
//! Refuses to be a log before it is whole: the parameters are written last.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::Disk;

use crate::beside::read_parameters;
use crate::check::{Findings, check_on};
use crate::consumer_name::ConsumerName;
use crate::control::Position;
use crate::error::Error;
use crate::log::Log;
use crate::parameters::METADATA;
use crate::position_file::{self, TRANSID};
use crate::reader::Reader;
use crate::tail_page::{Tail, TailPage};
use crate::{format1, format2};

/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A log that is trimmed or rolled back while it is copied is copied again, so often.
const TRIES_MAX: u32 = 5;

/// What a log consisted of at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Files, and how much of each; `None`: all of it. In the order in which they have to be copied.
    pub(crate) files: Vec<(PathBuf, Option<u64>)>,
    /// What the copy says of its own end.
    pub(crate) tail: Tail,
}

/// What a backup has copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// Files that were copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What reading the copy has found: damage that the log itself has. Its ids say which records the copy holds.
    pub findings: Findings,
}

impl Log {
    /// Copies everything that was appended until now into an empty or missing directory, while appends go on.
    ///
    /// The copy is as the log was at one moment. It is synced and read back before it becomes a log: its parameters are
    /// written last, which is the commit point. After an error, or a crash, the directory holds no log.
    ///
    /// ```
    /// use rtrans::{Log, Options, Reader, TypeNo};
    ///
    /// # let place = tempfile::tempdir()?;
    /// let log = Log::open(place.path().join("log"), Options::default())?;
    /// log.append(TypeNo(7), b"bytes")?;
    /// let backed_up = log.backup(place.path().join("copy"))?;
    /// assert!(backed_up.findings.is_sound());
    /// assert_eq!(Reader::open(place.path().join("copy"))?.scan(..).count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Exists`] when the directory is not empty; [`Error::Unsupported`] when it lies inside of the log;
    /// [`Error::DiskFull`]; as of [`Log::sync`].
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackedUp, Error> {
        self.sync()?;
        copy_log(self.disk(), to.as_ref())
    }
}

impl Reader {
    /// As [`Log::backup`], also beside a writer in another process, or when nobody writes the log.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackedUp, Error> {
        self.refresh()?;
        copy_log(self.shelf().disk(), to.as_ref())
    }
}

fn copy_log(from: &Disk, to: &Path) -> Result<BackedUp, Error> {
    if is_inside(to, from.root()) {
        return Err(Error::Unsupported {
            what: "a backup inside of the log that it copies",
            instead: "name a directory outside: directories in a log are read as parts of it",
        });
    }
    let to = Disk::open(to)?;
    if !to.list(Path::new(""))?.is_empty() {
        return Err(Error::Exists { path: to.root().to_owned() });
    }
    let mut tries = 0u32;
    loop {
        tries = tries.saturating_add(1);
        let first = first_of(from)?;
        match copy_once(from, &to) {
            // Damage in a copy of a log that was trimmed meanwhile may be a file that was reused half way.
            Ok(copied) if copied.findings.is_sound() || tries >= TRIES_MAX || first_of(from)? == first => {
                publish(from, &to)?;
                return Ok(copied);
            }
            Err(Error::Io(error)) if error.kind() != ErrorKind::NotFound || tries >= TRIES_MAX => {
                return Err(Error::Io(error));
            }
            Ok(_) | Err(Error::Io(_)) => clear(&to)?,
            Err(other) => return Err(other),
        }
    }
}

/// Whether a path leads below a directory, by what of it is there already.
fn is_inside(path: &Path, dir: &Path) -> bool {
    let (Ok(path), Ok(dir)) = (std::path::absolute(path), dir.canonicalize()) else { return false };
    let there =
        path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok().map(|real| (ancestor, real)));
    there.is_some_and(|(ancestor, real)| real.starts_with(&dir) && !(real == dir && ancestor == path))
}

fn first_of(disk: &Disk) -> Result<u64, Error> {
    let reader = Reader::open_on(disk)?;
    Ok(reader.shelf().bounds().0)
}

fn copy_once(from: &Disk, to: &Disk) -> Result<BackedUp, Error> {
    let parameters = read_parameters(from)?;
    // Positions first: they are never ahead of the records that are copied after them.
    copy_positions(from, to)?;
    let snapshot = match parameters.format_version {
        1 => format1::snapshot(from, &parameters)?,
        _ => format2::snapshot(from, &parameters)?,
    };
    let mut copied = BackedUp::default();
    let mut dirs: Vec<PathBuf> = Vec::new();
    for (path, len) in &snapshot.files {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        if !dirs.contains(&dir) {
            make_dir(to, &dir)?;
            dirs.push(dir);
        }
        copied.bytes = copied.bytes.saturating_add(copy_file(from, to, path, *len)?);
        copied.files = copied.files.saturating_add(1);
    }
    for dir in &dirs {
        to.sync_dir(dir)?;
    }
    TailPage::open(to)?.tell_durably(&snapshot.tail)?;
    to.sync_dir(Path::new(""))?;
    // To read it back. Everything else is durable: a crash here leaves a whole copy.
    let bytes = parameters.encode();
    to.publish_file(Path::new(METADATA), &bytes)?;
    copied.findings = check_on(to)?;
    to.remove_file(Path::new(METADATA))?;
    Ok(copied)
}

/// The commit point of a backup.
fn publish(from: &Disk, to: &Disk) -> Result<(), Error> {
    Ok(to.publish_file(Path::new(METADATA), &read_parameters(from)?.encode())?)
}

fn copy_positions(from: &Disk, to: &Disk) -> Result<(), Error> {
    let names = position_file::list(from)?;
    let positions: Vec<(ConsumerName, Position)> = names
        .into_iter()
        .filter_map(|name| {
            position_file::read(from, &name).transpose().map(|read| read.map(|position| (name, position)))
        })
        .collect::<Result<_, _>>()?;
    make_dir(to, Path::new(TRANSID))?;
    for (name, position) in positions {
        position_file::write(to, &name, position)?.sync()?;
    }
    Ok(())
}

fn make_dir(disk: &Disk, path: &Path) -> Result<(), Error> {
    match disk.create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn copy_file(from: &Disk, to: &Disk, path: &Path, len: Option<u64>) -> Result<u64, Error> {
    let source = from.open_file(path)?;
    let len = source.len()?.min(len.unwrap_or(u64::MAX));
    let target = to.create_file(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < len {
        let wanted = usize::try_from(len.saturating_sub(offset)).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let piece = piece.get_mut(..wanted).unwrap_or_default();
        source.read_exact_at(piece, offset)?;
        target.write_all_at(piece, offset)?;
        offset = offset.saturating_add(wanted as u64);
    }
    target.sync()?;
    Ok(len)
}

/// Removes what a try has left.
fn clear(disk: &Disk) -> Result<(), Error> {
    for entry in disk.list(Path::new(""))? {
        match entry.kind {
            host::Kind::Dir => disk.remove_tree(Path::new(&entry.name))?,
            _ => disk.remove_file(Path::new(&entry.name))?,
        }
    }
    Ok(())
}
