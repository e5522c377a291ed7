//! Leases on the command line: taken, listed, renewed, broken, and held while a command runs.
//! Refuses to know how leases are kept; only what is printed, what ends how, and which files are there counts.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::program::{Program, Run, descriptor, ended, id_of, names_in, read, rename, send_signal};

fn leases(program: &Program) -> Value {
    program.run(&["lease", "ls", "--json"]).json()
}

fn with(program: &Program, script: &str) -> Run {
    program.run(&["with", "trial", "0..20", "--", "sh", "-c", script])
}

#[test]
fn a_lease_is_taken_listed_renewed_and_broken() {
    let program = Program::with_three_chunks();
    let taken =
        program.run(&["lease", "new", "trial", "0..20", "--name", "spring", "--owner", "me", "--json"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(
        (&taken.json()[0]["name"], &taken.json()[0]["chunks"]),
        (&Value::from("spring"), &Value::from(2))
    );
    let again = program.run(&["lease", "new", "trial", "0..20", "--name", "spring"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("renew or break it"), "{again:?}");

    let removed = program.run(&["chunk", "rm", "0x0101", "--json"]);
    assert_eq!((removed.code, &removed.json()[0]["state"]), (0, &Value::from("retired")));
    assert!(removed.stderr.contains("when these leases end: spring"), "{removed:?}");
    let listed = leases(&program);
    assert_eq!(listed[0]["held_back_chunks"], 1);
    assert_eq!(listed[0]["held_back_bytes"], 1_000);
    let table = program.run(&["lease", "ls"]).stdout;
    assert!(table.contains("spring") && table.contains("1 (1000 B)") && table.contains("me"), "{table}");
    assert_eq!(program.run(&["chunk", "why", "0x0101", "--json"]).json()[0]["leases"][0], "spring");

    let renewed = program.run(&["lease", "renew", "spring", "--for", "2h", "--json"]);
    assert!(renewed.json()[0]["ends_in_ms"].as_u64().unwrap() > 3_600_000, "{renewed:?}");
    for (arguments, hint) in [
        (&["lease", "renew", "sprin"][..], "did you mean \"spring\""),
        (&["lease", "break", "x"], "lease ls"),
    ] {
        let run = program.run(arguments);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.contains(hint), "{run:?}");
    }
    assert_eq!(program.run(&["lease", "break", "spring"]).code, 0);
    assert_eq!(leases(&program), Value::Array(Vec::new()));
    assert_eq!(program.run(&["chunk", "ls", "--json"]).json().as_array().unwrap().len(), 2);
}

#[test]
fn files_that_are_printed_with_a_lease_stay_when_their_chunks_are_removed() {
    let program = Program::with_three_chunks();
    let run = program.run(&["files", "trial", "--blocks", "0..20", "--lease", "1h", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let files = run.json();
    let name = files[0]["lease"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("lease {name} holds these files for 1h")), "{run:?}");
    program.run(&["chunk", "rm", "--dataset", "trial"]);
    for (file, byte) in files.as_array().unwrap().iter().zip([1, 2]) {
        assert_eq!(read(file["path"].as_str().unwrap().as_ref()), [byte; 1_000]);
    }
    assert_eq!(program.run(&["lease", "break", name]).code, 0);
    // Whatever comes next to the directory removes them.
    assert_eq!(program.run(&["chunk", "ls"]).stdout, "");
    let without = program.run(&["chunk", "files", "trial", "--json"]);
    assert_eq!(without.code, 3, "{without:?}");
}

#[test]
fn a_command_finds_its_files_and_they_stay_while_it_removes_their_chunks() {
    let program = Program::with_three_chunks();
    let binary = env!("CARGO_BIN_EXE_loghold");
    let script = format!(
        "set -e; {binary} -q chunk rm --dataset trial; {binary} -q chunk ls --state ready; {binary} lease ls --json; \
         echo \"$LOGHOLD_FILES\" | while read -r path; do head -c 1 \"$path\" | od -An -tu1; done"
    );
    let run = program.run(&["with", "trial", "0..20", "--table", "blocks", "--", "sh", "-c", &script]);
    assert_eq!(run.code, 0, "{run:?}");
    let (json, bytes) = run.stdout.split_once("\n]\n").unwrap();
    assert!(json.contains("\"held_back_chunks\": 2") && json.contains("sh -c"), "{run:?}");
    assert_eq!(bytes.split_whitespace().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(leases(&program), Value::Array(Vec::new()), "the lease is released at the end");
    assert_eq!(program.run(&["chunk", "ls"]).stdout, "");
}

#[test]
fn the_list_for_engines_is_a_file_that_goes_with_the_command() {
    let program = Program::with_three_chunks();
    let run =
        with(&program, "echo $LOGHOLD_FILES_JSON $LOGHOLD_LEASE $LOGHOLD_DATA_DIR; cat $LOGHOLD_FILES_JSON");
    let (words, json) = run.stdout.split_once('\n').unwrap();
    let words: Vec<&str> = words.split(' ').collect();
    let files: Value = serde_json::from_str(json).unwrap();
    assert_eq!((&files[0]["chunk"], &files[1]["chunk"]), (&Value::from(id_of(1)), &Value::from(id_of(2))));
    assert_eq!(files[0]["lease"], words[1]);
    assert_eq!(words[2], program.path("data").display().to_string());
    assert!(!std::path::Path::new(words[0]).exists());
}

#[test]
fn the_code_of_the_command_is_passed_on() {
    let program = Program::with_three_chunks();
    for (words, code) in [
        (&["true"][..], 0),
        (&["false"], 1),
        (&["sh", "-c", "exit 77"], 77),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["/nowhere/at/all"], 127),
        (&["/"], 126),
    ] {
        let run = program.run(&[&["with", "trial", "0..20", "--"], words].concat());
        assert_eq!(run.code, code, "{words:?}: {run:?}");
        assert_eq!(leases(&program), Value::Array(Vec::new()), "{words:?}");
    }
}

#[test]
fn what_keeps_a_command_from_running_is_said() {
    let program = Program::with_three_chunks();
    for (arguments, code, words) in [
        (&["with", "trial", "0..40", "--", "touch", "ran"][..], 4, "blocks 20..30 of trial are not at hand"),
        (&["with", "trial", "20..30", "--allow-gaps", "--", "touch", "ran"], 4, "20..30"),
        (&["with", "trail", "0..20", "--", "touch", "ran"], 3, "did you mean \"trial\"?"),
        (
            &["with", "trial", "0..20", "--table", "block", "--", "touch", "ran"],
            3,
            "did you mean \"blocks\"?",
        ),
        (&["with", "trial", "0..20", "--lease", "1s", "--", "touch", "ran"], 2, "at least 3s"),
        (&["with", "trial", "0..20", "--lease", "31d", "--", "touch", "ran"], 2, "30 days"),
    ] {
        let run = program.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(words), "{arguments:?}: {run:?}");
    }
    assert!(!program.path("ran").exists());
    let gaps =
        program.run(&["with", "trial", "0..40", "--allow-gaps", "--", "sh", "-c", "echo \"$LOGHOLD_FILES\""]);
    assert_eq!((gaps.code, gaps.stdout.lines().count()), (0, 3), "{gaps:?}");
}

#[test]
fn a_signal_reaches_the_command_and_its_code_comes_back() {
    for (signal, code) in [("INT", 42), ("TERM", 43)] {
        let program = Program::with_three_chunks();
        let script = "trap 'exit 42' INT; trap 'exit 43' TERM; echo up; while :; do sleep 0.05; done";
        let mut child = program.start(&["with", "trial", "0..20", "--", "sh", "-c", script]);
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        send_signal(&child, signal);
        let run = ended(child);
        stdout.read_to_string(&mut line).unwrap();
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(leases(&program), Value::Array(Vec::new()));
    }
}

#[test]
fn the_lease_is_renewed_while_the_command_runs() {
    let program = Program::with_three_chunks();
    let binary = env!("CARGO_BIN_EXE_loghold");
    let expires =
        format!("{binary} lease ls --json | grep -o '\"expires_unix_ms\": [0-9]*' | tr -dc 0-9; echo");
    // Asks until the end has moved: the test ends with the first renewal.
    let script = format!(
        "first=$({expires}); for i in $(seq 200); do next=$({expires}); \
         [ -n \"$next\" ] && [ \"$next\" -gt \"$first\" ] && exit 0; sleep 0.1; done; exit 1"
    );
    let run = program.run(&["with", "trial", "0..20", "--lease", "3s", "--", "sh", "-c", &script]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_lease_that_is_broken_under_a_command_is_said_and_the_command_goes_on() {
    let program = Program::with_three_chunks();
    let binary = env!("CARGO_BIN_EXE_loghold");
    // The next renewal comes within a second.
    let script = format!("{binary} -q lease break $LOGHOLD_LEASE > broken; sleep 2; exit 7");
    let run = program.run(&["with", "trial", "0..20", "--lease", "3s", "--", "sh", "-c", &script]);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stderr.contains("may go away"), "{run:?}");
}

#[test]
fn a_directory_that_another_process_owns_is_waited_for_when_asked() {
    let program = Program::with_three_chunks();
    program.write("source/slow.parquet", vec![9; 40_000]);
    let path = program.path("source/slow.parquet");
    program.write("slow.json", descriptor(9, 50, 60, &format!("file://{}", path.display())));
    // At this rate it owns the directory for a while.
    let get = ["chunk", "get", "slow.json", "--allow-files", "--limit-rate", "20KiB/s", "-v"];
    let mut child = program.start(&get);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let refused = with(&program, "true");
    assert_eq!(refused.code, 8, "{refused:?}; the other said {line}");
    assert!(refused.stderr.contains("--wait"), "{refused:?}");
    let waited = program.run(&["with", "trial", "0..20", "--wait", "1m", "--", "true"]);
    assert_eq!(waited.code, 0, "{waited:?}");
    stderr.read_to_string(&mut line).unwrap();
    assert_eq!(ended(child).code, 0, "{line}");
}

#[test]
fn what_engines_are_given_names_the_directory_and_inside_of_with_its_files() {
    let program = Program::with_three_chunks();
    let root = program.path("data").display().to_string();
    for engine in ["duckdb", "polars", "datafusion"] {
        let run = program.run(&["sql-init", engine]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains(&root) && !run.stdout.contains('@'), "{}", run.stdout);
        assert!(!run.stdout.contains("SET VARIABLE"));
    }
    let inside = with(&program, &format!("{} sql-init duckdb", env!("CARGO_BIN_EXE_loghold")));
    assert!(inside.stdout.contains("SET VARIABLE loghold_files = (SELECT list(path)"), "{inside:?}");
}

#[test]
fn a_path_of_two_lines_is_in_the_list_alone_and_that_is_why() {
    let program = Program::with_three_chunks();
    let dir = program.path("da\nta");
    rename(&program.path("data"), &dir);
    let script = "test -z \"$LOGHOLD_FILES\" && cat \"$LOGHOLD_FILES_JSON\"";
    let words = ["with", "trial", "0..20", "--data-dir", dir.to_str().unwrap(), "--", "sh", "-c", script];
    let run = program.run(&words);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.json()[0]["path"].as_str().unwrap().contains("/da\nta/"), "{run:?}");
    assert!(run.stderr.contains("line break") && run.stderr.contains("LOGHOLD_FILES_JSON"), "{run:?}");
}

#[test]
fn a_list_of_files_that_cannot_be_written_is_named_and_leaves_no_lease() {
    let program = Program::with_three_chunks();
    // Somebody else's, in the place of the directory of the lists.
    program.write("data/.lists", "");
    let run = program.run(&["with", "trial", "0..10", "--", "true"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("data/.lists/with-"), "{run:?}");
    assert_eq!(program.run(&["lease", "ls", "--json"]).json(), Value::Array(Vec::new()));
}

#[test]
fn the_list_of_a_run_that_was_killed_stays_with_its_lease_and_goes_with_it() {
    let program = Program::with_three_chunks();
    let lists = program.path("data").join(".lists");
    let script = "echo $LOGHOLD_LEASE; exec cat";
    let mut killed = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
        .args(["with", "trial", "0..20", "--", "sh", "-c", script])
        .env("LOGHOLD_DATA_DIR", program.path("data"))
        .env("TMPDIR", program.path("absent"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(killed.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let lease = line.trim_end();
    send_signal(&killed, "KILL");
    // Its command ends with its input.
    drop(killed.stdin.take());
    assert_eq!(ended(killed).code, -1);

    assert_eq!(with(&program, "true").code, 0);
    let name = format!("{lease}.json");
    assert_eq!(names_in(&lists), [name.as_str()], "the lease holds, and so does its list");
    assert_eq!(program.run(&["lease", "break", lease]).code, 0);
    assert_eq!(program.run(&["chunk", "ls"]).code, 0);
    assert!(names_in(&lists).is_empty(), "{:?}", names_in(&lists));
}
