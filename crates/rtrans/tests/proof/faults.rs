//! Every disk call fails, once and for ever, in three ways.
//! Refuses a panic, a false acknowledgement, and the loss of a true one.
