//! Reading a log beside its writer in another process: finding what was appended since, without a server.
//! Refuses to take locks and to write: the writer never notices.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::{Clock, Disk, Watch};

use crate::consumer_name::ConsumerName;
use crate::control::Position;
use crate::error::Error;
use crate::format1;
use crate::format2::Chaser;
use crate::parameters::{METADATA, METADATA_BYTES, Parameters};
use crate::position_file;
use crate::store::Shelf;
use crate::tail_page::TAIL;

/// How long a wait lasts at most: a stop, and a log that comes or takes the place of another, are seen by a look only.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// A log that somebody else may write.
#[derive(Debug)]
pub(crate) struct Beside {
    disk: Disk,
    shelf: Shelf,
    parameters: Parameters,
    /// How far the files of format 2 were read. Held while they are read on, so that two readers do not do it twice.
    chaser: Option<Mutex<Chaser>>,
}

impl Beside {
    pub(crate) fn open(disk: &Disk) -> Result<Beside, Error> {
        let parameters = read_parameters(disk)?;
        if parameters.format_version == 1 {
            let shelf = Shelf::One(format1::Shelf::open(disk, &parameters)?);
            return Ok(Beside { disk: disk.clone(), shelf, parameters, chaser: None });
        }
        parameters.validate()?;
        let chaser = Chaser::open(disk, &parameters)?;
        let shelf = Shelf::Two(Arc::clone(chaser.shelf()));
        Ok(Beside { disk: disk.clone(), shelf, parameters, chaser: Some(Mutex::new(chaser)) })
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sees what was appended since.
    pub(crate) fn refresh(&self) -> Result<(), Error> {
        match (&self.shelf, &self.chaser) {
            (Shelf::One(one), _) => one.refresh(),
            (_, Some(chaser)) => chaser.lock().unwrap_or_else(PoisonError::into_inner).read_on(),
            (_, None) => Ok(()),
        }
    }

    /// The positions of consumers: those in the data, and those in files, whichever are later.
    pub(crate) fn positions(&self) -> Result<BTreeMap<ConsumerName, Position>, Error> {
        let mut positions = match &self.chaser {
            Some(chaser) => chaser.lock().unwrap_or_else(PoisonError::into_inner).memory().positions.clone(),
            None => BTreeMap::new(),
        };
        for name in position_file::list(&self.disk)? {
            if let Some(position) = position_file::read(&self.disk, &name)? {
                let known = positions.entry(name).or_insert(position);
                if position.generation > known.generation {
                    *known = position;
                }
            }
        }
        Ok(positions)
    }

    /// Records that a repair has given up.
    pub(crate) fn lost(&self) -> Vec<(u64, u64)> {
        let chaser = self.chaser.as_ref();
        chaser.map_or_else(Vec::new, |chaser| {
            chaser.lock().unwrap_or_else(PoisonError::into_inner).memory().lost.clone()
        })
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Waits until the writer has written, at most for `timeout` and for [`WAIT_MAX`]; returns how long that was. The watch is kept from one wait to the next: ending
    /// one takes the system longer than a record on its way.
    pub(crate) fn wait(
        &self,
        watch: &mut Option<Watch>,
        timeout: Duration,
        is_there: impl Fn() -> bool,
    ) -> Result<Duration, Error> {
        let timeout = timeout.min(WAIT_MAX);
        let watching = if let Some(watching) = watch {
            // It tells of what came since the caller looked.
            watching
        } else {
            // It tells nothing of what came before it began: the caller looked too early.
            let watching = watch.insert(self.watch()?);
            self.refresh()?;
            watching
        };
        if is_there() {
            return Ok(Duration::ZERO);
        }
        let clock = Clock::system();
        let began = clock.monotonic();
        if watching.wait(timeout)? {
            return Ok(clock.monotonic().saturating_sub(began));
        }
        // After a wait in vain the file may be another one: the log may have been put in the place of another.
        *watch = None;
        Ok(timeout)
    }

    /// A log whose writer has not come yet, or is of format 1 and old, has no file `tail`: its parameters are watched
    /// instead, which never change, so that the time limit is what ends the wait.
    fn watch(&self) -> Result<Watch, Error> {
        match self.disk.watch(Path::new(TAIL)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self.disk.watch(Path::new(METADATA))?),
            watch => Ok(watch?),
        }
    }
}

/// Says so where there is no directory that could hold a log. One that cannot be looked at is another matter.
pub(crate) fn expect_dir(dir: &Path) -> Result<(), Error> {
    match dir.try_exists() {
        Ok(true) if dir.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotALog { path: dir.to_owned() }),
        // The path leads through a file.
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Error::NotALog { path: dir.to_owned() })
        }
        Err(error) => {
            let what = format!("look at {}: {error}", dir.display());
            Err(std::io::Error::new(error.kind(), what).into())
        }
    }
}

/// Reads the file `metadata`.
pub(crate) fn read_parameters(disk: &Disk) -> Result<Parameters, Error> {
    let file = match disk.open_file(Path::new(METADATA)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::NotALog { path: disk.root().to_owned() });
        }
        opened => opened?,
    };
    // One byte more, to see that there is none.
    let mut bytes = [0; METADATA_BYTES + 1];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            read => filled = filled.saturating_add(read),
        }
    }
    Parameters::decode(bytes.get(..filled).unwrap_or_default())
}
