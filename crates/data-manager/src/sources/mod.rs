//! The sources that chunks are fetched from, by URL scheme.
//! Refuses to retry or to choose between mirrors: it finds the source that a URL names.

mod address;
mod answer;
mod client;
mod file;
mod http;
mod listing;
mod near;
#[cfg(feature = "object-store")]
mod object;

use std::collections::BTreeMap;
use std::sync::Arc;

use host::Clock;
use url::Url;

pub use self::file::FileSource;
pub use self::http::HttpSource;
use self::near::near_scheme;
#[cfg(feature = "object-store")]
pub use self::object::ObjectSource;
use crate::data_source::{DataSource, SourceError, SourceErrorKind, redacted};
use crate::error::Result;
use crate::options::Options;

type SourceResult<T> = std::result::Result<T, SourceError>;

/// The sources at hand, by scheme.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    by_scheme: BTreeMap<String, Arc<dyn DataSource>>,
}

impl Sources {
    /// The sources that may be asked for whatever a descriptor names: `http`, `https` and, with the feature
    /// `object-store`, `s3`, `gs`, `az` and `abfs`.
    ///
    /// Files of this machine are not among them: a descriptor from elsewhere could have any file copied that the process
    /// may read. Who writes the descriptors registers [`FileSource`] for `file`.
    ///
    /// # Errors
    /// `Invalid` or `Io` if a certificate file or a proxy setting cannot be used.
    pub fn new(options: &Options) -> Result<Sources> {
        let mut sources = Sources::default();
        let http: Arc<dyn DataSource> = Arc::new(HttpSource::new(options, Clock::system())?);
        sources.register("http", Arc::clone(&http));
        sources.register("https", http);
        #[cfg(feature = "object-store")]
        {
            let object: Arc<dyn DataSource> =
                Arc::new(ObjectSource::from_environment(options, Clock::system())?);
            for scheme in ObjectSource::SCHEMES {
                sources.register(scheme, Arc::clone(&object));
            }
        }
        Ok(sources)
    }

    /// Serves a scheme by a source, in place of the one that served it before.
    pub fn register(&mut self, scheme: &str, source: Arc<dyn DataSource>) {
        // The URL parser writes schemes in lower case.
        self.by_scheme.insert(scheme.to_ascii_lowercase(), source);
    }

    /// Whether there is a source for a URL.
    pub fn serves(&self, url: &Url) -> bool {
        self.by_scheme.contains_key(url.scheme())
    }

    /// The source that serves a URL.
    ///
    /// # Errors
    /// [`SourceErrorKind::Refused`] for a scheme that nothing is registered for; the message names the known ones.
    pub fn get(&self, url: &Url) -> std::result::Result<Arc<dyn DataSource>, SourceError> {
        self.by_scheme.get(url.scheme()).map(Arc::clone).ok_or_else(|| {
            let why = if url.scheme() == "file" {
                "files of this machine are not read, so that a descriptor from elsewhere cannot have them copied; allow \
                 them by registering sources::FileSource in Parts::sources (--allow-files)"
                    .to_string()
            } else {
                let known: Vec<&str> = self.by_scheme.keys().map(String::as_str).collect();
                let near = near_scheme(url.scheme(), &known);
                let near = near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"));
                format!(
                    "no source serves the scheme {:?}{near}; known are {}: correct the URL, or register a source for the \
                     scheme in Parts::sources",
                    url.scheme(),
                    known.join(", ")
                )
            };
            SourceError::new(SourceErrorKind::Refused, format!("{}: {why}", redacted(url)))
        })
    }
}

/// An error about a URL, which its message then begins with.
fn about(url: &Url, mut error: SourceError) -> SourceError {
    error.message = format!("{}: {}", redacted(url), error.message);
    error
}
