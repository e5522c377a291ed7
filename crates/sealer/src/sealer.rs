//! `Sealer`: the loop that makes chunks of what is final in a log, and publishes each of them once.
//! Refuses to seal what is not final, to pass over a record, and to trim what it has not read back from the store.

use std::time::Duration;

use host::Clock;
use rtrans::{Consumer, Log, Reader, TransId};

use crate::agreement::agree;
use crate::chain::ManifestChain;
use crate::error::{Error, Halt};
use crate::manifest::{Manifest, manifest_name};
use crate::plan::{Finality, Plan, Retain};
use crate::scout::Scout;
use crate::sealing::{Behind, Made, make, record_digest};
use crate::store::Store;
use crate::verify::read_back;

/// How long a wait lasts at most: marks, and the age of records, wake nobody.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The log as the sealer sees it.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is written by this process: marks can be read, and what is sealed can be marked final and be trimmed.
    Writer(Log),
    /// It is written by another process, or by none.
    Reader(Reader),
}

/// What one step has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A chunk was sealed, by this sealer or another one with the same bytes.
    Sealed(Box<Manifest>),
    /// Another sealer was first with other bytes; this one goes on behind it.
    Overtaken,
    /// Nothing that may be sealed makes a chunk yet.
    Waiting {
        /// How many records wait that are final.
        records: u64,
    },
}

/// Seals a log. Each step is repeated after a crash as if it had not begun: names of objects depend on content only, the
/// manifest is written once, and the position in the log follows it.
///
/// Its calls wait for the log and the store, and are made outside of any async runtime.
#[derive(Debug)]
pub struct Sealer {
    plan: Plan,
    source: Source,
    reader: Reader,
    consumer: Consumer,
    chain: ManifestChain,
    clock: Clock,
    scout: Option<Scout>,
    /// Whether the chain was compared with the log since the sealer began.
    is_settled: bool,
    checks_store: bool,
}

impl Sealer {
    /// A sealer of a log into the store of a plan. It becomes the log's consumer of the plan's name.
    ///
    /// # Errors
    /// [`Error::Plan`] when the plan needs the log's writer and this is none; [`Error::Log`] with
    /// [`rtrans::Error::Locked`] while another sealer of this log runs; [`Error::Store`].
    pub fn open(plan: Plan, source: Source) -> Result<Sealer, Error> {
        let store = Store::open(&plan.store)?;
        Sealer::open_on(plan, source, &store, &Clock::system())
    }

    /// As [`Sealer::open`], into a store that is open already, with times from a clock.
    pub fn open_on(plan: Plan, source: Source, store: &Store, clock: &Clock) -> Result<Sealer, Error> {
        let (reader, consumer) = match &source {
            Source::Writer(log) => (log.reader().clone(), log.consumer(&plan.consumer)?),
            Source::Reader(reader) => {
                let key = if plan.finality == Finality::Mark { "finality" } else { "retain" };
                if plan.needs_writer() {
                    return Err(Error::plan(key, "it needs the process that writes the log"));
                }
                (reader.clone(), reader.consumer(&plan.consumer)?)
            }
        };
        if plan.cut.age.is_some() && reader.parameters().format_version == 1 {
            return Err(Error::plan("cut.age", "a log of format 1 keeps no times"));
        }
        let chain = ManifestChain::of(store);
        let (clock, checks_store) = (clock.clone(), true);
        Ok(Sealer {
            plan,
            source,
            reader,
            consumer,
            chain,
            clock,
            scout: None,
            is_settled: false,
            checks_store,
        })
    }

    /// Without a trial of the store before the first chunk: for a store that was tried before.
    #[must_use]
    pub fn trusting_store(mut self) -> Sealer {
        self.checks_store = false;
        self
    }

    /// The chunks that it knows of.
    pub fn chain(&self) -> &ManifestChain {
        &self.chain
    }

    /// Seals the next chunk, if there is one.
    ///
    /// # Errors
    /// [`Error::Halted`] when somebody has to decide; [`Error::StoreRefused`] before the first chunk; others as they come.
    /// After any of them a step may be tried again.
    pub fn step(&mut self) -> Result<Step, Error> {
        self.settle()?;
        let behind = behind(&self.chain);
        let first = behind.next();
        let mark = self.mark()?;
        self.reader.refresh()?;
        if self.scout.as_ref().is_none_or(|scout| !scout.is_on(first, &self.reader)) {
            self.scout = None;
        }
        let mut scout = self.scout.take().unwrap_or_else(|| Scout::new(&self.plan, &behind));
        let found = scout.look(&self.plan, &self.reader, mark, self.clock.wall())?;
        let Some(last) = found else {
            let records = scout.pending().records;
            self.scout = Some(scout);
            return Ok(Step::Waiting { records });
        };
        if self.chain.last().is_none() && self.checks_store {
            self.chain.store().check()?;
            self.checks_store = false;
        }
        if let Source::Writer(log) = &self.source
            && log.parameters().format_version > 1
        {
            // From here on these records cannot be rolled back: what is sealed and what the log says never part.
            log.finalize(last)?;
        }
        let made = make(&self.plan, &self.reader, &behind, last)?;
        self.publish(made)
    }

    /// Seals what there is, until a chunk is not full yet. Returns the chunks that were sealed.
    ///
    /// # Errors
    /// As of [`Sealer::step`].
    pub fn seal_all(&mut self) -> Result<Vec<Manifest>, Error> {
        let mut sealed = Vec::new();
        loop {
            match self.step()? {
                Step::Sealed(manifest) => sealed.push(*manifest),
                Step::Overtaken => {}
                Step::Waiting { .. } => return Ok(sealed),
            }
        }
    }

    /// Waits until a step may do more: for a record behind those that were seen, or a second at most.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn wait(&self) -> Result<(), Error> {
        let next = TransId::after(self.reader.last());
        let age =
            self.scout.as_ref().and_then(|scout| self.plan.cut.due_in(scout.pending(), self.clock.wall()));
        let timeout = age.unwrap_or(WAIT_MAX).clamp(Duration::from_millis(1), WAIT_MAX);
        match self.reader.follow(next).next_within(timeout) {
            // Told again by the next step, with what it means for sealing.
            Ok(_) | Err(rtrans::Error::RolledBack { .. } | rtrans::Error::Trimmed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Learns what the store holds, and brings the log up to it.
    fn settle(&mut self) -> Result<(), Error> {
        let known = self.chain.next_sequence();
        self.chain.refresh()?;
        let is_news = self.chain.next_sequence() != known;
        if is_news || !self.is_settled {
            self.scout = None;
        }
        agree(&self.plan, &self.chain, &self.reader, self.consumer.position())?;
        if is_news || !self.is_settled {
            self.advance()?;
            self.is_settled = true;
        }
        Ok(())
    }

    /// Notes the position in the log, and trims behind it if the plan says so.
    fn advance(&mut self) -> Result<(), Error> {
        let Some(last) = self.chain.head().and_then(|head| TransId::new(head.last_transid)) else {
            return Ok(());
        };
        if self.consumer.position() < Some(last) {
            match self.consumer.commit(last) {
                // All that it could point to is trimmed already.
                Err(rtrans::Error::BeyondEnd { .. }) if self.reader.first().is_none() => {}
                done => done?,
            }
        }
        if let (Source::Writer(log), Retain::Unsealed) = (&self.source, self.plan.retain) {
            let others = log.consumers()?.into_iter().filter(|consumer| consumer.name != self.plan.consumer);
            let slowest = others.map(|consumer| TransId::after(consumer.position)).min();
            let first = slowest.map_or(last.next(), |slowest| slowest.min(last.next()));
            log.trim_before(first)?;
        }
        Ok(())
    }

    fn mark(&self) -> Result<Option<TransId>, Error> {
        match (&self.source, self.plan.finality) {
            (Source::Writer(log), Finality::Mark) => Ok(log.finalized()?),
            _ => Ok(None),
        }
    }

    /// Writes the files, reads them back, and writes the manifest: the commit point.
    fn publish(&mut self, made: Made) -> Result<Step, Error> {
        let Made { manifest, files } = made;
        let store = self.chain.store().clone();
        for (name, bytes) in files {
            store.place().put(&manifest.object_name(&name), bytes)?;
        }
        read_back(&store, &manifest)?;
        self.compare_made(&manifest)?;
        let outcome = publish_manifest(&mut self.chain, &manifest);
        self.scout = None;
        let is_ours = outcome?;
        self.advance()?;
        Ok(if is_ours { Step::Sealed(Box::new(manifest)) } else { Step::Overtaken })
    }

    /// The last look before the commit point: the log still holds what the chunk was made of.
    fn compare_made(&self, manifest: &Manifest) -> Result<(), Error> {
        let Some(last) = TransId::new(manifest.last_transid) else { return Ok(()) };
        match self.reader.read(last)? {
            Some(record) if record_digest(&record) == manifest.last_record => Ok(()),
            _ => Err(Halt::LogDiffers { sealed: last, last: self.reader.last() }.into()),
        }
    }
}

/// Writes a manifest, unless another one of its number is there: the commit point. Whether the one that is there now is
/// this one.
pub(crate) fn publish_manifest(chain: &mut ManifestChain, manifest: &Manifest) -> Result<bool, Error> {
    let name = manifest_name(manifest.sequence);
    let put = chain.store().place().put_new(&name, manifest.encode().into());
    // Whether an answer got lost or another one was first: what lies there now decides.
    match (chain.read_next()?, put) {
        (Some(stored), _) => Ok(stored == manifest),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(Error::damaged(name, "it was written, and is not there")),
    }
}

/// What the next chunk comes behind.
fn behind(chain: &ManifestChain) -> Behind<'_> {
    Behind { head: chain.head(), last: chain.last(), chunks: chain.manifests() }
}
