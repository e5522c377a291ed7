//! A directory as a place of objects: each is written beside its name, synced, and renamed.
//! Refuses to make anything visible that a power cut could take back.

use std::io;
use std::path::Path;

use bytes::Bytes;
use host::{Disk, Kind, is_unpublished};

use crate::error::Error;
use crate::place::{Created, Place};

/// Names tried for a file that is not published yet: so many crashes and rivals at one object are survived.
const UNPUBLISHED_MAX: u32 = 1024;

/// A directory of a disk.
#[derive(Clone, Debug)]
pub(crate) struct DiskPlace {
    disk: Disk,
}

impl DiskPlace {
    pub(crate) fn new(disk: Disk) -> DiskPlace {
        DiskPlace { disk }
    }

    /// Writes and syncs a file beside its name, and has it brought there.
    fn publish(
        &self,
        name: &str,
        bytes: &[u8],
        bring: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = Path::new(name);
        let directory = path.parent().unwrap_or(Path::new(""));
        self.disk.create_dir_all(directory)?;
        let (beside, file) = self.create_beside(directory)?;
        let written = file.write_all_at(bytes, 0).and_then(|()| file.sync());
        drop(file);
        // The commit point.
        if let Err(error) = written.and_then(|()| bring(&beside, path)) {
            // The first error is the one to tell; what stays is recognised by its name, and read by nobody.
            drop(self.disk.remove_file(&beside));
            return Err(error);
        }
        self.disk.sync_dir(directory)
    }

    fn create_beside(&self, directory: &Path) -> io::Result<(std::path::PathBuf, host::File)> {
        for number in 0..UNPUBLISHED_MAX {
            let beside = directory.join(format!(".unpublished-{number}"));
            match self.disk.create_file(&beside) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (beside, file)),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many unpublished files were left here"))
    }

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<Result<Bytes, u64>> {
        let file = self.disk.open_file(Path::new(name))?;
        let len = file.len()?;
        let Some(size) = usize::try_from(len).ok().filter(|_| len <= bytes_max) else { return Ok(Err(len)) };
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Ok(bytes.into()))
    }
}

impl Place for DiskPlace {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.publish(name, &bytes, |from, to| self.disk.replace(from, to)).map_err(|error| failed(&error))
    }

    fn put_new(&self, name: &str, bytes: Bytes) -> Result<Created, Error> {
        // The rename refuses to replace, and decides; looking first only saves the writing.
        if self.disk.stat(Path::new(name)).is_ok() {
            return self.keep(name);
        }
        let published = self.publish(name, &bytes, |from, to| self.disk.rename(from, to));
        match published {
            Ok(()) => Ok(Created::Now),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.keep(name),
            Err(error) => Err(failed(&error)),
        }
    }

    fn get(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, Error> {
        match self.read(name, bytes_max) {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(len)) => Err(Error::damaged(name, format!("{len} bytes are more than {bytes_max}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    fn list(&self, directory: &str, after: &str) -> Result<Vec<String>, Error> {
        let entries = match self.disk.list(Path::new(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(&error))?,
        };
        let files =
            entries.into_iter().filter(|entry| entry.kind == Kind::File && !is_unpublished(&entry.name));
        let names = files.filter_map(|entry| entry.name.into_string().ok());
        Ok(names.filter(|name| name.as_str() > after).collect())
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        match self.disk.remove_file(Path::new(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        }
    }
}

impl DiskPlace {
    /// Another writer was first. Its name may not be durable yet, and ours must not build on what a power cut takes back.
    fn keep(&self, name: &str) -> Result<Created, Error> {
        let directory = Path::new(name).parent().unwrap_or(Path::new(""));
        self.disk.sync_dir(directory).map_err(|error| failed(&error))?;
        Ok(Created::Before)
    }
}

fn failed(error: &io::Error) -> Error {
    let is_transient = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    Error::Store { what: error.to_string(), is_transient }
}
