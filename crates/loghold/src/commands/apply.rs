//! `loghold apply`: what was sealed into a store is the wanted set; new chunks come as they are sealed.
//! Refuses to remove what is not of the store, and to go on behind a manifest that is missing or damaged.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use data_manager::data_chunk::{ChunkId, DataChunk, DataChunkRef, hex_id, parse_hex_id};
use data_manager::data_manager::DataManagerImpl;
use data_manager::event::Event;
use host::Clock;
use sealer::{Error, Manifest, ManifestChain};
use serde::Serialize;
use tokio::time::sleep;

use crate::args::apply::ApplyArguments;
use crate::block_range::show_block_range;
use crate::commands::chunk::open_or_make;
use crate::commands::chunk::report::BlocksReport;
use crate::commands::hot_copy::HotCopy;
use crate::commands::sealing::shown;
use crate::dataset::Dataset;
use crate::exit::{Exit, Failure, Outcome};
use crate::hindrances::{Hindrances, Stuck};
use crate::notes::Notes;
use crate::output::Stream;
use crate::path_report::PathReport;
use crate::progress::{Overall, Progress};
use crate::quantity::counted;
use crate::runtime::runtime;
use crate::settings::Settings;
use crate::soundness::look_in_task;
use crate::stop_signal::StopSignal;
use crate::store_dir::{expect_store, missing_dir};

/// How often the store is asked for new manifests: often enough that a chunk is here a second after it was sealed.
const ASK_PAUSE: Duration = Duration::from_millis(250);

/// Two seconds.
const ROUNDS_STUCK_MAX: u32 = 8;

const GO_ON: &str = "run the same command again to go on";

/// A chunk that has come. Its fields are an interface.
#[derive(Debug, Serialize)]
struct Arrived {
    id: String,
    dataset: String,
    block_range: BlocksReport,
    sequence: u64,
    #[serde(flatten)]
    path: PathReport,
}

pub(crate) fn run(arguments: &ApplyArguments, settings: &Settings) -> Outcome<Exit> {
    // One that is only applied once is there, or is misspelt; one that is followed may be yet to come.
    let is_to_come = arguments.follow && missing_dir(arguments.from.as_str()).is_some();
    let chain = if is_to_come { None } else { Some(open(arguments)?) };
    let hot_copy = match &arguments.log {
        Some(log) => Some(HotCopy::open(log, &arguments.consumer)?),
        None => None,
    };
    // The user names this directory, and manifests name plain files below it.
    let is_local = arguments.from.scheme() == "file";
    let parts = if is_local { Settings::hold_parts_with_files() } else { settings.hold_parts() };
    let options = settings.hold_options()?;
    let hindrances = Hindrances::new(options.data_dirs.len());
    let hold = open_or_make(settings, options, parts)?;
    let store = arguments.from.as_str().trim_end_matches('/').to_string();
    let applying = Applying {
        hold: &hold,
        arguments,
        out: Stream::new(settings.format),
        progress: Progress::new(Notes::new(settings)),
        hindrances,
        rounds_stuck: 0,
        clock: Clock::system(),
        overall: Overall { bytes_all: Some(0), ..Overall::default() },
        store,
        sequence: 0,
        waiting: HashMap::new(),
        replaced: HashMap::new(),
        hot_copy,
    };
    let exit = runtime()?.block_on(applying.run(chain));
    hold.close();
    exit
}

fn open(arguments: &ApplyArguments) -> Outcome<ManifestChain> {
    expect_store(arguments.from.as_str())?;
    ManifestChain::open(arguments.from.as_str()).map_err(|error| store_failure(&error))
}

struct Applying<'a> {
    hold: &'a DataManagerImpl,
    arguments: &'a ApplyArguments,
    out: Stream,
    progress: Progress,
    hindrances: Hindrances,
    /// For how many rounds nothing could move.
    rounds_stuck: u32,
    clock: Clock,
    /// What came, and what is wanted, since the command began.
    overall: Overall,
    store: String,
    /// The manifest that was read last.
    sequence: u64,
    /// Chunks that have not come yet.
    waiting: HashMap<ChunkId, Manifest>,
    /// Chunks that go when this one has come.
    replaced: HashMap<ChunkId, Vec<ChunkId>>,
    /// What the log keeps for this hold.
    hot_copy: Option<HotCopy>,
}

impl Applying<'_> {
    async fn run(mut self, chain: Option<ManifestChain>) -> Outcome<Exit> {
        let mut stop = StopSignal::listen()?;
        let exit = self.go_on(&mut stop, chain).await;
        self.progress.finish();
        let ended = self.out.end();
        exit.and_then(|exit| ended.map(|()| exit))
    }

    async fn go_on(&mut self, stop: &mut StopSignal, mut chain: Option<ManifestChain>) -> Outcome<Exit> {
        let began = self.clock.monotonic();
        let mut watch = self.hold.watch();
        if chain.is_none()
            && let Some(exit) = self.wait_for_dir(stop).await
        {
            return Ok(exit);
        }
        let mut is_first = true;
        loop {
            chain = Some(self.read_on(chain.take()).await?);
            self.let_go()?;
            if is_first && self.arguments.follow && self.sequence == 0 {
                self.progress.say(&format!("nothing is sealed in {} yet: it is waited for", self.store));
            }
            is_first = false;
            if !self.arguments.follow && self.waiting.is_empty() {
                return self.conclude();
            }
            self.end_without_room()?;
            self.show(self.clock.monotonic().saturating_sub(began));
            let paused = sleep(ASK_PAUSE);
            tokio::pin!(paused);
            loop {
                tokio::select! {
                    exit = stop.received() => return Ok(exit),
                    () = &mut paused => break,
                    event = watch.next() => self.hear(event)?,
                }
                if !self.arguments.follow && self.waiting.is_empty() {
                    break;
                }
            }
        }
    }

    /// Waits for the directory of the store; gives the exit code of a signal that comes first.
    async fn wait_for_dir(&self, stop: &mut StopSignal) -> Option<Exit> {
        let dir = missing_dir(&self.store)?;
        self.progress.say(&format!("there is no directory {} yet: it is waited for", dir.display()));
        while missing_dir(&self.store).is_some() {
            tokio::select! {
                exit = stop.received() => return Some(exit),
                () = sleep(ASK_PAUSE) => {}
            }
        }
        None
    }

    /// Ends what nothing can go on with, unless it follows: then somebody may make room. Room that was just made takes the
    /// hold a moment to notice.
    fn end_without_room(&mut self) -> Outcome<()> {
        let stuck = self.hindrances.stuck(self.hold);
        self.rounds_stuck = if stuck.is_some() { self.rounds_stuck.saturating_add(1) } else { 0 };
        let Some(stuck) = stuck.filter(|_| self.rounds_stuck >= ROUNDS_STUCK_MAX && !self.arguments.follow)
        else {
            return Ok(());
        };
        let left = counted(self.waiting.len(), "chunk");
        Err(match stuck {
            Stuck::NoRoom(reason) => {
                Failure::new(Exit::DiskFull, format!("no room: {reason}; {left} not fetched"))
                    .hint(format!("free some space; {GO_ON}"))
            }
            Stuck::DiskFailed(reason) => Failure::new(Exit::Error, format!("{reason}; {left} not fetched"))
                .hint(format!("see to the disk; {GO_ON}")),
        })
    }

    fn show(&mut self, elapsed: Duration) {
        self.hindrances.say_which_sources_rest(self.hold, &self.progress);
        let in_flight = self.hold.progress();
        let mine = in_flight.iter().filter(|chunk| self.waiting.contains_key(&chunk.id));
        let bytes_staged: u64 = mine.map(|chunk| chunk.bytes_done).sum();
        let overall = Overall {
            bytes_done: self.overall.bytes_done.saturating_add(bytes_staged),
            bytes_fetched: self.hold.totals().fetched_bytes,
            ..self.overall
        };
        if !self.waiting.is_empty() {
            self.progress.show(elapsed, &overall, &in_flight);
        }
    }

    /// Asks for what was sealed since. The store is asked on a thread of its own: it may take its time.
    async fn read_on(&mut self, chain: Option<ManifestChain>) -> Outcome<ManifestChain> {
        let mut chain = chain.map_or_else(|| open(self.arguments), Ok)?;
        let sequence = self.sequence;
        let asked = tokio::task::spawn_blocking(move || {
            let read = chain.next_after(sequence);
            (chain, read)
        });
        let (chain, read) =
            asked.await.map_err(|error| Failure::new(Exit::Error, format!("reading the store: {error}")))?;
        match read {
            Ok(manifests) => {
                // What is here lets the log go only if it is.
                let ids = manifests.iter().filter_map(|manifest| id_of(&manifest.chunk)).collect();
                look_in_task(self.hold, ids).await?;
                self.want(manifests)?;
            }
            Err(Error::Store { what, is_transient: true }) if self.arguments.follow => {
                self.progress.say(&format!("the store does not answer, and is asked again: {what}"));
            }
            Err(error) => return Err(store_failure(&error)),
        }
        Ok(chain)
    }

    fn want(&mut self, manifests: Vec<Manifest>) -> Outcome<()> {
        let gone: HashSet<ChunkId> =
            manifests.iter().flat_map(|manifest| &manifest.replaces).filter_map(|hex| id_of(hex)).collect();
        for manifest in manifests {
            self.sequence = self.sequence.max(manifest.sequence);
            if let Some(hot_copy) = &mut self.hot_copy {
                hot_copy.seen(&manifest);
            }
            let Some(id) = id_of(&manifest.chunk) else { continue };
            let blocks = manifest.first_block..manifest.last_block.saturating_add(1);
            let wanted = &self.arguments.blocks;
            let is_wanted = blocks.start < wanted.end && wanted.start < blocks.end && !gone.contains(&id);
            if !is_wanted {
                continue;
            }
            self.hold.download_chunk(self.chunk(id, blocks, &manifest)?)?;
            let replaces = manifest.replaces.iter().filter_map(|hex| id_of(hex)).collect();
            self.replaced.insert(id, replaces);
            self.overall.chunks_all += 1;
            self.overall.bytes_all =
                self.overall.bytes_all.map(|bytes| bytes.saturating_add(size(&manifest)));
            self.waiting.insert(id, manifest);
            self.arrived(id)?;
        }
        Ok(())
    }

    /// Tells the log what is here. Once a round, not for each chunk: it looks at all that is waited for, and syncs.
    fn let_go(&mut self) -> Outcome<()> {
        let Some(hot_copy) = &mut self.hot_copy else { return Ok(()) };
        hot_copy.let_go(self.waiting.values().map(|manifest| manifest.first_transid))
    }

    fn chunk(&self, id: ChunkId, blocks: std::ops::Range<u64>, manifest: &Manifest) -> Outcome<DataChunk> {
        let dataset = Dataset::parse(&manifest.dataset).map_err(Failure::usage)?;
        let url = |name: &str, bytes: u64, sha256: &str| {
            format!("{}/{}#sha256={sha256}&size={bytes}", self.store, manifest.object_name(name))
        };
        let files = manifest.files.iter();
        let files = files.map(|(name, file)| (name.clone(), url(name, file.bytes, &file.sha256))).collect();
        Ok(DataChunk { id, dataset_id: dataset.id, block_range: blocks, files })
    }

    fn hear(&mut self, event: Option<Event>) -> Outcome<()> {
        match event {
            Some(Event::Ready(id)) => self.arrived(id),
            Some(Event::Failed { id, reason, next_try }) if self.waiting.contains_key(&id) => {
                let is_over = next_try.is_none_or(|next_try| next_try >= self.arguments.patience);
                if is_over {
                    self.progress.say(&format!("chunk {} could not be had: {reason}", hex_id(&id)));
                }
                if is_over && !self.arguments.follow {
                    let manifest = self.waiting.remove(&id);
                    if let (Some(hot_copy), Some(manifest)) = (&mut self.hot_copy, manifest) {
                        hot_copy.lose(manifest.first_transid);
                    }
                    self.overall.chunks_given_up += 1;
                }
                Ok(())
            }
            Some(Event::Lagged(_)) => {
                self.hindrances.look(self.hold);
                let ids: Vec<ChunkId> = self.waiting.keys().copied().collect();
                ids.into_iter().try_for_each(|id| self.arrived(id))
            }
            Some(event) => {
                self.hindrances.take(&event, &self.progress);
                Ok(())
            }
            None => Err(Failure::new(Exit::Error, "the hold was closed")),
        }
    }

    /// Prints a chunk that has come, and lets go of those that it replaces.
    fn arrived(&mut self, id: ChunkId) -> Outcome<()> {
        let Some(pin) = self.hold.get_chunk(id) else { return Ok(()) };
        let Some(manifest) = self.waiting.remove(&id) else { return Ok(()) };
        self.overall.chunks_ready += 1;
        self.overall.bytes_done = self.overall.bytes_done.saturating_add(size(&manifest));
        for old in self.replaced.remove(&id).unwrap_or_default() {
            self.hold.delete_chunk(old);
        }
        let arrived = Arrived {
            id: hex_id(&id),
            dataset: manifest.dataset,
            block_range: BlocksReport::from(&pin.block_range()),
            sequence: manifest.sequence,
            path: PathReport::new(pin.path()),
        };
        let line = format!("{}  {}", arrived.id, show_block_range(&pin.block_range()));
        let out = &mut self.out;
        self.progress.aside(|| out.print_line(&arrived, line.as_bytes()))
    }

    fn conclude(&self) -> Outcome<Exit> {
        if self.sequence == 0 {
            self.progress.say(&format!("nothing is sealed in {} yet", self.store));
        }
        if self.overall.chunks_given_up == 0 {
            return Ok(Exit::Done);
        }
        let lost = counted(self.overall.chunks_given_up, "chunk");
        Err(Failure::new(Exit::Incomplete, format!("{lost} could not be had")).hint(GO_ON))
    }
}

fn id_of(hex: &str) -> Option<ChunkId> {
    parse_hex_id(&format!("0x{hex}"))
}

fn size(manifest: &Manifest) -> u64 {
    manifest.files.values().fold(0, |sum, file| sum.saturating_add(file.bytes))
}

fn store_failure(error: &Error) -> Failure {
    let exit = match error {
        Error::Plan { .. } => Exit::Usage,
        Error::Damaged { .. } => Exit::Corrupt,
        Error::Store { .. } | Error::StoreRefused { .. } => Exit::SourceFails,
        _ => Exit::Error,
    };
    Failure::new(exit, shown(error))
}
