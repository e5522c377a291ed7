//! Data Source: where a chunk's files come from, as one small trait.
//! Refuses to know chunks, retries, disks or digests: a source turns one request into one body.
//!
//! A source of one's own, registered for a scheme of its own. The crates whose types it needs come along: `bytes`,
//! `futures_util` and `url`.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::Arc;
//! use std::time::Duration;
//! use data_manager::data_chunk::DataChunk;
//! use data_manager::data_manager::{DataManagerImpl, Parts};
//! use data_manager::data_source::bytes::Bytes;
//! use data_manager::data_source::{
//!     BoxFuture, DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind, redacted,
//! };
//! use data_manager::options::Options;
//!
//! /// Objects in memory, by the paths of their URLs.
//! #[derive(Debug)]
//! struct Memory(HashMap<String, Bytes>);
//!
//! impl DataSource for Memory {
//!     fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>> {
//!         Box::pin(async move {
//!             let object = self.0.get(request.url.path()).ok_or_else(|| {
//!                 let message = format!("{} is not in memory", redacted(&request.url));
//!                 SourceError::new(SourceErrorKind::Permanent, message)
//!             })?;
//!             Ok(FetchResponse::part_of(object, request.range))
//!         })
//!     }
//! }
//!
//! # let home = tempfile::tempdir().unwrap();
//! # let data_dir = home.path().join("data");
//! let object = ("/blocks.parquet".to_string(), Bytes::from_static(b"PAR1"));
//! let source: Arc<dyn DataSource> = Arc::new(Memory(HashMap::from([object])));
//! let parts = Parts { sources: vec![("memory".to_string(), source)], ..Parts::default() };
//! let hold = DataManagerImpl::open_with(Options::new(data_dir), parts)?;
//! let files = HashMap::from([("blocks.parquet".to_string(), "memory://here/blocks.parquet".to_string())]);
//! hold.download_chunk(DataChunk { id: [1; 32], dataset_id: [7; 32], block_range: 0..36, files })?;
//! let chunk = hold.wait_chunk([1; 32], Duration::from_secs(60))?;
//! # use data_manager::data_chunk::DataChunkRef;
//! assert_eq!(std::fs::read(chunk.path().join("blocks.parquet")).unwrap(), b"PAR1");
//! # Ok::<(), data_manager::error::Error>(())
//! ```

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use url::Url;

pub use {bytes, futures_util, url};

/// A boxed future, so that the trait stays object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The bytes of one answer, in order.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>;

/// Where files come from: a web server, an object store, a directory, or something of the user's own.
///
/// One call is one attempt: a source neither retries nor resumes nor verifies; the caller does, for all sources alike.
/// Dropping the future or the body ends the request.
pub trait DataSource: Send + Sync + fmt::Debug {
    /// Asks for an object, or a part of it.
    ///
    /// The answer may begin at another offset than asked for (a server may ignore a range): the caller looks at
    /// [`FetchResponse::offset`].
    ///
    /// # Errors
    /// A [`SourceError`] whose kind says whether asking again can help.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>>;

    /// Lists what lies below a URL that ends in `/`, recursively, in any order.
    ///
    /// # Errors
    /// [`SourceErrorKind::Refused`] where the source cannot list, which is also what the default does.
    fn list(&self, url: Url) -> BoxFuture<'_, Result<Vec<Listed>, SourceError>> {
        let error = SourceError::new(
            SourceErrorKind::Refused,
            format!("{} cannot be listed: its kind of source has no listing", redacted(&url)),
        );
        Box::pin(async move { Err(error) })
    }
}

/// One request to a [`DataSource`].
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The object. It has no fragment.
    pub url: Url,
    /// The bytes wanted, half-open; `None` is the whole object. While the object's length is not known, the range may end
    /// beyond it: the answer is what there is, with [`FetchResponse::total`]. An empty object's answer is empty.
    pub range: Option<Range<u64>>,
    /// Answer only if the object is still this version; otherwise fail with [`SourceErrorKind::Changed`], or answer
    /// the whole object from offset 0.
    pub validator: Option<Validator>,
}

/// One answer of a [`DataSource`].
pub struct FetchResponse {
    /// Where in the object the body begins.
    pub offset: u64,
    /// The whole object's length in bytes, if the source says it.
    pub total: Option<u64>,
    /// How many bytes the body has, if the source says it.
    pub length: Option<u64>,
    /// What tells this version of the object from others; only strong validators, never weak ones.
    pub validator: Option<Validator>,
    /// The bytes.
    pub body: Body,
}

impl FetchResponse {
    /// The answer of a source that has the whole object in memory: the part of it that lies in `range`, or all of it.
    pub fn part_of(object: &Bytes, range: Option<Range<u64>>) -> FetchResponse {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(object.len());
        let range = range.map_or(0..object.len(), |range| place(range.start)..place(range.end));
        let start = range.start;
        let body = object.slice(start..range.end.max(start));
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        FetchResponse {
            offset: count(start),
            total: Some(count(object.len())),
            length: Some(count(body.len())),
            validator: None,
            body: Box::pin(stream::iter((!body.is_empty()).then_some(Ok(body)))),
        }
    }
}

impl fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchResponse")
            .field("offset", &self.offset)
            .field("total", &self.total)
            .field("length", &self.length)
            .field("validator", &self.validator)
            .finish_non_exhaustive()
    }
}

/// What names one version of an object: a strong `ETag`, as the source gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(pub String);

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object's URL.
    pub url: Url,
    /// Its path below the listed URL, with `/` between parts. What is not UTF-8 in it is replaced (U+FFFD).
    pub path: String,
    /// Its length in bytes, if the listing says it.
    pub size: Option<u64>,
}

/// What the caller can do about a [`SourceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceErrorKind {
    /// Something passing: a reset, a time-out, a gateway's error, a short body. Ask again soon.
    Transient,
    /// The source answered that it failed with this object (500 and its like). Ask again soon; others may be fine.
    Internal,
    /// The source is loaded and said so (429, 503). Ask again when it said, or later than for `Transient`.
    Busy,
    /// The object is not there or may not be read (404, 410, 403, 401). Ask again rarely.
    Permanent,
    /// The object is another version than asked for. Start it over.
    Changed,
    /// We will not ask: the scheme, the address or the redirect is not allowed. Asking again cannot help.
    Refused,
}

/// Why a request failed. Its message never holds credentials: URLs in it have no query and no user information.
#[derive(Debug, Clone)]
pub struct SourceError {
    /// What to do about it.
    pub kind: SourceErrorKind,
    /// What happened, to what.
    pub message: String,
    /// How long the source asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl SourceError {
    /// An error without a wish to be left alone.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> SourceError {
        SourceError { kind, message: message.into(), retry_after: None }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {}

/// A URL as it may be shown: without user information, query and fragment, which may hold credentials.
pub fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    if !shown.username().is_empty() || shown.password().is_some() {
        // Both fail only for URLs that cannot have user information, and those have none.
        let _cannot_fail = shown.set_username("").and_then(|()| shown.set_password(None));
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    /// Offset, length and bytes of an answer.
    fn answer(object: &'static [u8], range: Option<Range<u64>>) -> (u64, Option<u64>, Vec<u8>) {
        let response = FetchResponse::part_of(&Bytes::from_static(object), range);
        assert_eq!(response.total, Some(object.len() as u64));
        let body = response.body.try_collect::<Vec<Bytes>>();
        let pieces = futures_util::FutureExt::now_or_never(body).unwrap().unwrap();
        (response.offset, response.length, pieces.concat())
    }

    #[test]
    fn a_part_of_an_object_is_what_there_is_of_it() {
        assert_eq!(answer(b"chunk", None), (0, Some(5), b"chunk".to_vec()));
        assert_eq!(answer(b"chunk", Some(1..3)), (1, Some(2), b"hu".to_vec()));
        assert_eq!(answer(b"chunk", Some(0..1 << 40)), (0, Some(5), b"chunk".to_vec()));
        assert_eq!(answer(b"chunk", Some(7..u64::MAX)), (5, Some(0), Vec::new()));
        assert_eq!(answer(b"", Some(0..1 << 25)), (0, Some(0), Vec::new()));
    }
}
