//! The commands on chunks that come from this machine's own files.
//! Refuses faults of the network; see `fetching`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use origin::{Fault, Plan};
use serde_json::Value;

use crate::program::{
    Program, Run, Served, damage, descriptor, ended, id_of, names_in, read, remove, remove_all, rename,
    send_signal,
};

fn states(run: &Run) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    run.json().as_array().unwrap().iter().map(|row| (text(&row["id"]), text(&row["state"]))).collect()
}

#[test]
fn what_was_got_is_listed_in_order_of_blocks() {
    let program = Program::with_three_chunks();
    let ready = |byte: u8| (id_of(byte), "ready".to_string());
    assert_eq!(states(&program.run(&["chunk", "ls", "--json"])), [ready(1), ready(2), ready(3)]);
    let lines = program.run(&["chunk", "ls", "-o", "jsonl", "--dataset", "trial", "--state", "ready"]).stdout;
    assert_eq!(lines.lines().count(), 3);
    let table = program.run(&["chunk", "ls"]).stdout;
    assert!(table.lines().nth(1).unwrap().starts_with("0x010101010101  "), "{table}");
    assert_eq!(program.run(&["chunk", "ls", "--state", "failed"]).stdout, "");
}

#[test]
fn getting_the_same_again_changes_nothing_and_other_content_is_refused() {
    let program = Program::with_three_chunks();
    assert_eq!(program.run(&["chunk", "get", "chunks.jsonl", "--allow-files"]).code, 0);
    let other = descriptor(1, 0, 11, "file:///nowhere");
    let run = program.run_with(&["chunk", "get", "-"], &other);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stderr.contains(&id_of(1)) && run.stderr.contains("hint: an id names immutable content"),
        "{run:?}"
    );
}

#[test]
fn a_block_is_found_with_its_path_and_id() {
    let program = Program::with_three_chunks();
    let run = program.run(&["chunk", "find", "trial", "19"]);
    assert_eq!(run.code, 0, "{run:?}");
    let (path, id) = run.stdout.trim_end().split_once("  ").unwrap();
    assert_eq!(id, id_of(2));
    assert_eq!(read(&Path::new(path).join("blocks.parquet")), [2; 1_000]);
    let json = program.run(&["chunk", "find", "trial", "19", "--json"]).json();
    assert_eq!(json[0]["path"], path);
    assert_eq!(json[0]["block_range"]["end"], 20);
}

#[test]
fn what_is_not_here_ends_with_3_and_says_what_is() {
    let program = Program::with_three_chunks();
    for (arguments, words) in [
        (&["chunk", "find", "trial", "25"][..], "hint: at hand are blocks 0..20, 30..40"),
        (&["chunk", "why", "trial", "25"], "hint: at hand are blocks"),
        (&["chunk", "find", "triall", "1"], "hint: did you mean \"trial\"?"),
        (&["chunk", "ls", "--dataset", "tiral"], "hint: did you mean \"trial\"?"),
        (&["chunk", "find", "elsewhere", "1"], "hint: datasets here: 0x"),
        (&["chunk", "files", "trial", "--table", "block"], "hint: did you mean \"blocks\"?"),
        (&["chunk", "rm", "0x09090909"], "there is no chunk 0x09090909"),
        (&["chunk", "rm", "--dataset", "trial", "--blocks", "1..9"], "no chunk of trial lies within"),
        (&["chunk", "why", "0x0909"], "there is no chunk 0x0909"),
        (&["chunk", "verify", "0x0909"], "there is no chunk 0x0909"),
        (&["chunk", "get", "nowhere.json"], "reading nowhere.json"),
    ] {
        let run = program.run(arguments);
        assert_eq!(run.code, 3, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

/// Where the chunk of a block lies.
fn path_of(program: &Program, block: &str) -> std::path::PathBuf {
    let found = program.run(&["chunk", "find", "trial", block, "--json"]).json();
    found[0]["path"].as_str().unwrap().into()
}

/// Removes the first chunk's directory, and cuts the second's file.
fn remove_and_cut(program: &Program) {
    // Before any run can notice.
    let (first, second) = (path_of(program, "5"), path_of(program, "15"));
    remove_all(&first);
    program.write(second.join("blocks.parquet").to_str().unwrap(), "short");
}

#[test]
fn what_was_removed_or_cut_by_hand_is_not_handed_out() {
    for (arguments, code) in [
        (&["chunk", "find", "trial", "5"][..], 3),
        (&["chunk", "find", "trial", "15"], 3),
        (&["chunk", "files", "trial", "--blocks", "0..20"], 4),
        (&["chunk", "wait", "trial", "0..20"], 4),
        (&["lease", "new", "trial", "0..20", "--for", "1m"], 4),
        (&["with", "trial", "0..20", "--", "true"], 4),
    ] {
        let program = Program::with_three_chunks();
        remove_and_cut(&program);
        let run = program.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("is damaged"), "{arguments:?}: {run:?}");
        assert_eq!(program.run(&["chunk", "find", "trial", "35"]).code, 0);
    }
}

#[test]
fn what_was_removed_or_cut_by_hand_is_got_again() {
    let program = Program::with_three_chunks();
    remove_and_cut(&program);
    let run = program.run(&["chunk", "get", "chunks.jsonl", "--allow-files", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(states(&run), [1, 2, 3].map(|byte| (id_of(byte), "ready".to_string())));
    assert_eq!(read(&path_of(&program, "5").join("blocks.parquet")), [1; 1_000]);
    assert_eq!(read(&path_of(&program, "15").join("blocks.parquet")), [2; 1_000]);
}

#[test]
fn what_was_removed_or_cut_in_another_layout_is_not_handed_out_and_fails_a_verification() {
    // "s3://a" in base64url.
    let chunk = "data/czM6Ly9h/0000000000/0000000000-0000000009-hash";
    for name in ["blocks.parquet", "logs.parquet"] {
        for is_cut in [true, false] {
            for (arguments, code) in [
                (&["chunk", "find", "s3://a", "5"][..], 3),
                (&["chunk", "files", "s3://a", "--blocks", "0..10"], 3),
                (&["chunk", "verify"], 5),
            ] {
                let program = Program::new();
                for each in ["blocks.parquet", "logs.parquet"] {
                    program.write(&format!("{chunk}/{each}"), [1; 1_000]);
                }
                assert_eq!(program.run(&["chunk", "find", "s3://a", "5"]).code, 0);
                assert_eq!(program.run(&["chunk", "verify"]).code, 0);
                let file = program.path(&format!("{chunk}/{name}"));
                if is_cut {
                    program.write(&format!("{chunk}/{name}"), [1; 400]);
                } else {
                    remove(&file);
                }
                let run = program.run(arguments);
                assert_eq!(run.code, code, "{arguments:?}: {run:?}");
                assert!(run.stderr.contains("is damaged"), "{arguments:?}: {run:?}");
                assert!(!run.stdout.contains("parquet") || code == 5, "{arguments:?}: {run:?}");
            }
        }
    }
}

#[test]
fn a_data_directory_that_is_not_there_is_no_empty_hold() {
    let program = Program::with_three_chunks();
    let absent = program.path("absent");
    for arguments in [
        &["chunk", "ls"][..],
        &["chunk", "find", "trial", "5"],
        &["chunk", "verify"],
        &["lease", "ls"],
        &["with", "trial", "0..20", "--data-dir", "data", "--", "true"],
    ] {
        // In front of what `with` runs.
        let (head, tail) = arguments.split_at(2);
        let run = program.run(&[head, &["--data-dir", absent.to_str().unwrap()], tail].concat());
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("there is no data directory"), "{arguments:?}: {run:?}");
        assert!(!absent.exists(), "{arguments:?} made it");
    }
}

#[test]
fn a_data_directory_that_is_named_twice_is_told_so() {
    let program = Program::with_three_chunks();
    let run = program.run(&["chunk", "ls", "--data-dir", "data", "--data-dir", "./data"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("data is named twice"), "{run:?}");
}

#[test]
fn a_directory_of_other_things_is_no_data_directory_and_stays_as_it_is() {
    let program = Program::with_three_chunks();
    program.write("other/notes.txt", "mine");
    let other = program.path("other");
    for arguments in [&["chunk", "ls"][..], &["chunk", "rm", "0xabcd"], &["files", "trial"], &["lease", "ls"]]
    {
        let run = program.run(&[arguments, &["--data-dir", "other"]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("other is not a data directory"), "{arguments:?}: {run:?}");
        assert_eq!(names_in(&other), ["notes.txt"], "{arguments:?} left something there");
    }
}

#[test]
fn what_may_become_or_was_a_data_directory_is_taken_for_one() {
    let program = Program::new();
    // Those of an SQD worker: "s3://a" in base64url.
    program.write("sqd/czM6Ly9h/0000000000/0000000000-0000000009-hash/blocks.parquet", "PAR1");
    program.write("copied/dataset_id=0x00/notes.txt", "mine");
    for name in ["empty", "new_disk/lost+found"] {
        names_in(&program.path(name));
    }
    for (dir, chunks) in [("sqd", 1), ("copied", 0), ("empty", 0), ("new_disk", 0)] {
        let run = program.run(&["chunk", "ls", "--json", "--data-dir", dir]);
        assert_eq!(run.code, 0, "{dir}: {run:?}");
        assert_eq!(run.json().as_array().unwrap().len(), chunks, "{dir}: {run:?}");
    }
}

#[test]
fn a_data_directory_that_is_a_file_is_told_so_with_a_hint() {
    let program = Program::new();
    program.write("file", "mine");
    let run = program.run(&["chunk", "ls", "--data-dir", "file"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("Not a directory") && run.stderr.contains("hint: --data-dir"), "{run:?}");
}

#[test]
fn paths_are_printed_byte_for_byte() {
    let program = Program::with_three_chunks();
    let odd = program.path("").join(OsStr::from_bytes(b"odd \x1b[31m\xff"));
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
            .args(arguments)
            .current_dir(program.path(""))
            .env("LOGHOLD_DATA_DIR", &odd)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    run(&["chunk", "get", "chunks.jsonl", "--allow-files"]);
    for (arguments, end) in [
        (&["files", "trial", "--blocks", "0..5"][..], &b"/blocks.parquet\n"[..]),
        (&["chunk", "find", "trial", "5"], format!("  {}\n", id_of(1)).as_bytes()),
    ] {
        let printed = run(arguments);
        let path = OsStr::from_bytes(printed.strip_suffix(end).expect("ends as it should"));
        assert!(Path::new(path).is_dir(), "{arguments:?}: {printed:?}");
    }
}

#[test]
fn too_few_file_handles_are_an_error_and_no_panic() {
    let program = Program::with_three_chunks();
    for handles in 6..=30 {
        let script = format!(
            "ulimit -n {handles}; exec '{}' chunk get chunks.jsonl --data-dir new{handles} --allow-files",
            env!("CARGO_BIN_EXE_loghold"),
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(program.path(""))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked") && output.status.code() != Some(101), "{handles}: {stderr}");
        assert!(output.status.success() || stderr.contains("open files"), "{handles}: {stderr}");
        let is_told_what_helps = stderr.contains("ulimit -n") || stderr.contains("given up");
        assert!(output.status.success() || is_told_what_helps, "{handles}: {stderr}");
    }
}

#[test]
fn the_files_of_a_range_are_printed_and_gaps_end_with_4() {
    let program = Program::with_three_chunks();
    let whole = program.run(&["chunk", "files", "trial", "--blocks", "5..=15", "--table", "blocks"]);
    assert_eq!(whole.code, 0, "{whole:?}");
    let contents: Vec<u8> = whole.stdout.lines().map(|path| read(path.as_ref())[0]).collect();
    assert_eq!(contents, [1, 2]);
    let gap = program.run(&["chunk", "files", "trial", "--blocks", "15..35", "-o", "jsonl"]);
    assert_eq!(gap.code, 4);
    assert_eq!(gap.stdout.lines().count(), 2);
    assert!(gap.stderr.contains("blocks 20..30 of trial are not at hand"), "{}", gap.stderr);
    assert_eq!(program.run(&["chunk", "files", "trial"]).stdout.lines().count(), 3);
}

#[test]
fn waiting_for_what_is_here_ends_at_once_and_for_what_nobody_fetches_too() {
    let program = Program::with_three_chunks();
    assert_eq!(program.run(&["chunk", "wait", "trial", "0..20"]).code, 0);
    let run = program.run(&["chunk", "wait", "trial", "0..40", "--timeout", "1h"]);
    assert_eq!(run.code, 4);
    assert!(
        run.stderr.contains("blocks 20..30 of trial are not at hand and not asked for"),
        "{}",
        run.stderr
    );
}

#[test]
fn why_tells_all_of_a_chunk() {
    let program = Program::with_three_chunks();
    let run = program.run(&["chunk", "why", "0x0202"]);
    assert_eq!(run.code, 0);
    for line in [
        &format!("chunk     {}", id_of(2)),
        "blocks    10..20",
        "state     ready, wanted",
        "size      1000 B",
    ] {
        assert!(run.stdout.lines().any(|found| found == line), "{line}: {}", run.stdout);
    }
    assert_eq!(program.run(&["chunk", "why", "trial", "12", "--json"]).json()[0]["state"], "ready");
}

#[test]
fn removing_takes_whole_chunks_only() {
    let program = Program::with_three_chunks();
    let run = program.run(&["chunk", "rm", "--dataset", "trial", "--blocks", "5..40", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let removed = |byte: u8| (id_of(byte), "removed".to_string());
    assert_eq!(states(&run), [removed(2), removed(3)]);
    assert!(run.stderr.contains("1 chunk stays"), "{}", run.stderr);
    let run = program.run(&["chunk", "rm", "0x0101", "--json"]);
    assert_eq!(states(&run), [removed(1)]);
    let left = program.run(&["chunk", "ls"]);
    assert_eq!((left.code, left.stdout.as_str(), left.stderr.as_str()), (0, "", "note: no chunk is here\n"));
}

#[test]
fn a_damaged_chunk_is_healed_from_its_source() {
    let program = Program::with_three_chunks();
    let file = program.run(&["chunk", "files", "trial", "--blocks", "0..10"]).stdout;
    damage(file.trim_end().as_ref());
    let run = program.run(&["chunk", "verify", "--json", "--allow-files"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.json();
    assert_eq!((&report[0]["id"], &report[0]["is_healed"]), (&Value::from(id_of(1)), &Value::from(true)));
    assert!(run.stderr.contains("2 chunks are sound, 1 was damaged"), "{}", run.stderr);
    assert!(run.stderr.contains("note: a chunk is damaged, "), "the hold is not heard: {}", run.stderr);
    assert_eq!(read(file.trim_end().as_ref()), [1; 1_000]);
    assert_eq!(program.run(&["chunk", "verify"]).stdout, "");
}

#[test]
fn a_damaged_chunk_whose_source_is_gone_ends_with_5() {
    let program = Program::with_three_chunks();
    let file = program.run(&["chunk", "files", "trial", "--blocks", "0..10"]).stdout;
    damage(file.trim_end().as_ref());
    remove(&program.path("source/1.parquet"));
    let run = program.run(&["chunk", "verify", "0x0101", "0x0202", "--rate", "10MiB/s", "--allow-files"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(
        run.stdout.contains(&id_of(1)) && run.stderr.contains("1 damaged chunk could not be healed"),
        "{run:?}"
    );
    let found = program.run(&["chunk", "find", "trial", "3"]);
    assert_eq!(found.code, 3, "a damaged chunk is found: {found:?}");
    let later = program.run(&["chunk", "verify"]);
    let words = format!("found damaged and not here since: {}", id_of(1));
    assert!(later.code == 0 && later.stderr.contains(&words), "{later:?}");
    program.write("source/1.parquet", [1; 1_000]);
    assert_eq!(program.run(&["chunk", "get", "chunks.jsonl", "--allow-files"]).code, 0);
    assert!(!program.run(&["chunk", "verify"]).stderr.contains("not here since"));
}

#[test]
fn a_data_directory_has_one_owner_at_a_time() {
    let program = Program::with_three_chunks();
    let origin = Served::start(&[("slow", 10)]);
    origin.origin.set_fault("slow", Plan::always(Fault::Hang));
    program.write("slow.json", descriptor(9, 50, 60, &origin.url("slow")));
    let mut child = program.start(&["chunk", "get", "slow.json", "-v", "--allow-private"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // It speaks once the hold is open and the download has begun.
    stderr.read_line(&mut line).unwrap();
    let run = program.run(&["chunk", "ls"]);
    send_signal(&child, "TERM");
    assert_eq!(run.code, 8, "{run:?}; the other said {line:?}");
    assert!(run.stderr.contains("hint: one process at a time"), "{}", run.stderr);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(ended(child).code, 143, "{line}{rest}");
}

#[test]
fn a_verification_says_how_far_it_is() {
    let program = Program::new();
    let file = program.write("source/a.parquet", [1; 8_000]);
    let one = descriptor(1, 0, 10, &format!("file://{}#size=8000", file.display()));
    assert_eq!(program.run_with(&["chunk", "get", "-", "--allow-files"], &one).code, 0);
    // Slow enough for a line, which comes every five seconds where there is no terminal.
    let run = program.run(&["chunk", "verify", "--rate", "1KiB/s"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("of 1 chunks, ") && run.stderr.contains("B/s"), "{}", run.stderr);
    let quiet = program.run(&["chunk", "verify", "-q"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn a_path_that_is_not_utf_8_is_null_in_json_and_exact_in_a_url() {
    let program = Program::with_three_chunks();
    let dir = program.path("").join(OsStr::from_bytes(b"data \xff"));
    rename(&program.path("data"), &dir);
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"));
        let output = command.args(words).env("LOGHOLD_DATA_DIR", &dir).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output.stdout
    };
    for words in [
        &["files", "trial", "--blocks", "0..10", "--json"][..],
        &["chunk", "find", "trial", "0", "--json"],
        &["chunk", "ls", "--state", "ready", "--json"],
        &["chunk", "why", "trial", "0", "--json"],
        &["with", "trial", "0..10", "--", "sh", "-c", "cat \"$LOGHOLD_FILES_JSON\""],
    ] {
        let json: Value = serde_json::from_slice(&run(words)).unwrap();
        assert!(json[0]["path"].is_null(), "{words:?}: {json}");
        let url = json[0]["path_url"].as_str().unwrap();
        assert!(url.starts_with("file:///") && url.contains("/data%20%FF/dataset_id=0x"), "{words:?}: {url}");
    }
    let plain = run(&["files", "trial", "--blocks", "0..10"]);
    let path = Path::new(OsStr::from_bytes(plain.strip_suffix(b"\n").unwrap()));
    assert_eq!(read(path), [1; 1_000], "lines are paths, byte for byte");
    let text = Program::with_three_chunks().run(&["files", "trial", "--json"]).json();
    assert!(text[0]["path"].is_string() && text[0].get("path_url").is_none(), "{text}");
}
