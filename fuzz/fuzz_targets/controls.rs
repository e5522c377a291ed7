//! Fuzzes what a log remembers outside of its data: the file `tail`, and a consumer's position, through everything that reads a log.
//! Refuses to judge what is read: only a panic, a hang or too much memory is a find.
#![no_main]

#[path = "../../crates/rtrans/tests/hostile/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drive::drive(drive::Part::Tail, bytes);
    drive::drive(drive::Part::Transid, bytes);
});
