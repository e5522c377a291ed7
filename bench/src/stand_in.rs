//! A stand-in for the loop of SQD's worker, written from a description of what it does and in which order.
//! Refuses to be faster or slower on purpose: one completion for each walk of the tree, three downloads at once, no syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Client;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::chunks::Chunk;

/// Chunks downloaded at once.
const DOWNLOADS: usize = 3;

/// Chunks below one top directory.
const PER_TOP: u64 = 500;

/// Residents' and new chunks' dataset, named as the worker names it.
const DATASET_DIR: &str = "czM6Ly9ldGhlcmV1bS1tYWlubmV0LTE";

type Done = (u64, Result<(), String>);

/// The loop with its sets of chunks.
#[derive(Debug)]
pub(crate) struct StandIn {
    root: PathBuf,
    client: Client,
    available: BTreeSet<String>,
    desired: BTreeSet<String>,
    to_download: BTreeMap<String, Chunk>,
    downloading: JoinSet<Done>,
    active: BTreeMap<u64, String>,
}

/// A chunk's directory below the dataset's.
fn chunk_dir(number: u64) -> String {
    let first = number * 1_000;
    let top = number / PER_TOP * PER_TOP * 1_000;
    format!(
        "{top:010}/{first:010}-{:010}-{:08x}",
        first + 999,
        number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff
    )
}

impl StandIn {
    /// An empty worker.
    pub(crate) fn new(root: &Path) -> Outcome<StandIn> {
        crate::machine::fresh_dir(root)?;
        Ok(StandIn {
            root: root.to_path_buf(),
            client: Client::builder().no_proxy().build()?,
            available: BTreeSet::new(),
            desired: BTreeSet::new(),
            to_download: BTreeMap::new(),
            downloading: JoinSet::new(),
            active: BTreeMap::new(),
        })
    }

    /// Puts chunks there without downloading them. Their files have lengths and no bytes: the walk reads only lengths.
    pub(crate) fn grow(&mut self, count: u64, names: &[&str]) -> Outcome<()> {
        for number in self.available.len() as u64..count {
            let name = chunk_dir(number);
            let dir = self.root.join(DATASET_DIR).join(&name);
            fs::create_dir_all(&dir)?;
            for file in names {
                fs::File::create(dir.join(file))?.set_len(20_000)?;
            }
            self.desired.insert(name.clone());
            self.available.insert(name);
        }
        Ok(())
    }

    /// Gets chunks as the worker would, and returns when they are all there.
    pub(crate) async fn fetch(&mut self, chunks: &[Chunk], prefix: &str) -> Outcome<()> {
        for chunk in chunks {
            let name = chunk_dir(chunk.number);
            self.desired.insert(name.clone());
            self.to_download.insert(name, chunk.clone());
        }
        loop {
            // 1. How many bytes are stored: a walk of everything, awaited before anything else may happen.
            let root = self.root.clone();
            let _stored_bytes = tokio::task::spawn_blocking(move || stored_bytes(&root)).await?;
            if self.to_download.is_empty() && self.active.is_empty() {
                return Ok(());
            }
            // 2. One completion.
            if !self.active.is_empty()
                && let Some(done) = self.downloading.join_next().await
            {
                let (number, result) = done?;
                let name = self.active.remove(&number).ok_or("it was not active")?;
                result?;
                self.available.insert(name);
            }
            // 3. Removals: what is available and not desired.
            let gone: Vec<String> = self.available.difference(&self.desired).cloned().collect();
            for name in gone {
                self.remove(&name)?;
            }
            // 4. Refill.
            while self.active.len() < DOWNLOADS
                && let Some((name, chunk)) = self.to_download.pop_first()
            {
                self.active.insert(chunk.number, name.clone());
                let target = self.root.join(DATASET_DIR).join(&name);
                let (client, prefix) = (self.client.clone(), prefix.to_owned());
                self.downloading.spawn(async move {
                    let result = download(&client, &chunk, &prefix, &target).await;
                    (chunk.number, result.map_err(|error| error.to_string()))
                });
            }
        }
    }

    /// Forgets chunks that were fetched, so that the next round begins where this one did.
    pub(crate) fn drop_chunks(&mut self, chunks: &[Chunk]) -> Outcome<()> {
        for chunk in chunks {
            let name = chunk_dir(chunk.number);
            self.desired.remove(&name);
            self.remove(&name)?;
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Outcome<()> {
        let dir = self.root.join(DATASET_DIR).join(name);
        let temporary = dir.with_file_name(temporary_name("removed"));
        fs::rename(&dir, &temporary)?;
        fs::remove_dir_all(&temporary)?;
        self.available.remove(name);
        if let Some(top) = dir.parent() {
            // Fails while the directory is not empty, as it should.
            let _is_removed = fs::remove_dir(top).is_ok();
        }
        Ok(())
    }
}

fn temporary_name(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("temp-{}-{name}", now.as_millis())
}

/// All files of a chunk at once, into a temporary directory, which is then renamed.
async fn download(client: &Client, chunk: &Chunk, prefix: &str, target: &Path) -> Outcome<()> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = target.with_file_name(temporary_name(&name));
    fs::create_dir_all(&temporary)?;
    let mut files = JoinSet::new();
    for file in &chunk.files {
        let (client, url) = (client.clone(), format!("{prefix}{}", file.path));
        let path = temporary.join(&file.name);
        files.spawn(async move {
            let mut response = client.get(url).send().await?.error_for_status()?;
            let mut to = tokio::fs::File::create(path).await?;
            while let Some(bytes) = response.chunk().await? {
                tokio::io::AsyncWriteExt::write_all(&mut to, &bytes).await?;
            }
            tokio::io::AsyncWriteExt::flush(&mut to).await?;
            Outcome::Ok(())
        });
    }
    while let Some(done) = files.join_next().await {
        done??;
    }
    fs::rename(&temporary, target)?;
    Ok(())
}

/// The lengths of all files below a directory.
pub(crate) fn stored_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        bytes += if facts.is_dir() { stored_bytes(&entry.path()) } else { facts.len() };
    }
    bytes
}
