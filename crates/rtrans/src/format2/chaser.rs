//! The chaser: reads on in a log of format 2 that another process writes.
//! Refuses to judge what is not whole: the writer may be writing it at this moment.

use std::path::Path;
use std::sync::Arc;

use host::Disk;

use super::recover::{self, Found};
use super::segment::{Segment, data_path, read_head};
use super::shelf::Shelf;
use super::walk::Walk;
use crate::control::Memory;
use crate::error::Error;
use crate::options::Threads;
use crate::parameters::Parameters;
use crate::tail_page::{self, Tail};

/// How far a reader has read.
#[derive(Debug)]
pub(crate) struct Chaser {
    disk: Disk,
    parameters: Parameters,
    shelf: Arc<Shelf>,
    segment: Option<Arc<Segment>>,
    seq: u64,
    next: u64,
    position: u64,
    memory: Memory,
    /// What the writer said last: while it says the same, there is nothing new.
    tail: Option<Tail>,
}

impl Chaser {
    pub(crate) fn open(disk: &Disk, parameters: &Parameters) -> Result<Chaser, Error> {
        let tail = tail_page::read(disk);
        let found = recover::find(disk, parameters, tail, Threads::None)?;
        let first = found.memory.first.max(1);
        let shelf = Arc::new(Shelf::new(disk, parameters, found.slots.clone(), first, found.next));
        let mut chaser = Chaser {
            disk: disk.clone(),
            parameters: *parameters,
            shelf,
            segment: None,
            seq: 0,
            next: 0,
            position: 0,
            memory: Memory::default(),
            tail,
        };
        chaser.take(found);
        Ok(chaser)
    }

    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Reads what was written since.
    pub(crate) fn read_on(&mut self) -> Result<(), Error> {
        let tail = tail_page::read(&self.disk);
        if tail.is_some() && tail == self.tail {
            return Ok(());
        }
        let done = self.read_batches(tail);
        if done.is_ok() {
            self.tail = tail;
        }
        done
    }

    fn read_batches(&mut self, tail: Option<Tail>) -> Result<(), Error> {
        let Some(mut segment) = self.segment.clone() else { return self.start_over() };
        loop {
            let mut walk = segment.walk_from(self.position);
            self.read_file(&segment, &mut walk)?;
            if tail.is_some_and(|tail| self.is_all(&segment, &tail)) {
                self.publish();
                return Ok(());
            }
            let number = segment.head.number.saturating_add(1);
            let path = data_path(number, self.parameters.index_file_num_per_dir);
            let head = match read_head(&self.disk, &path) {
                Ok(head) => head.filter(|head| head.number == number && head.log_id == segment.head.log_id),
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let Some(head) = head else {
                // Nothing new; or the writer is far ahead, and has trimmed and reused what lies between.
                let own = read_head(&self.disk, Path::new(&segment.path)).ok().flatten();
                let is_last = tail.is_none_or(|tail| tail.number <= segment.head.number);
                return if is_last && own == Some(segment.head) {
                    self.publish();
                    Ok(())
                } else {
                    self.start_over()
                };
            };
            if head.first_seq != self.seq {
                // It was begun after batches that are not all to be seen yet; or we read what did not count.
                return if head.first_seq > self.seq {
                    self.publish();
                    Ok(())
                } else {
                    self.start_over()
                };
            }
            let next = Arc::new(Segment::growing(&self.disk, head, &self.parameters)?);
            let mut walk = next.walk();
            if walk.step(head.first_seq, head.first)?.is_none() {
                self.publish();
                return Ok(());
            }
            let is_rolled_back = head.first < self.next;
            self.next = head.first;
            self.position = next.walk().position;
            if is_rolled_back {
                self.shelf.publish(head.first);
            }
            self.shelf.push(Arc::clone(&next));
            if is_rolled_back {
                self.shelf.roll_back(head.first.saturating_sub(1));
            }
            self.segment = Some(Arc::clone(&next));
            segment = next;
        }
    }

    fn read_file(&mut self, segment: &Segment, walk: &mut Walk<'_>) -> Result<(), Error> {
        while let Some(step) = walk.step(self.seq, self.next)? {
            (self.seq, self.next) = (step.head.seq.saturating_add(1), step.head.next());
            step.controls.iter().for_each(|control| self.memory.apply(control));
            segment.add(step, walk.position);
            self.position = walk.position;
        }
        Ok(())
    }

    /// Whether the writer has said that it is in this file, and that what was read is all: then no other file is looked at.
    fn is_all(&self, segment: &Segment, tail: &Tail) -> bool {
        let head = &segment.head;
        (tail.log_id, tail.number, tail.next) == (head.log_id, head.number, self.next)
    }

    fn publish(&self) {
        self.shelf.publish(self.next);
        self.shelf.trim(self.memory.first);
        self.shelf.drop_before(self.memory.first);
    }

    /// Looks at the log as if for the first time, and keeps the shelf that readers hold.
    fn start_over(&mut self) -> Result<(), Error> {
        let found = recover::find(&self.disk, &self.parameters, tail_page::read(&self.disk), Threads::None)?;
        let before = self.next;
        self.shelf.replace(found.slots.clone());
        self.shelf.publish(found.next);
        self.shelf.trim(found.memory.first);
        if found.next < before {
            self.shelf.roll_back(found.next.saturating_sub(1));
        }
        self.take(found);
        Ok(())
    }

    fn take(&mut self, found: Found) {
        self.segment = found.slots.last().and_then(|slot| slot.get()).cloned();
        (self.seq, self.next, self.position) = (found.seq, found.next, found.position);
        self.memory = found.memory;
    }
}
