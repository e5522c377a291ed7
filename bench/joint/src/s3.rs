//! An S3 server on loopback: moto, which keeps the first of several writers, as a store must.
//! Refuses to be anywhere else than on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use bench_kit::child::Running;
use bench_kit::machine::{find_program, free_port};

use crate::Outcome;

/// The variable that tells the port, and that the others are set.
const PORT: &str = "LOGHOLD_BENCH_S3_PORT";

/// Where chunks are sealed to.
pub(crate) const BUCKET: &str = "bench";

/// Starts this program again with the variables by which stores know their server: libraries read them, and a program may not
/// safely change its own.
pub(crate) fn with_variables() -> Outcome<()> {
    if std::env::var_os(PORT).is_some() {
        return Ok(());
    }
    let port = free_port()?.to_string();
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).env("AWS_ENDPOINT", format!("http://127.0.0.1:{port}"));
    again.envs([("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1"), ("NO_PROXY", "127.0.0.1")]);
    again.envs([("AWS_ACCESS_KEY_ID", "AKIABENCH"), ("AWS_SECRET_ACCESS_KEY", "not-a-secret")]);
    Err(again.env(PORT, port).exec().into())
}

/// Starts the server, with an empty bucket.
pub(crate) fn serve() -> Outcome<Running> {
    let program =
        find_program("moto_server").ok_or("moto_server is not installed: `cargo xtask test` does it")?;
    let port = std::env::var(PORT)?;
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &port]);
    let server = Running::listening(command, port.parse()?)?;
    let mut connection = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    let host = format!("Host: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: 0");
    write!(connection, "PUT /{BUCKET} HTTP/1.1\r\n{host}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    if answer.split_whitespace().nth(1) != Some("200") {
        return Err(format!("no bucket could be made: {answer}").into());
    }
    Ok(server)
}
