//! The demo's steps, each with its proof: what was done, where, in which time, and what shows it.
//! Refuses to go on after a step that did not come out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_manager::ChunkRef;
use data_manager::data_chunk::{ChunkId, DataChunk, DataChunkRef, DatasetId, hex_id};
use data_manager::data_manager::DataManagerImpl;
use data_manager::options::{Network, Options};
use data_manager::verify::Verify;
use host::{Clock, Disk};
use origin::{Content, Fault, Origin, Plan, RetryAfter, Site};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::args::OutputFormat;
use crate::commands::demo::dataset::DemoChunk;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{print, print_rows};
use crate::path_report::PathReport;
use crate::quantity::{counted, show_bytes};
use crate::runtime::runtime_with_a_thread;
use crate::stop::Stop;

/// The dataset of the demo, by name; its id is the name's SHA-256.
const DATASET: &str = "demo";

/// How long a step may take before the demo is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Finds that are timed together.
const FINDS: u32 = 1_000_000;

/// Digits of a digest that people are shown; JSON has all of them.
const DIGEST_SHOWN: usize = 16;

/// One step, as the JSON formats print it. Its fields are an interface.
#[derive(Debug, Serialize)]
struct Step {
    number: usize,
    what: String,
    proof: String,
    /// The files of one chunk whose bytes the step has read back and compared; of none where it proves no bytes.
    files: Vec<CheckedFile>,
    seconds: f64,
}

/// A file whose bytes were read, and had the digest that its descriptor names.
#[derive(Debug, Serialize)]
struct CheckedFile {
    #[serde(flatten)]
    path: PathReport,
    sha256: String,
    /// Below the data directory, with `*` for ids, as people and shells read it.
    #[serde(skip)]
    pattern: String,
}

impl CheckedFile {
    /// Its line under a step: short, as the data directory was said before and ids are stars.
    fn shown(&self) -> String {
        let digest: String = self.sha256.chars().take(DIGEST_SHOWN).collect();
        format!("sha256 {digest}  {}", self.pattern)
    }
}

/// The demo under way.
pub(crate) struct Story {
    format: OutputFormat,
    clock: Clock,
    data_dir: PathBuf,
    steps: Vec<Step>,
    step_began: Duration,
    runtime: Runtime,
    stop: Stop,
}

/// The chunks as they are served.
struct Served {
    origin: Origin,
    chunks: Vec<DemoChunk>,
    descriptors: Vec<DataChunk>,
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Error, message)
}

impl Story {
    pub(crate) fn new(format: OutputFormat, data_dir: &Path) -> Outcome<Story> {
        let clock = Clock::system();
        let step_began = clock.monotonic();
        let runtime = runtime_with_a_thread()?;
        let stop = Stop::listen(|_| {})?;
        let data_dir = data_dir.to_path_buf();
        Ok(Story { format, clock, data_dir, steps: Vec::new(), step_began, runtime, stop })
    }

    /// Tells the whole story.
    pub(crate) fn tell(&mut self, chunks: Vec<DemoChunk>) -> Outcome<()> {
        let served = self.serve(chunks)?;
        let hold = DataManagerImpl::open(self.options())?;
        self.download(&hold, &served)?;
        self.find(&hold, &served)?;
        self.mend_the_missing(&hold, &served)?;
        self.delete_under_a_pin(&hold, &served)?;
        self.heal_damage(&hold, &served)?;
        drop(hold);
        self.restart(&served)?;
        if self.format == OutputFormat::Json {
            print_rows(self.format, &[], &self.steps, |_| Vec::new())?;
        }
        Ok(())
    }

    fn options(&self) -> Options {
        let mut options = Options::new(&self.data_dir);
        options.network = Network::Private;
        options.limits.free_bytes_min = 64 << 20;
        options
    }

    fn tell_step(&mut self, what: &str, proof: String, files: Vec<CheckedFile>) -> Outcome<()> {
        let now = self.clock.monotonic();
        let seconds = now.saturating_sub(self.step_began).as_secs_f64();
        let step = Step { number: self.steps.len() + 1, what: what.to_string(), proof, files, seconds };
        match self.format {
            OutputFormat::Table => print(|out| {
                writeln!(out, "{}. {} ({:.2} s)", step.number, step.what, step.seconds)?;
                writeln!(out, "   {}", step.proof.replace('\n', "\n   "))?;
                step.files.iter().try_for_each(|file| writeln!(out, "   {}", file.shown()))
            })?,
            OutputFormat::Jsonl | OutputFormat::Raw => {
                print_rows(self.format, &[], std::slice::from_ref(&step), |_| Vec::new())?;
            }
            OutputFormat::Json => {}
        }
        self.steps.push(step);
        self.step_began = self.clock.monotonic();
        match self.stop.exit() {
            Some(exit) => Err(Failure::new(exit, format!("stopped after step {}", self.steps.len()))),
            None => Ok(()),
        }
    }

    /// Serves the chunks over loopback, with faults.
    fn serve(&mut self, chunks: Vec<DemoChunk>) -> Outcome<Served> {
        let mut site = Site::new();
        let mut digests = HashMap::new();
        for (number, chunk) in chunks.iter().enumerate() {
            for (name, bytes) in &chunk.files {
                let path = format!("{number}/{name}");
                digests.insert(path.clone(), Sha256::digest(bytes));
                site = site.file(path, Content::Bytes(bytes.clone()));
            }
        }
        let started = self.runtime.block_on(Origin::start(site));
        let origin = started.map_err(|error| Failure::io("starting the demo's web server", &error))?;
        let descriptors = chunks
            .iter()
            .enumerate()
            .map(|(number, chunk)| DataChunk {
                id: chunk_id(chunk),
                dataset_id: dataset_id(),
                block_range: chunk.blocks.clone(),
                files: chunk
                    .files
                    .iter()
                    .map(|(name, bytes)| {
                        let path = format!("{number}/{name}");
                        let digest = digests.get(&path).map(|digest| hex(digest)).unwrap_or_default();
                        let url = format!("{}#sha256={digest}&size={}", origin.url(&path), bytes.len());
                        (name.clone(), url)
                    })
                    .collect(),
            })
            .collect();
        plant_faults(&origin, &chunks);
        let bytes: u64 = chunks.iter().map(DemoChunk::bytes).sum();
        let (smallest, largest) = (
            chunks.iter().map(DemoChunk::bytes).min().unwrap_or_default(),
            chunks.iter().map(DemoChunk::bytes).max().unwrap_or_default(),
        );
        let proof = format!(
            "{} of {} to {}, {} in all, at http://{}/\nfaults: resets, a 503 with Retry-After, a flipped byte, a short \
             body, a stall,\nand an object that is missing",
            counted(chunks.len(), "chunk"),
            show_bytes(smallest),
            show_bytes(largest),
            show_bytes(bytes),
            origin.addr(),
        );
        self.tell_step(
            "a dataset is made and served over loopback by a faulty web server",
            proof,
            Vec::new(),
        )?;
        Ok(Served { origin, chunks, descriptors })
    }

    /// Everything but the missing chunk arrives, whole, in spite of the faults.
    fn download(&mut self, hold: &DataManagerImpl, served: &Served) -> Outcome<()> {
        for descriptor in &served.descriptors {
            hold.download_chunk(descriptor.clone())?;
        }
        let mut bytes = 0;
        let mut files = Vec::new();
        for descriptor in served.descriptors.iter().skip(1) {
            let chunk = hold.wait_chunk(descriptor.id, PATIENCE)?;
            bytes += chunk.bytes();
            files.push(check_digests(&chunk, descriptor)?);
        }
        let log = served.origin.log();
        let proof = format!(
            "{} ready, {} verified; {} requests, {} received, {} failed tries mended\nfor instance, in {}",
            counted(served.descriptors.len() - 1, "chunk"),
            show_bytes(bytes),
            log.len(),
            show_bytes(hold.totals().fetched_bytes),
            hold.sources().iter().map(|source| source.failures).sum::<u64>(),
            self.data_dir.display(),
        );
        let first = files.into_iter().next().unwrap_or_default();
        self.tell_step("all chunks but one are downloaded, verified by SHA-256 and published", proof, first)
    }

    /// Every block is found, and what is not there is said with its reason.
    fn find(&mut self, hold: &DataManagerImpl, served: &Served) -> Outcome<()> {
        let dataset = dataset_id();
        let mut found = 0usize;
        for chunk in served.chunks.iter().skip(1) {
            for block in chunk.blocks.clone() {
                let pin = hold.find_chunk(dataset, block);
                found += usize::from(pin.is_some_and(|pin| pin.block_range() == chunk.blocks));
            }
        }
        let wanted: u64 =
            served.chunks.iter().skip(1).map(|chunk| chunk.blocks.end - chunk.blocks.start).sum();
        if u64::try_from(found) != Ok(wanted) {
            return Err(failed(format!("{found} of {wanted} blocks were found in their chunks")));
        }
        let first = served.chunks.get(1).map_or(0, |chunk| chunk.blocks.start);
        let began = self.clock.monotonic();
        for _ in 0..FINDS {
            std::hint::black_box(hold.find_chunk(dataset, std::hint::black_box(first)));
        }
        let each = self.clock.monotonic().saturating_sub(began) / FINDS;
        let missing = served.chunks.first().map_or(0, |chunk| chunk.blocks.start);
        let why = hold.why(dataset, missing);
        let reason = why.first().and_then(|status| status.last_error.clone()).unwrap_or_default();
        let proof = format!(
            "{found} of {found} blocks found in their chunks; find, pin and unpin: {} ns\nwhy block {missing} is not \
             here:\n{reason}",
            each.as_nanos()
        );
        self.tell_step("every block number is looked up", proof, Vec::new())
    }

    /// The missing object turns up under another URL.
    fn mend_the_missing(&mut self, hold: &DataManagerImpl, served: &Served) -> Outcome<()> {
        let Some(descriptor) = served.descriptors.first() else { return Ok(()) };
        served.origin.clear_faults();
        let mut refreshed = descriptor.clone();
        for url in refreshed.files.values_mut() {
            *url = url.replacen('#', "?signature=fresh#", 1);
        }
        hold.download_chunk(refreshed)?;
        let chunk = hold.wait_chunk(descriptor.id, PATIENCE)?;
        let files = check_digests(&chunk, descriptor)?;
        let coverage = hold.coverage(dataset_id());
        let proof = format!("blocks now at hand: {coverage:?}");
        self.tell_step(
            "the missing object turns up: asked for again with fresh URLs, it is fetched at once",
            proof,
            files,
        )
    }

    /// A deleted chunk stays for its reader, and goes when the reader does.
    fn delete_under_a_pin(&mut self, hold: &DataManagerImpl, served: &Served) -> Outcome<()> {
        let Some(descriptor) = served.descriptors.get(1) else { return Ok(()) };
        let pin = hold.get_chunk(descriptor.id).ok_or_else(|| failed("a chunk that was ready is gone"))?;
        hold.delete_chunk(descriptor.id);
        if hold.find_chunk(descriptor.dataset_id, descriptor.block_range.start).is_some() {
            return Err(failed("a deleted chunk was found"));
        }
        let files = check_digests(&pin, descriptor)?;
        let began = self.clock.monotonic();
        drop(pin);
        hold.wait_gone(descriptor.id, PATIENCE)?;
        let took = self.clock.monotonic().saturating_sub(began);
        let proof = format!(
            "hidden at once; gone {:.1} ms after the pin was dropped; its files read back whole under the pin:",
            took.as_secs_f64() * 1e3
        );
        self.tell_step("a chunk is deleted under a pin, and the pin is dropped", proof, files)
    }

    /// A flipped bit on disk is found and healed.
    fn heal_damage(&mut self, hold: &DataManagerImpl, served: &Served) -> Outcome<()> {
        let Some(descriptor) = served.descriptors.first() else { return Ok(()) };
        let path = {
            let pin =
                hold.get_chunk(descriptor.id).ok_or_else(|| failed("a chunk that was ready is gone"))?;
            pin.path().join(descriptor.files.keys().min().map_or("", String::as_str))
        };
        flip_a_bit(&path)?;
        let what = Verify { chunks: vec![descriptor.id], ..Verify::default() };
        let report = hold.verify(what)?.wait().ok_or_else(|| failed("the hold was closed"))?;
        let [(_, reason)] = report.damaged.as_slice() else {
            return Err(failed("the damage was not found"));
        };
        let chunk = hold.wait_chunk(descriptor.id, PATIENCE)?;
        let files = check_digests(&chunk, descriptor)?;
        let proof = format!("found: {reason}\nput aside, fetched anew from where it came, verified");
        self.tell_step("a bit is flipped on disk, and verify looks", proof, files)
    }

    /// The next start finds exactly what is complete.
    fn restart(&mut self, served: &Served) -> Outcome<()> {
        let began = self.clock.monotonic();
        let hold = DataManagerImpl::open(self.options())?;
        // The first one came last, and stayed; the second one was deleted.
        let first = served.chunks.first().map_or(0, |chunk| chunk.blocks.start);
        let pin = hold.find_chunk(dataset_id(), first);
        let took = self.clock.monotonic().saturating_sub(began);
        let here = hold.list_chunks().len();
        if here != served.chunks.len() - 1 {
            return Err(failed(format!("{here} chunks were found again, not {}", served.chunks.len() - 1)));
        }
        if pin.is_none() {
            return Err(failed(format!("block {first} was not found again")));
        }
        let proof = format!(
            "{} found again, the first look-up answered {:.1} ms after the start",
            counted(here, "chunk"),
            took.as_secs_f64() * 1e3
        );
        self.tell_step("the hold is closed and opened again", proof, Vec::new())
    }
}

/// Reads a pinned chunk's files and compares them with the descriptor's digests; returns what was compared, by name.
fn check_digests(chunk: &ChunkRef, descriptor: &DataChunk) -> Outcome<Vec<CheckedFile>> {
    let disk = Disk::open(chunk.path()).map_err(|error| Failure::io("opening a chunk", &error))?;
    let mut checked = Vec::new();
    for (name, url) in &descriptor.files {
        let bytes = read(&disk, Path::new(name)).map_err(|error| Failure::io("reading a chunk", &error))?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if !url.contains(&sha256) {
            return Err(Failure::new(
                Exit::Corrupt,
                format!("{name} in {} is not what was served", chunk.path().display()),
            ));
        }
        let (first, last) = (descriptor.block_range.start, descriptor.block_range.end.saturating_sub(1));
        let pattern = format!("*/first_block={first}/last_block={last}/*/{name}");
        checked.push(CheckedFile { path: PathReport::new(&chunk.path().join(name)), sha256, pattern });
    }
    checked.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    Ok(checked)
}

/// The first chunk misses an object; others meet one fault each at their first request.
fn plant_faults(origin: &Origin, chunks: &[DemoChunk]) {
    origin.set_fault("0/", Plan::always(Fault::NotFound));
    let faults = [
        Fault::Reset { after: 1_000 },
        Fault::StatusRetryAfter(503, RetryAfter::Seconds(1)),
        Fault::FlipByte { at: 17 },
        Fault::Close { after: 500 },
        Fault::Stall { after: 100, for_ms: 3_000 },
    ];
    for (number, fault) in (1..chunks.len()).zip(faults) {
        let Some(name) = chunks.get(number).and_then(|chunk| chunk.files.keys().next_back()) else {
            continue;
        };
        origin.set_fault(&format!("{number}/{name}"), Plan::first(1, fault));
    }
}

fn dataset_id() -> DatasetId {
    Sha256::digest(DATASET).into()
}

fn chunk_id(chunk: &DemoChunk) -> ChunkId {
    let mut hasher = Sha256::new();
    for (name, bytes) in &chunk.files {
        hasher.update(name);
        hasher.update(bytes);
    }
    hasher.update(chunk.blocks.start.to_le_bytes());
    hasher.finalize().into()
}

fn hex(digest: &[u8]) -> String {
    <[u8; 32]>::try_from(digest).map(|digest| hex_id(&digest).split_off(2)).unwrap_or_default()
}

fn read(disk: &Disk, path: &Path) -> std::io::Result<Vec<u8>> {
    let file = disk.open_file(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn flip_a_bit(path: &Path) -> Outcome<()> {
    let flip = || {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let file = Disk::open(parent)?.edit_file(Path::new(name))?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0)?;
        file.write_all_at(&byte.map(|byte| byte ^ 1), 0)
    };
    flip().map_err(|error| Failure::io("damaging a file", &error))
}
