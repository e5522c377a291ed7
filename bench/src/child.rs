//! Programs that the benches start: ourselves in another role, rivals, and servers. Their CPU time is measured.
//! Refuses to leave one running.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

pub(crate) use bench_kit::machine::find_program;

use crate::Outcome;
use crate::machine;

/// How long a server may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(2);

/// How a program's run went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) output: String,
    /// Whether it ended by itself, in time and without an error.
    pub(crate) is_sound: bool,
}

/// Ourselves, in a role of `main`, told what to do by a file.
pub(crate) fn own(role: &str, spec: &impl Serialize, dir: &Path) -> Outcome<Command> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(format!("{role}.json"));
    std::fs::write(&path, serde_json::to_vec(spec)?)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).arg(path);
    Ok(command)
}

/// Runs a program to its end, and at most for `limit`; then, where a directory is named, what was written there is made
/// durable, which counts.
pub(crate) fn run(mut command: Command, sync: Option<&Path>, limit: Duration) -> Outcome<Run> {
    let (children_before, own_before) = (machine::children_cpu(), machine::own_cpu());
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (tell_end, ended) = mpsc::sync_channel::<()>(1);
    let pid = Pid::from_child(&child);
    let killer = std::thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            // The child has not been waited for yet, so that its number is still its own.
            let _was_there = kill_process(pid, Signal::KILL).is_ok();
        }
    });
    let mut output = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut output)?;
    }
    let status = child.wait()?;
    drop(tell_end);
    drop(killer.join());
    if let Some(dir) = sync {
        machine::sync_file_system(dir)?;
    }
    let wall_s = begin.elapsed().as_secs_f64();
    let cpu_s = machine::children_cpu() - children_before + machine::own_cpu() - own_before;
    Ok(Run { wall_s, cpu_s, output, is_sound: status.success() })
}

/// A program that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// What it said first, such as where it listens.
    pub(crate) greeting: String,
}

impl Server {
    /// Starts a program that is to be killed.
    pub(crate) fn spawned(mut command: Command) -> Outcome<Server> {
        Ok(Server { child: command.stdin(Stdio::null()).spawn()?, greeting: String::new() })
    }

    /// Starts a server that prints a line once it listens.
    pub(crate) fn greeted(mut command: Command) -> Outcome<Server> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut greeting = String::new();
        if let Some(pipe) = child.stdout.take() {
            BufReader::new(pipe).read_line(&mut greeting)?;
        }
        Ok(Server { child, greeting: greeting.trim().to_owned() })
    }

    /// Starts a server, and waits until it accepts connections on a port.
    pub(crate) fn listening(mut command: Command, port: u16) -> Outcome<Server> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Server { child, greeting: String::new() };
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begin.elapsed() > Duration::from_secs(20) {
                return Err(format!("nothing listens on port {port}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: nginx that is killed leaves its workers behind.
        let pid = Pid::from_child(&self.child);
        let is_asked = kill_process(pid, Signal::TERM).is_ok();
        let begin = Instant::now();
        while is_asked && begin.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
