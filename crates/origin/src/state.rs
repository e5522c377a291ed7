//! What the connections of an origin share: files and their versions, plans, log, link and start time.
//! It decides nothing about answers and writes nothing to sockets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::answer::View;
use crate::content::{Content, Source, mix};
use crate::damage;
use crate::link::Wire;
use crate::listing;
use crate::log::Log;
use crate::request::Request;
use crate::rules::Rules;
use crate::script::{Answer, Script};
use crate::site::Site;

#[derive(Debug)]
pub(crate) struct State {
    started: Instant,
    is_listed: bool,
    pub(crate) wire: Option<Wire>,
    pub(crate) log: Log,
    /// Never held together with `rules`, nor while a file is opened.
    files: Mutex<BTreeMap<String, Version>>,
    rules: Mutex<Rules>,
    nonces: AtomicU64,
}

#[derive(Clone, Debug)]
struct Version {
    /// From 1; grows with each replacement, so that the `ETag` changes even when the content comes back.
    number: u64,
    fingerprint: u64,
    content: Content,
}

impl State {
    pub(crate) fn new(site: Site) -> State {
        let state = State {
            started: Instant::now(),
            is_listed: site.is_listed,
            wire: site.link.map(Wire::new),
            log: Log::default(),
            files: Mutex::default(),
            rules: Mutex::default(),
            nonces: AtomicU64::new(1),
        };
        for (path, content) in site.files {
            state.replace(&path, content);
        }
        state
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Version>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn content(&self, path: &str) -> Option<Content> {
        self.files().get(path).map(|version| version.content.clone())
    }

    pub(crate) fn replace(&self, path: &str, content: Content) {
        let fingerprint = content.fingerprint();
        let mut files = self.files();
        let number = files.get(path).map_or(1, |version| version.number + 1);
        files.insert(path.to_owned(), Version { number, fingerprint, content });
    }

    pub(crate) fn remove(&self, path: &str) {
        self.files().remove(path);
    }

    /// Puts other bytes of the same length in the place of a file's content, and opens them.
    pub(crate) fn change(&self, path: &str, len: u64) -> Source {
        let number = self.files().get(path).map_or(0, |version| version.number);
        self.replace(path, Content::successor(number, len));
        Source::Generated { seed: mix(number), len }
    }

    /// The script for a request, and the content it speaks of.
    pub(crate) fn respond(&self, request: &Request) -> (Script, Option<Source>) {
        let fault = self.rules().pick(&request.path);
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            let answer = Answer::text(405, "files are only read here\n").with("Allow", "GET, HEAD");
            return (answer.script(request.is_kept), None);
        }
        let found = self.file(&request.path).or_else(|| self.listing(&request.path));
        let nonce = self.nonces.fetch_add(1, Ordering::Relaxed);
        let script = damage::script(request, found.as_ref().map(|found| &found.0), fault.as_ref(), nonce);
        (script, found.map(|found| found.1))
    }

    fn file(&self, path: &str) -> Option<(View, Source)> {
        let version = self.files().get(path).cloned()?;
        // A file on disk that cannot be opened is not there.
        let source = version.content.open().ok()?;
        let tag = etag(&version, &source);
        let view = View { len: source.len(), etag: Some(tag), content_type: "application/octet-stream" };
        Some((view, source))
    }

    fn listing(&self, path: &str) -> Option<(View, Source)> {
        if !self.is_listed || !(path.is_empty() || path.ends_with('/')) {
            return None;
        }
        let below: Vec<_> = self
            .files()
            .iter()
            .filter(|(file, _)| file.starts_with(path))
            .map(|(file, version)| (file.clone(), version.content.clone()))
            .collect();
        let sizes =
            below.into_iter().map(|(file, content)| (file, content.open().map_or(0, |file| file.len())));
        let page = Bytes::from(listing::page(path, sizes)?);
        let view = View { len: page.len() as u64, etag: None, content_type: "text/html" };
        Some((view, Source::Bytes(page)))
    }
}

fn etag(version: &Version, source: &Source) -> String {
    format!(
        "\"{:x}-{:x}-{:x}-{:x}\"",
        version.number,
        version.fingerprint,
        source.modified_ns(),
        source.len()
    )
}
