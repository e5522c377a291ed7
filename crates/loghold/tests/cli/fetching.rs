//! `chunk get` from a server with faults: exit codes, stopping and going on, limits.
//! Refuses other networks than loopback.

use origin::{Fault, Plan};
use serde_json::Value;

use crate::program::{Program, Run, Served, damage, descriptor, ended, id_of, read, send_signal};

const MIB: u64 = 1 << 20;

fn get(program: &Program, arguments: &[&str], descriptors: &[String]) -> Run {
    let all = [&["chunk", "get", "-", "--allow-private", "--json"], arguments].concat();
    program.run_with(&all, &descriptors.join("\n"))
}

fn row(run: &Run, byte: u8) -> Value {
    let rows = run.json();
    let found = rows.as_array().unwrap().iter().find(|row| row["id"] == id_of(byte).as_str());
    found.unwrap_or_else(|| panic!("no chunk {byte}: {run:?}")).clone()
}

#[test]
fn what_is_served_is_got_whole() {
    let served = Served::start(&[("one", 3 * MIB), ("two", 5)]);
    let program = Program::new();
    let run = get(
        &program,
        &[],
        &[descriptor(1, 0, 10, &served.url("one")), descriptor(2, 10, 20, &served.url("two"))],
    );
    assert_eq!(run.code, 0, "{run:?}");
    let path = row(&run, 1)["path"].as_str().unwrap().to_string();
    assert_eq!(read(&std::path::Path::new(&path).join("blocks.parquet")), served.content("one"));
    assert_eq!(row(&run, 2)["bytes"], 5);
}

#[test]
fn loopback_is_refused_unless_private_addresses_are_allowed() {
    let served = Served::start(&[("one", 5)]);
    let program = Program::new();
    let run = program.run_with(&["chunk", "get", "-"], &descriptor(1, 0, 10, &served.url("one")));
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("--allow-private"), "{}", run.stderr);
    assert!(served.origin.log().is_empty());
}

#[test]
fn a_file_of_this_machine_is_refused_unless_files_are_allowed() {
    let program = Program::new();
    let file = program.write("secret", "of mine");
    let wanted = descriptor(1, 0, 10, file.to_str().unwrap());
    let run = program.run_with(&["chunk", "get", "-", "--allow-private"], &wanted);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
    assert!(run.stderr.contains("--allow-files"), "{}", run.stderr);
    assert_eq!(program.run_with(&["chunk", "get", "-", "--allow-files"], &wanted).code, 0);
}

#[test]
fn a_file_that_is_not_there_ends_with_6_alone_and_with_4_beside_others() {
    let served = Served::start(&[("one", 5)]);
    let program = Program::new();
    let absent = descriptor(2, 10, 20, &served.url("absent"));
    let alone = get(&program, &[], std::slice::from_ref(&absent));
    assert_eq!(alone.code, 6, "{alone:?}");
    assert!(alone.stderr.contains("given up") && alone.stderr.contains("404"), "{}", alone.stderr);
    let beside = get(&program, &[], &[absent, descriptor(1, 0, 10, &served.url("one"))]);
    assert_eq!(beside.code, 4, "{beside:?}");
    assert_eq!((&row(&beside, 1)["state"], &row(&beside, 2)["state"]), (&"ready".into(), &"failed".into()));
    assert!(beside.stderr.contains("1 of 2 chunks are ready; 1 could not be had"), "{}", beside.stderr);
}

#[test]
fn why_a_chunk_was_given_up_is_told_once() {
    let served = Served::start(&[]);
    let program = Program::new();
    let absent = descriptor(2, 10, 20, &served.url("absent"));
    for (arguments, word) in [(&[][..], "note: "), (&["-q"], "hint: ")] {
        let run = get(&program, arguments, std::slice::from_ref(&absent));
        let told: Vec<&str> = run.stderr.lines().filter(|line| line.contains("404")).collect();
        assert!(told.len() == 1 && told[0].starts_with(word), "{run:?}");
    }
}

#[test]
fn passing_faults_are_tried_again() {
    let served = Served::start(&[("one", 5)]);
    served.origin.set_fault("one", Plan::first(2, Fault::Status(500)));
    let program = Program::new();
    let run = get(&program, &[], &[descriptor(1, 0, 10, &served.url("one"))]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_source_that_only_fails_is_named_and_given_up() {
    let served = Served::start(&[("one", 5)]);
    served.origin.set_fault("one", Plan::always(Fault::Status(500)));
    let run = get(&Program::new(), &["--patience", "2s"], &[descriptor(1, 0, 10, &served.url("one"))]);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("given up") && run.stderr.contains("500"), "{}", run.stderr);
}

#[test]
fn a_number_of_tries_can_be_asked_for() {
    let served = Served::start(&[("one", 5)]);
    let url = format!("{}#size=6", served.url("one"));
    let run = get(&Program::new(), &["--give-up-after", "2", "-v"], &[descriptor(1, 0, 10, &url)]);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("try 1 failed, next in"), "{}", run.stderr);
    let rows = run.json();
    assert_eq!(rows[0]["failed_tries"], 2, "{run:?}");
}

#[test]
fn bytes_that_are_not_the_promised_ones_are_never_shown() {
    let served = Served::start(&[("one", 5)]);
    let program = Program::new();
    let url = format!("{}#sha256={}", served.url("one"), "00".repeat(32));
    let run = get(&program, &["--give-up-after", "2"], &[descriptor(1, 0, 10, &url)]);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("sha256") || run.stderr.contains("SHA-256"), "{}", run.stderr);
    assert_eq!(program.run(&["chunk", "find", "trial", "0"]).code, 3);
}

#[test]
fn a_time_out_ends_with_9_and_keeps_what_was_fetched() {
    let served = Served::start(&[("one", 5)]);
    served.origin.set_fault("one", Plan::always(Fault::Hang));
    let run = get(&Program::new(), &["--timeout", "300ms"], &[descriptor(1, 0, 10, &served.url("one"))]);
    assert_eq!(run.code, 9, "{run:?}");
    assert!(run.stderr.contains("timed out: 0 of 1 chunk"), "{}", run.stderr);
    assert!(run.stderr.contains("run the same command again"), "{}", run.stderr);
}

#[test]
fn the_count_of_ready_chunks_is_that_of_the_table() {
    // Some come between the last event that is heard and the look at the table, and some do not.
    for timeout in ["0s", "0s", "1ms", "1ms", "3ms", "3ms", "5ms", "5ms"] {
        let program = Program::new();
        let file = program.write("one", [1; 1000]);
        let all: Vec<String> = (1..=3).map(|byte| descriptor(byte, 0, 10, file.to_str().unwrap())).collect();
        let run = get(&program, &["--allow-files", "--timeout", timeout], &all);
        let rows = run.json();
        let ready = rows.as_array().unwrap().iter().filter(|row| row["state"] == "ready").count();
        assert_eq!(run.code, if ready == 3 { 0 } else { 9 }, "{run:?}");
        assert!(ready == 3 || run.stderr.contains(&format!("{ready} of 3 chunks are ready")), "{run:?}");
    }
}

#[test]
fn certificates_that_are_not_there_are_not_found() {
    let run = get(
        &Program::new(),
        &["--ca-file", "nowhere.pem"],
        &[descriptor(1, 0, 10, "https://data.example/1")],
    );
    assert!(run.code == 3 && run.stderr.contains("nowhere.pem"), "{run:?}");
}

#[test]
fn control_c_ends_with_130_and_the_next_run_goes_on() {
    const LEN: u64 = 24 * MIB;
    let served = Served::start(&[("one", LEN)]);
    // 18 MiB come, and then nothing: four whole segments and more are on their way to the disk.
    served.origin.set_fault("one", Plan::always(Fault::HangBody { after: 18 * MIB }));
    let program = Program::new();
    program.write("chunks.json", descriptor(1, 0, 10, &format!("{}#size={LEN}", served.url("one"))));
    let child = program.start(&["chunk", "get", "chunks.json", "--allow-private", "--json"]);
    served.runtime.block_on(served.origin.wait_for_bytes(18 * MIB));
    send_signal(&child, "INT");
    let stopped = ended(child);
    assert_eq!(stopped.code, 130, "{stopped:?}");
    assert!(stopped.stderr.contains("stopped: 0 of 1 chunk"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("kept: run the same command again to go on"), "{}", stopped.stderr);
    let kept = row(&stopped, 1)["bytes"].as_u64().unwrap();
    let listed = program.run(&["chunk", "ls"]);
    assert!(listed.stderr.contains("no chunk is here, but parts of some"), "{listed:?}");

    served.origin.clear_faults();
    let sent_before = served.origin.bytes_sent();
    let run = program.run(&["chunk", "get", "chunks.json", "--allow-private", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let sent = served.origin.bytes_sent() - sent_before;
    println!("{kept} bytes were kept, {sent} were sent by the second run");
    assert!(kept > 0 && sent <= LEN - kept, "{kept} bytes were kept, and {sent} of {LEN} were sent again");
    let path = row(&run, 1)["path"].as_str().unwrap().to_string();
    assert_eq!(read(&std::path::Path::new(&path).join("blocks.parquet")), served.content("one"));
}

#[test]
fn a_mirror_stands_in_for_what_fails() {
    let served = Served::start(&[("good/one", 5)]);
    served.origin.set_fault("bad/", Plan::always(Fault::ResetBeforeAnswer));
    let program = Program::new();
    let mirror = format!("{}={}", served.url("bad/"), served.url("good/"));
    let run = get(&program, &["--mirror", &mirror], &[descriptor(1, 0, 10, &served.url("bad/one"))]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn wrong_descriptors_are_refused_before_anything_is_fetched() {
    let served = Served::start(&[("one", 5)]);
    let program = Program::new();
    let good = descriptor(1, 0, 10, &served.url("one"));
    for (bad, words) in [
        (good.replace("dataset_id", "dataset"), "line 2, column "),
        (good.replace("dataset_id", "dataset"), "did you mean \"dataset_id\"?"),
        (good.replace("\"end\":10", "\"end\":0"), "block_range: 0..0 holds no block"),
        (good.replace("blocks.parquet", "../blocks.parquet"), "a file name is"),
        (good.replace("\"end\":10", "\"end\":11"), "was given before with other content"),
        (descriptor(2, 0, 10, &format!("{}#sha1=00", served.url("one"))), "sha1"),
        (descriptor(2, 0, 10, "htps://data.example/one"), "did you mean \"https\"?"),
        (descriptor(2, 0, 10, "/etc/hosts"), "--allow-files"),
    ] {
        let run = get(&program, &[], &[good.clone(), bad]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert!(served.origin.log().is_empty(), "nothing was asked for");
    let nothing = get(&program, &[], &[]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
}

#[test]
fn a_scheme_that_nobody_serves_is_refused_before_the_first_of_many_is_begun() {
    // So many that some would be asked for while the last is looked at.
    let served = Served::start(&[("one", 5)]);
    let mut all: Vec<String> = (1..=200).map(|byte| descriptor(byte, 0, 10, &served.url("one"))).collect();
    all.push(descriptor(201, 0, 10, "ftp://data.example/one"));
    let program = Program::new();
    let run = get(&program, &[], &all);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
    assert!(run.stderr.contains("ftp") && run.stderr.contains(&id_of(201)), "{run:?}");
    assert!(served.origin.log().is_empty(), "{:?}", served.origin.log());
}

#[test]
fn a_reader_that_goes_away_is_no_error_to_talk_about() {
    let served = Served::start(&[("one", 5)]);
    let program = Program::new();
    assert_eq!(get(&program, &[], &[descriptor(1, 0, 10, &served.url("one"))]).code, 0);
    let mut child = program.start(&["chunk", "ls"]);
    drop(child.stdout.take());
    let run = ended(child);
    assert_eq!((run.code, run.stderr.as_str()), (141, ""));
}

#[test]
fn a_damaged_chunk_from_a_signed_address_says_what_to_do() {
    let served = Served::start(&[("one", 5_000)]);
    let program = Program::new();
    let url = format!("{}?signature=s3cret", served.url("one"));
    let run = get(&program, &[], &[descriptor(1, 0, 10, &url)]);
    assert_eq!(run.code, 0, "{run:?}");
    let path = row(&run, 1)["path"].as_str().unwrap().to_string();
    damage(&std::path::Path::new(&path).join("blocks.parquet"));
    // As to one who shows no signature.
    served.origin.set_fault("one", Plan::always(Fault::Status(403)));
    let run = program.run(&["chunk", "verify", "--json", "--allow-private"]);
    assert_eq!(run.code, 5, "{run:?}");
    let error = run.json()[0]["error"].as_str().unwrap().to_string();
    assert!(error.contains("403") && error.contains("signed: ask for it again with `chunk get`"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    served.origin.clear_faults();
    assert_eq!(get(&program, &[], &[descriptor(1, 0, 10, &url)]).code, 0);
}
