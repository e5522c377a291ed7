//! Data Source: where a chunk's files come from, as one small trait.
//! Refuses to know chunks, retries, disks or digests: a source turns one request into one body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use url::Url;

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
    /// The bytes wanted, half-open; `None` is the whole object.
    pub range: Option<std::ops::Range<u64>>,
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
    /// Its path below the listed URL, with `/` between parts.
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
