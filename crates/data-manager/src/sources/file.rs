//! Files of this machine as a source, by `file://` URLs: a mounted share, a copied archive. To be registered by who wants it.
//! Refuses whatever is not a regular file, and names of other hosts.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::stream;
use url::Url;

use super::{SourceResult, about};
use crate::data_source::{
    BoxFuture, DataSource, FetchRequest, FetchResponse, Listed, SourceError, SourceErrorKind, Validator,
};

/// Bytes read at a time.
const PIECE_BYTES: u64 = 1 << 20;
const ENTRIES_MAX: usize = 1_000_000;
/// Directories below the listed one.
const DEPTH_MAX: usize = 8;

/// Files of this machine as a source.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSource;

impl DataSource for FileSource {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, SourceResult<FetchResponse>> {
        Box::pin(async move {
            let url = request.url.clone();
            blocking(move || open(&request)).await.map_err(|error| about(&url, error))
        })
    }

    fn list(&self, url: Url) -> BoxFuture<'_, SourceResult<Vec<Listed>>> {
        Box::pin(async move {
            let root = url.clone();
            blocking(move || list(&root)).await.map_err(|error| about(&url, error))
        })
    }
}

/// Runs disk work on the runtime's threads for that. It ends by itself soon: a piece or a directory at a time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> SourceResult<T> + Send + 'static,
) -> SourceResult<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(SourceError::new(
            SourceErrorKind::Transient,
            "reading was cancelled: the runtime is shutting down",
        ))
    })
}

fn open(request: &FetchRequest) -> SourceResult<FetchResponse> {
    let path = path_of(&request.url)?;
    let file = open_regular(&path)?;
    let metadata = file.metadata().map_err(|error| failure("reading its metadata", &error))?;
    let validator = version(&metadata);
    if request.validator.as_ref().is_some_and(|wanted| *wanted != validator) {
        return Err(SourceError::new(SourceErrorKind::Changed, "the file is another version"));
    }
    let total = metadata.len();
    let range = request.range.clone().unwrap_or(0..total);
    if request.range.is_some() && (range.is_empty() || range.start >= total) {
        let what = format!("bytes {}..{} were asked for, the file has {total}", range.start, range.end);
        return Err(SourceError::new(SourceErrorKind::Changed, what));
    }
    let end = range.end.min(total);
    let reader = Reader { file: Arc::new(file), version: validator.clone(), at: range.start, end };
    let url = request.url.clone();
    let body = stream::try_unfold(Some(reader), move |reader| {
        let url = url.clone();
        async move {
            let Some(reader) = reader else { return Ok(None) };
            blocking(move || reader.piece()).await.map_err(|error| about(&url, error))
        }
    });
    Ok(FetchResponse {
        offset: range.start,
        total: Some(total),
        length: Some(end - range.start),
        validator: Some(validator),
        body: Box::pin(body),
    })
}

/// What is left to read of one file.
struct Reader {
    file: Arc<File>,
    version: Validator,
    at: u64,
    end: u64,
}

impl Reader {
    /// The next piece, and the reader for those after it. With the last one comes the proof that the file is still the
    /// one that was opened: a file that was written to in the meantime gives an error instead of a mixture.
    fn piece(mut self) -> SourceResult<Option<(Bytes, Option<Reader>)>> {
        let wanted = PIECE_BYTES.min(self.end - self.at);
        let mut file = &*self.file;
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
        file.seek(SeekFrom::Start(self.at))
            .and_then(|_| file.take(wanted).read_to_end(&mut piece))
            .map_err(|error| failure("reading", &error))?;
        self.at += piece.len() as u64;
        let is_short = (piece.len() as u64) < wanted;
        if is_short || self.at == self.end {
            let metadata = self.file.metadata().map_err(|error| failure("reading its metadata", &error))?;
            if is_short || version(&metadata) != self.version {
                return Err(SourceError::new(SourceErrorKind::Changed, "the file changed while it was read"));
            }
        }
        let is_last = self.at == self.end;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (!is_last).then_some(self))))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a source reads where its URLs say, outside every data directory"
)]
fn open_regular(path: &Path) -> SourceResult<File> {
    let irregular = || SourceError::new(SourceErrorKind::Permanent, "this is not a regular file");
    // Looked at before it is opened, because opening a pipe or a device can hang or act; and again after, because the
    // name may have come to mean another file.
    let metadata = std::fs::metadata(path).map_err(|error| failure("opening", &error))?;
    if !metadata.is_file() {
        return Err(irregular());
    }
    let file = File::open(path).map_err(|error| failure("opening", &error))?;
    let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_regular { Ok(file) } else { Err(irregular()) }
}

fn path_of(url: &Url) -> SourceResult<PathBuf> {
    let refused = || SourceError::new(SourceErrorKind::Refused, "the URL names no file of this machine");
    // An encoded slash is a part of a name to whoever checked the URL, and would end a name here: `..%2F` would climb.
    if url.path().to_ascii_lowercase().contains("%2f") {
        return Err(refused());
    }
    let path = url.to_file_path().map_err(|()| refused())?;
    if path.as_os_str().as_encoded_bytes().contains(&0) { Err(refused()) } else { Ok(path) }
}

/// Length, time of the last change and, where there are some, inode: what tells a file from the one before it.
fn version(metadata: &Metadata) -> Validator {
    let changed_ns = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_nanos());
    Validator(format!("\"{:x}-{changed_ns:x}-{:x}\"", metadata.len(), inode(metadata)))
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn failure(doing: &str, error: &io::Error) -> SourceError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidInput => SourceErrorKind::Permanent,
        // Stale handles of network file systems, too many open files, and the like.
        _ => SourceErrorKind::Transient,
    };
    SourceError::new(kind, format!("{doing}: {error}"))
}

fn list(root: &Url) -> SourceResult<Vec<Listed>> {
    if !root.path().ends_with('/') {
        return Err(SourceError::new(SourceErrorKind::Refused, "only a URL that ends in / can be listed"));
    }
    let mut files = Vec::new();
    let mut entries_seen = 0;
    let mut unread = vec![(path_of(root)?, String::new(), 0)];
    while let Some((directory, prefix, depth)) = unread.pop() {
        for entry in read_directory(&directory)? {
            let entry = entry.map_err(|error| failure("listing", &error))?;
            entries_seen += 1;
            if entries_seen > ENTRIES_MAX || depth > DEPTH_MAX {
                let what =
                    format!("more than {ENTRIES_MAX} entries, or directories more than {DEPTH_MAX} deep");
                return Err(SourceError::new(SourceErrorKind::Permanent, what));
            }
            // Symlinks are neither: they could leave the directory, or lead back into it.
            let metadata = entry.metadata().map_err(|error| failure("listing", &error))?;
            // One name that is no text does not keep the others from being listed. Its URL names it byte for byte.
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if metadata.is_dir() {
                unread.push((entry.path(), format!("{prefix}{name}/"), depth + 1));
            } else if metadata.is_file() {
                let url = Url::from_file_path(entry.path()).map_err(|()| {
                    SourceError::new(SourceErrorKind::Permanent, "a path that no URL can name")
                })?;
                files.push(Listed { url, path: format!("{prefix}{name}"), size: Some(metadata.len()) });
            }
        }
    }
    Ok(files)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a source reads where its URLs say, outside every data directory"
)]
fn read_directory(path: &Path) -> SourceResult<std::fs::ReadDir> {
    std::fs::read_dir(path).map_err(|error| failure("listing", &error))
}
