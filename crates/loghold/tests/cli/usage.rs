//! Help, completions, man pages, and what a wrong command line is answered with.
//! Refuses to pin whole texts: it looks for what a user or a script depends on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use data_manager::data_chunk::hex_id;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::program::{Program, ended, names_in, read, send_signal};

const COMMANDS: [&str; 9] = ["get", "rm", "ls", "find", "why", "wait", "files", "verify", "import"];

#[test]
fn the_help_names_every_command_and_every_exit_code() {
    let program = Program::new();
    let help = program.run(&["--help"]);
    assert_eq!(help.code, 0);
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "5  ", "6  ", "7  ", "8  ", "9  ", "130", "141"] {
        assert!(
            help.stdout.lines().any(|line| line.starts_with(&format!("  {code}"))),
            "{code}: {}",
            help.stdout
        );
    }
    let chunk = program.run(&["chunk", "--help"]);
    for command in COMMANDS {
        assert!(chunk.stdout.contains(&format!("\n  {command}")), "{command}: {}", chunk.stdout);
    }
}

#[test]
fn without_a_command_the_help_is_shown_and_the_exit_code_is_2() {
    for arguments in [&[][..], &["chunk"], &["lease"]] {
        let run = Program::new().run(arguments);
        assert_eq!(run.code, 2);
        assert!(run.stderr.contains("Usage: loghold"), "{}", run.stderr);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    let program = Program::new();
    for (arguments, words) in [
        (&["chunk", "gett"][..], "'get'"),
        (&["chunk", "get"], "<FILE|->"),
        (&["chunk", "rm"], "<ID|--dataset"),
        (&["chunk", "rm", "0xabcd", "--dataset", "d"], "cannot be used with"),
        (&["chunk", "rm", "0xabcd", "--blocks", "1..2"], "--dataset"),
        (&["chunk", "rm", "0xzz"], "4"),
        (&["chunk", "find", "trial"], "<BLOCK>"),
        (&["chunk", "find", "trial", "-1"], "unexpected argument"),
        (&["chunk", "find", "0xabc", "1"], "not a dataset id"),
        (&["chunk", "wait", "trial", "7..7"], "holds no block"),
        (&["chunk", "files", "trial", "--blocks", "7"], "FIRST..END"),
        (&["chunk", "ls", "--state", "reddy"], "'ready'"),
        (&["chunk", "ls", "-o", "yaml"], "table, json, jsonl"),
        (&["chunk", "ls", "--json", "-o", "table"], "cannot be used with"),
        (&["chunk", "ls", "--limit-rate", "fast"], "is not a unit of size"),
        (&["chunk", "ls", "--connections", "0"], "1..=1024"),
        (&["chunk", "ls", "--mirror", "here"], "PREFIX=OTHER"),
        (&["chunk", "ls", "-q", "-v"], "cannot be used with"),
        (&["chunk", "import", "x", "--worker", "me"], "peer id"),
        (&["chunk", "why", "trial"], "chunk id"),
        (&["lease", "new", "trial"], "<BLOCKS>"),
        (&["lease", "new", "trial", "0..1", "--for", "1y"], "unit of time"),
        (&["lease", "break"], "<NAME>"),
        (&["with", "trial", "0..1"], "<COMMAND>"),
        (&["with", "trial", "--", "true"], "<BLOCKS>"),
        (&["with", "trial", "0..1", "true"], "unexpected argument"),
        (&["sql-init", "oracle"], "duckdb, polars, datafusion"),
        (&["completions", "ksh"], "'zsh'"),
        (&["man", "chunk", "gett"], "did you mean \"get\"?"),
    ] {
        let run = program.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(
            run.stderr.starts_with("error: ") && run.stderr.contains(words),
            "{arguments:?}: {}",
            run.stderr
        );
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    assert!(!program.path("data").exists(), "a wrong command line made the data directory");
}

#[test]
fn a_command_that_needs_a_data_directory_asks_for_one() {
    let program = Program::new();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
        .args(["chunk", "ls"])
        .current_dir(program.path(""))
        .env_remove("LOGHOLD_DATA_DIR")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("hint: give --data-dir DIR"));
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = Program::new().run(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
        for word in COMMANDS.into_iter().chain(["completions", "man", "allow-private", "give-up-after"]) {
            assert!(run.stdout.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn bash_takes_its_completions() {
    let program = Program::new();
    let script = program.write("completions.bash", program.run(&["completions", "bash"]).stdout);
    let check = std::process::Command::new("bash").arg("-n").arg(script).status();
    assert!(check.expect("bash is on every machine that builds this").success());
}

#[test]
fn every_command_has_a_man_page_with_its_options() {
    let program = Program::new();
    let root = program.run(&["man"]);
    assert_eq!(root.code, 0);
    assert!(root.stdout.contains(".TH LOGHOLD 1") && root.stdout.contains("Exit codes"), "{}", root.stdout);
    assert!(root.stdout.contains("\n  1    error\n") && root.stdout.contains("\n.nf\n"), "{}", root.stdout);
    for command in COMMANDS {
        let page = program.run(&["man", "chunk", command]);
        assert_eq!(page.code, 0, "{command}");
        let title = format!(".TH LOGHOLD-CHUNK-{} 1", command.to_uppercase());
        assert!(page.stdout.contains(&title), "{command}: {}", page.stdout);
        assert!(page.stdout.contains("data\\-dir"), "{command} does not say --data-dir");
    }
}

#[test]
fn colours_are_used_when_asked_for_and_not_in_a_pipe() {
    let program = Program::new();
    let plain = program.run(&["chunk", "find", "trial", "1"]);
    assert!(!plain.stderr.contains('\u{1b}'), "{:?}", plain.stderr);
    let coloured = program.run(&["chunk", "find", "trial", "1", "--color", "always"]);
    assert!(coloured.stderr.contains('\u{1b}'), "{:?}", coloured.stderr);
}

#[test]
fn the_demo_leaves_the_data_directory_of_the_environment_alone() {
    let program = Program::new();
    let run = program.run(&["demo", "--chunks", "2", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(names_in(&program.path("data")).is_empty(), "{run:?}");
}

#[test]
fn the_demo_shows_the_files_and_digests_that_its_steps_have_checked() {
    let program = Program::new();
    let place = program.path("place");
    names_in(&place);
    let run = program.run(&["demo", "--chunks", "2", "--json", "--data-dir", &place.display().to_string()]);
    assert_eq!(run.code, 0, "{run:?}");
    let steps = run.json();
    let files = |number: usize| -> Vec<(PathBuf, String)> {
        let text = |file: &Value, name: &str| file[name].as_str().expect("text").to_owned();
        let files = steps[number - 1]["files"].as_array().expect("each step has files");
        files.iter().map(|file| (text(file, "path").into(), text(file, "sha256"))).collect()
    };
    let counts: Vec<usize> = (1..=7).map(|number| files(number).len()).collect();
    assert_eq!(counts, [0, 4, 0, 4, 4, 4, 0], "{run:?}");
    // The first chunk was fetched, damaged and healed, and is there; the second one was deleted.
    assert_eq!(files(4), files(6));
    for (path, digest) in files(6) {
        let found = hex_id(&Sha256::digest(read(&path)).into());
        assert_eq!(found, format!("0x{digest}"), "{}", path.display());
    }
    assert_eq!(files(2), files(5));
    assert!(files(5).iter().all(|(path, _)| path.starts_with(&place) && !path.exists()), "{run:?}");
}

#[test]
fn the_demo_tells_digests_and_places_in_lines_of_100_columns() {
    let run = Program::new().run(&["demo", "--chunks", "2"]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let long: Vec<&&str> = lines.iter().filter(|line| line.chars().count() > 100).collect();
    assert!(long.is_empty(), "{long:?}");
    let proofs: Vec<&&str> = lines.iter().filter(|line| line.starts_with("   sha256 ")).collect();
    assert_eq!(proofs.len(), 16, "{run:?}");
    for proof in proofs {
        let words: Vec<&str> = proof.split_whitespace().collect();
        assert!(words[1].len() == 16 && words[2].starts_with("*/first_block="), "{proof}");
    }
}

#[test]
fn a_demo_that_is_stopped_takes_its_directory_with_it() {
    let program = Program::new();
    let place = program.path("place");
    names_in(&place);
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_loghold"))
        .arg("demo")
        .env("TMPDIR", &place)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(demo.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("1. "), "{line}");
    send_signal(&demo, "TERM");
    let run = ended(demo);
    assert_eq!(run.code, 143, "{run:?}");
    assert!(run.stderr.contains("stopped after step"), "{run:?}");
    assert!(names_in(&place).is_empty(), "{:?}", names_in(&place));
}

#[test]
fn the_help_of_a_command_shows_what_has_an_effect_and_the_rest_is_taken_all_the_same() {
    let program = Program::with_three_chunks();
    let page = |words: &[&str]| program.run(words).stdout;
    for option in ["--limit-rate", "--allow-private", "--mirror", "--keep-free"] {
        assert!(page(&["chunk", "get", "--help"]).contains(option), "{option}");
        assert!(page(&["--help"]).contains(option), "{option}");
        assert!(!page(&["chunk", "ls", "--help"]).contains(option), "{option}");
        assert!(!page(&["man", "chunk", "ls"]).contains(&option[2..].replace('-', "\\-")), "{option}");
    }
    assert!(!page(&["log", "read", "--help"]).contains("--data-dir"));
    let all =
        ["--limit-rate", "1MiB/s", "--allow-private", "--connections", "7", "--keep-free", "1GiB", "--json"];
    let before = program.run(&[&all[..], &["chunk", "ls"]].concat());
    let behind = program.run(&[&["chunk", "ls"], &all[..]].concat());
    assert_eq!((before.code, before.json().as_array().map(Vec::len)), (0, Some(3)), "{before:?}");
    assert_eq!(before.stdout, behind.stdout);
    let elsewhere = program.path("elsewhere").display().to_string();
    let run = program.run(&["--data-dir", &elsewhere, "chunk", "ls"]);
    assert!(run.code == 3 && run.stderr.contains(&elsewhere), "{run:?}");
}
