//! Programs that the benches start, and talk to by lines.
//! Refuses to leave one running.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long a server may take until it listens.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(60);

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts this program in a role.
    pub fn role(name: &str, arguments: &[&str]) -> Outcome<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("role").arg(name).args(arguments);
        Running::start(command)
    }

    /// Starts a program.
    pub fn start(mut command: Command) -> Outcome<Running> {
        Running::of(command.stdin(Stdio::null()).stdout(Stdio::piped()))
    }

    /// Starts a program that answers each line with a line.
    pub fn asked(mut command: Command) -> Outcome<Running> {
        Running::of(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// Starts a server without a voice, and waits until it accepts connections on a port of this machine.
    pub fn listening(mut command: Command, port: u16) -> Outcome<Running> {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Running::of(silent)?;
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begin.elapsed() > LISTEN_TIME_MAX {
                return Err(format!("nothing listens on port {port}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn of(command: &mut Command) -> Outcome<Running> {
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Ok(Running { child, input, output })
    }

    /// Its next line.
    pub fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.output.as_mut().ok_or("the child has no output")?.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Its answer to a line.
    pub fn answer(&mut self, question: &str) -> Outcome<String> {
        let input = self.input.as_mut().ok_or("the child is not asked")?;
        writeln!(input, "{question}")?;
        input.flush()?;
        self.line()
    }

    /// What it says until it ends, however it ends.
    pub fn end(mut self) -> Outcome<String> {
        let mut rest = String::new();
        self.output.as_mut().ok_or("the child has no output")?.read_to_string(&mut rest)?;
        self.child.wait()?;
        Ok(rest.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
