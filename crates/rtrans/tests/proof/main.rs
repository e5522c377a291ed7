//! What the log promises, tried against a plain vector: crashes, faults, damage, races and random calls.
//! Refuses to know how it is done: only the public interface is used, on a simulated disk.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers fail as tests do")]

mod crashes;
mod damage;
mod faults;
mod full;
mod kit;
mod model;
mod oracle;
mod race;
mod regressions;
mod scenes;
mod world;
