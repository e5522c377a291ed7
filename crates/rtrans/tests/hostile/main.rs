//! Files that were made to do harm: random bytes and wrong numbers under right checksums, in every file of a log.
//! Refuses a panic, a hang, and memory far beyond what the files hold.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers fail as tests do")]
#![expect(clippy::disallowed_methods, reason = "the corpus lies on the real disk")]

mod allocations;
mod drive;
mod mutate;

use std::path::Path;

use drive::{PARTS, Part, drive};
use mutate::Mutator;

/// Beyond what the files of the log hold. The window of a walk alone is a mebibyte, and a hole may have 2^21 records.
const BYTES_MAX: usize = 64 << 20;

fn seed() -> u64 {
    std::env::var("LOGHOLD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn steps() -> u64 {
    std::env::var("LOGHOLD_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

fn drive_within_bounds(part: Part, bytes: &[u8], what: &str) {
    let before = allocations::begin();
    let done = std::panic::catch_unwind(|| drive(part, bytes));
    let peak = allocations::peak_since(before);
    if let Err(panic) = done {
        eprintln!("{what}, {part:?}: {} bytes", bytes.len());
        std::panic::resume_unwind(panic);
    }
    assert!(peak < BYTES_MAX, "{what}, {part:?}: {peak} bytes of memory for {} bytes", bytes.len());
}

#[test]
fn random_bytes_in_any_file_neither_panic_nor_take_memory() {
    let mut mutator = Mutator::new(seed());
    for step in 0..steps() / 20 {
        for part in PARTS {
            drive_within_bounds(part, &mutator.noise(), &format!("seed {}, step {step}", seed()));
        }
    }
}

#[test]
fn wrong_numbers_under_right_checksums_neither_panic_nor_take_memory() {
    let mut mutator = Mutator::new(seed());
    for step in 0..steps() / 4 {
        let part = PARTS[usize::try_from(step % PARTS.len() as u64).unwrap()];
        let bytes = mutator.mutated(part);
        drive_within_bounds(part, &bytes, &format!("seed {}, step {step}", seed()));
    }
}

#[test]
fn a_file_that_begins_far_beyond_the_one_before_takes_no_memory_for_what_is_missing() {
    for shift in [20, 21, 24, 31, 32, 40, 63] {
        drive_within_bounds(
            Part::Last,
            &mutate::far_beyond(1 << shift),
            &format!("a gap of 2^{shift} records"),
        );
    }
}

#[test]
fn what_was_found_by_fuzzing_stays_harmless() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut count = 0;
    for part in PARTS {
        for entry in std::fs::read_dir(corpus.join(part.name())).unwrap() {
            let path = entry.unwrap().path();
            drive_within_bounds(part, &std::fs::read(&path).unwrap(), &path.display().to_string());
            count += 1;
        }
    }
    assert!(count >= PARTS.len() * 3, "the corpus has {count} files");
}
