//! What must be true: a plain map from each chunk to what its last call said, and what was promised since.
//! Refuses to know how the hold works: it hears calls, events and listings.

use data_manager::event::Event;

/// What the last call for a chunk said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Present,
    Absent,
    /// An assignment no longer names it; it goes when the assignment is applied.
    Draining,
    /// No call since the start, and nothing was promised before it.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    wish: Wish,
    /// It was reported ready, or found by a start, and not deleted since: it must be listed, always.
    is_promised: bool,
    /// Its removal was reported: no crash may bring it back.
    is_gone: bool,
}

/// What is known of all chunks.
#[derive(Debug)]
pub(crate) struct Oracle {
    known: Vec<Known>,
    /// A sync failed: nothing may be reported ready until the next start.
    pub(crate) is_poisoned: bool,
    /// The disk was told to fail reads: a sound chunk may look damaged.
    pub(crate) may_quarantine: bool,
    /// The disk may be full: what was called last may not be written down.
    pub(crate) may_be_full: bool,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Killed,
    PowerCut,
}

impl Oracle {
    pub(crate) fn new(chunks: u8) -> Oracle {
        let nothing = Known { wish: Wish::Absent, is_promised: false, is_gone: true };
        Oracle {
            known: vec![nothing; chunks.into()],
            is_poisoned: false,
            may_quarantine: false,
            may_be_full: false,
        }
    }

    fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        0..u8::try_from(self.known.len()).unwrap()
    }

    fn at(&mut self, number: u8) -> &mut Known {
        &mut self.known[usize::from(number)]
    }

    // ---- calls ----

    pub(crate) fn downloaded(&mut self, number: u8) {
        let known = self.at(number);
        known.wish = Wish::Present;
        known.is_gone = false;
    }

    pub(crate) fn deleted(&mut self, number: u8) {
        *self.at(number) = Known { wish: Wish::Absent, is_promised: false, is_gone: false };
    }

    /// The whole wanted set; `listed` was listed just before the call.
    pub(crate) fn applied(&mut self, members: &[u8], drops_now: bool, listed: &[u8]) {
        for number in self.numbers() {
            if members.contains(&number) {
                self.downloaded(number);
            } else if !drops_now && listed.contains(&number) {
                self.at(number).wish = Wish::Draining;
            } else if self.at(number).wish != Wish::Absent {
                self.deleted(number);
            }
        }
    }

    // ---- what is heard ----

    pub(crate) fn hear(&mut self, event: &Event) -> Result<(), String> {
        let number = |id: &[u8; 32]| id[0];
        match event {
            Event::Ready(id) if self.is_poisoned => {
                return Err(format!("chunk {} is reported ready after a sync failed", number(id)));
            }
            Event::Ready(id) => {
                let known = self.at(number(id));
                if known.wish == Wish::Absent {
                    return Err(format!("chunk {} is reported ready after its deletion", number(id)));
                }
                known.is_promised = true;
                known.is_gone = false;
            }
            Event::Hidden(id) => {
                let known = self.at(number(id));
                match known.wish {
                    // One that was just taken for damaged is not promised, and may come again before it is dropped.
                    Wish::Draining if known.is_promised => self.deleted(number(id)),
                    Wish::Present | Wish::Unknown if known.is_promised => {
                        return Err(format!("chunk {} was hidden, and nobody deleted it", number(id)));
                    }
                    _ => {}
                }
            }
            Event::Removed(id) => {
                // After a failed sync nothing can be promised, and the failed publication may have left something.
                let is_durable = !self.is_poisoned;
                let known = self.at(number(id));
                known.is_gone |= known.wish == Wish::Absent && is_durable;
            }
            Event::Quarantined { id, reason } => {
                if !self.may_quarantine {
                    return Err(format!("chunk {} was taken for damaged: {reason}", number(id)));
                }
                let known = self.at(number(id));
                // It is fetched anew, and what an assignment no longer names is dropped all the same.
                let wish = if known.wish == Wish::Draining { Wish::Draining } else { Wish::Unknown };
                *known = Known { wish, is_promised: false, is_gone: false };
            }
            Event::Paused { reason, .. } if is_of_a_sync(reason) => self.is_poisoned = true,
            Event::Lagged(missed) => return Err(format!("{missed} events were missed")),
            _ => {}
        }
        Ok(())
    }

    // ---- what must hold ----

    /// At every moment.
    pub(crate) fn check_listed(&self, listed: &[u8]) -> Result<(), String> {
        for (number, known) in self.numbers().zip(&self.known) {
            let is_listed = listed.contains(&number);
            match known.wish {
                Wish::Absent if is_listed => {
                    return Err(format!("chunk {number} is listed after its deletion"));
                }
                Wish::Present | Wish::Unknown if known.is_promised && !is_listed => {
                    return Err(format!("chunk {number} was ready, nobody deleted it, and it is not listed"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// When nothing is left to do.
    pub(crate) fn check_quiet(&self, listed: &[u8]) -> Result<(), String> {
        self.check_listed(listed)?;
        for (number, known) in self.numbers().zip(&self.known) {
            let is_listed = listed.contains(&number);
            match known.wish {
                Wish::Present if !is_listed => {
                    return Err(format!("chunk {number} is wanted and did not come"));
                }
                Wish::Draining if is_listed => {
                    return Err(format!("chunk {number} was to be dropped and stayed"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The first listing after a start.
    pub(crate) fn reopened(&mut self, end: End, listed: &[u8]) -> Result<(), String> {
        let was_poisoned = std::mem::take(&mut self.is_poisoned);
        self.may_quarantine = false;
        for number in self.numbers() {
            let is_listed = listed.contains(&number);
            let may_be_full = self.may_be_full;
            let known = self.at(number);
            let is_deleted = known.is_gone || (end == End::Closed && !was_poisoned && !may_be_full);
            match known.wish {
                Wish::Absent if is_deleted => {
                    if is_listed {
                        return Err(format!("chunk {number} came back after its durable deletion"));
                    }
                    known.is_gone = true;
                    continue;
                }
                Wish::Present | Wish::Unknown if known.is_promised && !is_listed => {
                    return Err(format!("chunk {number} was reported ready and is not there after {end:?}"));
                }
                _ => {}
            }
            *known = Known { wish: Wish::Unknown, is_promised: is_listed, is_gone: false };
        }
        Ok(())
    }

    pub(crate) fn wish(&self, number: u8) -> Wish {
        self.known[usize::from(number)].wish
    }

    /// Whether a chunk must be listed now.
    pub(crate) fn must_be_listed(&self, number: u8) -> bool {
        let known = &self.known[usize::from(number)];
        known.is_promised && matches!(known.wish, Wish::Present | Wish::Unknown)
    }
}

fn is_of_a_sync(reason: &str) -> bool {
    ["syncing", "writing a new catalogue", "until restart"].iter().any(|text| reason.contains(text))
}
