//! What an import reads from elsewhere: listings and single objects, through the hold's own sources.
//! Refuses to keep anything on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_manager::data_source::{DataSource, FetchRequest, Listed, SourceError, SourceErrorKind, redacted};
use data_manager::sources::{FileSource, Sources};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use url::Url;

use crate::exit::{Failure, Outcome};
use crate::runtime::runtime;
use crate::settings::Settings;

/// How often something is asked for.
const TRIES_MAX: u32 = 4;

/// How long to wait after the first failure; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How long an answer may bring nothing.
const STALL_MAX: Duration = Duration::from_secs(30);

/// The sources, and the runtime that asks them.
#[derive(Debug)]
pub(crate) struct Remote {
    sources: Sources,
    runtime: Runtime,
}

impl Remote {
    pub(crate) fn new(settings: &Settings) -> Outcome<Remote> {
        let runtime = runtime()?;
        let within = runtime.enter();
        let mut sources = Sources::new(settings.source_options())?;
        // What is asked here was named on the command line, and not by a descriptor.
        sources.register("file", Arc::new(FileSource));
        drop(within);
        Ok(Remote { sources, runtime })
    }

    /// All that lies below a URL.
    pub(crate) fn list(&self, url: &Url) -> Outcome<Vec<Listed>> {
        let source = self.sources.get(url)?;
        self.runtime.block_on(again(|| source.list(url.clone()))).map_err(Failure::from)
    }

    /// One object, whole.
    pub(crate) fn fetch(&self, request: &FetchRequest, bytes_max: usize) -> Outcome<Vec<u8>> {
        let source = self.sources.get(&request.url)?;
        self.runtime
            .block_on(again(|| fetch_once(Arc::clone(&source), request.clone(), bytes_max)))
            .map_err(Failure::from)
    }
}

/// Asks until it is answered, or until asking cannot help.
async fn again<T, F: Future<Output = Result<T, SourceError>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, SourceError> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES_MAX {
        match ask().await {
            Err(error)
                if matches!(
                    error.kind,
                    SourceErrorKind::Transient | SourceErrorKind::Internal | SourceErrorKind::Busy
                ) =>
            {
                tokio::time::sleep(error.retry_after.unwrap_or_default().clamp(wait, STALL_MAX)).await;
                wait *= 2;
            }
            answer => return answer,
        }
    }
    ask().await
}

async fn fetch_once(
    source: Arc<dyn DataSource>,
    request: FetchRequest,
    bytes_max: usize,
) -> Result<Vec<u8>, SourceError> {
    let shown = redacted(&request.url);
    let stalled =
        |_| SourceError::new(SourceErrorKind::Transient, format!("{shown}: no answer for {STALL_MAX:?}"));
    let response = tokio::time::timeout(STALL_MAX, source.fetch(request)).await.map_err(stalled)??;
    let length = response.length;
    let mut body = response.body;
    let mut bytes = Vec::new();
    while let Some(part) = tokio::time::timeout(STALL_MAX, body.next()).await.map_err(stalled)? {
        bytes.extend_from_slice(&part?);
        if bytes.len() > bytes_max {
            let message = format!("{shown} is longer than {} MiB", bytes_max >> 20);
            return Err(SourceError::new(SourceErrorKind::Refused, message));
        }
    }
    if length.is_some_and(|length| u64::try_from(bytes.len()) != Ok(length)) {
        let message = format!("{shown}: the answer ended early");
        return Err(SourceError::new(SourceErrorKind::Transient, message));
    }
    Ok(bytes)
}

/// Whether a path of this machine is a directory; an error when there is nothing.
pub(crate) fn is_directory(path: &Path) -> Outcome<bool> {
    path.metadata()
        .map(|found| found.is_dir())
        .map_err(|error| Failure::io(format!("looking at {}", path.display()), &error))
}
