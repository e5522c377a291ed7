//! What leases promised: which chunks stand until when. They outlive every end of the program.
//! Refuses to know how leases are kept.

use std::time::SystemTime;

use data_manager::lease::Lease;

/// Leases that stand at once.
const LEASES_MAX: usize = 8;

/// All promises that were given and not taken back.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    leases: Vec<(Lease, SystemTime)>,
}

impl Promises {
    pub(crate) fn is_full(&self) -> bool {
        self.leases.len() >= LEASES_MAX
    }

    pub(crate) fn took(&mut self, lease: Lease) {
        let expires = lease.expires;
        self.leases.push((lease, expires));
    }

    /// The same where it may end earlier than it says.
    pub(crate) fn took_until(&mut self, lease: Lease, other: SystemTime) {
        let expires = lease.expires.min(other);
        self.leases.push((lease, expires));
    }

    /// Takes one out that has not ended, to change it.
    pub(crate) fn take_one(&mut self, which: u64, now: SystemTime) -> Option<Lease> {
        self.leases.retain(|(_, expires)| *expires > now);
        let which = usize::try_from(which).unwrap().checked_rem(self.leases.len())?;
        Some(self.leases.swap_remove(which).0)
    }

    pub(crate) fn clear(&mut self) {
        self.leases.clear();
    }

    /// Which chunks stand now, by the name of the lease.
    pub(crate) fn promised(&mut self, now: SystemTime) -> Vec<(String, u8)> {
        self.leases.retain(|(_, expires)| *expires > now);
        let each = self.leases.iter();
        each.flat_map(|(lease, _)| lease.chunks.iter().map(|id| (lease.name.clone(), id[0]))).collect()
    }
}
