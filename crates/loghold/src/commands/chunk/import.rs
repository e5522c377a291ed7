//! `loghold chunk import`: descriptors from what others publish, as JSON Lines.
//! Refuses to fetch chunks; `get` does, from what this prints.

use std::path::Path;

use data_manager::data_source::{FetchRequest, Listed, redacted};
use url::Url;

use crate::args::ImportArguments;
use crate::block_range::show_block_ranges;
use crate::commands::chunk::Context;
use crate::dataset::Dataset;
use crate::descriptor::Descriptor;
use crate::exit::{Exit, Failure, Outcome};
use crate::import::assignment::{ASSIGNMENT_BYTES_MAX, Assignment, Selection, check_name, unpack};
use crate::import::detect::{ImportFormat, detect};
use crate::import::manifest::read_manifest;
use crate::import::sqd::{Object, read_listing};
use crate::input::{read_input, shown};
use crate::output::print;
use crate::quantity::counted;
use crate::remote::{Remote, is_directory};

pub(crate) fn run(context: &Context, arguments: &ImportArguments) -> Outcome<Exit> {
    let place = Place::parse(arguments)?;
    let format = match (arguments.format, &place) {
        (ImportFormat::Auto, Place::Listing(_)) => ImportFormat::Sqd,
        (format, _) => format,
    };
    if format == ImportFormat::Sqd {
        return import_listing(context, arguments, &place.listing()?);
    }
    let bytes = place.read(context)?;
    match if format == ImportFormat::Auto { detect(&bytes) } else { format } {
        ImportFormat::Manifest => import_manifest(context, arguments, &place, &bytes),
        _ => import_assignment(context, arguments, &place, bytes),
    }
}

/// Where the source is.
enum Place {
    /// A URL to be listed; it ends in `/`.
    Listing(Url),
    /// A URL of one object.
    Object(Url),
    /// A file of this machine, or `-`.
    File(String),
}

impl Place {
    fn parse(arguments: &ImportArguments) -> Outcome<Place> {
        let source = &arguments.source;
        if source.contains("://") {
            let url = Url::parse(source)
                .map_err(|problem| Failure::usage(format!("SOURCE is not a URL: {problem}")))?;
            let is_bucket = matches!(url.path(), "" | "/") && !matches!(url.scheme(), "http" | "https");
            let is_listing = is_bucket || url.path().ends_with('/') || arguments.format == ImportFormat::Sqd;
            return Ok(if is_listing { Place::Listing(with_slash(url)) } else { Place::Object(url) });
        }
        if source == "-" || !is_directory(Path::new(source))? {
            return Ok(Place::File(source.clone()));
        }
        let whole =
            std::path::absolute(source).map_err(|error| Failure::io(format!("finding {source}"), &error))?;
        Url::from_directory_path(whole)
            .map(Place::Listing)
            .map_err(|()| Failure::usage(format!("{source} cannot be written as a URL")))
    }

    fn listing(self) -> Outcome<Url> {
        match self {
            Place::Listing(url) | Place::Object(url) => Ok(url),
            Place::File(file) => {
                Err(Failure::usage(format!("{file} is a file: a listing needs a directory or a URL")))
            }
        }
    }

    fn read(&self, context: &Context) -> Outcome<Vec<u8>> {
        let bytes_max = usize::try_from(ASSIGNMENT_BYTES_MAX).unwrap_or(usize::MAX);
        match self {
            Place::File(file) => read_input(Path::new(file), bytes_max),
            Place::Object(url) => {
                let request = FetchRequest { url: url.clone(), range: None, validator: None };
                Remote::new(&context.settings)?.fetch(&request, bytes_max)
            }
            Place::Listing(url) => {
                Err(Failure::usage(format!("{} is a directory: name a file in it", redacted(url))))
            }
        }
    }

    /// What it is called in messages.
    fn shown(&self) -> String {
        match self {
            Place::File(file) => shown(Path::new(file)),
            Place::Listing(url) | Place::Object(url) => redacted(url),
        }
    }

    /// The last part of its name.
    fn name(&self) -> Option<&str> {
        match self {
            Place::File(file) => Path::new(file).file_name()?.to_str(),
            Place::Listing(url) | Place::Object(url) => url.path_segments()?.next_back(),
        }
    }

    /// The URL that relative names in it are relative to.
    fn base(&self) -> Outcome<Url> {
        match self {
            Place::Listing(url) | Place::Object(url) => Ok(url.clone()),
            Place::File(file) => std::path::absolute(file)
                .ok()
                .filter(|_| file != "-")
                .and_then(|path| Url::from_file_path(path).ok())
                .ok_or_else(|| {
                    Failure::usage("where the manifest's files lie is not known").hint("give --base-url URL")
                }),
        }
    }
}

fn import_listing(context: &Context, arguments: &ImportArguments, url: &Url) -> Outcome<Exit> {
    let dataset = match &arguments.dataset {
        Some(dataset) => dataset.clone(),
        None if !matches!(url.scheme(), "file" | "http" | "https") => {
            Dataset::parse(url.as_str().trim_end_matches('/')).map_err(Failure::usage)?
        }
        None => {
            return Err(
                Failure::usage("a listing does not say which dataset it is").hint("give --dataset NAME")
            );
        }
    };
    let listed = Remote::new(&context.settings)?.list(url)?;
    let objects = listed.into_iter().map(|Listed { url, path, size }| Object { path, url, size });
    let listing = read_listing(&dataset, objects).map_err(|problem| wrong(&redacted(url), &problem))?;
    let notes = context.notes;
    if let Some(example) = &listing.foreign_example {
        notes.say(&format!(
            "left out as no file of a chunk: {}, such as {example}",
            counted(listing.foreign, "object")
        ));
    }
    if let Some(example) = listing.incomplete.first() {
        let have = if listing.incomplete.len() == 1 { "has" } else { "have" };
        let chunks = counted(listing.incomplete.len(), "chunk");
        notes.say(&format!("{chunks} {have} no blocks.parquet yet, such as {example}"));
    }
    if !listing.gaps.is_empty() {
        notes.say(&format!("blocks {} are in no chunk", show_block_ranges(&listing.gaps)));
    }
    if listing.overlaps > 0 {
        notes.say(&format!("overlaps with the chunk ahead: {}", counted(listing.overlaps, "chunk")));
    }
    if listing.chunks.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("{} holds no complete chunk", redacted(url)))
            .hint("chunks lie at <top>/<first block>-<last block>-<hash>/<table>.parquet"));
    }
    print_descriptors(listing.chunks.into_iter().map(Ok))
}

fn import_manifest(
    context: &Context,
    arguments: &ImportArguments,
    place: &Place,
    bytes: &[u8],
) -> Outcome<Exit> {
    let base = match &arguments.base_url {
        Some(base) => with_slash(base.clone()),
        None => place.base()?,
    };
    let manifest = read_manifest(bytes, arguments.dataset.as_ref(), &base)
        .map_err(|problem| wrong(&place.shown(), &problem))?;
    if manifest.unchecked_digests > 0 {
        context.notes.say("the manifest's MD5 digests are not checked; its sizes are");
    }
    print_descriptors(manifest.chunks.into_iter().map(Ok))
}

fn import_assignment(
    context: &Context,
    arguments: &ImportArguments,
    place: &Place,
    published: Vec<u8>,
) -> Outcome<Exit> {
    let shown = place.shown();
    match place.name().and_then(|name| check_name(name, &published)) {
        Some(Err(problem)) => return Err(Failure::new(Exit::Corrupt, format!("{shown}: {problem}"))),
        Some(Ok(())) => context.notes.say("the assignment's digest is the one in its name"),
        None => {}
    }
    let bytes = unpack(published).map_err(|problem| wrong(&shown, &problem))?;
    let not_read = |problem: String| {
        wrong(&shown, &problem)
            .hint("an SQD assignment is read in its first version, as FlatBuffer; JSON is a manifest")
    };
    let assignment = Assignment::parse(&bytes).map_err(not_read)?;
    let mut selection = Selection { dataset: arguments.dataset.clone(), worker: None };
    if let Some(peer) = &arguments.worker {
        let number = assignment.worker_number(peer).map_err(not_read)?;
        selection.worker = Some(number.ok_or_else(|| {
            let workers = assignment.workers_len();
            Failure::new(
                Exit::NotFound,
                format!("worker {} is not among the {workers} workers of this assignment", peer.text()),
            )
        })?);
    }
    let chunks = assignment.chunks(selection).map(|chunk| chunk.map_err(not_read));
    let mut chunks = chunks.peekable();
    if chunks.peek().is_none() {
        const NAMES_MAX: usize = 8;
        let names = assignment.dataset_names(NAMES_MAX).map_err(not_read)?.join(", ");
        return Err(Failure::new(Exit::NotFound, "the assignment has no such chunk")
            .hint(format!("its datasets begin with {names}")));
    }
    print_descriptors(chunks)
}

/// Prints until the first error; what was right before it stays printed.
fn print_descriptors(descriptors: impl Iterator<Item = Outcome<Descriptor>>) -> Outcome<Exit> {
    let mut failure = None;
    print(|out| {
        for descriptor in descriptors {
            match descriptor {
                Ok(descriptor) => {
                    serde_json::to_writer(&mut *out, &descriptor)?;
                    out.write_all(b"\n")?;
                }
                Err(found) => {
                    failure = Some(found);
                    break;
                }
            }
        }
        Ok(())
    })?;
    failure.map_or(Ok(Exit::Done), Err)
}

fn wrong(what: &str, problem: &str) -> Failure {
    Failure::usage(format!("{what}: {problem}"))
}

fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}
