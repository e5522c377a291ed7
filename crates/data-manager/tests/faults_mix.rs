//! Three kinds of faults at once, drawn by seed, on three of ten answers of one origin. Fails when a chunk ends neither whole nor
//! failed with its reason within a bound of events and requests, or when wrong bytes are visible at any event.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers fail as tests do")]

mod fixture;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use data_manager::data_chunk::{ChunkId, DataChunkRef, hex_id};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::event::{Event, Watch};
use data_manager::options::Mirror;
use fixture::faults::{Case, damages, refusals};
use fixture::scripted::{Manner, Scripted, bytes_of, options, ready};
use fixture::{PATIENCE, Said, Stock, World, assert_nothing_wrong, stocked, wide_id};
use origin::{Link, Plan, Site};
use sha2::Digest;

/// What the chunks of a mix are like, and where they come from.
struct Shape {
    /// One chunk for so many of an ordinary mix.
    chunks_per: u32,
    items: &'static [(&'static str, u64)],
    link: fn() -> Link,
    /// Events of a chunk and requests for a file, on average over a mix.
    events_max: u64,
    requests_max: u64,
}

const SMALL: Shape = Shape {
    chunks_per: 1,
    items: &[("a.parquet", 3_000), ("b.parquet", 12_000)],
    link: Link::default,
    events_max: 6,
    requests_max: 4,
};

/// From far away a file is fetched by several requests at once, each of which may be struck.
const IN_PARTS: Shape = Shape {
    chunks_per: 40,
    items: &[("a.parquet", 3_000), ("b.parquet", 40 << 20)],
    link: Link::wan,
    events_max: 20,
    requests_max: 40,
};

/// Of a hundred answers, ten have each fault: a plan sees only what those before it have left.
const PERCENT: [u8; 3] = [10, 11, 13];

/// Chunks of a mix, unless `LOGHOLD_MIX_CHUNKS` says otherwise.
const CHUNKS: u64 = 200;

/// The mixes of an ordinary run: with a byte that is turned, and with objects that change where ranges are ignored.
const SEEDS: [u64; 2] = [16, 37];

/// Mixes that are tried side by side; most of their time is waiting.
const APART_MAX: usize = 4;

/// A chunk whose next try is later than that has failed, and so has one that has failed so often.
const LEFT_ALONE: Duration = Duration::from_secs(20);
const TRIES_MAX: u32 = 6;

/// How often a hold is opened in a mix with starts.
const STARTS: u32 = 4;

/// A mix that has come to no end by then hangs. No promise: it only ends the test.
const HANGS: Duration = Duration::from_mins(4);

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Random numbers of a seed.
struct Dice {
    seed: u64,
    rolled: u64,
}

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        origin::generate(self.seed, self.rolled, &mut bytes);
        self.rolled += 8;
        usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Three different faults, and a way for descriptors to say what files are by which each of them can be seen.
fn draw(dice: &mut Dice) -> (Vec<Case>, Vec<Said>) {
    let mut all = refusals();
    all.extend(damages());
    let cases: Vec<Case> = PERCENT.iter().map(|_| all.swap_remove(dice.below(all.len()))).collect();
    let seen = |said: &Said| cases.iter().all(|case| case.seen_with.contains(said));
    let said = [Said::Nothing, Said::Size, Said::Blake3, Said::Sha256].into_iter().filter(seen).collect();
    (cases, said)
}

/// How a chunk ended.
#[derive(Debug)]
enum End {
    Ready,
    Failed(String),
}

#[test]
fn a_mix_of_faults_on_three_of_ten_answers_ends_with_every_chunk_whole_or_failed_with_its_reason() {
    mixes(SMALL.chunks_per, |seed, chunks| mix(seed, chunks, &SMALL));
}

#[test]
fn a_mix_of_faults_on_files_of_several_parts_ends_with_every_chunk_whole_or_failed_with_its_reason() {
    mixes(IN_PARTS.chunks_per, |seed, chunks| mix(seed, chunks, &IN_PARTS));
}

#[test]
fn mixes_of_faults_at_an_origin_and_its_mirror_and_starts_in_between_let_nothing_wrong_through() {
    mixes(SMALL.chunks_per, with_mirror_and_starts);
}

fn mixes(chunks_per: u32, trial: impl Fn(u64, u32) + Sync) {
    let chunks = number_from("LOGHOLD_MIX_CHUNKS").unwrap_or(CHUNKS);
    let seeds = number_from("LOGHOLD_SEED").map_or_else(new_seeds, |seed| vec![seed]);
    let chunks = u32::try_from(chunks).unwrap() / chunks_per;
    let seeds = Mutex::new(seeds);
    std::thread::scope(|scope| {
        for _ in 0..APART_MAX {
            scope.spawn(|| {
                while let Some(seed) = next(&seeds) {
                    trial(seed, chunks);
                }
            });
        }
    });
}

/// Others in each run that asks for a number of mixes: each is printed, and enough to repeat its mix.
fn new_seeds() -> Vec<u64> {
    let Some(mixes) = number_from("LOGHOLD_MIXES") else { return SEEDS.to_vec() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = u64::from(now.subsec_nanos());
    (first..first + mixes).collect()
}

fn next(seeds: &Mutex<Vec<u64>>) -> Option<u64> {
    seeds.lock().unwrap().pop()
}

fn mix(seed: u64, chunks: u32, shape: &Shape) {
    let mut dice = Dice { seed, rolled: 0 };
    let (cases, said) = draw(&mut dice);
    println!("LOGHOLD_SEED={seed}: {:?}", cases.iter().map(|case| &case.fault).collect::<Vec<_>>());
    let stock: Vec<Stock> = (1..=chunks).map(|number| Stock::new(number, shape.items)).collect();
    let site = stock.iter().fold(Site::new(), |site, each| each.on(site));
    let world = World::of(site.link((shape.link)()));
    for ((case, percent), seed) in cases.iter().zip(PERCENT).zip(seed..) {
        world.origin.add_fault("stock/", Plan::share(percent, seed, case.fault.clone()));
    }
    let hold = world.open();
    let mut watch = hold.watch();
    let mut wanted: HashMap<ChunkId, Stock> = HashMap::new();
    for each in &stock {
        hold.download_chunk(each.chunk(&world.origin, said[dice.below(said.len())])).unwrap();
        wanted.insert(each.id(), each.clone());
    }
    let (ends, events) = ends(&hold, &mut watch, &wanted, wanted.len());
    assert_nothing_wrong(&hold, &stock);
    let requests = world.origin.log().len();
    let failed: Vec<(&ChunkId, &String)> = ends
        .iter()
        .filter_map(|(id, end)| match end {
            End::Ready => None,
            End::Failed(reason) => Some((id, reason)),
        })
        .collect();
    println!(
        "LOGHOLD_SEED={seed}: {events} events, {requests} requests, {} of {chunks} chunks failed",
        failed.len()
    );
    for (_, reason) in &failed {
        assert!(reason.contains("http://") || reason.contains("left alone"), "no reason: {reason}");
    }
    assert!(events <= shape.events_max * u64::from(chunks), "{events} events for {chunks} chunks");
    let files = u64::from(chunks) * u64::try_from(shape.items.len()).unwrap();
    assert!(
        u64::try_from(requests).unwrap() <= shape.requests_max * files,
        "{requests} requests for {files} files"
    );
    let failed: Vec<&Stock> = failed.iter().map(|(id, _)| &wanted[*id]).collect();
    // A start forgets for how long a source had asked to be left alone.
    drop(hold);
    let hold = world.open();
    come_when_asked_again(&world, &hold, &failed);
    assert_eq!(hold.list_chunks().len(), stock.len());
    assert_nothing_wrong(&hold, &stock);
}

/// An origin has three kinds of faults and its mirror three; the hold is opened anew when half of what was missing has ended, and asked
/// for the rest again, which may say more or less of the files than before.
fn with_mirror_and_starts(seed: u64, chunks: u32) {
    let mut dice = Dice { seed, rolled: 0 };
    let ((cases, said), (others, said_of_others)) = (draw(&mut dice), draw(&mut dice));
    let said: Vec<Said> = said.into_iter().filter(|said| said_of_others.contains(said)).collect();
    let faults = |cases: &[Case]| cases.iter().map(|case| case.fault.clone()).collect::<Vec<_>>();
    println!("LOGHOLD_SEED={seed}: {:?}, and the mirror {:?}", faults(&cases), faults(&others));
    let stock: Vec<Stock> = (1..=chunks).map(|number| Stock::new(number, SMALL.items)).collect();
    let (world, mirror) = (stocked(&stock), stocked(&stock));
    for (world, cases) in [(&world, &cases), (&mirror, &others)] {
        for ((case, percent), seed) in cases.iter().zip(PERCENT).zip(seed..) {
            world.origin.add_fault("stock/", Plan::share(percent, seed, case.fault.clone()));
        }
    }
    let open = || {
        let mut options = world.options();
        options.mirrors = vec![Mirror { prefix: world.origin.url(""), others: vec![mirror.origin.url("")] }];
        DataManagerImpl::open_with(options, Parts::default()).unwrap()
    };
    for start in 1..=STARTS {
        let hold = open();
        assert_nothing_wrong(&hold, &stock);
        let here = hold.list_chunks();
        let missing: HashMap<ChunkId, Stock> = stock
            .iter()
            .filter(|each| !here.contains(&each.id()))
            .map(|each| (each.id(), each.clone()))
            .collect();
        println!("LOGHOLD_SEED={seed}: start {start}, {} of {chunks} chunks missing", missing.len());
        let mut watch = hold.watch();
        for each in stock.iter().filter(|each| missing.contains_key(&each.id())) {
            hold.download_chunk(each.chunk(&world.origin, said[dice.below(said.len())])).unwrap();
        }
        let enough = if start == STARTS { missing.len() } else { missing.len().div_ceil(2) };
        ends(&hold, &mut watch, &missing, enough);
        assert_nothing_wrong(&hold, &stock);
    }
    mirror.origin.clear_faults();
    let hold = open();
    let here = hold.list_chunks();
    let failed: Vec<&Stock> = stock.iter().filter(|each| !here.contains(&each.id())).collect();
    for each in &failed {
        (0..each.items.len()).for_each(|item| mirror.origin.replace(&each.path(item), each.content(item)));
    }
    come_when_asked_again(&world, &hold, &failed);
    assert_eq!(hold.list_chunks().len(), stock.len());
    assert_nothing_wrong(&hold, &stock);
}

/// Both runs have ended when the first of them is looked at, and what the other one says must not be lost with it.
#[tokio::test(start_paused = true)]
async fn files_that_come_damaged_at_the_same_moment_are_all_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    let mut chunk = source.chunk("host", 1, Manner::WrongOnce);
    for (number, said) in [(2, "blake3"), (3, "sha256"), (4, "blake3")] {
        let url = format!("sim://host/{number}");
        let bytes = bytes_of(number);
        source.put(&url, &bytes, Some("\"v1\""), Manner::WrongOnce);
        let digest = match said {
            "blake3" => blake3::hash(&bytes).to_hex().to_string(),
            _ => hex_id(&sha2::Sha256::digest(&bytes).into()).split_off(2),
        };
        chunk.files.insert(format!("{number}.parquet"), format!("{url}#{said}={digest}"));
    }
    chunk.files.remove("a.parquet");
    hold.download_chunk(chunk).unwrap();
    ready(&mut watch, [wide_id(1)]).await;
    let path = hold.get_chunk(wide_id(1)).unwrap().path().to_path_buf();
    for number in 2..5 {
        let found = std::fs::read(path.join(format!("{number}.parquet"))).unwrap();
        assert!(found == bytes_of(number), "file {number} is visible and wrong");
    }
    hold.close_in_task().await;
}

/// Reads events until so many chunks are ready or have failed for long. What becomes visible is compared as it does.
fn ends(
    hold: &DataManagerImpl,
    watch: &mut Watch,
    wanted: &HashMap<ChunkId, Stock>,
    enough: usize,
) -> (BTreeMap<ChunkId, End>, u64) {
    let mut ends = BTreeMap::new();
    let mut tries: HashMap<ChunkId, u32> = HashMap::new();
    let mut events = 0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let all = async {
        while ends.len() < enough {
            let event = watch.next().await.expect("the hold is open");
            events += 1;
            match event {
                Event::Ready(id) => {
                    let chunk = hold.get_chunk(id).expect("nothing is deleted");
                    assert!(
                        wanted[&id].is_in(chunk.path()),
                        "chunk {} is visible and wrong",
                        wanted[&id].number
                    );
                    ends.insert(id, End::Ready);
                }
                Event::Failed { id, reason, next_try } => {
                    let tries = tries.entry(id).or_default();
                    *tries += 1;
                    if *tries >= TRIES_MAX || next_try.is_none_or(|time| time >= LEFT_ALONE) {
                        ends.insert(id, End::Failed(reason));
                    }
                }
                Event::Lagged(missed) => panic!("the test missed {missed} events"),
                _ => {}
            }
        }
    };
    let ended = runtime.block_on(async { tokio::time::timeout(HANGS, all).await });
    assert!(ended.is_ok(), "{} of {enough} chunks have no end", enough - ends.len());
    (ends, events)
}

/// What has failed comes when the origin is well again and somebody asks.
fn come_when_asked_again(world: &World, hold: &DataManagerImpl, failed: &[&Stock]) {
    world.origin.clear_faults();
    for each in failed {
        // One of the faults changes files for good.
        (0..each.items.len()).for_each(|item| world.origin.replace(&each.path(item), each.content(item)));
        hold.download_chunk(each.chunk(&world.origin, Said::Blake3)).unwrap();
    }
    for each in failed {
        hold.wait_chunk(each.id(), PATIENCE).unwrap();
    }
}
