//! The program as its users see it: arguments in; stdout, stderr and exit codes out.
//! Refuses to look inside: only the built binary is used, each test with directories of its own.

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write a store as a sealer would")]
mod applying;
#[cfg(test)]
mod chunks;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod importing;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod logs;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write and read their own files")]
mod program;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod usage;
