//! pinned: from the append of a chunk's last record until a reader elsewhere holds the chunk, over an S3 server on loopback.
//! Refuses shortcuts: the sealer and the hold follow the log and the store as the commands do.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bench_kit::args::Shared;
use bench_kit::machine;
use bench_kit::report::{Bound, OURS, Sheet};
use bytes::Bytes;
use data_manager::data_chunk::{ChunkId, DataChunk, parse_hex_id};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::options::{Network, Options};
use rtrans::{Level, Reader};
use sealer::{FileEntry, Manifest, ManifestChain, Sealer, Source, Step, Store};

use crate::logs::{Columns, TYPE, filled, plan};
use crate::{Outcome, payloads, s3};

/// A chunk of 50 MB, of records that do not compress.
const RECORDS: u64 = 50_000;
const RECORD_BYTES: usize = 1_000;
const BARE: &str = "raw PUT and two GETs";

/// How often `loghold apply --follow` asks the store for new manifests.
const ASK_PAUSE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened when, since the append began.
struct Times {
    sealed: Duration,
    pinned: Duration,
    file_bytes: u64,
}

pub(crate) fn run(options: &Shared, dir: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let _server = s3::serve()?;
    let records = options.scaled(RECORDS, 100);
    let what = format!("append to pinned, {} MB", records * RECORD_BYTES as u64 / 1_000_000);
    for round in 0..options.rounds {
        let url = format!("s3://{}/round-{round}", s3::BUCKET);
        // The hold asks now and then: the rounds are spread evenly over the time between.
        let pause = ASK_PAUSE.mul_f64(round as f64 / options.rounds as f64);
        let times = follow(&url, records, pause, &dir.join(format!("round-{round}")))?;
        let (sealed, pinned) = (milliseconds(times.sealed), milliseconds(times.pinned));
        sheet.put(round, &what, OURS, "ms", pinned);
        sheet.put(round, "of these, append to manifest", OURS, "ms", sealed);
        sheet.put(round, "of these, manifest to pinned", OURS, "ms", pinned - sealed);
        let raw = bare(&url, times.file_bytes)?;
        sheet.put(round, "the same bytes over the same server", BARE, "ms", raw);
        sheet.put(round, "append to pinned, of that", OURS, "x", pinned / raw);
    }
    sheet.goal("J2", (&what, OURS), Bound::AtMost(1_000.0));
    sheet.remark("the server is moto, in Python: the raw line says what it takes for its part");
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Fills a log up to the last record of a chunk, has a sealer and a hold wait for that, and appends it.
fn follow(url: &str, records: u64, pause: Duration, dir: &Path) -> Outcome<Times> {
    let payload = |number| payloads::noise(number, RECORD_BYTES);
    let log = filled(&dir.join("log"), (1..records).map(payload))?;
    let plan = plan(url, Columns::Raw, records, 0)?;
    let sealer = Sealer::open(plan, Source::Reader(Reader::open(dir.join("log"))?))?.trusting_store();
    let hold = open_hold(&dir.join("hold"))?;
    let chain = ManifestChain::open(url)?;
    let (tell_waiting, is_waiting) = mpsc::sync_channel(1);
    let times = std::thread::scope(|scope| -> Outcome<Times> {
        let sealing = scope.spawn(move || seal(sealer, &tell_waiting));
        let holding = scope.spawn(|| pin(chain, &hold, url));
        // An end of the sealer shows below.
        let _has_ended = is_waiting.recv().is_err();
        std::thread::sleep(pause);
        let begin = Instant::now();
        log.append_at(Level::Disk, TYPE, &payload(0))?;
        let panicked = |_| "a thread panicked";
        let sealed = sealing.join().map_err(panicked)??;
        let (pinned, file_bytes) = holding.join().map_err(panicked)??;
        Ok(Times { sealed: sealed - begin, pinned: pinned - begin, file_bytes })
    })?;
    hold.close();
    machine::remove_dir(dir)?;
    Ok(times)
}

fn open_hold(dir: &Path) -> Outcome<DataManagerImpl> {
    std::fs::create_dir_all(dir)?;
    let mut options = Options::new(dir);
    options.network = Network::Private;
    options.limits.free_bytes_min = 0;
    Ok(DataManagerImpl::open_with(options, Parts::default())?)
}

/// As `loghold seal --follow` does, until a chunk is sealed. Tells when it has seen all that is there.
fn seal(mut sealer: Sealer, tell_waiting: &mpsc::SyncSender<()>) -> Outcome<Instant> {
    loop {
        match sealer.step()? {
            Step::Sealed(_) => return Ok(Instant::now()),
            Step::Overtaken => return Err("there is another sealer".into()),
            Step::Waiting { .. } => {
                // Told once; more does not fit, and need not.
                let _was_told = tell_waiting.try_send(()).is_err();
                sealer.wait()?;
            }
        }
    }
}

/// As `loghold apply --follow` does, until a chunk is here.
fn pin(mut chain: ManifestChain, hold: &DataManagerImpl, url: &str) -> Outcome<(Instant, u64)> {
    let begin = Instant::now();
    loop {
        if let Some(manifest) = chain.next_after(0)?.pop() {
            let chunk = describe(&manifest, url)?;
            let id = chunk.id;
            hold.download_chunk(chunk)?;
            let pin = hold.wait_chunk(id, PATIENCE)?;
            return Ok((Instant::now(), pin.bytes()));
        }
        if begin.elapsed() > PATIENCE {
            return Err("no manifest has come".into());
        }
        std::thread::sleep(ASK_PAUSE);
    }
}

fn describe(manifest: &Manifest, url: &str) -> Outcome<DataChunk> {
    let id: ChunkId = parse_hex_id(&format!("0x{}", manifest.chunk)).ok_or("the chunk has no id")?;
    let file = |(name, file): (&String, &FileEntry)| {
        let object = manifest.object_name(name);
        (name.clone(), format!("{url}/{object}#sha256={}&size={}", file.sha256, file.bytes))
    };
    let files = manifest.files.iter().map(file).collect();
    Ok(DataChunk {
        id,
        dataset_id: [7; 32],
        block_range: manifest.first_block..manifest.last_block + 1,
        files,
    })
}

/// The least that the way takes: the bytes are put, read back, and fetched, one after the other.
fn bare(url: &str, bytes: u64) -> Outcome<f64> {
    let store = Store::open(url)?;
    let content = Bytes::from(payloads::noise(1 << 30, usize::try_from(bytes)?));
    let begin = Instant::now();
    store.place().put("bare", content)?;
    for _ in 0..2 {
        store.place().get("bare", bytes)?.ok_or("it is not there")?;
    }
    Ok(milliseconds(begin.elapsed()))
}
