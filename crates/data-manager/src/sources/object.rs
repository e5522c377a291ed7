//! Object stores: `s3://bucket/key`, `gs://bucket/key`, `az://container/key` and `abfs://container/key`.
//! Refuses to take an endpoint, region or account from a URL: those and the credentials come from the operator's environment.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use host::Clock;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientConfigKey, ClientOptions, GetOptions, GetRange, ObjectStore, RetryConfig};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;
use url::Url;

use super::client::{self, Reach, Versions};
use super::{SourceResult, about, answer, http, listing};
use crate::data_source::{
    BoxFuture, DataSource, FetchRequest, FetchResponse, Listed, SourceError, SourceErrorKind,
};
use crate::error::Result;
use crate::options::Options;

/// Buckets whose store is kept; a descriptor may name any number of them.
const BUCKETS_MAX: usize = 64;
/// A page of a listing, or a credential service's answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How much of an error's body is read for its code.
const ERROR_BYTES_MAX: usize = 16 << 10;
const ERROR_BODY_MAX: Duration = Duration::from_secs(5);
const ENTRIES_MAX: usize = 1_000_000;
/// Even a million entries take a store less; a page that only leads to the next could go on for ever.
const LISTING_MAX: Duration = Duration::from_mins(10);

/// Amazon S3 and what speaks its protocol, Google Cloud Storage and Azure Blob Storage as a source.
///
/// The crate `object_store` finds credentials, signs requests and reads listings. The requests are sent and their answers
/// judged here, by the same rules as those of any web server.
#[derive(Clone)]
pub struct ObjectSource {
    service: Service,
    /// `AWS_*`, `GOOGLE_*` and `AZURE_*` variables, by lower-case name. They hold secrets.
    variables: Arc<[(String, String)]>,
    /// By `scheme://bucket`. Held for look-ups only.
    stores: Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>,
}

impl ObjectSource {
    /// The schemes it serves.
    pub const SCHEMES: [&str; 4] = ["s3", "gs", "az", "abfs"];

    /// A source with the endpoints, regions and credentials that the environment names, such as `AWS_ENDPOINT`,
    /// `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT` and `AZURE_STORAGE_ACCOUNT_NAME`.
    ///
    /// # Errors
    /// `Invalid` or `Io` if a certificate file or a proxy setting cannot be used.
    pub fn from_environment(options: &Options, clock: Clock) -> Result<ObjectSource> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        ObjectSource::from_variables(options, clock, variables)
    }

    /// A source with settings that are named as environment variables are, but given here.
    ///
    /// # Errors
    /// As [`ObjectSource::from_environment`].
    pub fn from_variables(
        options: &Options,
        clock: Clock,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<ObjectSource> {
        let client = client::connector(options, Reach::Anywhere, Versions::Http1)?;
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(|(name, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        Ok(ObjectSource {
            service: Service { client, clock, is_http_allowed: false },
            variables,
            stores: Arc::default(),
        })
    }

    async fn get(&self, request: FetchRequest) -> SourceResult<FetchResponse> {
        let url = request.url.clone();
        let get = async {
            let (store, path) = self.place(&url)?;
            let (sender, mut answered) = mpsc::channel(1);
            let mut options =
                GetOptions { range: request.range.clone().map(GetRange::Bounded), ..GetOptions::default() };
            options.if_match = request.validator.as_ref().map(|validator| validator.0.clone());
            options.extensions.insert(Taker { request: Arc::new(request), sender });
            // The answer comes by the channel. What this call returns counts only if no request was sent, such as when
            // no credentials were found.
            let failed = store.get_opts(&path, options).await;
            match (answered.try_recv(), failed) {
                (Ok(answer), _) => answer,
                (Err(_), Err(error)) => Err(failure(&error)),
                (Err(_), Ok(_)) => {
                    Err(SourceError::new(SourceErrorKind::Transient, "the store gave no answer"))
                }
            }
        };
        get.await.map_err(|error| about(&url, error))
    }

    async fn list_all(&self, root: &Url) -> SourceResult<Vec<Listed>> {
        let (store, prefix) = self.place(root)?;
        if !root.path().ends_with('/') {
            return Err(SourceError::new(
                SourceErrorKind::Refused,
                "only a URL that ends in / can be listed",
            ));
        }
        let mut found = store.list(Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty()));
        let mut files = Vec::new();
        while let Some(object) = found.try_next().await.map_err(|error| failure(&error))? {
            let Some(parts) = object.location.prefix_match(&prefix) else { continue };
            let path = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            if files.len() == ENTRIES_MAX {
                let what = format!("the listing has more than {ENTRIES_MAX} entries");
                return Err(SourceError::new(SourceErrorKind::Permanent, what));
            }
            let mut url = root.clone();
            url.set_path(&format!("/{}", listing::encoded(object.location.as_ref())));
            files.push(Listed { url, path, size: Some(object.size) });
        }
        Ok(files)
    }

    /// The store of a URL's bucket, and the place in it.
    fn place(&self, url: &Url) -> SourceResult<(Arc<dyn ObjectStore>, Path)> {
        let refused = |what: &str| SourceError::new(SourceErrorKind::Refused, what);
        let bucket = url.host_str().unwrap_or_default();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_bucket = (1..=255).contains(&bucket.len()) && bucket.bytes().all(is_name);
        // A user part would be an account of Azure's `container@account`, to which our credentials would be sent.
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none()
            && url.query().is_none();
        if !is_bucket || !is_plain {
            return Err(refused(
                "not of the form SCHEME://BUCKET/KEY (the endpoint and account are set by the environment)",
            ));
        }
        let path = Path::from_url_path(url.path()).map_err(|_| refused("the key is not a plain path"))?;
        let name = format!("{}://{bucket}", url.scheme());
        let known = self.stores.lock().unwrap_or_else(PoisonError::into_inner).get(&name).map(Arc::clone);
        if let Some(store) = known {
            return Ok((store, path));
        }
        let store = self.open(url.scheme(), bucket)?;
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if stores.len() >= BUCKETS_MAX {
            stores.clear();
        }
        stores.insert(name, Arc::clone(&store));
        Ok((store, path))
    }

    fn open(&self, scheme: &str, bucket: &str) -> SourceResult<Arc<dyn ObjectStore>> {
        macro_rules! open {
            ($builder:ty, $prefix:literal, $with_bucket:ident) => {{
                let settings = self.variables.iter().filter(|(name, _)| name.starts_with($prefix));
                settings
                    .fold(<$builder>::new(), |builder, (name, value)| match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    })
                    .$with_bucket(bucket)
                    .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
                    .with_http_connector(self.service.clone())
                    .build()
                    .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }};
        }
        let opened = match scheme {
            "s3" => open!(AmazonS3Builder, "aws_", with_bucket_name),
            "gs" => open!(GoogleCloudStorageBuilder, "google_", with_bucket_name),
            "az" | "abfs" => open!(MicrosoftAzureBuilder, "azure_", with_container_name),
            _ => return Err(SourceError::new(SourceErrorKind::Refused, "not an object store's scheme")),
        };
        // The builder's message may quote a setting, and settings hold secrets.
        opened.map_err(|_| {
            let what = format!("the settings of {scheme} in the environment are not complete or not valid");
            SourceError::new(SourceErrorKind::Permanent, what)
        })
    }
}

impl fmt::Debug for ObjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectSource").finish_non_exhaustive()
    }
}

impl DataSource for ObjectSource {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, SourceResult<FetchResponse>> {
        Box::pin(self.get(request))
    }

    fn list(&self, url: Url) -> BoxFuture<'_, SourceResult<Vec<Listed>>> {
        Box::pin(async move {
            let stalled = || SourceError::new(SourceErrorKind::Transient, "the listing did not end in time");
            let listed = tokio::time::timeout(LISTING_MAX, self.list_all(&url)).await;
            listed.unwrap_or_else(|_| Err(stalled())).map_err(|error| about(&url, error))
        })
    }
}

/// Goes with a request for an object through `object_store`, and takes its answer out of it: the body then streams without
/// detours, and all of the answer is judged here.
#[derive(Clone)]
struct Taker {
    request: Arc<FetchRequest>,
    sender: mpsc::Sender<SourceResult<FetchResponse>>,
}

/// Sends what `object_store` has signed.
#[derive(Clone)]
struct Service {
    client: client::Connector,
    clock: Clock,
    is_http_allowed: bool,
}

/// Without the client, which knows the proxies and their passwords.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("is_http_allowed", &self.is_http_allowed).finish_non_exhaustive()
    }
}

impl HttpConnector for Service {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let is_http_allowed = allows_http.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok(HttpClient::new(Service { is_http_allowed, ..self.clone() }))
    }
}

impl HttpService for Service {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.answer(request))
    }
}

impl Service {
    async fn answer(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        let taker = parts.extensions.remove::<Taker>();
        let sent = self.send(parts.method, &parts.uri.to_string(), parts.headers, body).await;
        let Some(taker) = taker else {
            return match sent {
                Ok(response) => pass_on(response, self.clock.wall()).await.map_err(wrapped),
                Err(error) => Err(wrapped(error)),
            };
        };
        let fetched = match sent {
            Ok(response) => fetched(&taker.request, response, self.clock.wall()).await,
            Err(error) => Err(error),
        };
        // Fails only when the caller is gone, and with it the wish for an answer.
        let _caller_is_gone = taker.sender.try_send(fetched);
        Err(wrapped(SourceError::new(SourceErrorKind::Transient, "the answer was taken out")))
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: HttpRequestBody,
    ) -> SourceResult<Response> {
        let refused = |what: &str| SourceError::new(SourceErrorKind::Refused, what);
        let url = Url::parse(url).map_err(|_| refused("the endpoint and key make no URL"))?;
        if url.scheme() != "https" && !self.is_http_allowed {
            return Err(refused(
                "the endpoint is not https; allow it with AWS_ALLOW_HTTP=true (or its like for Google and Azure)",
            ));
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = headers;
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(bytes) = body.as_bytes().filter(|bytes| !bytes.is_empty()) {
            *request.body_mut() = Some(bytes.clone().into());
        }
        self.client.client()?.execute(request).await.map_err(client::failure)
    }
}

/// Judges the answer to a request for an object.
async fn fetched(request: &FetchRequest, response: Response, now: SystemTime) -> SourceResult<FetchResponse> {
    let status = response.status();
    let judged = answer::judge(request, status, response.headers(), now);
    let accepted = match judged {
        Ok(accepted) => accepted,
        Err(_) if status.is_redirection() => {
            let what =
                format!("the store answered {status}: is the region or endpoint in the environment right?");
            return Err(SourceError::new(SourceErrorKind::Permanent, what));
        }
        Err(error) if status.is_success() => return Err(error),
        Err(error) => return Err(with_code(error, response).await),
    };
    let url = request.url.clone();
    let body = response.bytes_stream().map_err(move |error| about(&url, client::failure(error)));
    Ok(FetchResponse {
        offset: accepted.offset,
        total: accepted.total,
        length: accepted.length,
        validator: accepted.validator,
        body: Box::pin(body),
    })
}

/// Adds the store's code, such as `SlowDown`. The rest of the body stays out: it may name keys and signatures.
async fn with_code(error: SourceError, response: Response) -> SourceError {
    let body = tokio::time::timeout(ERROR_BODY_MAX, http::read_bounded(response, ERROR_BYTES_MAX)).await;
    let body = body.ok().and_then(SourceResult::ok).unwrap_or_default();
    match code(&String::from_utf8_lossy(&body)) {
        Some(code) => SourceError { message: format!("{} ({code})", error.message), ..error },
        None => error,
    }
}

fn code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

/// Hands a listing or the answer of a credential service to `object_store`, whole and bounded. Passing failures are
/// judged here, where their headers can still be seen; the others mean something to `object_store`.
async fn pass_on(response: Response, now: SystemTime) -> SourceResult<HttpResponse> {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let error = answer::failure_of_status(status, response.headers(), now);
        return Err(with_code(error, response).await);
    }
    let headers = response.headers().clone();
    let body = http::read_bounded(response, ANSWER_BYTES_MAX).await?;
    let mut passed = HttpResponse::new(body.into());
    *passed.status_mut() = status;
    *passed.headers_mut() = headers;
    Ok(passed)
}

/// `object_store` tries no failure of this kind again.
fn wrapped(error: SourceError) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

/// What went wrong around a request. The text of `object_store` is not repeated: it may quote URLs and answers that hold
/// credentials.
fn failure(error: &object_store::Error) -> SourceError {
    if let Some(ours) = client::cause::<SourceError>(error) {
        return ours.clone();
    }
    let (kind, what) = match error {
        object_store::Error::NotFound { .. } => (SourceErrorKind::Permanent, "not found"),
        object_store::Error::PermissionDenied { .. } => {
            (SourceErrorKind::Permanent, "the credentials do not permit it")
        }
        object_store::Error::Unauthenticated { .. } => {
            (SourceErrorKind::Permanent, "the credentials are not accepted")
        }
        object_store::Error::InvalidPath { .. } => {
            (SourceErrorKind::Permanent, "the store names a key that is no plain path")
        }
        _ => (
            SourceErrorKind::Transient,
            "no usable credentials, or an answer that is not understood (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or \
             AWS_SKIP_SIGNATURE=true for a public bucket; their like for Google and Azure)",
        ),
    };
    SourceError::new(kind, what)
}
