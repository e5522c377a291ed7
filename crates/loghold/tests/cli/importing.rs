//! `chunk import`: from directories, listings, assignments and manifests to descriptors that `get` takes.
//! Refuses to repeat the parsers' own tests: this is the way through the program.

use serde_json::Value;

use crate::program::{Program, Run, Served, rename};

const FIRST: &str = "0002720101/0004031655-0004045270-8304ceb8";
const SECOND: &str = "0002720101/0004045271-0004057097-afd61176";
const ASSIGNMENT: &[u8] = include_bytes!("../fixtures/assignment-v1.fb");

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_directory_in_sqds_layout_is_imported_and_got() {
    let program = Program::new();
    for chunk in [FIRST, SECOND] {
        program.write(&format!("bucket/{chunk}/blocks.parquet"), chunk);
        program.write(&format!("bucket/{chunk}/logs.parquet"), "logs");
    }
    program.write("bucket/0002720101/0004057098-0004069167-8ba9fc70/logs.parquet", "not complete");
    let run = program.run(&["chunk", "import", "bucket", "--dataset", "s3://moonbeam"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("1 chunk has no blocks.parquet yet"), "{}", run.stderr);
    let descriptors = lines(&run);
    assert_eq!(descriptors.len(), 2);
    assert_eq!(descriptors[0]["dataset_id"], "s3://moonbeam");
    let get = program.run_with(&["chunk", "get", "-", "--allow-files"], &run.stdout);
    assert_eq!(get.code, 0, "{get:?}");
    assert_eq!(program.run(&["chunk", "find", "s3://moonbeam", "4057097"]).code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text_is_left_out_and_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let program = Program::new();
    program.write(&format!("bucket/{FIRST}/blocks.parquet"), "blocks");
    let strange = OsStr::from_bytes(b"log\xff.parquet");
    rename(&program.write("logs", "logs"), &program.path("bucket").join(FIRST).join(strange));
    let run = program.run(&["chunk", "import", "bucket", "--dataset", "s3://moonbeam"]);
    assert_eq!(run.code, 0, "{run:?}");
    let told = format!("left out as no file of a chunk: 1 object, such as {FIRST}/log\u{fffd}.parquet");
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    let descriptors = lines(&run);
    assert_eq!(descriptors.len(), 1);
    assert_eq!(descriptors[0]["files"].as_object().unwrap().len(), 1);
}

#[test]
fn a_listing_over_http_is_imported() {
    let (blocks, logs) = (format!("{FIRST}/blocks.parquet"), format!("{FIRST}/logs.parquet"));
    let served = Served::start(&[(&blocks, 7), (&logs, 9)]);
    let program = Program::new();
    let run = program.run(&["chunk", "import", &served.url(""), "--dataset", "moonbeam", "--allow-private"]);
    assert_eq!(run.code, 0, "{run:?}");
    let found = &lines(&run)[0];
    let url = found["files"]["blocks.parquet"].as_str().unwrap();
    assert!(url.starts_with(&served.url(&blocks)), "{url}");
    let get = program.run_with(&["chunk", "get", "-", "--allow-private"], &run.stdout);
    assert_eq!(get.code, 0, "{get:?}");
}

#[test]
fn an_assignment_is_imported_for_one_worker() {
    let program = Program::new();
    program.write("assignment.fb", ASSIGNMENT);
    let all = program.run(&["chunk", "import", "assignment.fb"]);
    assert_eq!((all.code, lines(&all).len()), (0, 4), "{all:?}");
    // The second worker of the sample: its key is 32 bytes of 2.
    let worker = "12D3KooW9xCm2jWjNVrwh51SWCQBMYdMyeU3NpT85QhLVkF6PcNM";
    let second = program.run(&["chunk", "import", "assignment.fb", "--worker", worker]);
    let starts: Vec<_> =
        lines(&second).iter().map(|line| line["block_range"]["start"].as_u64().unwrap()).collect();
    assert_eq!(starts, [4_045_271, 4_057_098, 200_000_000]);
    let worker = "12D3KooWARdq2qmoWawXfhkzZHgcPg2hgkwT6GFrzGMvuQZHcwdJ";
    let unknown = program.run(&["chunk", "import", "assignment.fb", "--worker", worker]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert!(unknown.stderr.contains("not among the 3 workers"), "{}", unknown.stderr);
    let one = program.run(&["chunk", "import", "assignment.fb", "--dataset", "s3://solana"]);
    assert_eq!(lines(&one)[0]["block_range"]["start"], 200_000_000);
    let none = program.run(&["chunk", "import", "assignment.fb", "--dataset", "s3://elsewhere"]);
    assert_eq!(none.code, 3, "{none:?}");
    assert!(none.stderr.contains("s3://moonbeam"), "{}", none.stderr);
}

#[test]
fn a_damaged_assignment_is_refused() {
    let program = Program::new();
    program.write(&format!("20261101T000000Z_{}.fb", "AB".repeat(32)), ASSIGNMENT);
    let name = format!("20261101T000000Z_{}.fb", "AB".repeat(32));
    let run = program.run(&["chunk", "import", &name]);
    assert_eq!(run.code, 5, "{run:?}");
    program.write("cut.fb", &ASSIGNMENT[..200]);
    let run = program.run(&["chunk", "import", "cut.fb"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert_eq!(run.stdout, "");
}

#[test]
fn descriptors_are_told_from_manifests() {
    let program = Program::with_three_chunks();
    let run = program.run(&["chunk", "import", "chunks.jsonl"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
    assert!(run.stderr.contains("`loghold chunk get` takes them as they are"), "{run:?}");
}

#[test]
fn a_manifest_is_imported_from_where_it_lies() {
    let name = "contracts__v1_0_0__00000000_to_00000009.parquet";
    let program = Program::new();
    program.write(&format!("portal/{name}"), "1234567");
    let manifest =
        format!(r#"{{"name": "contracts", "files": [{{"name": "{name}", "n_bytes": 7, "hash": "00"}}]}}"#);
    program.write("portal/manifest.json", &manifest);
    let run = program.run(&["chunk", "import", "portal/manifest.json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("MD5"), "{}", run.stderr);
    assert_eq!(program.run_with(&["chunk", "get", "-", "--allow-files"], &run.stdout).code, 0);
    assert_eq!(program.run(&["chunk", "find", "contracts", "9"]).code, 0);
    let elsewhere =
        ["chunk", "import", "portal/manifest.json", "--base-url", "https://data.example/contracts", "-q"];
    let run = program.run(&elsewhere);
    assert_eq!(lines(&run)[0]["files"][name], format!("https://data.example/contracts/{name}#size=7"));
    assert_eq!(run.stderr, "");
    let piped = program.run_with(&["chunk", "import", "-"], &manifest);
    assert_eq!(piped.code, 2, "{piped:?}");
    assert!(piped.stderr.contains("--base-url"), "{}", piped.stderr);
}

#[test]
fn what_cannot_be_imported_says_why() {
    let program = Program::new();
    program
        .write("keys.json", r#"{"name": "slots", "files": [{"name": "slots__v1__0x00_to_0x0f.parquet"}]}"#);
    program.write("global.json", r#"{"datasets": {"contracts": {}}}"#);
    program.write("empty/readme.txt", "");
    for (arguments, code, words) in [
        (&["chunk", "import", "keys.json"][..], 2, "cut by key"),
        (&["chunk", "import", "global.json"], 2, "global manifest"),
        (&["chunk", "import", "empty"], 2, "hint: give --dataset NAME"),
        (&["chunk", "import", "empty", "--dataset", "d"], 3, "holds no complete chunk"),
        (&["chunk", "import", "nowhere"], 3, "nowhere"),
        (&["chunk", "import", "keys.json", "--format", "sqd"], 2, "is a file"),
        (&["chunk", "import", "empty", "--format", "manifest"], 2, "is a directory"),
        (&["chunk", "import", "gopher://x/"], 2, "gopher"),
    ] {
        let run = program.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}
