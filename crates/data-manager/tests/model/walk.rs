//! A random walk: calls, faults, crashes and restarts in any order, checked against the oracle at every step.
//! Refuses to be lucky: the seed decides everything, and a failure shows what led to it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Duration;

use data_manager::ChunkRef;
use data_manager::assignment::{Assignment, Dropping, Priority};
use data_manager::data_manager::DataManagerImpl;
use data_manager::data_source::SourceErrorKind;
use data_manager::verify::Verify;
use host::sim::{Fault, Times};

use crate::leases::Promises;
use crate::look::Look;
use crate::oracle::{End, Oracle, Wish};
use crate::source::{Manner, blocks, chunk, dataset, id};
use crate::world::World;
use host::sim::Random;

const CHUNKS: u8 = 20;

/// Lines of the story that a failure shows.
const STORY_LINES: usize = 200;

/// Pins held at once.
const PINS_MAX: usize = 6;

/// One walk.
pub(crate) struct Walk {
    seed: u64,
    random: Random,
    pub(crate) world: World,
    pub(crate) oracle: Oracle,
    pins: Vec<ChunkRef>,
    leases: Promises,
    /// Every event and the number of disk calls at each step: two walks of one seed must tell the same story.
    pub(crate) story: VecDeque<String>,
    story_lines_max: usize,
    step: u64,
    /// Everything stops at this disk call, and how.
    off_at: Option<u64>,
    off_end: End,
    /// A call was told to fail in this life: files may stay in the trash until the next start.
    has_fault: bool,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Walk {
        Walk {
            seed,
            random: Random::new(seed),
            world: World::started(seed),
            oracle: Oracle::new(CHUNKS),
            pins: Vec::new(),
            leases: Promises::default(),
            story: VecDeque::new(),
            story_lines_max: STORY_LINES,
            step: 0,
            off_at: None,
            off_end: End::PowerCut,
            has_fault: false,
        }
    }

    /// Keeps all of the story.
    pub(crate) fn telling_all(mut self) -> Walk {
        self.story_lines_max = usize::MAX;
        self
    }

    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step += 1;
            self.act();
            self.listen();
            self.check();
        }
        self.settle_down();
    }

    fn tell(&mut self, line: impl Display) {
        if self.story.len() >= self.story_lines_max {
            self.story.pop_front();
        }
        self.story.push_back(format!("{}: {line}", self.step));
    }

    fn must<T>(&self, result: Result<T, String>) -> T {
        result.unwrap_or_else(|reason| {
            let story: Vec<&str> = self.story.iter().map(String::as_str).collect();
            let calls = self.world.last_calls(80).join("\n");
            panic!(
                "{reason}\nLOGHOLD_SEED={} at step {}\n{}\nthe disk's last calls:\n{calls}",
                self.seed,
                self.step,
                story.join("\n")
            )
        })
    }

    /// The power goes at the `call`th disk call from now.
    pub(crate) fn cut_power_in(&mut self, call: u64) {
        let at = self.world.sim.calls() + call;
        self.world.sim.crash_at(at);
        self.off_at = Some(at);
        self.off_end = End::PowerCut;
    }

    /// The `call`th disk call from now fails.
    pub(crate) fn fail_in(&mut self, call: u64, fault: Fault) {
        self.has_fault = true;
        self.oracle.may_quarantine |= fault == Fault::Eio;
        self.world.sim.fail_call(self.world.sim.calls() + call, fault, Times::Once);
    }

    pub(crate) fn pin(&mut self, number: u8) {
        self.pins.push(self.world.pin(number));
    }

    pub(crate) fn unpin_all(&mut self) {
        self.pins.clear();
    }

    /// Lets everything happen that is to happen soon, unless the power goes.
    pub(crate) fn come_to_rest(&mut self) {
        for _ in 0..40 {
            if self.is_off() {
                return;
            }
            self.world.pass(Duration::from_millis(20));
            self.listen();
            if !self.is_off() {
                self.pins.iter().for_each(|pin| self.expect_whole(pin));
                self.check_leases();
            }
        }
    }

    fn is_off(&self) -> bool {
        self.off_at.is_some_and(|at| self.world.sim.calls() >= at)
    }

    // ---- one step ----

    fn act(&mut self) {
        let number = u8::try_from(self.random.below(CHUNKS.into())).unwrap();
        match self.random.below(1_000) {
            0..240 => self.download(number),
            240..262 => self.take_lease(number),
            262..272 => self.renew_lease(),
            272..280 => self.release_lease(),
            280..460 => self.delete(number),
            460..560 => self.find(number),
            560..640 => self.unpin(),
            640..830 => self.let_time_pass(),
            830..850 => self.apply(),
            850..930 => self.turn_source(number),
            930..940 => self.world.source.change(number),
            940..950 => self.delete_many(),
            950..965 => self.break_disk(),
            965..970 => self.change_capacity(),
            970..982 => self.plan_power_cut(),
            982..987 => self.restart(End::PowerCut),
            987..991 => self.restart(End::Killed),
            991..994 => self.restart(End::Closed),
            994..997 => self.settle_down(),
            _ => self.verify(),
        }
        if !self.is_off() && self.random.once_in(2) {
            let times = self.random.below(12);
            self.world.step(times);
        }
        if self.is_off() {
            self.restart(End::PowerCut);
        }
    }

    pub(crate) fn download(&mut self, number: u8) {
        self.listen();
        let signature = self.random.below(3);
        self.tell(format!("download {number}"));
        let result = self.world.call(|hold| hold.download_chunk(chunk(number, signature)));
        self.must(result.map_err(|error| format!("the download of {number} was refused: {error}")));
        self.oracle.downloaded(number);
    }

    pub(crate) fn delete(&mut self, number: u8) {
        self.listen();
        self.tell(format!("delete {number}"));
        self.world.call(|hold| hold.delete_chunk(id(number)));
        self.oracle.deleted(number);
    }

    /// More removals than may run at once, with pins and new downloads between them.
    fn delete_many(&mut self) {
        for number in 0..CHUNKS / 2 {
            self.delete(number);
        }
        let times = self.random.below(30);
        self.world.step(times);
        for number in 0..CHUNKS / 4 {
            self.download(number);
            if self.world.list().contains(&number) && self.pins.len() < PINS_MAX {
                self.pins.push(self.world.pin(number));
                self.delete(number);
            }
        }
    }

    fn find(&mut self, number: u8) {
        let block = blocks(number).start + self.random.below(12);
        let found = self.world.call(|hold| hold.find_chunk(dataset(number), block));
        let listed = self.world.list();
        let starts = listed
            .iter()
            .filter(|other| dataset(**other) == dataset(number) && blocks(**other).contains(&block));
        let highest = starts.map(|other| blocks(*other).start).max();
        if found.as_ref().map(|chunk| chunk.block_range().start) != highest {
            self.must(Err::<(), _>(format!(
                "block {block} is answered by {found:?}, and {listed:?} are listed"
            )));
        }
        let Some(found) = found else { return };
        self.expect_whole(&found);
        if self.pins.len() < PINS_MAX {
            self.tell(format!("pin {}", found.id()[0]));
            self.pins.push(found);
        }
    }

    fn unpin(&mut self) {
        if !self.pins.is_empty() {
            let pin = usize::try_from(self.random.below(self.pins.len() as u64)).unwrap();
            let pin = self.pins.swap_remove(pin);
            self.tell(format!("unpin {}", pin.id()[0]));
        }
    }

    pub(crate) fn take_lease(&mut self, number: u8) {
        let chunks: Vec<ChunkRef> = [number, (number + 1) % CHUNKS]
            .into_iter()
            .filter_map(|number| self.world.call(|hold| hold.get_chunk(id(number))))
            .chain(self.pins.last().cloned())
            .collect();
        if chunks.is_empty() || self.leases.is_full() {
            return;
        }
        let lifetime = Duration::from_secs(1 + self.random.below(120));
        let name = format!("l{}-{}", self.step, self.world.sim.calls());
        self.tell(format!(
            "lease {name} of {:?}",
            chunks.iter().map(|chunk| chunk.id()[0]).collect::<Vec<_>>()
        ));
        match self.world.lease(&name, &chunks, lifetime) {
            Ok(lease) => self.leases.took(lease),
            Err(error) => self.expect_trouble(&format!("a lease was refused: {error}")),
        }
    }

    fn renew_lease(&mut self) {
        let lifetime = Duration::from_secs(1 + self.random.below(120));
        let now = self.world.wall();
        let Some(lease) = self.leases.take_one(self.random.below(8), now) else { return };
        self.tell(format!("renew {}", lease.name));
        match self.world.renew(&lease, lifetime) {
            Ok(renewed) => self.leases.took(renewed),
            Err(error) => {
                // Whether it lives shorter or longer now is not known.
                self.leases.took_until(lease, now + lifetime);
                self.expect_trouble(&format!("a renewal was refused: {error}"));
            }
        }
    }

    pub(crate) fn release_lease(&mut self) {
        let Some(lease) = self.leases.take_one(self.random.below(8), self.world.wall()) else { return };
        self.tell(format!("release {}", lease.name));
        if let Err(error) = self.world.release(&lease) {
            self.expect_trouble(&format!("a release was refused: {error}"));
        }
    }

    /// Only a fault, a full disk or the end of all excuses an error.
    fn expect_trouble(&mut self, error: &str) {
        self.tell(error);
        self.listen();
        if !(self.is_off() || self.has_fault || self.oracle.may_be_full || self.oracle.is_poisoned) {
            self.must(Err::<(), _>(error.to_string()));
        }
    }

    /// What a lease promises: its chunks stand whole, whatever was deleted, cut off and started since.
    fn check_leases(&mut self) {
        if self.oracle.may_quarantine {
            // A sound chunk may look damaged while reads fail; what it looked like may be put aside.
            return self.leases.clear();
        }
        for (name, number) in self.leases.promised(self.world.wall()) {
            if let Look::Broken(reason) = self.world.look_where_it_stands(number) {
                self.must(Err::<(), _>(format!("the lease {name} holds chunk {number}, and {reason}")));
            }
        }
    }

    fn let_time_pass(&mut self) {
        let time = match self.random.below(4) {
            0 => Duration::ZERO,
            1 => Duration::from_millis(self.random.below(50)),
            2 => Duration::from_millis(self.random.below(2_000)),
            _ => Duration::from_secs(self.random.below(90)),
        };
        self.world.pass(time);
    }

    fn apply(&mut self) {
        self.listen();
        let members: Vec<u8> = (0..CHUNKS).filter(|_| self.random.once_in(2)).collect();
        let drop = match self.random.below(3) {
            0 => Dropping::Now,
            1 => Dropping::AfterApplied(Duration::ZERO),
            _ => Dropping::AfterApplied(Duration::from_secs(self.random.below(30))),
        };
        let listed = self.world.list();
        self.tell(format!("apply {members:?}, drop {drop:?}"));
        let chunks =
            members.iter().map(|number| (chunk(*number, 0), Priority(i32::from(number % 3)))).collect();
        let result =
            self.world.call(|hold| hold.apply(Assignment { id: format!("a{}", self.step), chunks, drop }));
        self.must(result.map_err(|error| format!("the assignment was refused: {error}")));
        self.oracle.applied(&members, drop == Dropping::Now, &listed);
    }

    fn turn_source(&mut self, number: u8) {
        let manner = match self.random.below(12) {
            0..5 => Manner::Good,
            5 => Manner::Fails(SourceErrorKind::Transient),
            6 => Manner::Fails(SourceErrorKind::Permanent),
            7 => Manner::Fails(SourceErrorKind::Busy),
            8 => Manner::BreaksOff,
            9 => Manner::Slow(Duration::from_millis(1 + self.random.below(400))),
            10 => Manner::Hangs,
            _ => return self.world.source.release(),
        };
        self.tell(format!("the source of {number}: {manner:?}"));
        self.world.source.set(number, manner);
    }

    fn break_disk(&mut self) {
        self.has_fault = true;
        self.off_end = End::PowerCut;
        if self.random.once_in(5) {
            self.tell("the next sync fails");
            return self.world.sim.fail_sync_next();
        }
        let fault = match self.random.below(3) {
            0 => Fault::Eio,
            1 => Fault::Enospc,
            _ => Fault::Emfile,
        };
        self.oracle.may_quarantine |= fault == Fault::Eio;
        let call = self.world.sim.calls() + 1 + self.random.below(150);
        self.tell(format!("call {call} fails: {fault:?}"));
        self.world.sim.fail_call(call, fault, Times::Once);
    }

    fn change_capacity(&mut self) {
        self.has_fault = true;
        let bytes = if self.random.once_in(2) { 1 << 40 } else { 4_000 + self.random.below(40_000) };
        self.tell(format!("the disk has {bytes} bytes"));
        self.world.sim.capacity(bytes);
        self.oracle.may_be_full = bytes < 1 << 40;
    }

    fn plan_power_cut(&mut self) {
        let at = self.world.sim.calls() + 1 + self.random.below(300);
        if self.off_at.is_none() {
            let is_cut = self.has_fault || self.random.once_in(2);
            self.off_end = if is_cut { End::PowerCut } else { End::Killed };
            self.tell(format!("{:?} at call {at}", self.off_end));
            self.world.sim.crash_at(at);
            self.off_at = Some(at);
        }
    }

    fn verify(&mut self) {
        self.tell("verify");
        // Its findings are events.
        drop(self.world.call(|hold| hold.verify(Verify::default())));
    }

    // ---- ends and beginnings ----

    pub(crate) fn restart(&mut self, end: End) {
        // A sync that fails because the program is dead is no failure of the disk.
        let is_killed = self.is_off() && self.off_end == End::Killed && !self.oracle.is_poisoned;
        self.listen();
        // What a failed sync left in memory looks sound, and is not on the disk: only a power cut shows it.
        let end = if self.is_off() { self.off_end } else { end };
        let end = if self.oracle.is_poisoned && !is_killed { End::PowerCut } else { end };
        if end == End::Closed {
            self.world.pass(Duration::ZERO);
            self.listen();
            self.world.close();
        }
        let end = if self.is_off() { self.off_end } else { end };
        // A sync may have failed in the close itself, of which nobody hears.
        let end = if self.has_fault { End::PowerCut } else { end };
        self.tell(format!("{end:?}"));
        self.pins.clear();
        match end {
            End::PowerCut => {
                self.world.cut_power();
                self.off_at = None;
            }
            End::Killed if self.is_off() => {
                self.world.kill_where_stopped();
                self.off_at = None;
            }
            End::Closed | End::Killed => self.world.kill(),
        }
        self.reopen(end);
    }

    fn reopen(&mut self, mut end: End) {
        // Faults may be waiting for calls of the start, or the disk may be full.
        for attempt in 0.. {
            let Err(error) = self.world.open() else { break };
            self.tell(format!("the start failed: {error}"));
            let is_off = self.is_off();
            if is_off || error.to_string().contains("sync") || attempt > 3 {
                self.world.cut_power();
                self.off_at = None;
                end = End::PowerCut;
            }
            if attempt > 3 {
                self.world.sim.capacity(1 << 40);
            }
            assert!(attempt < 9, "LOGHOLD_SEED={}: it does not start: {error}", self.seed);
        }
        let listed = self.world.list();
        self.tell(format!("after {end:?} listed: {listed:?}"));
        let reopened = self.oracle.reopened(end, &listed);
        self.must(reopened);
        if !self.is_off() {
            self.expect_all_whole();
            self.check_leases();
        }
        self.has_fault = self.has_fault && end != End::PowerCut;
        self.oracle.may_quarantine = self.has_fault;
    }

    /// Ends every trouble, lets everything come to rest, and compares.
    pub(crate) fn settle_down(&mut self) {
        self.listen();
        self.tell("settle down");
        if self.off_at.is_some() || self.oracle.is_poisoned || self.has_fault {
            self.restart(End::PowerCut);
        }
        self.world.sim.capacity(1 << 40);
        self.oracle.may_be_full = false;
        self.world.source.heal();
        self.pins.clear();
        // Left-overs that nobody asks for are kept for an hour.
        self.world.pass(Duration::from_secs(3_700));
        for _ in 0..300 {
            self.listen();
            let totals = self.world.call(DataManagerImpl::totals);
            let busy = totals.queued + totals.failed + totals.staging + totals.retired + totals.removing;
            if busy == 0 {
                break;
            }
            self.world.pass(Duration::from_mins(1));
        }
        self.listen();
        let listed = self.world.list();
        let quiet = self.oracle.check_quiet(&listed);
        self.must(quiet);
        self.expect_all_whole();
        let standing = self.world.standing();
        if standing != listed {
            self.must(Err::<(), _>(format!("{listed:?} are listed, and {standing:?} stand on the disk")));
        }
        for place in [".staging", ".trash", ".leases"] {
            let mut stray = self.world.names(place);
            stray.retain(|name| !name.starts_with(".unpublished-"));
            if !stray.is_empty() {
                self.must(Err::<(), _>(format!("{place} is not empty: {stray:?}")));
            }
        }
    }

    // ---- looking ----

    pub(crate) fn listen(&mut self) {
        while let Some(event) = self.world.next_event() {
            self.tell(format!("{} {}", self.world.sim.calls(), told(&event)));
            let heard = self.oracle.hear(&event);
            self.must(heard);
        }
    }

    fn check(&mut self) {
        let listed = self.world.list();
        let checked = self.oracle.check_listed(&listed);
        self.must(checked);
        if self.is_off() {
            return;
        }
        if self.random.once_in(4)
            && let Some(pin) = self.pins.last()
        {
            self.expect_whole(pin);
        }
        if self.random.once_in(16) {
            self.pins.iter().for_each(|pin| self.expect_whole(pin));
        }
        if self.random.once_in(8) {
            self.check_leases();
        }
        if self.random.once_in(24) {
            self.expect_all_whole();
        }
        let number = u8::try_from(self.random.below(CHUNKS.into())).unwrap();
        if self.oracle.wish(number) == Wish::Absent {
            let is_hidden = self.world.call(|hold| hold.get_chunk(id(number))).is_none();
            self.must(is_hidden.then_some(()).ok_or(format!("chunk {number} is given after its deletion")));
        } else if self.oracle.must_be_listed(number) {
            let found = self.world.call(|hold| hold.get_chunk(id(number)));
            let found = self.must(found.ok_or(format!("chunk {number} is not given")));
            self.expect_whole(&found);
        }
    }

    fn expect_all_whole(&self) {
        for number in self.world.list() {
            if let Some(chunk) = self.world.call(|hold| hold.get_chunk(id(number))) {
                self.expect_whole(&chunk);
            }
        }
    }

    fn expect_whole(&self, chunk: &ChunkRef) {
        if let Look::Broken(reason) = self.world.look_at(chunk) {
            self.must(Err::<(), _>(format!("a pinned or listed chunk is not whole: {reason}")));
        }
    }
}

fn told(event: &data_manager::event::Event) -> String {
    let text = format!("{event:?}");
    // Ids of the model are one byte, repeated.
    match (text.find('['), text.find(']')) {
        (Some(from), Some(to)) => {
            let first = text[from + 1..to].split(',').next().unwrap_or_default();
            format!("{}{first}{}", &text[..from], &text[to + 1..])
        }
        _ => text,
    }
}
