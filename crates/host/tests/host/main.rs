//! The tests of `host`, in one program: it is linked once.
//! They refuse to sleep: whatever they wait for tells them.

#[cfg(test)]
mod clock;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod real;
#[cfg(test)]
mod same;
#[cfg(test)]
mod tree;
