//! How fast the origin serves on loopback beside a bare writer, and how true the modelled link is: prints a table.
//! It asserts nothing: the figures depend on the machine.
#![expect(clippy::disallowed_methods, reason = "the kernel's figures are read from /proc")]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use origin::{Content, Link, Origin, Site, generate};
use tokio::time::Instant;

const FILE_LEN: usize = 256 << 20;
const ROUNDS: u64 = 12;
const BUFFER_LEN: usize = 1 << 20;

fn main() -> io::Result<()> {
    println!("{:<28} {:>10} {:>22}", "256 MiB, one connection", "GB/s", "server CPU s per GB");
    let total = ROUNDS * FILE_LEN as u64;
    for _ in 0..3 {
        bare(total)?;
        served("given", total)?;
        served("generated", total)?;
        served("disk", total)?;
    }
    small()?;
    link()
}

/// Two bare threads and a socket: what the kernel allows.
fn bare(total: u64) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let reader = named("reader", {
        let addr = listener.local_addr()?;
        move || read(&mut TcpStream::connect(addr)?, &mut vec![0; BUFFER_LEN], total)
    })?;
    let (mut stream, _) = listener.accept()?;
    let piece = vec![7; BUFFER_LEN];
    let (begin, cpu) = (Instant::now(), cpu_time()?);
    for _ in 0..total / BUFFER_LEN as u64 {
        stream.write_all(&piece)?;
    }
    let cpu = cpu_time()?.saturating_sub(cpu);
    joined(reader)?;
    report("bare write and read", total, begin.elapsed(), cpu);
    Ok(())
}

fn served(kind: &'static str, total: u64) -> io::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let mut bytes = vec![0; FILE_LEN];
    generate(1, 0, &mut bytes);
    file.as_file().write_all(&bytes)?;
    let site = Site::new()
        .file("given", Content::Bytes(Bytes::from(bytes)))
        .file("generated", Content::Generated { seed: 1, len: FILE_LEN as u64 })
        .file("disk", Content::Disk(file.path().to_owned()));
    runtime()?.block_on(async {
        let origin = Origin::start(site).await?;
        let addr = origin.addr();
        let (begin, cpu) = (Instant::now(), cpu_time()?);
        let (done, is_done) = tokio::sync::oneshot::channel();
        let reader = named("reader", move || {
            let got = fetch(addr, kind, ROUNDS, FILE_LEN as u64);
            done.send(()).map_err(|()| io::Error::other("nobody waits"))?;
            got
        })?;
        is_done.await.map_err(io::Error::other)?;
        let cpu = cpu_time()?.saturating_sub(cpu);
        joined(reader)?;
        report(kind, total, begin.elapsed(), cpu);
        Ok(())
    })
}

/// Requests for 64 KiB, one after the other.
fn small() -> io::Result<()> {
    let site = Site::new().file("small", Content::Generated { seed: 1, len: 64 << 10 });
    runtime()?.block_on(async {
        let origin = Origin::start(site).await?;
        let addr = origin.addr();
        let begin = Instant::now();
        tokio::task::spawn_blocking(move || fetch(addr, "small", 20_000, 64 << 10)).await??;
        let taken = begin.elapsed();
        println!(
            "{:<28} {:>10.0} requests a second",
            "64 KiB, one connection",
            20_000.0 / taken.as_secs_f64()
        );
        Ok(())
    })
}

/// The long link: measured against what it says.
fn link() -> io::Result<()> {
    println!("{:<28} {:>10} {:>10} {:>8}", "long link", "measured", "expected", "off by");
    for (name, connections, files, len, expected_s) in [
        ("1 x 20 MB", 1, 1, 20_000_000, 0.130 + 2.0),
        ("6 x 10 MB", 6, 1, 10_000_000, 0.130 + 1.0),
        ("12 x 10 MB", 12, 1, 10_000_000, 0.130 + 2.0),
        ("1 x 50 files of 64 KiB", 1, 50, 65_536, 0.130 + 49.0 * 0.080 + 50.0 * 0.006_553_6),
        // The first files queue for the shared bandwidth; the waits between files then keep the connections apart.
        (
            "32 x 50 files of 64 KiB",
            32,
            50,
            65_536,
            0.130 + 32.0 * 65_536.0 / 60e6 + 49.0 * (0.080 + 0.006_553_6),
        ),
    ] {
        let site = Site::new().file("file", Content::Generated { seed: 1, len }).link(Link::wan());
        let taken = runtime()?.block_on(async {
            let origin = Origin::start(site).await?;
            let addr = origin.addr();
            let begin = Instant::now();
            let readers: Vec<_> = (0..connections)
                .map(|_| tokio::task::spawn_blocking(move || fetch(addr, "file", files, len)))
                .collect();
            for reader in readers {
                reader.await??;
            }
            io::Result::Ok(begin.elapsed().as_secs_f64())
        })?;
        let off = 100.0 * (taken / expected_s - 1.0);
        println!("{name:<28} {taken:>9.3}s {expected_s:>9.3}s {off:>+7.1}%");
    }
    Ok(())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Fetches a file of `len` bytes so many times, on one connection.
fn fetch(addr: SocketAddr, path: &str, times: u64, len: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_LEN];
    for _ in 0..times {
        write!(stream, "GET /{path} HTTP/1.1\r\n\r\n")?;
        let mut head: Vec<u8> = Vec::new();
        let body_read = loop {
            let got = stream.read(buffer.get_mut(..4096).unwrap_or_default())?;
            head.extend(buffer.iter().take(got));
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                break head.len() - end - 4;
            }
        };
        read(&mut stream, &mut buffer, len - body_read as u64)?;
    }
    Ok(())
}

fn read(stream: &mut TcpStream, buffer: &mut [u8], len: u64) -> io::Result<()> {
    let mut rest = len;
    while rest > 0 {
        let got = stream.read(buffer)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        rest -= got as u64;
    }
    Ok(())
}

fn named(
    name: &str,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    Builder::new().name(name.to_owned()).spawn(work)
}

fn joined(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().map_err(|_| io::Error::other("the reader panicked"))?
}

/// What this thread has run so far, as the Linux kernel counts it.
fn cpu_time() -> io::Result<Duration> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = line.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn report(name: &str, bytes: u64, taken: Duration, cpu: Duration) {
    let gigabytes = bytes as f64 / 1e9;
    println!("{name:<28} {:>10.2} {:>22.2}", gigabytes / taken.as_secs_f64(), cpu.as_secs_f64() / gigabytes);
}
