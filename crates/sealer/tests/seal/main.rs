//! The sealer as its users see it, on a simulated disk and a store that fails by script.
//! Refuses to look inside: only the public interface is used.

#[cfg(test)]
mod compaction;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod model;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod store;
#[cfg(test)]
mod world;
