//! What this program does as a child of itself: to fetch, to serve, to be a raw limit, to open and find.
//! Refuses to be called by people.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_manager::assignment::{Assignment, Dropping, Priority};
use data_manager::event::Event;
use origin::{Link, Origin};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::chunks::{self, Chunk};
use crate::{hold, machine};

/// What [`fetch`] is to get.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fetch {
    pub(crate) data_dir: PathBuf,
    /// What the files' URLs begin with.
    pub(crate) prefix: String,
    pub(crate) chunks: Vec<Chunk>,
    /// In the order of the list, by priorities, in place of the library's own order.
    pub(crate) is_first_come: bool,
}

/// What [`fetch`] says at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fetched {
    /// When each chunk was ready, since the start, in milliseconds.
    pub(crate) ready_ms: Vec<f64>,
    pub(crate) fetched_bytes: u64,
    pub(crate) resident_bytes: u64,
}

/// Fetches an assignment with the library, and says how it went.
pub(crate) fn fetch(spec: &Path) -> Outcome<()> {
    let spec: Fetch = serde_json::from_slice(&fs::read(spec)?)?;
    let begin = Instant::now();
    let hold = hold::open(&spec.data_dir)?;
    let mut watch = hold.watch();
    let count = i32::try_from(spec.chunks.len()).unwrap_or(i32::MAX);
    let priority = |place: i32| Priority(if spec.is_first_come { count - place } else { 0 });
    let descriptors = spec.chunks.iter().map(|chunk| chunk.descriptor(&spec.prefix));
    let wanted = (0..).zip(descriptors).map(|(place, chunk)| (chunk, priority(place))).collect();
    hold.apply(Assignment { id: "bench".to_owned(), chunks: wanted, drop: Dropping::Now })?;
    let mut fetched = Fetched::default();
    hold::runtime()?.block_on(async {
        while let Some(event) = watch.next().await {
            match event {
                Event::Ready(_) => fetched.ready_ms.push(machine::ms_since(begin)),
                Event::Applied(_) => break,
                Event::Failed { reason, .. } => eprintln!("    a download failed: {reason}"),
                _ => {}
            }
        }
    });
    fetched.fetched_bytes = hold.totals().fetched_bytes;
    fetched.resident_bytes = machine::resident_bytes();
    hold.close();
    println!("{}", serde_json::to_string(&fetched)?);
    Ok(())
}

/// What [`serve`] is to serve.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Serve {
    pub(crate) chunks: Vec<Chunk>,
    /// The long link in place of the bare loopback.
    pub(crate) is_far: bool,
}

/// Serves chunks over loopback until it is killed.
pub(crate) fn serve(spec: &Path) -> Outcome<()> {
    let spec: Serve = serde_json::from_slice(&fs::read(spec)?)?;
    let mut site = chunks::site(&spec.chunks);
    if spec.is_far {
        site = site.link(Link::wan());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let origin = runtime.block_on(Origin::start(site))?;
    println!("{}", origin.url(""));
    loop {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

/// What [`floor`] is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Floor {
    pub(crate) port: u16,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) to: PathBuf,
    pub(crate) has_digest: bool,
}

/// The raw limit: two threads with one connection each, from a socket into files, and nothing else.
pub(crate) fn floor(spec: &Path) -> Outcome<()> {
    let spec: Floor = serde_json::from_slice(&fs::read(spec)?)?;
    let half = spec.chunks.len().div_ceil(2);
    std::thread::scope(|scope| {
        let threads: Vec<_> = spec
            .chunks
            .chunks(half.max(1))
            .map(|part| scope.spawn(|| floor_part(&spec, part).map_err(|error| error.to_string())))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "it panicked".to_owned())?)
    })?;
    Ok(())
}

fn floor_part(spec: &Floor, chunks: &[Chunk]) -> Outcome<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", spec.port))?;
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 256 << 10];
    for chunk in chunks {
        fs::create_dir_all(spec.to.join(format!("{:06}", chunk.number)))?;
        for file in &chunk.files {
            write!(socket, "GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", file.path)?;
            let (mut held, mut body_at) = (0, None);
            while body_at.is_none() {
                held += match socket.read(buffer.get_mut(held..).unwrap_or_default())? {
                    0 => return Err("the server closed".into()),
                    read => read,
                };
                let head = buffer.get(..held).unwrap_or_default();
                body_at = head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            }
            let mut to = fs::File::create(spec.to.join(&file.path))?;
            let mut hasher = blake3::Hasher::new();
            let mut left = file.len;
            let mut piece = buffer.get(body_at.unwrap_or(held)..held).unwrap_or_default();
            loop {
                to.write_all(piece)?;
                if spec.has_digest {
                    hasher.update(piece);
                }
                left -= piece.len() as u64;
                if left == 0 {
                    break;
                }
                let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let read = socket.read(buffer.get_mut(..wanted).unwrap_or_default())?;
                if read == 0 {
                    return Err("the body was short".into());
                }
                piece = buffer.get(..read).unwrap_or_default();
            }
            std::hint::black_box(hasher.finalize());
        }
    }
    Ok(())
}

/// What [`restart`] is to open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Restart {
    pub(crate) data_dir: PathBuf,
    pub(crate) count: u64,
}

/// What [`restart`] says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Restarted {
    pub(crate) first_find_ms: f64,
    /// Memory that was not in use before.
    pub(crate) resident_bytes: u64,
}

/// Opens a data directory, finds a chunk, and ends as a crash would.
pub(crate) fn restart(spec: &Path) -> Outcome<()> {
    let spec: Restart = serde_json::from_slice(&fs::read(spec)?)?;
    let before = machine::resident_bytes();
    let begin = Instant::now();
    let hold = hold::open(&spec.data_dir)?;
    let (dataset, block) = hold::resident_place(spec.count.saturating_sub(1));
    let found = hold.find_chunk(dataset, block + 5);
    let first_find_ms = machine::ms_since(begin);
    if found.is_none() && spec.count > 0 {
        return Err("the chunk was not found".into());
    }
    let resident_bytes = machine::resident_bytes().saturating_sub(before);
    println!("{}", serde_json::to_string(&Restarted { first_find_ms, resident_bytes })?);
    std::io::stdout().flush()?;
    std::process::exit(0);
}
