//! The raw limit of many producers: whoever comes first syncs for all that wait, in a zeroed file.
//! Refuses to be a log: no checksum, no head, no way to read it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::raw::{WRITE_BYTES, ZEROED_BYTES};

#[derive(Debug)]
pub(crate) struct Group;

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// How many records were given to `waiting`, ever.
    given: u64,
    synced: u64,
    is_led: bool,
    offset: u64,
}

struct Open {
    file: File,
    state: Mutex<State>,
    synced: Condvar,
}

impl Rival for Group {
    fn name(&self) -> &'static str {
        "raw group commit"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Durable]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let mut file = File::create(dir.join("group"))?;
        let zeroes = vec![0; WRITE_BYTES];
        for _ in 0..ZEROED_BYTES / WRITE_BYTES {
            file.write_all(&zeroes)?;
        }
        file.sync_all()?;
        Ok(Box::new(Open { file, state: Mutex::new(State::default()), synced: Condvar::new() }))
    }
}

impl Peer for Open {
    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        let failed = || "a thread failed";
        let mut state = self.state.lock().map_err(|_| failed())?;
        state.waiting.extend_from_slice(bytes);
        state.given += 1;
        let own = state.given;
        while state.synced < own {
            if state.is_led {
                state = self.synced.wait(state).map_err(|_| failed())?;
                continue;
            }
            state.is_led = true;
            let (batch, upto) = (std::mem::take(&mut state.waiting), state.given);
            let offset = if state.offset as usize + batch.len() > ZEROED_BYTES { 0 } else { state.offset };
            drop(state);
            self.file.write_all_at(&batch, offset)?;
            self.file.sync_data()?;
            state = self.state.lock().map_err(|_| failed())?;
            state.offset = offset + batch.len() as u64;
            state.synced = upto;
            state.is_led = false;
            self.synced.notify_all();
        }
        Ok(())
    }
}
