//! Format 1 on the simulated disk: what it reads, what it writes, and what a crash or damage leaves of it.
//! Refuses the log around it: locks, consumers and group commit are tried with the public interface.

mod crash;
mod cross;
mod damage;
mod example;
mod hostile;
mod model;
mod support;
mod tail;
