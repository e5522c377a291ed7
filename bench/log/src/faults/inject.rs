//! Calls that fail once, by strace: a sync with EIO, a write with ENOSPC.
//! Refuses to fail a call of opening: calls are counted from the eleventh record on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::child::Word;
use super::survey::{Kind, Survey};
use super::{Cell, Place, started};
use crate::Outcome;
use crate::machine::find_program;

/// How many records are appended.
const RECORDS: u64 = 30;

/// Each of a thread's first calls fails in a run of its own.
const RUNS: u64 = 4;

const SYNCS: &str = "fdatasync,fsync";
const WRITES: &str = "write,pwrite64,writev,pwritev,pwritev2";

/// What became of the appends.
#[derive(Debug, Default)]
struct Answers {
    acknowledged: BTreeSet<u64>,
    first: Option<String>,
    next: Vec<&'static str>,
}

pub(super) fn sync_fails(engine: &str, place: &Place) -> Outcome<Cell> {
    failing(engine, place, SYNCS, "EIO")
}

pub(super) fn no_space(engine: &str, place: &Place) -> Outcome<Cell> {
    failing(engine, place, WRITES, "ENOSPC")
}

fn failing(engine: &str, place: &Place, calls: &str, error: &str) -> Outcome<Cell> {
    let strace = find_program("strace").ok_or("strace is missing: apt-get install -y strace")?;
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut is_ok = true;
    for when in 1..=RUNS {
        let dir = place.fresh()?;
        let traced = place.dir.join("strace");
        let mut talker = started(engine, &dir, RECORDS)?;
        let pid = talker.child.id();
        let mut command = Command::new(&strace);
        command.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-p", &pid.to_string(), "-o"]);
        command.arg(&traced).args(["-e", &format!("inject={calls}:error={error}:when={when}")]);
        let mut tracer = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        attached(&mut tracer, pid)?;
        talker.go();
        let answers = listen(&mut talker)?;
        drop(talker);
        tracer.wait()?;
        let hits = std::fs::read_to_string(&traced)?.matches("(INJECTED)").count();
        if hits == 0 {
            let calls = if error == "EIO" { "an append makes no sync" } else { "an append makes no write" };
            *seen.entry(calls.to_owned()).or_default() += 1;
            is_ok = false;
            continue;
        }
        let (is_right, text) = judge(engine, &dir, &answers, error)?;
        is_ok &= is_right;
        *seen.entry(text).or_default() += 1;
    }
    let text: Vec<String> = seen.iter().map(|(text, count)| format!("{count}x {text}")).collect();
    Ok(Cell { is_ok, text: text.join("; ") })
}

/// Waits until every thread is traced.
fn attached(tracer: &mut Child, pid: u32) -> Outcome<()> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        let mut is_traced = true;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = std::fs::read_to_string(thread?.path().join("status"))?;
            is_traced &= !status.contains("TracerPid:\t0\n");
        }
        if is_traced {
            return Ok(());
        }
        if tracer.try_wait()?.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("strace could not attach: it needs root, or kernel.yama.ptrace_scope=0".into())
}

fn listen(talker: &mut super::Talker) -> Outcome<Answers> {
    let mut answers = Answers { acknowledged: talker.early.clone(), ..Answers::default() };
    loop {
        let (word, is_over) = match talker.word()? {
            Word::Record(number) => {
                answers.acknowledged.insert(number);
                ("goes on", false)
            }
            Word::Failed(_, text) if answers.first.is_none() => {
                answers.first = Some(format!("error (`{text}`)"));
                continue;
            }
            Word::Failed(..) => ("is refused", false),
            Word::Panic(_) if answers.first.is_none() => {
                answers.first = Some("panic".to_owned());
                continue;
            }
            Word::Panic(_) => ("panics", false),
            Word::Hung => ("hangs", true),
            Word::Ended => ("finds the process ended", true),
            _ => return Ok(answers),
        };
        if answers.first.is_some() || is_over {
            answers.next.push(word);
        }
        if is_over {
            return Ok(answers);
        }
    }
}

fn judge(engine: &str, dir: &Path, answers: &Answers, error: &str) -> Outcome<(bool, String)> {
    let found = Survey::take(engine, dir, RECORDS)?.judge(&answers.acknowledged);
    let next = answers.next.first().copied();
    let after = match (&answers.first, next) {
        (None, None) => "no append fails".to_owned(),
        (None, Some(next)) => format!("the append {next}"),
        (Some(first), None) => first.clone(),
        (Some(first), Some(next)) => format!("{first}, the next {next}"),
    };
    let left = match found.kind {
        Kind::Whole => String::new(),
        Kind::Reported => format!("; {} acknowledged lost, and told", found.lost),
        Kind::Refused => "; then does not open".to_owned(),
        Kind::Silent => format!("; {} acknowledged lost", found.lost),
        Kind::Wrong => "; then returns wrong bytes".to_owned(),
    };
    let is_hung = answers.next.contains(&"hangs");
    // The pages of a failed sync may be gone: whoever acknowledges more into the same file does not know what is in it.
    let is_trusting = error == "EIO" && (answers.first.is_none() || next == Some("goes on"));
    Ok((found.kind == Kind::Whole && !is_hung && !is_trusting, after + left.as_str()))
}
