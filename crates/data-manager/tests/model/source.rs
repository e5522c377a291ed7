//! A scripted source for `sim://` URLs: every chunk's objects, and how the source behaves when they are asked for.
//! Refuses all surprise: what it does was set by the test, and pieces come in virtual time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_manager::data_chunk::{ChunkId, DataChunk, DatasetId};
use data_manager::data_source::{
    BoxFuture, DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind, Validator,
};
use futures_util::stream;
use tokio::sync::Notify;

use host::sim::Random;

/// Bytes that a body brings at once.
const PIECE_BYTES: usize = 700;

/// How an object answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// At once, in pieces.
    Good,
    /// Not at all: an error.
    Fails(SourceErrorKind),
    /// The body breaks off after its first piece.
    BreaksOff,
    /// Nothing comes until [`SimSource::release`].
    Hangs,
    /// Each piece takes this long.
    Slow(Duration),
}

/// The source. Clones share their script.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimSource {
    script: Arc<Script>,
}

#[derive(Debug, Default)]
struct Script {
    objects: Mutex<HashMap<u8, Object>>,
    released: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Object {
    manner: Manner,
    version: u8,
}

impl Default for Object {
    fn default() -> Object {
        Object { manner: Manner::Good, version: 0 }
    }
}

/// The id of a chunk of the model.
pub(crate) fn id(number: u8) -> ChunkId {
    [number; 32]
}

/// Two datasets, so that both have several chunks.
pub(crate) fn dataset(number: u8) -> DatasetId {
    [0xD0 + number % 2; 32]
}

/// Chunks overlap, and some have the same range: they share their parent directories.
pub(crate) fn blocks(number: u8) -> Range<u64> {
    let first = u64::from(number / 2 % 5) * 10;
    let len = if number.is_multiple_of(3) { 15 } else { 10 };
    first..first + len
}

/// One to three files, some of them empty, some in several pieces.
pub(crate) fn files(number: u8) -> Vec<(&'static str, usize)> {
    let all = [("blocks.parquet", 1_500), ("Logs.parquet", 40), ("traces.parquet", 0)];
    let count = 1 + usize::from(number) % 3;
    all[..count]
        .iter()
        .map(|(name, len)| (*name, if *len == 0 { 0 } else { len + usize::from(number) }))
        .collect()
}

/// What an object holds in a version.
pub(crate) fn content(number: u8, name: &str, version: u8) -> Vec<u8> {
    let len = files(number).iter().find(|(other, _)| *other == name).map_or(0, |(_, len)| *len);
    let mut random = Random::new(u64::from(number) << 32 | u64::from(version) << 16 | name.len() as u64);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// How much the descriptor and the source say of a chunk's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The descriptor gives digests and sizes.
    Digests,
    /// The source gives a version.
    Version,
    /// Nobody says anything, not even the length.
    Nothing,
    /// The source gives a length.
    Length,
}

pub(crate) fn flavour(number: u8) -> Flavour {
    match number % 4 {
        0 => Flavour::Digests,
        1 => Flavour::Version,
        2 => Flavour::Nothing,
        _ => Flavour::Length,
    }
}

/// The descriptor of a chunk; `signature` is the part of the URLs that may change.
pub(crate) fn chunk(number: u8, signature: u64) -> DataChunk {
    let url = |name: &str| {
        let bytes = content(number, name, 0);
        let fragment = match flavour(number) {
            Flavour::Digests => format!("#blake3={}&size={}", blake3::hash(&bytes).to_hex(), bytes.len()),
            _ => String::new(),
        };
        format!("sim://store/{number}/{name}?s={signature}{fragment}")
    };
    DataChunk {
        id: id(number),
        dataset_id: dataset(number),
        block_range: blocks(number),
        files: files(number).iter().map(|(name, _)| ((*name).to_string(), url(name))).collect(),
    }
}

impl SimSource {
    pub(crate) fn set(&self, number: u8, manner: Manner) {
        self.objects().entry(number).or_default().manner = manner;
    }

    /// The objects of a chunk become another version. Those with digests must not: an id names immutable content.
    pub(crate) fn change(&self, number: u8) {
        if flavour(number) != Flavour::Digests {
            let mut objects = self.objects();
            let object = objects.entry(number).or_default();
            object.version = (object.version + 1) % VERSIONS;
        }
    }

    /// Everything that hangs goes on, and everything behaves from now on.
    pub(crate) fn heal(&self) {
        self.objects().values_mut().for_each(|object| object.manner = Manner::Good);
        self.release();
    }

    /// Everything that hangs goes on.
    pub(crate) fn release(&self) {
        self.script.released.notify_waiters();
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<u8, Object>> {
        self.script.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: FetchRequest) -> Result<FetchResponse, SourceError> {
        let missing = || SourceError::new(SourceErrorKind::Permanent, "there is no such object");
        let mut parts = request.url.path().trim_start_matches('/').splitn(2, '/');
        let number: u8 = parts.next().and_then(|part| part.parse().ok()).ok_or_else(missing)?;
        let name = parts.next().ok_or_else(missing)?.to_string();
        let mut object = self.objects().get(&number).copied().unwrap_or_default();
        match object.manner {
            Manner::Fails(kind) => return Err(SourceError::new(kind, "as scripted")),
            Manner::Hangs => {
                self.script.released.notified().await;
                object = self.objects().get(&number).copied().unwrap_or_default();
            }
            Manner::Slow(time) => pass(time).await,
            Manner::Good | Manner::BreaksOff => tokio::task::yield_now().await,
        }
        Ok(respond(number, &name, object, &request))
    }
}

/// How many versions an object has; they come round again.
pub(crate) const VERSIONS: u8 = 3;

fn respond(number: u8, name: &str, object: Object, request: &FetchRequest) -> FetchResponse {
    let bytes = Bytes::from(content(number, name, object.version));
    let total = bytes.len() as u64;
    let version = Validator(format!("\"{number}-{}\"", object.version));
    let flavour = flavour(number);
    let has_changed = request.validator.as_ref().is_some_and(|asked| *asked != version);
    let range = match &request.range {
        Some(range) if !has_changed && flavour != Flavour::Nothing => {
            u64::min(range.start, total)..u64::min(range.end, total)
        }
        _ => 0..total,
    };
    let body = bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
    let is_told = flavour != Flavour::Nothing;
    FetchResponse {
        offset: range.start,
        total: is_told.then_some(total),
        length: is_told.then_some(range.end - range.start),
        validator: (flavour == Flavour::Version).then_some(version),
        body: Box::pin(stream::unfold((body, 0), move |(mut body, count)| async move {
            if let Manner::Slow(time) = object.manner {
                pass(time).await;
            }
            if object.manner == Manner::BreaksOff && count == 1 {
                return Some((
                    Err(SourceError::new(SourceErrorKind::Transient, "it broke off")),
                    (Bytes::new(), 2),
                ));
            }
            if body.is_empty() {
                return None;
            }
            let piece = body.split_to(body.len().min(PIECE_BYTES));
            tokio::task::yield_now().await;
            Some((Ok(piece), (body, count + 1)))
        })),
    }
}

/// Lets virtual time pass.
pub(crate) async fn pass(time: Duration) {
    // The error is the time-out, which is what was asked for.
    drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
}

impl DataSource for SimSource {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>> {
        Box::pin(self.answer(request))
    }
}
