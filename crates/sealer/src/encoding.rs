//! The files of a chunk, encoded while somebody else fills its tables.
//! Refuses to know what is in them: it takes rows by the name of their file.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::{panic, thread};

use arrow_schema::SchemaRef;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::hex::hex;
use crate::manifest::{FileEntry, FileKind};
use crate::parquet_file::Encoder;
use crate::tables::Filled;

/// How far the tables may be ahead: two batches, so that neither side waits for the other's hiccups.
const BATCHES_AHEAD: usize = 2;

/// The files of one chunk while they are encoded.
#[derive(Default)]
pub(crate) struct Encoding {
    files: BTreeMap<String, (FileKind, SchemaRef, Encoder)>,
}

/// The names and bytes of files, in the order in which they are written.
pub(crate) type Files = Vec<(String, Bytes)>;

/// Encoded files, and what a manifest says of them.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) files: Files,
    pub(crate) entries: BTreeMap<String, FileEntry>,
}

impl Encoding {
    /// Adds rows to their file. `false` when it has other columns already.
    pub(crate) fn add(&mut self, rows: &Filled) -> Result<bool, Error> {
        let schema = rows.batch.schema();
        if !self.files.contains_key(&rows.file) {
            let encoder = Encoder::new(&rows.file, &schema)?;
            self.files.insert(rows.file.clone(), (rows.kind, SchemaRef::clone(&schema), encoder));
        }
        match self.files.get_mut(&rows.file) {
            Some((_, known, encoder)) if known.fields() == schema.fields() => {
                encoder.add(&rows.batch).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// The files, `blocks.parquet` last: in SQD's layout it says that the chunk is complete.
    pub(crate) fn finish(self) -> Result<Encoded, Error> {
        let (mut files, mut entries) = (Vec::new(), BTreeMap::new());
        for (name, (kind, _, encoder)) in self.files {
            let (bytes, rows) = encoder.finish()?;
            let entry = FileEntry {
                blake3: hex(blake3::hash(&bytes).as_bytes()),
                bytes: bytes.len() as u64,
                kind,
                rows,
                sha256: hex(&Sha256::digest(&bytes)),
            };
            entries.insert(name.clone(), entry);
            files.push((name, bytes));
        }
        files.sort_by_key(|(name, _)| (name == "blocks.parquet", name.clone()));
        Ok(Encoded { files, entries })
    }
}

/// Encodes on a thread of its own what `fill` hands over, and returns what `fill` did beside the files.
pub(crate) fn encode_beside<T>(
    fill: impl FnOnce(&mut dyn FnMut(Filled)) -> Result<T, Error>,
) -> Result<(T, Encoded), Error> {
    let (sender, receiver) = sync_channel::<Filled>(BATCHES_AHEAD);
    thread::scope(|scope| {
        let encode = move || {
            let mut encoding = Encoding::default();
            for rows in receiver {
                if !encoding.add(&rows)? {
                    return Err(Error::damaged(rows.file, "its columns changed while it was made"));
                }
            }
            encoding.finish()
        };
        let thread = thread::Builder::new().name("sealer-encode".to_owned()).spawn_scoped(scope, encode);
        let thread = thread.map_err(|error| Error::Store {
            what: format!("starting a thread: {error}"),
            is_transient: true,
        })?;
        // An encoder that has failed takes nothing more, and is asked why below.
        let filled = fill(&mut |rows| drop(sender.send(rows)));
        drop(sender);
        let encoded = thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        Ok((filled?, encoded?))
    })
}
