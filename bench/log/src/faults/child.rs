//! The children: one appends and tells what was acknowledged, one opens and tells what is left.
//! Refuses to tell by `write`, which a fault may be about: each word is a datagram.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::content::{content, number_of};
use super::engines::{self, Seen};
use crate::Outcome;
use crate::rivals::WALRUS_DIR;

/// After this long without a word, a child hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many appends follow one that failed.
const APPENDS_AFTER: u64 = 3;

/// How many records are appended before it waits: the first ones make files and tables, and are no example.
const EARLY: u64 = 10;

/// A record that was damaged is told with no more than this many bytes of text.
const TEXT_BYTES: usize = 160;

/// What a child says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    Ready,
    /// This record was acknowledged, or read and found right.
    Record(u64),
    /// This record was not acknowledged, for this reason.
    Failed(u64, String),
    /// A record that was read is not what was appended.
    Wrong,
    /// The engine reports damage.
    Damage(String),
    /// The engine does not open.
    Refused(String),
    Panic(String),
    Done,
    /// It is no more, or it hangs.
    Ended,
    Hung,
}

/// A child that has been started.
#[derive(Debug)]
pub(super) struct Talker {
    pub(super) child: Child,
    /// What it acknowledged before it waited.
    pub(super) early: BTreeSet<u64>,
    socket: UnixDatagram,
    path: PathBuf,
}

impl Talker {
    /// Starts one that appends so many records when it is told to go.
    pub(super) fn append(engine: &str, dir: &Path, count: u64) -> Outcome<Talker> {
        Talker::start("fault-append", engine, dir, count)
    }

    /// Starts one that reads what is there, up to this number where it reads by number.
    pub(super) fn read(engine: &str, dir: &Path, last: u64) -> Outcome<Talker> {
        Talker::start("fault-read", engine, dir, last)
    }

    fn start(role: &str, engine: &str, dir: &Path, number: u64) -> Outcome<Talker> {
        let path = std::env::temp_dir().join(format!("loghold-faults-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["role", role, engine]).arg(dir).arg(number.to_string()).arg(&path);
        command.env(WALRUS_DIR, dir).env("WALRUS_QUIET", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Talker { child: command.spawn()?, early: BTreeSet::new(), socket, path })
    }

    /// Lets it begin.
    pub(super) fn go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its next word.
    pub(super) fn word(&mut self) -> Outcome<Word> {
        let begin = Instant::now();
        loop {
            let is_over = self.child.try_wait()?.is_some();
            let mut buffer = [0; 1024];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                return Ok(parse(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default())));
            }
            if is_over {
                return Ok(Word::Ended);
            }
            if begin.elapsed() > PATIENCE {
                return Ok(Word::Hung);
            }
        }
    }

    /// Kills it, and takes what it has said before.
    pub(super) fn kill(&mut self) -> Outcome<Vec<Word>> {
        self.child.kill()?;
        let mut words = Vec::new();
        loop {
            match self.word()? {
                Word::Ended | Word::Hung => break,
                word => words.push(word),
            }
        }
        Ok(words)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.path));
    }
}

fn parse(line: &str) -> Word {
    let (head, text) = line.split_once(' ').unwrap_or((line, ""));
    let (number, reason) = text.split_once(' ').unwrap_or((text, ""));
    let number = number.parse().unwrap_or_default();
    match head {
        "ready" => Word::Ready,
        "record" => Word::Record(number),
        "failed" => Word::Failed(number, reason.to_owned()),
        "wrong" => Word::Wrong,
        "damage" => Word::Damage(text.to_owned()),
        "refused" => Word::Refused(text.to_owned()),
        "panic" => Word::Panic(text.to_owned()),
        _ => Word::Done,
    }
}

/// Tells the parent.
struct Mouth {
    socket: UnixDatagram,
    path: PathBuf,
    is_broken: Cell<bool>,
}

impl Mouth {
    fn say(&self, text: &str) {
        let mut line = text.replace('\n', " ");
        let end = (0..=TEXT_BYTES.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
        line.truncate(end.unwrap_or_default());
        if self.socket.send_to(line.as_bytes(), &self.path).is_err() {
            self.is_broken.set(true);
        }
    }
}

/// Runs a role.
pub(crate) fn role(name: &str, arguments: &[&str]) -> Outcome<()> {
    let &[engine, dir, number, path] = arguments else { return Err("four arguments are needed".into()) };
    let (dir, number) = (Path::new(dir), number.parse()?);
    let panics = UnixDatagram::unbound()?;
    let panics_path = PathBuf::from(path);
    std::panic::set_hook(Box::new(move |panic| {
        let text: String = format!("panic {panic}").replace('\n', " ").chars().take(TEXT_BYTES).collect();
        drop(panics.send_to(text.as_bytes(), &panics_path));
    }));
    let mouth = Mouth { socket: UnixDatagram::unbound()?, path: path.into(), is_broken: Cell::new(false) };
    match name {
        "fault-append" => append(engine, dir, number, &mouth),
        _ => read(engine, dir, number, &mouth),
    }
}

fn append(engine: &str, dir: &Path, count: u64, mouth: &Mouth) -> Outcome<()> {
    let mut append = match engines::append(engine, dir) {
        Ok(append) => append,
        Err(error) => {
            mouth.say(&format!("refused {error}"));
            return Ok(());
        }
    };
    let mut end = count;
    let mut number = 1;
    while number <= end && !mouth.is_broken.get() {
        if number == EARLY + 1 {
            mouth.say("ready");
            std::io::read_to_string(std::io::stdin())?;
        }
        match append(number, &content(number)) {
            Ok(()) => mouth.say(&format!("record {number}")),
            Err(error) => {
                mouth.say(&format!("failed {number} {error}"));
                end = end.min(number + APPENDS_AFTER);
            }
        }
        number += 1;
    }
    mouth.say("done");
    // It is not closed: its end is a kill, for all of them.
    loop {
        std::thread::park();
    }
}

fn read(engine: &str, dir: &Path, last: u64, mouth: &Mouth) -> Outcome<()> {
    let mut see = |seen: Seen<'_>| {
        let (number, bytes) = match seen {
            Seen::Error(text) => return mouth.say(&format!("damage {text}")),
            Seen::Record(number, bytes) => (number, bytes),
            Seen::Next(bytes) => (number_of(bytes), bytes),
        };
        if bytes == content(number) {
            mouth.say(&format!("record {number}"));
        } else {
            mouth.say("wrong");
        }
    };
    if let Err(error) = engines::read(engine, dir, last, &mut see) {
        mouth.say(&format!("refused {error}"));
    }
    mouth.say("done");
    Ok(())
}
