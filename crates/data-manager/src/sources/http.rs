//! Files over HTTP and HTTPS: one request, its few permitted redirects, and the answer's bytes.
//! Refuses to retry, and to call an address, scheme or redirect that the policy does not allow.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use host::Clock;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_RANGE, LOCATION, RANGE,
};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::client::{self, Connector, Reach, Versions};
use super::{SourceResult, about, answer, listing};
use crate::data_source::{
    BoxFuture, DataSource, FetchRequest, FetchResponse, Listed, SourceError, SourceErrorKind,
};
use crate::error::Result;
use crate::options::{Network, Options};

const REDIRECTS_MAX: u32 = 3;
/// A part at least this long is asked for on a connection of its own.
const BULK_BYTES_MIN: u64 = 1 << 20;
const LISTING_PAGE_BYTES_MAX: usize = 64 << 20;
/// A listing's page is small: one that takes longer has stalled.
const LISTING_PAGE_MAX: Duration = Duration::from_mins(1);
const LISTING_REQUESTS_MAX: usize = 8;

/// A web server as a source.
#[derive(Clone)]
pub struct HttpSource {
    /// For all without TLS, where nothing but HTTP/1 is spoken: one pool of connections.
    plain: Connector,
    /// For long bodies: HTTP/1, one connection each.
    bulk: Connector,
    /// For all else over TLS: HTTP/2 where it is offered.
    mixed: Connector,
    network: Network,
    clock: Clock,
}

impl HttpSource {
    /// Makes the source; it connects when it is asked for something.
    ///
    /// # Errors
    /// `Invalid` or `Io` if a certificate file or a proxy setting cannot be used.
    pub fn new(options: &Options, clock: Clock) -> Result<HttpSource> {
        let reach = Reach::Policy(options.network);
        Ok(HttpSource {
            plain: client::connector(options, reach, Versions::Plain)?,
            bulk: client::connector(options, reach, Versions::Http1)?,
            mixed: client::connector(options, reach, Versions::Any)?,
            network: options.network,
            clock,
        })
    }

    async fn get(&self, request: FetchRequest) -> SourceResult<FetchResponse> {
        let headers = conditions(&request).map_err(|error| about(&request.url, error))?;
        let client = self.client_for(&request)?;
        let (url, response) = self.follow(client, request.url.clone(), headers).await?;
        let accepted = answer::judge(&request, response.status(), response.headers(), self.clock.wall())
            .map_err(|error| about(&url, error))?;
        let body = response.bytes_stream().map_err(move |error| about(&url, client::failure(error)));
        Ok(FetchResponse {
            offset: accepted.offset,
            total: accepted.total,
            length: accepted.length,
            validator: accepted.validator,
            body: Box::pin(body),
        })
    }

    fn client_for(&self, request: &FetchRequest) -> SourceResult<&Client> {
        let is_long = request
            .range
            .as_ref()
            .is_some_and(|range| range.end.saturating_sub(range.start) >= BULK_BYTES_MIN);
        match request.url.scheme() {
            "http" => self.plain.client(),
            _ if is_long => self.bulk.client(),
            _ => self.mixed.client(),
        }
    }

    /// Sends a request, and again where it is redirected to; returns the answer and the URL that gave it.
    async fn follow(&self, client: &Client, first: Url, headers: HeaderMap) -> SourceResult<(Url, Response)> {
        let mut url = first;
        for _ in 0..=REDIRECTS_MAX {
            client::check_host(&url, self.network).map_err(|error| about(&url, error))?;
            let sent = client.get(url.clone()).headers(headers.clone()).send().await;
            let response = sent.map_err(|error| about(&url, client::failure(error)))?;
            match redirect(&url, response.status(), response.headers()).map_err(|error| about(&url, error))? {
                None => return Ok((url, response)),
                Some(next) => url = next,
            }
        }
        let error = SourceError::new(
            SourceErrorKind::Permanent,
            format!("redirected more than {REDIRECTS_MAX} times"),
        );
        Err(about(&url, error))
    }

    async fn list_all(&self, root: Url) -> SourceResult<Vec<Listed>> {
        let mut tree = listing::Tree::new(root.clone()).map_err(|error| about(&root, error))?;
        loop {
            let directories = tree.take_unread();
            if directories.is_empty() {
                return Ok(tree.into_files());
            }
            let mut pages = futures_util::stream::iter(directories)
                .map(|url| async move { self.page(url.clone()).await.map(|page| (url, page)) })
                .buffer_unordered(LISTING_REQUESTS_MAX);
            while let Some((url, page)) = pages.try_next().await? {
                tree.add_page(&url, &page).map_err(|error| about(&url, error))?;
            }
        }
    }

    async fn page(&self, url: Url) -> SourceResult<Bytes> {
        let read = async {
            let headers = HeaderMap::from_iter([identity()]);
            let (last, response) = self.follow(self.mixed.client()?, url.clone(), headers).await?;
            let request = FetchRequest { url: url.clone(), range: None, validator: None };
            answer::judge(&request, response.status(), response.headers(), self.clock.wall())
                .and_then(|_| check_listing(&url, &last, response.headers()))
                .map_err(|error| about(&url, error))?;
            read_bounded(response, LISTING_PAGE_BYTES_MAX).await.map_err(|error| about(&url, error))
        };
        let stalled =
            || SourceError::new(SourceErrorKind::Transient, "the listing did not end within a minute");
        tokio::time::timeout(LISTING_PAGE_MAX, read).await.unwrap_or_else(|_| Err(about(&url, stalled())))
    }
}

/// Without the clients, which know the proxies and their passwords.
impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSource").field("network", &self.network).finish_non_exhaustive()
    }
}

impl DataSource for HttpSource {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, SourceResult<FetchResponse>> {
        Box::pin(self.get(request))
    }

    fn list(&self, url: Url) -> BoxFuture<'_, SourceResult<Vec<Listed>>> {
        Box::pin(self.list_all(url))
    }
}

fn identity() -> (HeaderName, HeaderValue) {
    (ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// The headers that say which bytes of which version are wanted.
///
/// A part of a known version is asked for with If-Match, which fails when the object changed, and with If-Range for
/// servers that know only that one. Servers that know neither are found out by the `ETag` of what they send.
fn conditions(request: &FetchRequest) -> SourceResult<HeaderMap> {
    let refused = |what: &str| SourceError::new(SourceErrorKind::Refused, what);
    let mut headers = HeaderMap::from_iter([identity()]);
    if let Some(validator) = &request.validator {
        let value =
            HeaderValue::from_str(&validator.0).map_err(|_| refused("the validator is not an ETag"))?;
        if request.range.is_some() {
            headers.insert(IF_RANGE, value.clone());
        }
        headers.insert(IF_MATCH, value);
    }
    if let Some(range) = &request.range {
        let last = range.end.checked_sub(1).filter(|&last| last >= range.start);
        let last = last.ok_or_else(|| refused("an empty range was asked for"))?;
        let value = HeaderValue::from_str(&format!("bytes={}-{last}", range.start));
        headers.insert(RANGE, value.map_err(|_| refused("the range cannot be written"))?);
    }
    Ok(headers)
}

/// Where an answer redirects to, if it does and may. The URL's user name and password go along only within its origin.
fn redirect(from: &Url, status: StatusCode, headers: &HeaderMap) -> SourceResult<Option<Url>> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let odd = |what: String| SourceError::new(SourceErrorKind::Transient, what);
    let location = headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let location = location.ok_or_else(|| odd(format!("{status} without a Location")))?;
    let mut to = from.join(location).map_err(|_| odd(format!("{status} to what is not a URL")))?;
    if to.scheme() != from.scheme() {
        let what = format!("redirected from {} to {}: not followed", from.scheme(), to.scheme());
        return Err(SourceError::new(SourceErrorKind::Refused, what));
    }
    let (name, password) =
        if to.origin() == from.origin() { (from.username(), from.password()) } else { ("", None) };
    to.set_username(name)
        .and_then(|()| to.set_password(password))
        .map_err(|()| odd(format!("{status} to a URL without a host")))?;
    to.set_fragment(None);
    Ok(Some(to))
}

/// A listing that was redirected would have its names read against the wrong directory.
fn check_listing(asked: &Url, answered: &Url, headers: &HeaderMap) -> SourceResult<()> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_listing =
        ["text/html", "application/json", "application/xhtml+xml"].iter().any(|name| kind.starts_with(name));
    if asked == answered && is_listing {
        return Ok(());
    }
    Err(SourceError::new(SourceErrorKind::Permanent, format!("no directory listing (Content-Type {kind:?})")))
}

/// Reads a whole body that is expected to be small.
pub(super) async fn read_bounded(response: Response, bytes_max: usize) -> SourceResult<Bytes> {
    let mut whole = BytesMut::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(client::failure)?;
        if whole.len().saturating_add(piece.len()) > bytes_max {
            let what = format!("the answer is longer than {bytes_max} bytes");
            return Err(SourceError::new(SourceErrorKind::Permanent, what));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
