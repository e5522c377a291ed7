//! A log sealed into chunks, and both read as one line, by the program.
//! Refuses to look into the chunks; the sealer's own tests and `tests/external` do.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::program::{Program, Run, ended, send_signal};

const PLAN: &str = r#"
numbering = "one-per-block"
finality = { lag = 0 }
[cut]
records = 10
[[table]]
file = "records.parquet"
columns = "raw"
"#;

/// A log of 25 records, and a plan that makes chunks of ten.
fn with_a_plan() -> Program {
    let program = Program::new();
    let store = program.path("store");
    program
        .write("plan.toml", format!("dataset = \"trial\"\nstore = \"file://{}\"\n{PLAN}", store.display()));
    let lines = "a record\n".repeat(25);
    let run = program.run_with(&["log", "append", "--log", "log", "--create", "--type", "1", "-q"], &lines);
    assert_eq!(run.code, 0, "{run:?}");
    program
}

fn seal(program: &Program, arguments: &[&str]) -> Run {
    program.run(&[&["seal", "--log", "log", "--plan", "plan.toml"], arguments].concat())
}

fn blocks(run: &Run) -> Vec<u64> {
    run.json().as_array().unwrap().iter().filter_map(|line| line["block"].as_u64()).collect()
}

#[test]
fn sealed_chunks_are_one_document_or_one_table() {
    let program = with_a_plan();
    let table = seal(&program, &[]);
    assert_eq!(table.code, 0, "{table:?}");
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("SEQUENCE"), "{table:?}");
    assert!(lines[1].starts_with("1 ") && lines[2].starts_with("2 "), "{table:?}");

    let program = with_a_plan();
    let sequences: Vec<Value> = seal(&program, &["--json"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| chunk["sequence"].clone())
        .collect();
    assert_eq!(sequences, [1, 2]);
    assert_eq!(seal(&program, &["--json"]).json(), Value::Array(Vec::new()), "nothing is left to be sealed");
}

#[test]
fn a_plan_is_read_with_the_log_of_the_environment() {
    let program = with_a_plan();
    assert_eq!(seal(&program, &[]).code, 0);
    let log = program.path("log");
    for (variable, expected) in [(None, 20), (Some(""), 20), (log.to_str(), 25)] {
        let read = program.run_in(&["read", "--plan", "plan.toml", "0..", "--json"], variable);
        assert_eq!(blocks(&read), (0..expected).collect::<Vec<u64>>(), "{variable:?}: {read:?}");
        let found = program.run_in(&["find", "--plan", "plan.toml", "22", "--json"], variable);
        assert_eq!(found.code, if expected > 22 { 0 } else { 3 }, "{variable:?}: {found:?}");
    }
    // A store alone says nothing of a log.
    let url = format!("file://{}", program.path("store").display());
    let alone = program.run_in(&["read", &url, "0..", "--json"], log.to_str());
    assert_eq!(blocks(&alone).len(), 20, "{alone:?}");
}

#[test]
fn a_line_is_followed_with_the_log_of_the_environment_and_not_without_one() {
    let program = with_a_plan();
    let none = program.run(&["read", "--plan", "plan.toml", "0..", "--follow"]);
    assert_eq!((none.code, none.stdout.as_str()), (2, ""), "{none:?}");
    assert!(none.stderr.contains("LOGHOLD_LOG"), "{none:?}");
    let mut following = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
        .args(["read", "--plan", "plan.toml", "0..", "--follow"])
        .current_dir(program.path(""))
        .env("LOGHOLD_LOG", program.path("log"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(following.stdout.as_mut().unwrap()).lines();
    assert_eq!(lines.map(Result::unwrap).filter(|line| line.contains("block")).take(25).count(), 25);
    send_signal(&following, "INT");
    assert_eq!(ended(following).code, 130);
    // Without anything to print, it hears that nobody reads any more.
    let words = ["read", "--plan", "plan.toml", "--log", "log", "30..", "--follow"];
    let mut unread = program.start(&words);
    drop(unread.stdout.take());
    assert_eq!(ended(unread).code, 141);
}

#[test]
fn what_is_missing_behind_a_plan_is_told_by_its_name() {
    let program = with_a_plan();
    for (command, word) in [("read", "RANGE"), ("find", "BLOCK")] {
        let run = program.run(&[command, "--plan", "plan.toml"]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(&format!("{word} is missing")), "{run:?}");
        let nothing = program.run(&[command]);
        assert!(nothing.code == 2 && nothing.stderr.contains("name the store"), "{nothing:?}");
    }
}

#[test]
fn a_plan_that_is_none_is_not_printed_whole() {
    let program = with_a_plan();
    program.write("long.toml", "[".repeat(100_000));
    let run = program.run(&["seal", "--log", "log", "--plan", "long.toml"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("line 1") && run.stderr.len() < 1_000, "{} bytes", run.stderr.len());
}

#[test]
fn a_store_that_is_a_path_is_told_how_to_write_it() {
    let program = Program::new();
    for arguments in [&["store", "check", "/tmp/store"][..], &["apply", "--from", "store"]] {
        let run = program.run(arguments);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("file:// and its absolute path"), "{run:?}");
    }
    // Nobody has a plan here.
    for arguments in
        [&["store", "check", "ftp://x/"][..], &["apply", "--from", "ftp://x/"], &["read", "ftp://x/", "0.."]]
    {
        let run = program.run(arguments);
        assert!(run.code == 2 && run.stderr.contains("error: the store: ftp://x/"), "{run:?}");
    }
    let program = with_a_plan();
    program.write("plan.toml", format!("dataset = \"trial\"\nstore = \"store\"\n{PLAN}"));
    let run = seal(&program, &[]);
    assert!(run.code == 2 && run.stderr.contains("file:// and its absolute path"), "{run:?}");
}
