//! An object store as a place of objects: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//! Refuses to take an endpoint, region or account from a URL: those and the credentials come from the environment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig};
use tokio::runtime::{Handle, Runtime};
use url::Url;

use crate::error::Error;
use crate::place::{Created, Place};

/// How often and how long one call is tried, before the sealer's own pause.
const TRIES_MAX: usize = 4;
const TRYING_MAX: Duration = Duration::from_secs(30);
/// A directory of more names than this is not ours.
const NAMES_MAX: usize = 10_000_000;

/// A bucket, and a prefix in it.
pub(crate) struct RemotePlace {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Drives the connections; calls wait for it.
    runtime: Background,
}

/// A runtime that ends without being waited for: the place may be dropped by a task of another runtime, where waiting panics.
struct Background(Handle, Option<Runtime>);

impl Background {
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.1.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for RemotePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePlace").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RemotePlace {
    pub(crate) fn open(url: &Url, endpoint: Option<&str>) -> Result<RemotePlace, Error> {
        let wrong = |what: &str| Error::plan("store", format!("{url}: {what}"));
        let bucket = url.host_str().unwrap_or_default();
        let is_plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        if bucket.is_empty() || !is_plain || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "not of the form SCHEME://BUCKET/PREFIX (the environment sets endpoint and account)",
            ));
        }
        let prefix = Path::from_url_path(url.path()).map_err(|_| wrong("the prefix is no plain path"))?;
        install_crypto();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sealer-store")
            .enable_all()
            .build()
            .map_err(|error| Error::Store {
                what: format!("starting a runtime: {error}"),
                is_transient: false,
            })?;
        // The builders' messages may quote settings, and settings hold secrets.
        let store = object_store(url.scheme(), bucket, endpoint).map_err(|_| {
            wrong("the settings of this store in the environment are not complete or not valid")
        })?;
        let store = store.ok_or_else(|| wrong("its scheme is none of file, s3, gs, az"))?;
        Ok(RemotePlace { store, prefix, runtime: Background(runtime.handle().clone(), Some(runtime)) })
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }
}

/// The client of a bucket, with the settings of the environment; `None` for a scheme that is none of these.
fn object_store(
    scheme: &str,
    bucket: &str,
    endpoint: Option<&str>,
) -> Result<Option<Arc<dyn ObjectStore>>, object_store::Error> {
    let retry = RetryConfig { max_retries: TRIES_MAX, retry_timeout: TRYING_MAX, ..RetryConfig::default() };
    let endpoint = endpoint.into_iter();
    Ok(match scheme {
        "s3" => {
            let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
            Some(Arc::new(endpoint.fold(builder, AmazonS3Builder::with_endpoint).build()?))
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry);
            Some(Arc::new(endpoint.fold(builder, GoogleCloudStorageBuilder::with_base_url).build()?))
        }
        "az" | "abfs" => {
            let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retry);
            let endpoint = endpoint.map(str::to_owned);
            Some(Arc::new(endpoint.fold(builder, MicrosoftAzureBuilder::with_endpoint).build()?))
        }
        _ => None,
    })
}

impl Place for RemotePlace {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let path = self.path(name);
        let put = self.store.put(&path, PutPayload::from(bytes));
        self.runtime.block_on(put).map(drop).map_err(|error| failed("write", name, &error))
    }

    fn put_new(&self, name: &str, bytes: Bytes) -> Result<Created, Error> {
        let path = self.path(name);
        let put = self.store.put_opts(&path, PutPayload::from(bytes), PutMode::Create.into());
        match self.runtime.block_on(put) {
            Ok(_) => Ok(Created::Now),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Created::Before)
            }
            Err(error) => Err(failed("create", name, &error)),
        }
    }

    fn get(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, Error> {
        let path = self.path(name);
        let read = async {
            let found = self.store.get(&path).await?;
            let len = found.meta.size;
            if len > bytes_max {
                return Ok(Err(len));
            }
            found.bytes().await.map(Ok)
        };
        match self.runtime.block_on(read) {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(len)) => Err(Error::damaged(name, format!("{len} bytes are more than {bytes_max}"))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", name, &error)),
        }
    }

    fn list(&self, directory: &str, after: &str) -> Result<Vec<String>, Error> {
        let directory = self.path(directory);
        let list = async {
            let mut names = Vec::new();
            let mut found = if after.is_empty() {
                self.store.list(Some(&directory))
            } else {
                self.store.list_with_offset(Some(&directory), &directory.clone().join(after))
            };
            while let Some(object) = found.try_next().await? {
                let parts = object.location.prefix_match(&directory);
                let mut parts = parts.into_iter().flatten();
                if let (Some(name), None) = (parts.next(), parts.next()) {
                    names.push(name.as_ref().to_owned());
                }
                if names.len() >= NAMES_MAX {
                    break;
                }
            }
            Ok::<_, object_store::Error>(names)
        };
        let mut names =
            self.runtime.block_on(list).map_err(|error| failed("list", directory.as_ref(), &error))?;
        // Not every server sorts, and not every server takes an offset.
        names.retain(|name| name.as_str() > after);
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        match self.runtime.block_on(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", name, &error)),
        }
    }
}

/// The text of `object_store` is not repeated: it may quote URLs and answers that hold credentials.
fn failed(what: &str, name: &str, error: &object_store::Error) -> Error {
    let (cause, is_transient) = match error {
        object_store::Error::PermissionDenied { .. } => ("the credentials do not permit it", false),
        object_store::Error::Unauthenticated { .. } => ("the credentials are not accepted", false),
        object_store::Error::NotFound { .. } => ("there is no such bucket or object", false),
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
            ("the store cannot do this", false)
        }
        _ => {
            ("no answer that is understood, or no usable credentials for the store in the environment", true)
        }
    };
    Error::Store { what: format!("{what} {name}: {cause}"), is_transient }
}

/// reqwest is built without a default for cryptography. Who embeds this crate may have chosen one already: then it stays.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        let _other_was_faster = rustls::crypto::ring::default_provider().install_default();
    }
}
