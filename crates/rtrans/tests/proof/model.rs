//! Random calls, crashes and restarts against the oracle.
//! Refuses to forget how it got there: the seed is printed, and set with `LOGHOLD_SEED`.
