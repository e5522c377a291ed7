//! The origin as a client sees it on the wire: one program, one file for each side of it.
//! It refuses to look inside: everything is asked over a socket or from the handle.

#[cfg(test)]
mod client;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod link;
#[cfg(test)]
mod serving;
