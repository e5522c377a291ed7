//! `DataDirs`: the data directories of a hold, opened together, and what lies in all of them as one.
//! Refuses to look into a directory itself: each Local Data Source does that.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use host::Disk;

use crate::catalogue_file::CatalogueFile;
use crate::chunk_ref::{Places, Wake};
use crate::data_catalogue::{Found, Room};
use crate::data_chunk::ChunkId;
use crate::error::{Error, ErrorKind, Result};
use crate::local_data_source::LocalDataSource;
use crate::options::Options;
use crate::record::Record;
use crate::staging;

/// The data directories, opened.
pub(crate) struct DataDirs {
    pub(crate) dirs: Vec<(LocalDataSource, CatalogueFile)>,
    pub(crate) rooms: Vec<Room>,
    pub(crate) found: Found,
    pub(crate) places: Places,
}

/// The disks at the places that the options name.
pub(crate) fn open_disks(options: &Options) -> Result<Vec<Disk>> {
    let open = |path: &Path| {
        Disk::open(path)
            .map_err(|error| Error::io(format!("opening the data directory {}", path.display()), error))
    };
    options.data_dirs.iter().map(|data_dir| open(&data_dir.path)).collect()
}

impl DataDirs {
    /// Takes the directories, and says what is in them. Chunks found wake `wake` when their last pin is dropped.
    ///
    /// # Errors
    /// As [`LocalDataSource::open`].
    pub(crate) fn open(options: &Options, disks: Vec<Disk>, wake: Arc<dyn Wake>) -> Result<DataDirs> {
        let roots = disks.iter().map(|disk| Arc::from(disk.root())).collect();
        let places = Places::new(roots, wake);
        let mut opened = DataDirs { dirs: Vec::new(), rooms: Vec::new(), found: Found::default(), places };
        for (position, disk) in disks.into_iter().enumerate() {
            let dir = u16::try_from(position)
                .map_err(|_| Error::new(ErrorKind::Invalid, "more than 65,536 data directories"))?;
            let bytes_max = options.data_dirs.get(position).and_then(|data_dir| data_dir.bytes_max);
            let space = disk.space().map_err(|error| Error::io("asking for free space", error))?;
            opened.rooms.push(Room::new(disk.root().to_path_buf(), bytes_max, space.free));
            let (source, file, found) = LocalDataSource::open(disk, dir, &mut opened.places)?;
            opened.dirs.push((source, file));
            opened.found.ready.extend(found.ready);
            opened.found.unwanted.extend(found.unwanted);
            opened.found.staged.extend(found.staged);
            opened.found.leases.extend(found.leases);
        }
        if opened.dirs.len() > 1 {
            opened.found.ready.sort_by_key(|resident| resident.order());
            // Somebody may have copied a chunk from one directory to another: the first one found counts, and none of what is
            // to be removed.
            let mut seen: HashSet<ChunkId> = opened.found.unwanted.iter().map(|record| record.id).collect();
            opened.found.ready.retain(|resident| seen.insert(*resident.id()));
            opened.tell_apart().map_err(|error| {
                Error::io("numbering anew what lies in data directories that were used apart", error)
            })?;
            opened.drop_repeated_parts(seen);
        }
        Ok(opened)
    }

    /// Directories that were used apart, or whose catalogue was made anew, may give one number to two chunks of a dataset with
    /// the same first block, and an index takes the two for one: a deletion could hide the wrong one. The order they were
    /// published in is not known, so that of the later directory counts as published now, durably: else each start would
    /// put it before what is published meanwhile.
    fn tell_apart(&mut self) -> io::Result<()> {
        let ready = self.found.ready.iter().map(|resident| resident.sequence());
        let unwanted = self.found.unwanted.iter().map(|record| record.sequence);
        let mut last = ready.chain(unwanted).max().unwrap_or_default();
        let mut anew: BTreeMap<u16, Vec<Record>> = BTreeMap::new();
        let mut before = None;
        for resident in &mut self.found.ready {
            let order = resident.order();
            if before.replace(order) != Some(order) {
                continue;
            }
            last += 1;
            let record = Record { sequence: last, ..resident.record() };
            if let Some(numbered) = self.places.resident(&record) {
                *resident = numbered;
                anew.entry(record.dir).or_default().push(record);
            }
        }
        for (dir, records) in anew {
            if let Some((_, file)) = self.dirs.get_mut(usize::from(dir)) {
                file.append_publishing(records.iter())?;
                // The commit point of their new numbers.
                file.sync()?;
            }
        }
        Ok(())
    }

    /// A chunk that moved to another directory when a sync had failed in its first one left its parts there. Those that
    /// come second are worth nothing: what counts is what is ready, then what was found first.
    fn drop_repeated_parts(&mut self, mut seen: HashSet<ChunkId>) {
        for (id, staged) in std::mem::take(&mut self.found.staged) {
            if seen.insert(id) {
                self.found.staged.push((id, staged));
            } else if let Some((source, _)) = self.dirs.get(usize::from(staged.dir))
                && let Err(error) = staging::discard(source.disk(), &id)
            {
                tracing::warn!(%error, "parts of a chunk that is elsewhere stay; the next start tries again");
            }
        }
    }
}
