//! `ManifestChain`: the manifests of a store in order, each checked against the one before.
//! Refuses a chain with a hole or a stranger in it.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::manifest::{MANIFEST_BYTES_MAX, MANIFESTS, Manifest, manifest_name, sequence_of};
use crate::store::Store;

/// The manifests of a store, in order. It knows those that it has read, and reads on from there.
///
/// Its calls wait for the store, and are made outside of any async runtime.
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let url = format!("file://{}", dir.path().display());
/// let mut chain = sealer::ManifestChain::open(&url)?;
/// assert!(chain.next_after(0)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManifestChain {
    store: Store,
    manifests: Vec<Manifest>,
    /// The index of the manifest up to whose last record everything is sealed.
    head: Option<usize>,
}

impl ManifestChain {
    /// The manifests in the store at a URL. Reads none yet.
    ///
    /// # Errors
    /// As of [`Store::open`].
    pub fn open(url: &str) -> Result<ManifestChain, Error> {
        Ok(ManifestChain::of(&Store::open(url)?))
    }

    /// The manifests in a store. Reads none yet.
    pub fn of(store: &Store) -> ManifestChain {
        ManifestChain { store: store.clone(), manifests: Vec::new(), head: None }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads what was sealed since, and returns the manifests behind this sequence number, in order; 0 for all.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a manifest is missing, damaged, or does not follow the one before; [`Error::Store`].
    pub fn next_after(&mut self, sequence: u64) -> Result<Vec<Manifest>, Error> {
        self.refresh()?;
        let known = usize::try_from(sequence).unwrap_or(usize::MAX);
        Ok(self.manifests.get(known..).unwrap_or_default().to_vec())
    }

    /// Reads what was sealed since.
    ///
    /// # Errors
    /// As of [`ManifestChain::next_after`]; what was read before the error stays known.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let after = self.last().map_or_else(String::new, |last| format!("{:020}.json", last.sequence));
        for name in self.store.place().list(MANIFESTS, &after)? {
            let Some(sequence) = sequence_of(&name) else { continue };
            let next = self.next_sequence();
            if sequence != next {
                let what = format!("it is missing, and {} is there", manifest_name(sequence));
                return Err(Error::damaged(manifest_name(next), what));
            }
            self.read_next()?;
        }
        Ok(())
    }

    /// Reads the next manifest alone, if it is there.
    pub(crate) fn read_next(&mut self) -> Result<Option<&Manifest>, Error> {
        let name = manifest_name(self.next_sequence());
        let Some(bytes) = self.store.place().get(&name, MANIFEST_BYTES_MAX)? else { return Ok(None) };
        let manifest = Manifest::decode(&name, &bytes)?;
        self.push(manifest).map(Some)
    }

    /// Takes a manifest that was just read or written.
    pub(crate) fn push(&mut self, manifest: Manifest) -> Result<&Manifest, Error> {
        if let Some(flaw) = self.misfit(&manifest) {
            return Err(Error::damaged(manifest_name(manifest.sequence), flaw));
        }
        if manifest.replaces.is_empty() {
            self.head = Some(self.manifests.len());
        }
        self.manifests.push(manifest);
        self.manifests.last().ok_or_else(|| Error::damaged(MANIFESTS, "empty"))
    }

    /// All manifests that were read, in order.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// The last manifest that was read.
    pub fn last(&self) -> Option<&Manifest> {
        self.manifests.last()
    }

    /// The manifest up to whose last record everything is sealed.
    pub fn head(&self) -> Option<&Manifest> {
        // A compaction holds old records again: it may be the last manifest, and is never the head.
        self.manifests.get(self.head?)
    }

    /// The number of the manifest that comes next.
    pub fn next_sequence(&self) -> u64 {
        self.last().map_or(1, |last| last.sequence.saturating_add(1))
    }

    /// The chunks that stand for the dataset now, in the order of their blocks: those that no other one replaces.
    pub fn live(&self) -> Vec<&Manifest> {
        let replaced: BTreeSet<&str> =
            self.manifests.iter().flat_map(|manifest| &manifest.replaces).map(String::as_str).collect();
        let live = self.manifests.iter().filter(|manifest| !replaced.contains(manifest.chunk.as_str()));
        let mut live: Vec<&Manifest> = live.collect();
        live.sort_by_key(|manifest| (manifest.first_block, manifest.sequence));
        live
    }

    fn misfit(&self, manifest: &Manifest) -> Option<String> {
        let next = self.next_sequence();
        if manifest.sequence != next {
            return Some(format!("its sequence number is {}, and {next} comes next", manifest.sequence));
        }
        let Some(last) = self.last() else {
            return (!manifest.replaces.is_empty())
                .then(|| "it is the first, and replaces others".to_owned());
        };
        if manifest.previous.as_deref() != Some(last.digest().as_str()) {
            return Some(format!(
                "it does not follow {}: one of the two was replaced",
                manifest_name(last.sequence)
            ));
        }
        if manifest.dataset != last.dataset {
            return Some(format!(
                "it is of the dataset {:?}, the others of {:?}",
                manifest.dataset, last.dataset
            ));
        }
        if manifest.replaces.is_empty() {
            let head = self.head()?;
            let follows = manifest.first_transid == head.last_transid.saturating_add(1)
                && manifest.first_block > head.last_block;
            return (!follows).then(|| format!("it does not begin behind record {}", head.last_transid));
        }
        self.misfit_of_replacement(manifest)
    }

    fn misfit_of_replacement(&self, manifest: &Manifest) -> Option<String> {
        let live = self.live();
        let replaced: Vec<_> =
            live.into_iter().filter(|chunk| manifest.replaces.contains(&chunk.chunk)).collect();
        let follow = replaced.windows(2).all(|pair| match pair {
            [before, after] => before.last_transid.saturating_add(1) == after.first_transid,
            _ => false,
        });
        let is_whole = match (replaced.first(), replaced.last()) {
            (Some(first), Some(last)) => {
                follow
                    && replaced.len() == manifest.replaces.len()
                    && (first.first_block, first.first_transid)
                        == (manifest.first_block, manifest.first_transid)
                    && (last.last_block, last.last_transid) == (manifest.last_block, manifest.last_transid)
            }
            _ => false,
        };
        (!is_whole).then(|| "it does not hold exactly what it replaces".to_owned())
    }
}
