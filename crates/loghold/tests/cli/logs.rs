//! `loghold log` as its users see it: what is printed, the exit codes, and what a wrong command line is answered with.
//! Refuses kills, cuts and full disks: those are tried from outside, in `tests/external`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use crate::program::{Program, Run, ended, rename, send_signal};

const COMMANDS: [&str; 14] = [
    "init",
    "append",
    "read",
    "tail",
    "ls",
    "consumers",
    "commit",
    "truncate",
    "trim",
    "check",
    "repair",
    "import",
    "backup",
    "doctor",
];

fn log(program: &Program, words: &[&str], stdin: &str) -> Run {
    let words: Vec<&str> = ["log", "--log", "log"].into_iter().chain(words.iter().copied()).collect();
    program.run_with(&words, stdin)
}

fn filled() -> Program {
    let program = Program::new();
    let run = log(&program, &["append", "--create", "--type", "7"], "one\ntwo\nthree\n");
    assert_eq!((run.code, run.stdout.as_str()), (0, "1\n2\n3\n"), "{run:?}");
    program
}

#[test]
fn every_command_of_the_log_is_in_the_help_and_has_a_man_page() {
    let program = Program::new();
    let help = program.run(&["log", "--help"]);
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command}")), "{command}: {}", help.stdout);
        let page = program.run(&["man", "log", command]);
        assert!(page.stdout.contains(&format!(".TH LOGHOLD-LOG-{}", command.to_uppercase())), "{command}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_makes_no_directory() {
    let program = Program::new();
    for (words, told) in [
        (&["apend"][..], "'append'"),
        (&["read", "0"], "begin with 1"),
        (&["read", "5..5"], "holds no record"),
        (&["read", "1", "--last", "3"], "cannot be used with"),
        (&["read", "--since", "soon"], "is no time"),
        (&["init", "--format-version", "3"], "1..=2"),
        (&["init", "--size-per-index", "4", "--format-version", "1"], "36 to 4096"),
        (&["append", "--durability", "paper"], "disk"),
        (&["append", "--scheduling", "first"], "short-slice"),
        (&["append", "--data-blk-size", "8"], "--create"),
        (&["ls", "-o", "raw"], "-o raw is for records"),
        (&["read", "--framed"], "-o raw"),
        (&["tail", "--timeout", "1s"], "--follow"),
    ] {
        let run = log(&program, words, "");
        assert!(run.code == 2 && run.stderr.contains(told), "{words:?}: {run:?}");
    }
    assert!(!program.path("log/metadata").exists());
    assert_eq!(program.run(&["log", "ls"]).code, 2);
}

#[test]
fn appends_go_on_whatever_the_scheduler_permits() {
    for class in ["inherited", "short-slice", "favoured", "real-time"] {
        let program = Program::new();
        let run = log(&program, &["append", "--create", "--scheduling", class], "x\n");
        assert_eq!((run.code, run.stdout.as_str()), (0, "1\n"), "{class}: {run:?}");
        let is_told = run.stderr.contains("is not permitted");
        assert!(!is_told || ["favoured", "real-time"].contains(&class), "{class}: {run:?}");
    }
}

#[test]
fn a_log_that_is_missing_is_told_with_3_and_how_to_make_one() {
    let program = Program::new();
    for words in [&["ls"][..], &["read"], &["append"], &["check"], &["repair"], &["trim", "--before", "1"]] {
        let run = log(&program, words, "x\n");
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{words:?}: {run:?}");
        assert!(run.stderr.contains("hint: create one"), "{words:?}: {run:?}");
    }
    assert!(!program.path("log").exists());
}

#[test]
fn a_directory_that_holds_no_log_is_left_as_it_is() {
    let program = Program::new();
    program.write("log/letter.txt", "dear all");
    for words in
        [&["append"][..], &["truncate", "--after", "1"], &["trim", "--before", "1"], &["repair", "--yes"]]
    {
        assert_eq!(log(&program, words, "x\n").code, 3, "{words:?}");
    }
    assert!(!program.path("log/LOCK").exists());
}

#[test]
fn a_backup_inside_of_the_log_and_a_doctor_of_nothing_are_told_what_to_do() {
    let program = filled();
    let inside = log(&program, &["backup", "log/7"], "");
    assert!(inside.code == 2 && inside.stderr.contains("outside"), "{inside:?}");
    assert!(!program.path("log/7").exists());
    let nowhere = log(&program, &["doctor", "nowhere"], "");
    assert!(nowhere.code == 3 && nowhere.stderr.contains("no directory"), "{nowhere:?}");
}

#[test]
fn files_become_one_record_each_and_frames_are_taken_as_they_are_printed() {
    let program = filled();
    program.write("a.bin", b"two\nlines");
    program.write("empty", b"");
    let files = ["append", "--file", "a.bin", "--file", "empty", "--type", "9", "--durability", "os"];
    assert_eq!(log(&program, &files, "").stdout, "4\n5\n");
    assert_eq!(log(&program, &["read", "4", "-o", "raw"], "").stdout, "two\nlines");
    let frames = log(&program, &["read", "3..", "-o", "raw", "--framed"], "").stdout;
    assert_eq!(frames, "\u{5}\0\0\0three\u{9}\0\0\0two\nlines\0\0\0\0");
    assert_eq!(log(&program, &["append", "--framed"], &frames).stdout, "6\n7\n8\n");
    assert_eq!(log(&program, &["read", "7", "-o", "raw"], "").stdout, "two\nlines");
    let missing = log(&program, &["append", "--file", "nothing"], "");
    assert!(
        missing.code != 0 && missing.stdout.is_empty() && missing.stderr.contains("nothing"),
        "{missing:?}"
    );
}

#[test]
fn a_doctor_measures_what_syncs_cost_where_a_log_is_and_leaves_nothing_there() {
    let program = filled();
    let listed =
        || host::Disk::open(&program.path("log")).unwrap().list(std::path::Path::new("")).unwrap().len();
    let before = listed();
    let measured = log(&program, &["doctor", "--json"], "");
    assert_eq!(measured.code, 0, "{measured:?}");
    let report = measured.json();
    for figure in ["overwrite_p50_us", "overwrite_p99_us", "extend_p50_us", "extend_p99_us", "large_p50_us"] {
        assert!(report[figure].is_u64(), "{figure}: {report}");
    }
    assert!(report["file_system"].is_string() && report["warnings"].is_array(), "{report}");
    assert_eq!(listed(), before);
}

#[test]
fn records_are_printed_for_people_for_scripts_and_as_they_are() {
    let program = filled();
    let shown = log(&program, &["read"], "").stdout;
    assert!(shown.lines().nth(3).is_some_and(|line| line.ends_with("three")), "{shown}");
    assert_eq!(log(&program, &["read", "2", "-o", "raw"], "").stdout, "two");
    assert_eq!(log(&program, &["read", "..=2", "-o", "raw"], "").stdout, "one\ntwo\n");
    assert_eq!(log(&program, &["read", "--last", "2", "--reverse", "--ids"], "").stdout, "3\n2\n");
    let json = log(&program, &["read", "1", "--json"], "").json();
    assert_eq!(
        (json[0]["id"].as_u64(), json[0]["type"].as_u64(), json[0]["text"].as_str()),
        (Some(1), Some(7), Some("one"))
    );
    assert_eq!(log(&program, &["read", "--ids", "--json", "2.."], "").json(), serde_json::json!([2, 3]));
}

#[test]
fn damaged_parameters_are_told_and_written_anew_from_what_the_data_remembers() {
    let program = filled();
    let mut bytes = crate::program::read(&program.path("log/metadata"));
    bytes[3] ^= 1;
    program.write("log/metadata", bytes);
    for words in [&["read"][..], &["append"], &["check"], &["repair"]] {
        let run = log(&program, words, "");
        assert!(run.code == 5, "{words:?}: {run:?}");
    }
    assert_eq!(log(&program, &["repair", "--yes"], "").code, 0);
    assert_eq!(log(&program, &["read", "--ids"], "").stdout, "1\n2\n3\n");
}

#[test]
fn a_log_is_not_imported_into_itself() {
    let program = filled();
    let run = log(&program, &["import", "./log"], "");
    assert!(run.code == 2 && run.stderr.contains("into itself"), "{run:?}");
    assert_eq!(log(&program, &["read", "--ids"], "").stdout, "1\n2\n3\n");
}

#[test]
fn an_import_that_was_cut_off_is_gone_on_with_and_copies_nothing_twice() {
    let program = filled();
    let to = |words: &[&str], stdin: &str| {
        let words: Vec<&str> = ["log", "--log", "new"].into_iter().chain(words.iter().copied()).collect();
        program.run_with(&words, stdin)
    };
    // What a run leaves that was killed behind its second record.
    assert_eq!(to(&["append", "--create"], "own\n").code, 0);
    assert_eq!(to(&["append", "--type", "7"], "one\ntwo\n").code, 0);
    program.write("new/importing", "after 1\nfrom log\n");
    let again = to(&["import", "log", "--json"], "");
    assert!(again.code == 0 && again.stderr.contains("began behind record 1"), "{again:?}");
    assert_eq!((again.json()["records"].as_u64(), again.json()["found"].as_u64()), (Some(1), Some(2)));
    assert_eq!(to(&["read", "-o", "raw"], "").stdout, "own\none\ntwo\nthree\n");
    assert!(!program.path("new/importing").exists());
    // One that came to its end is done once more when it is asked for once more.
    assert_eq!(to(&["import", "log", "--json"], "").json()["records"].as_u64(), Some(3));
    assert_eq!(to(&["read", "--ids", "--type", "7"], "").stdout, "2\n3\n4\n5\n6\n7\n");
}

#[test]
fn an_import_that_was_cut_off_is_not_gone_on_with_from_another_log() {
    let program = filled();
    let to = |words: &[&str], stdin: &str| {
        let words: Vec<&str> = ["log", "--log", "new"].into_iter().chain(words.iter().copied()).collect();
        program.run_with(&words, stdin)
    };
    for (type_no, records) in [("8", "one\n"), ("7", "one\n2\n"), ("7", "one\ntwo\nthree\nfour\n")] {
        assert_eq!(to(&["append", "--create", "--type", type_no], records).code, 0);
        program.write("new/importing", "after 0\nfrom /logs/other\n");
        let before = to(&["read", "-o", "raw"], "").stdout;
        let refused = to(&["import", "log"], "");
        assert!(refused.code == 2 && refused.stderr.contains("/logs/other"), "{records:?}: {refused:?}");
        assert!(refused.stderr.contains("truncate --after 0"), "{refused:?}");
        assert!(refused.stderr.contains("remove the file importing"), "{refused:?}");
        assert_eq!(to(&["read", "-o", "raw"], "").stdout, before, "{records:?}");
        assert_eq!(to(&["truncate", "--after", "0"], "").code, 0);
        assert_eq!(to(&["import", "log"], "").code, 0);
        assert_eq!(to(&["read", "-o", "raw"], "").stdout, "one\ntwo\nthree\n");
        assert_eq!(to(&["truncate", "--after", "0"], "").code, 0);
    }
    program.write("new/importing", "what is this");
    assert_eq!(to(&["import", "log"], "").code, 2);
}

#[test]
fn a_consumer_that_somebody_is_names_the_process_and_no_writer() {
    let program = filled();
    let mut holder = program.start(&["log", "--log", "log", "tail", "-f", "--consumer", "sealer", "--ids"]);
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    for words in [&["commit", "sealer", "1"][..], &["tail", "--consumer", "sealer"]] {
        let refused = log(&program, words, "");
        assert_eq!((refused.code, refused.stdout.as_str()), (8, ""), "{refused:?}");
        let told = format!("process {} is the consumer sealer", holder.id());
        assert!(refused.stderr.contains(&told) && !refused.stderr.contains("writer"), "{refused:?}");
    }
    send_signal(&holder, "INT");
    assert_eq!(ended(holder).code, 130);
}

#[test]
fn a_plan_of_repair_says_what_would_carry_it_out() {
    let program = filled();
    assert_eq!(log(&program, &["commit", "sealer", "1"], "").code, 0);
    let repair = || log(&program, &["repair"], "").stderr;
    program.write("log/transid/sealer", "no position");
    let planned = repair();
    assert!(planned.contains("add --yes") && !planned.contains("--give-up"), "{planned}");
    rename(&program.path("log/transid/sealer"), &program.path("position"));
    rename(&program.path("log/0/data.0"), &program.path("data"));
    let held_back = repair();
    assert!(held_back.contains("--give-up --yes") && !held_back.contains("add --yes"), "{held_back}");
    let read = log(&program, &["read"], "");
    assert!(read.code == 5 && !read.stderr.contains(": :"), "{read:?}");
    program.write("log/metadata", "");
    let lost = repair();
    assert!(lost.contains("restore the log from a backup") && !lost.contains("--yes"), "{lost}");
}

#[test]
fn a_line_that_an_interrupt_cut_off_is_no_record() {
    let program = Program::new();
    for round in 0..20_usize {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
            .args(["log", "--log", "log", "append", "--create"])
            .current_dir(program.path(""))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"whole\ncut o").unwrap();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        // As a terminal does, and then the producer, which dies of it.
        send_signal(&child, "INT");
        drop(stdin);
        assert_eq!(ended(child).code, 130);
        assert_eq!(log(&program, &["read", "-o", "raw"], "").stdout, "whole\n".repeat(round + 1));
    }
    assert_eq!(log(&program, &["append"], "no line feed").stdout, "21\n");
}

#[test]
fn a_follower_ends_when_its_reader_goes_away_though_no_record_comes() {
    let program = filled();
    for words in [&["-n", "1"][..], &["--consumer", "sealer"]] {
        let mut child = program.start(&[&["log", "--log", "log", "tail", "-f", "--ids"], words].concat());
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        drop(lines);
        let run = ended(child);
        assert_eq!((run.code, run.stderr.as_str()), (141, ""), "{words:?}");
    }
}

#[test]
fn a_copy_says_what_to_do_with_a_directory_that_is_not_empty_and_with_a_path_to_no_log() {
    let program = filled();
    program.write("backup/0/data.0", "of a backup that was cut off");
    let run = log(&program, &["backup", "backup"], "");
    assert!(run.code == 2 && run.stderr.contains("one that was cut off"), "{run:?}");
    let run = log(&program, &["import", "nowhere"], "");
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("the log that is to be copied") && !run.stderr.contains("init"), "{run:?}");
}

#[test]
fn damage_in_a_directory_whose_name_is_no_text_is_at_a_path_that_is() {
    let program = filled();
    let dir = program.path("").join(OsStr::from_bytes(b"log \xff"));
    program.write("log/tail", "?");
    program.write("log/metadata", "?");
    rename(&program.path("log"), &dir);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"));
    let output = command.args(["log", "check", "--json"]).env("LOGHOLD_LOG", &dir).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[0]["path"], "metadata", "{json}");
}

#[test]
fn what_is_not_there_is_told_with_3_and_what_is() {
    let program = filled();
    for words in
        [&["read", "9"][..], &["read", "9..20"], &["read", "--type", "8"], &["commit", "sealer", "9"]]
    {
        let run = log(&program, words, "");
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{words:?}: {run:?}");
    }
    assert!(log(&program, &["read", "9"], "").stderr.contains("the log holds 1 to 3"));
}

#[test]
fn a_consumer_goes_on_where_it_was_and_holds_a_trim_back_until_it_is_forced() {
    let program = filled();
    let first = log(&program, &["commit", "sealer", "1", "--json"], "").json();
    assert_eq!(first[0]["lag"].as_u64(), Some(2));
    let refused = log(&program, &["trim", "--before", "3"], "");
    assert!(refused.code == 1 && refused.stderr.contains("sealer (at 1)"), "{refused:?}");
    assert_eq!(log(&program, &["tail", "--consumer", "sealer", "--ids"], "").stdout, "2\n3\n");
    assert_eq!(log(&program, &["tail", "--consumer", "sealer", "--ids"], "").stdout, "");
    assert_eq!(log(&program, &["trim", "--before", "3"], "").code, 0);
    assert_eq!(log(&program, &["read", "1"], "").code, 3);
    assert_eq!(
        log(&program, &["truncate", "--after", "3", "--json"], "").json()["records_removed"].as_u64(),
        Some(0)
    );
}

#[test]
fn a_check_of_a_whole_log_prints_nothing_and_one_of_a_damaged_log_ends_with_5() {
    let program = filled();
    assert_eq!(
        (
            log(&program, &["check"], "").stdout.as_str(),
            log(&program, &["check", "--json"], "").stdout.as_str()
        ),
        ("", "[]\n")
    );
    let path = program.path("log/0/data.0");
    let mut bytes = crate::program::read(&path);
    let at = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[at] ^= 1;
    program.write("log/0/data.0", bytes);
    let checked = log(&program, &["check", "--json"], "");
    assert_eq!((checked.code, checked.json()[0]["severity"].as_str()), (5, Some("damage")));
    let planned = log(&program, &["repair"], "");
    assert!(planned.code == 5 && planned.stdout.contains("needs --give-up"), "{planned:?}");
    let repaired = log(&program, &["repair", "--yes", "--give-up"], "");
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let read = log(&program, &["read", "--ids"], "");
    assert!(read.code == 0 && read.stderr.contains("given up"), "{read:?}");
    assert_eq!(log(&program, &["append"], "more\n").stdout, "4\n");
}
