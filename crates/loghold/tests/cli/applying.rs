//! `apply`: a store that chunks are sealed into is the wanted set.
//! Refuses a sealer: manifests are written by hand, so that the test says when one is there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use sealer::{ChunkId, FileEntry, FileKind, Manifest};
use sha2::{Digest, Sha256};

use crate::program::{Program, ended, names_in, send_signal};

struct Sealed<'a> {
    program: &'a Program,
    last: Option<Manifest>,
}

fn hex(digest: [u8; 32]) -> String {
    data_manager::data_chunk::hex_id(&digest).split_off(2)
}

/// That of a record of type 0 that is `a record`, as manifests keep it.
fn record_digest(id: u64) -> String {
    let bytes = [&id.to_le_bytes()[..], &0_u32.to_le_bytes(), b"a record"].concat();
    blake3::hash(&bytes).to_hex().to_string()
}

impl Sealed<'_> {
    fn url(&self) -> String {
        format!("file://{}", self.program.path("store").display())
    }

    /// Seals blocks `first..=last`: the file, and then the manifest, whose rename is its commit.
    fn seal(&mut self, first: u64, last: u64, replaces: &[&Manifest]) -> Manifest {
        let bytes = format!("rows of {first} to {last}").into_bytes();
        let blake3 = blake3::hash(&bytes);
        let digests = BTreeMap::from([("blocks.parquet", *blake3.as_bytes())]);
        let id = ChunkId::of("trial", first, last, &digests);
        let path = format!("chunks/{first}-{last}-{}", id.short());
        let file = FileEntry {
            blake3: blake3.to_hex().to_string(),
            bytes: u64::try_from(bytes.len()).unwrap(),
            kind: FileKind::Raw,
            rows: 1,
            sha256: hex(Sha256::digest(&bytes).into()),
        };
        self.program.write(&format!("store/{path}/blocks.parquet"), &bytes);
        let manifest = Manifest {
            chunk: id.to_hex(),
            dataset: "trial".to_string(),
            files: BTreeMap::from([("blocks.parquet".to_string(), file)]),
            first_block: first,
            first_transid: first + 1,
            gaps: Vec::new(),
            last_block: last,
            last_hash: None,
            last_record: record_digest(last + 1),
            last_transid: last + 1,
            path,
            previous: self.last.as_ref().map(Manifest::digest),
            replaces: replaces.iter().map(|old| old.chunk.clone()).collect(),
            sequence: self.last.as_ref().map_or(1, |last| last.sequence + 1),
            version: 1,
        };
        let name = format!("store/manifests/{:020}.json", manifest.sequence);
        let unpublished = self.program.write("store/manifests/.new", manifest.encode());
        std::fs::rename(unpublished, self.program.path(&name)).unwrap();
        self.last = Some(manifest.clone());
        manifest
    }
}

#[test]
fn what_was_sealed_is_fetched_and_what_was_replaced_goes() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    let (one, two) = (sealed.seal(0, 9, &[]), sealed.seal(10, 19, &[]));
    let url = sealed.url();
    let run = program.run(&["apply", "--from", &url]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stdout.lines().count(), 2, "{run:?}");
    let again = program.run(&["apply", "--from", &url, "--json"]);
    assert_eq!(again.json().as_array().unwrap().len(), 2, "one document: {again:?}");
    let lines = program.run(&["apply", "--from", &url, "-o", "jsonl"]);
    assert_eq!(lines.stdout.lines().count(), 2, "{lines:?}");
    assert_eq!(program.run(&["chunk", "wait", "trial", "0..20"]).code, 0);

    sealed.seal(0, 19, &[&one, &two]);
    let run = program.run(&["apply", "--from", &url, "--json"]);
    assert_eq!((run.code, run.json()[0]["sequence"].as_u64()), (0, Some(3)), "{run:?}");
    let left = program.run(&["chunk", "ls", "--json", "--state", "ready"]).json();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left[0]["block_range"]["end"], 20);
}

#[test]
fn only_chunks_of_the_range_are_wanted() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    for first in [0, 10, 20, 30] {
        sealed.seal(first, first + 9, &[]);
    }
    let url = sealed.url();
    assert_eq!(program.run(&["apply", "--from", &url, "--blocks", "15..20"]).stdout.lines().count(), 1);
    assert_eq!(program.run(&["apply", "--from", &url, "--blocks", "29.."]).stdout.lines().count(), 2);
}

#[test]
fn a_chunk_is_here_within_a_second_after_it_was_sealed() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    sealed.seal(0, 9, &[]);
    let url = sealed.url();
    let mut child = program.start(&["apply", "--from", &url, "--follow"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let mut times = Vec::new();
    for first in [10, 20, 30] {
        sealed.seal(first, first + 9, &[]);
        let since = Instant::now();
        line.clear();
        stdout.read_line(&mut line).unwrap();
        times.push(since.elapsed());
        assert!(line.ends_with(&format!("{first}..{}\n", first + 10)), "{line}");
    }
    println!("after the manifest: {times:?}");
    assert!(times.iter().any(|time| *time < Duration::from_secs(1)), "{times:?}");
    send_signal(&child, "INT");
    assert_eq!(ended(child).code, 130);
}

#[test]
fn a_manifest_that_is_missing_or_damaged_and_a_store_that_is_none_are_said() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    sealed.seal(0, 9, &[]);
    sealed.seal(10, 19, &[]);
    let url = sealed.url();
    program.write(&format!("store/manifests/{:020}.json", 2), b"{}");
    assert_eq!(program.run(&["apply", "--from", &url]).code, 5);
    std::fs::remove_file(program.path(&format!("store/manifests/{:020}.json", 1))).unwrap();
    assert_eq!(program.run(&["apply", "--from", &url]).code, 5);
    assert_eq!(program.run(&["apply", "--from", "gopher://x/"]).code, 2);
    assert_eq!(program.run(&["apply", "--from", "nowhere"]).code, 2);
}

/// How far the hold has got as a consumer of a log.
fn hold_position(program: &Program, log: &str) -> Option<u64> {
    let consumers = program.run(&["log", "consumers", "--log", log, "--json"]).json();
    let hold = consumers.as_array().unwrap().iter().find(|consumer| consumer["name"] == "worker-1");
    hold.expect("the hold is no consumer")["position"].as_u64()
}

#[test]
fn a_log_keeps_what_a_hold_that_is_its_consumer_has_not_fetched() {
    let program = Program::new();
    let log = program.path("log").display().to_string();
    let lines = "a record\n".repeat(40);
    assert_eq!(program.run_with(&["log", "append", "--create", "--log", &log], &lines).code, 0);
    let mut sealed = Sealed { program: &program, last: None };
    sealed.seal(0, 9, &[]);
    let second = sealed.seal(10, 19, &[]);
    sealed.seal(20, 29, &[]);
    let url = sealed.url();
    let file = program.path(&format!("store/{}/blocks.parquet", second.path));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let apply = ["apply", "--from", &url, "--log", &log, "--consumer", "worker-1", "--patience", "0s"];
    let trim = |before: &str| program.run(&["log", "trim", "--log", &log, "--before", before]);

    let run = program.run(&apply);
    assert_eq!((run.code, run.stdout.lines().count()), (4, 2), "{run:?}");
    assert_eq!(hold_position(&program, &log), Some(10), "the third chunk is behind one that is not here");
    let run = trim("12");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("worker-1 (at 10)"), "{run:?}");

    std::fs::write(&file, bytes).unwrap();
    let run = program.run(&[&apply[..7], &["--blocks", "5.."]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(hold_position(&program, &log), Some(30));
    assert_eq!(trim("31").code, 0);
}

#[test]
fn a_hold_is_waited_for_before_its_first_chunk_and_not_by_another_log() {
    let program = Program::new();
    let log = program.path("log").display().to_string();
    assert_eq!(program.run_with(&["log", "append", "--create", "--log", &log], "one\ntwo\n").code, 0);
    std::fs::create_dir_all(program.path("store")).unwrap();
    let mut sealed = Sealed { program: &program, last: None };
    let url = sealed.url();
    let apply = ["apply", "--from", &url, "--log", &log, "--consumer", "worker-1"];
    assert_eq!(program.run(&apply).code, 0);
    assert_eq!(hold_position(&program, &log), None);
    assert_eq!(program.run(&["log", "trim", "--log", &log, "--before", "2"]).code, 1);

    sealed.seal(0, 9, &[]);
    let run = program.run(&apply);
    assert!(run.code == 1 && run.stderr.contains("the log that is sealed into this store"), "{run:?}");
    assert_eq!(hold_position(&program, &log), None);
    // One that is long enough is no better.
    let lines = "another record\n".repeat(40);
    assert_eq!(program.run_with(&["log", "append", "--log", &log], &lines).code, 0);
    let run = program.run(&apply);
    assert!(run.code == 1 && run.stderr.contains("the log that is sealed into this store"), "{run:?}");
    assert_eq!(hold_position(&program, &log), None);
    assert_eq!(program.run(&["apply", "--from", &url, "--consumer", "worker-1"]).code, 2);
}

#[test]
fn a_store_without_chunks_and_a_disk_without_room_are_said() {
    let program = Program::new();
    std::fs::create_dir_all(program.path("store")).unwrap();
    let mut sealed = Sealed { program: &program, last: None };
    let url = sealed.url();
    let run = program.run(&["apply", "--from", &url]);
    assert!(run.code == 0 && run.stderr.contains("nothing is sealed"), "{run:?}");
    sealed.seal(0, 9, &[]);
    let run = program.run(&["apply", "--from", &url, "--keep-free", "1000TiB"]);
    assert!(run.code == 7 && run.stderr.contains("no room"), "{run:?}");
    assert_eq!(program.run(&["apply", "--from", &url]).code, 0);
}

#[test]
fn a_directory_that_is_not_there_is_an_error_and_is_not_made() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    sealed.seal(0, 9, &[]);
    let (store, misspelt) = (sealed.url(), format!("{}x/sealed", sealed.url()));
    std::fs::create_dir_all(program.path("store/sealed")).unwrap();
    for words in [&["apply", "--from", &misspelt][..], &["read", &misspelt, "0.."], &["find", &misspelt, "0"]]
    {
        let run = program.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{words:?}: {run:?}");
        let (wrong, right) = (program.path("storex/sealed"), program.path("store/sealed"));
        assert!(run.stderr.contains(&format!("there is no directory {}", wrong.display())), "{run:?}");
        assert!(run.stderr.contains(&format!("did you mean {}?", right.display())), "{run:?}");
    }
    let unlike = program.run(&["apply", "--from", "file:///nowhere/at/all"]);
    assert!(unlike.code == 3 && unlike.stderr.contains("`loghold seal` makes it"), "{unlike:?}");
    assert!(!program.path("storex").exists() && !program.path("data").exists());
    assert_eq!(program.run(&["apply", "--from", &store]).code, 0);
}

#[test]
fn a_directory_that_is_followed_is_waited_for_until_a_sealer_makes_it() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    let url = sealed.url();
    let mut child = program.start(&["apply", "--from", &url, "--follow"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("there is no directory") && line.contains("waited for"), "{line}");
    assert!(!program.path("store").exists(), "it is the sealer's to make");
    std::fs::create_dir_all(program.path("store")).unwrap();
    line.clear();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("nothing is sealed in") && line.contains("waited for"), "{line}");
    sealed.seal(0, 9, &[]);
    line.clear();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with("0..10\n"), "{line}");
    send_signal(&child, "INT");
    assert_eq!(ended(child).code, 130);

    let mut waiting = program.start(&["apply", "--from", &format!("{url}x"), "--follow"]);
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    line.clear();
    stderr.read_line(&mut line).unwrap();
    send_signal(&waiting, "TERM");
    assert_eq!(ended(waiting).code, 143, "{line}");
}

#[test]
fn the_list_of_a_killed_run_goes_with_the_next_apply() {
    let program = Program::with_three_chunks();
    let mut sealed = Sealed { program: &program, last: None };
    sealed.seal(0, 9, &[]);
    // As a killed `with` leaves it, once its lease is over.
    program.write("data/.lists/with-gone.json", "[]");
    let run = program.run(&["apply", "--from", &sealed.url()]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(names_in(&program.path("data/.lists")), [""; 0]);
}

#[test]
fn a_data_directory_that_is_named_twice_is_told_so_and_not_waited_for() {
    let program = Program::new();
    let mut sealed = Sealed { program: &program, last: None };
    sealed.seal(0, 9, &[]);
    let twice = ["--data-dir", "data", "--data-dir", "./data"];
    std::fs::create_dir_all(program.path("data")).unwrap();
    let run = program.run(&[&["apply", "--from", &sealed.url()][..], &twice].concat());
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("data is named twice"), "{run:?}");
}
