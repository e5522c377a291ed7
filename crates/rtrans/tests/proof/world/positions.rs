//! The calls that move positions, each at once or with the next group commit.
//! Refuses to know a position before its call has returned: until then the old one is as right.

use rtrans::{Consumer, Error};

use super::{NAMES, World};

impl World {
    pub(super) fn commit(&mut self, name: usize, back: u64, is_reset: bool) -> Result<(), Error> {
        let Some(to) = self.back(back) else { return Ok(()) };
        let log = self.log();
        let key = NAMES[name];
        self.commits.retain(|(_, before, _)| *before != key);
        self.consumer(name)?;
        self.oracle.maybe_positions.push((key, to.get()));
        let consumer = self.consumer(name)?;
        if is_reset { consumer.reset(Some(to)) } else { consumer.commit(to) }?;
        self.oracle.maybe_positions.retain(|(maybe, _)| *maybe != key);
        self.oracle.positions.insert(key, to.get());
        self.oracle.settle();
        let found = log.consumers()?.into_iter().find(|consumer| consumer.name == key).unwrap();
        assert_eq!(found.position, Some(to), "the position that was committed");
        assert_eq!(found.lag, self.last() - to.get());
        if is_reset {
            let next = self.consumers.get_mut(&name).unwrap().next_batch(3)?;
            for record in &next {
                self.oracle.compare_one(record);
            }
            assert_eq!(next.first().map(|record| record.id), (to.get() < self.last()).then(|| to.next()));
        }
        Ok(())
    }

    /// A commit that rides in the next round: its outcome is known when it was waited for.
    pub(super) fn commit_async(&mut self, name: usize, back: u64) -> Result<(), Error> {
        let Some(to) = self.back(back) else { return Ok(()) };
        let key = NAMES[name];
        self.consumer(name)?;
        self.oracle.maybe_positions.push((key, to.get()));
        let ticket = self.consumer(name)?.commit_async(to)?;
        self.commits.push((ticket, key, to.get()));
        Ok(())
    }

    pub(super) fn wait_for_commits(&mut self) -> Result<(), Error> {
        for (ticket, key, to) in std::mem::take(&mut self.commits) {
            ticket.wait()?;
            self.committed(key, to);
        }
        Ok(())
    }

    /// All that were on their way are through.
    pub(super) fn know_commits(&mut self) {
        for (_, key, to) in std::mem::take(&mut self.commits) {
            self.committed(key, to);
        }
    }

    /// Whatever else was to be noted before is so no more; what comes later may be.
    fn committed(&mut self, key: &'static str, to: u64) {
        self.oracle.positions.insert(key, to);
        let maybe = &mut self.oracle.maybe_positions;
        if let Some(at) = maybe.iter().position(|found| *found == (key, to)) {
            maybe.remove(at);
        }
        self.oracle.settle();
    }

    fn consumer(&mut self, name: usize) -> Result<&mut Consumer, Error> {
        if !self.consumers.contains_key(&name) {
            let consumer = self.log().consumer(NAMES[name])?;
            self.consumers.insert(name, consumer);
            self.oracle.positions.entry(NAMES[name]).or_insert(0);
        }
        Ok(self.consumers.get_mut(&name).unwrap())
    }
}
