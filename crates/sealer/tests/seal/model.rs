//! A walk of chance through everything at once, compared with a plain list of what was appended.
//! Refuses to be unrepeatable: each walk has a seed, which is told when it fails.

use std::time::Duration;

use host::sim::Random;
use rtrans::{Log, TransId, TypeNo};
use sealer::{Compaction, Line, Plan, Reading, compact};

use crate::world::{World, Wrong, plan, records};

const WALKS: u64 = 60;
const STEPS: usize = 60;

struct Walk {
    seed: u64,
    dice: Random,
    world: World,
    plan: Plan,
    log: Option<Log>,
    /// What was appended and not rolled back: type, bytes, and the block it names.
    model: Vec<(u32, Vec<u8>, u64)>,
    has_fields: bool,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut dice = Random::new(seed);
        let has_fields = dice.below(2) == 0;
        let finality = ["{ lag = 3 }", "'mark'"][usize::try_from(dice.below(2)).unwrap()];
        let numbering = if has_fields { "{ field = 'n' }" } else { "'one-per-block'" };
        let retain = ["all", "unsealed"][usize::try_from(dice.below(2)).unwrap()];
        let records = 1 + dice.below(6);
        let plan = plan(&format!(
            "first_block = 5\nnumbering = {numbering}\nfinality = {finality}\nretain = '{retain}'\n\
             [cut]\nrecords = {records}\nage = '10m'"
        ));
        let world = World::new(seed);
        let log = Some(world.log());
        Walk { seed, dice, world, plan, log, model: Vec::new(), has_fields }
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn finalized(&self) -> u64 {
        self.log().finalized().unwrap().map_or(0, TransId::get)
    }

    fn append(&mut self) {
        let block = self.model.last().map_or(5, |(_, _, block)| block + 1 + self.dice.below(3));
        for _ in 0..=self.dice.below(3) {
            let (type_no, noise) = (u32::try_from(self.dice.below(3)).unwrap(), self.dice.below(1 << 40));
            let payload = match self.dice.below(8) {
                0 => format!("broken {noise}"),
                _ => format!("{{\"n\":{block},\"x\":{noise}}}"),
            };
            let id = self.log().append(TypeNo(type_no), payload.as_bytes()).unwrap();
            self.model.push((type_no, payload.into_bytes(), block));
            assert_eq!(id.get(), self.model.len() as u64, "seed {}", self.seed);
        }
        let later = self.world.time.clock().wall() + Duration::from_secs(self.dice.below(400));
        self.world.time.set_wall(later);
    }

    fn roll_back(&mut self) {
        let last = self.model.len() as u64;
        let keep = last - self.dice.below(4).min(last);
        let lowest = self.finalized().max(self.log().first().map_or(last, |first| first.get() - 1));
        if keep >= lowest {
            self.log().truncate_after(TransId::new(keep)).unwrap();
            self.model.truncate(usize::try_from(keep).unwrap());
        }
    }

    fn finalize(&mut self) {
        let last = self.model.len() as u64;
        let mut mark = last - self.dice.below(6).min(last);
        // Marks are put behind whole blocks.
        while mark > 0 && mark < last && self.block(mark) == self.block(mark + 1) {
            mark += 1;
        }
        if let Some(id) = TransId::new(mark) {
            self.log().finalize(id).unwrap();
        }
    }

    fn block(&self, id: u64) -> u64 {
        self.model[usize::try_from(id - 1).unwrap()].2
    }

    fn seal(&mut self) {
        let (wrong, crash_at) = self.plan_trouble();
        let sealed = self.world.try_sealer(&self.plan, self.log()).and_then(|mut sealer| sealer.seal_all());
        if !wrong && !crash_at {
            assert!(sealed.is_ok(), "seed {}: {sealed:?}", self.seed);
        }
        self.end_trouble(crash_at);
    }

    fn compact(&mut self) {
        let (wrong, crash_at) = self.plan_trouble();
        let compaction = Compaction { bytes_max: 1 << (10 + self.dice.below(10)), chunks_min: 2 };
        let compacted = compact(&self.plan, &self.world.memory.store(), compaction);
        if !wrong {
            assert!(compacted.is_ok(), "seed {}: {compacted:?}", self.seed);
        }
        self.end_trouble(crash_at);
    }

    /// Whether the store will fail, and whether the machine will.
    fn plan_trouble(&mut self) -> (bool, bool) {
        let wrong = [Wrong::Refused, Wrong::AnswerLost, Wrong::Off];
        let store_fails = self.dice.below(3) == 0;
        if store_fails {
            let which = wrong[usize::try_from(self.dice.below(3)).unwrap()];
            self.world.memory.go_wrong(self.dice.below(20), which);
        }
        let crashes = self.dice.below(4) == 0;
        if crashes {
            self.world.sim.crash_at(self.world.sim.calls() + 1 + self.dice.below(30));
        }
        (store_fails, crashes)
    }

    fn end_trouble(&mut self, crashes: bool) {
        self.world.memory.heal();
        if crashes {
            self.log = None;
            self.world.sim.crash();
            self.log = Some(self.world.log());
        }
    }

    /// Reads with sealing in the middle.
    fn look(&mut self) {
        let seal_at = self.dice.below(1 + self.model.len() as u64);
        let mut reading = Reading::new(
            &self.world.memory.store(),
            Some((self.plan.clone(), self.log().reader().clone())),
            0..u64::MAX,
        );
        let mut lines = Vec::new();
        while let Some(line) = reading.next_within(Duration::ZERO).unwrap() {
            lines.push(line);
            if lines.len() as u64 == seal_at {
                self.seal_well();
            }
        }
        let expected: Vec<_> =
            (1..).zip(&self.model).map(|(id, (type_no, bytes, _))| (id, *type_no, bytes.clone())).collect();
        assert_eq!(records(&lines), expected, "seed {}", self.seed);
        assert!(reading.covered().lost.is_empty(), "seed {}", self.seed);
        let blocks: Vec<_> = lines.iter().filter_map(Line::block).collect();
        assert!(blocks.is_sorted(), "seed {}", self.seed);
        if !self.has_fields {
            let (a, b) = (5 + self.dice.below(40), 5 + self.dice.below(40));
            let some = self.world.read(&self.plan, Some(self.log().reader()), a..b);
            let range = |bound: u64| usize::try_from(bound - 5).unwrap().min(expected.len());
            assert_eq!(records(&some), expected[range(a)..range(b).max(range(a))], "seed {}", self.seed);
        }
    }

    fn seal_well(&mut self) {
        self.world
            .sealer(&self.plan, self.log())
            .seal_all()
            .unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
    }
}

#[test]
fn any_walk_of_appends_forks_seals_crashes_trims_and_compactions_reads_as_the_list_says() {
    let named = std::env::var("LOGHOLD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = named.map_or(0..WALKS, |seed: u64| seed..seed + 1);
    let (mut chunks, mut compactions, mut trimmed) = (0, 0, 0);
    for seed in seeds {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            match walk.dice.below(10) {
                0..4 => walk.append(),
                4 => walk.roll_back(),
                5 => walk.finalize(),
                6 | 7 => walk.seal(),
                8 => walk.compact(),
                _ => walk.look(),
            }
        }
        walk.look();
        let mut chain = sealer::ManifestChain::of(&walk.world.memory.store());
        chain.refresh().unwrap();
        chunks += chain.manifests().len();
        compactions += chain.manifests().iter().filter(|chunk| !chunk.replaces.is_empty()).count();
        trimmed += usize::from(walk.log().first().is_none_or(|first| first.get() > 1));
    }
    if named.is_none() {
        assert!(chunks > 500 && compactions > 20 && trimmed > 5, "{chunks} {compactions} {trimmed}");
    }
}
