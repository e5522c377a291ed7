//! Random calls on a log of format 1, compared with a list of records: what is written is read, whatever happens between.
//! Refuses luck: the seed is printed, and decides everything.

use std::sync::Arc;

use host::sim::SimDisk;

use super::super::{Opened, Shelf, Writer};
use super::support::{Dice, Found, Item, read_all, read_in_runs, reopen, write};
use crate::parameters::Parameters;

struct World {
    seed: u64,
    dice: Dice,
    parameters: Parameters,
    sim: SimDisk,
    writer: Writer,
    shelf: Arc<Shelf>,
    /// All records that were ever appended and not rolled back; the first of them may be trimmed.
    records: Vec<Item>,
    first: u64,
    /// The last record that is durable.
    durable: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed);
        let block = 1 + dice.roll(40);
        let parameters = Parameters {
            size_per_index: [36, 36, 44, 100][usize::try_from(dice.roll(4)).unwrap()],
            index_num_per_file: u32::try_from(1 + dice.roll(5)).unwrap(),
            index_file_num_per_dir: u32::try_from(1 + dice.roll(4)).unwrap(),
            max_size_data_file: block + dice.roll(300),
            data_blk_size: u32::try_from(block).unwrap(),
            need_compress: u16::try_from(dice.roll(2)).unwrap(),
            ..Parameters::format_1()
        };
        let sim = SimDisk::new(seed);
        let Opened { writer, shelf, .. } = reopen(&sim, &parameters, 0);
        World { seed, dice, parameters, sim, writer, shelf, records: Vec::new(), first: 1, durable: 0 }
    }

    fn next(&self) -> u64 {
        self.records.len() as u64 + 1
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0..8 => self.append(),
            8..11 => {
                self.writer.sync().unwrap();
                self.durable = self.next() - 1;
            }
            11 => self.truncate(),
            12 => self.trim(),
            13 => {
                self.sim.kill();
                self.open(self.next());
                // Opening has synced what was left.
                self.durable = self.next() - 1;
            }
            14 => {
                self.sim.crash();
                self.open(self.durable + 1);
                self.durable = self.next() - 1;
            }
            _ => self.read(),
        }
        let (first, next) = self.shelf.bounds();
        assert_eq!((first, next, self.writer.next()), (self.first, self.next(), next), "seed {}", self.seed);
    }

    fn append(&mut self) {
        let len_max = if self.dice.roll(30) == 0 { 70_000 } else { 60 };
        let items: Vec<Item> = (0..=self.dice.roll(6)).map(|_| self.dice.item(len_max)).collect();
        write(&mut self.writer, &items).unwrap();
        self.records.extend(items);
        // A directory is begun when everything before the one before it is durable.
        let per_dir = u64::from(self.parameters.index_num_per_file * self.parameters.index_file_num_per_dir);
        self.durable = self.durable.max(((self.next() - 2) / per_dir).saturating_sub(1) * per_dir);
    }

    fn truncate(&mut self) {
        let last = self.first - 1 + self.dice.roll(self.next() - self.first + 1);
        self.writer.truncate_after(last).unwrap();
        self.records.truncate(usize::try_from(last).unwrap());
        self.durable = self.durable.min(last);
    }

    fn trim(&mut self) {
        let first = 1 + self.dice.roll(self.next() + 3);
        let trimmed = self.writer.trim_before(first).unwrap();
        let per_dir = u64::from(self.parameters.index_num_per_file * self.parameters.index_file_num_per_dir);
        let whole = (first.min(self.next()) - 1) / per_dir * per_dir + 1;
        assert_eq!(trimmed, whole.max(self.first), "seed {}", self.seed);
        self.first = trimmed;
        // A trim syncs what it leaves, if it removes anything; the model need not know.
    }

    /// Opens the log again; at least what comes before `least` is there.
    fn open(&mut self, least: u64) {
        let opened = reopen(&self.sim, &self.parameters, self.durable);
        let (first, next) = opened.shelf.bounds();
        let seed = self.seed;
        let sim = self.sim.clone();
        let trace = || sim.trace().join("\n");
        assert!(opened.recovery.damaged.is_empty(), "seed {seed}: {}\n{}", opened.recovery, trace());
        assert_eq!(first, self.first, "seed {seed}\n{}", trace());
        assert!(
            least <= next && next <= self.next(),
            "seed {seed}: {least} <= {next} <= {}\n{}",
            self.next(),
            trace()
        );
        self.records.truncate(usize::try_from(next - 1).unwrap());
        self.writer = opened.writer;
        self.shelf = opened.shelf;
        self.read();
        // Opening once more finds nothing to mend.
        let again = reopen(&self.sim, &self.parameters, self.durable);
        assert!(again.recovery.is_clean(), "seed {seed}: {}\n{}", again.recovery, trace());
    }

    fn read(&mut self) {
        let bytes_max = usize::try_from(self.dice.roll(300)).unwrap();
        let reader = Shelf::open(&self.sim.disk(), &self.parameters).unwrap();
        for shelf in [&self.shelf, &reader] {
            let wanted: Vec<(u64, Item)> = (1u64..)
                .zip(&self.records)
                .filter(|(id, _)| *id >= self.first)
                .map(|(id, item)| (id, item.clone()))
                .collect();
            let one_by_one: Vec<(u64, Found)> =
                wanted.iter().map(|(id, item)| (*id, Found::Record(item.clone()))).collect();
            assert_eq!(read_all(shelf), one_by_one, "seed {}", self.seed);
            assert_eq!(read_in_runs(shelf, bytes_max), wanted, "seed {}", self.seed);
        }
    }
}

#[test]
fn a_log_is_a_list_of_records_whatever_is_done_to_it() {
    let seeds = std::env::var("RTRANS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step();
        }
    }
}
