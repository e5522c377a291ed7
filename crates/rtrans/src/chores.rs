//! The chores: preparing data files, writing indexes, removing what was trimmed.
//! Refuses to delay anybody who appends, unless the log was told to have no threads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use host::Scheduling;

use crate::format2::depot::{Chore, Depot};

/// Chores that wait. One that finds no room is left out: what it would have done is found undone later.
const CHORES_MAX: usize = 1024;

/// Where chores go.
#[derive(Clone, Debug)]
pub(crate) enum Chores {
    /// Format 1 has none.
    Nowhere,
    /// To whoever hands them in.
    Inline(Arc<Depot>),
    /// To a thread.
    Thread(Arc<Depot>, SyncSender<Option<Chore>>),
}

impl Chores {
    /// Chores that a thread does, which runs [`serve`] with the other end.
    pub(crate) fn for_thread(depot: &Arc<Depot>) -> (Chores, Receiver<Option<Chore>>) {
        let (sender, receiver) = sync_channel(CHORES_MAX);
        (Chores::Thread(Arc::clone(depot), sender), receiver)
    }

    pub(crate) fn put(&self, chores: Vec<Chore>) {
        for chore in chores {
            match self {
                Chores::Nowhere => {}
                // None of them is needed for what was acknowledged; what failed is found undone later.
                Chores::Inline(depot) => drop(depot.do_chore(chore)),
                Chores::Thread(_, sender) => match sender.try_send(Some(chore)) {
                    Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
                },
            }
        }
    }

    /// Lets the thread end once it has done what was put before.
    pub(crate) fn stop(&self) {
        if let Chores::Thread(depot, sender) = self {
            depot.hurry();
            // It has ended already when nobody takes it.
            drop(sender.send(None));
        }
    }
}

/// Does chores until it is told to stop.
pub(crate) fn serve(depot: &Depot, chores: &Receiver<Option<Chore>>, scheduling: Scheduling) {
    // Whoever zeroes a file must not take the cores from those who append.
    scheduling.min(Scheduling::ShortSlice).apply_here();
    while let Ok(Some(chore)) = chores.recv() {
        drop(depot.do_chore(chore));
    }
}
