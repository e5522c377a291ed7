//! The cases, one file each: each takes options and adds figures to the report.
//! Refuses to share anything but what the crate's other modules give.

pub(crate) mod damaged;
pub(crate) mod fill;
pub(crate) mod find;
pub(crate) mod latency;
pub(crate) mod order;
pub(crate) mod poison;
pub(crate) mod restart;
pub(crate) mod throughput;
