//! Other programs that fetch files, as their users would call them for speed.
//! Refuses to install any: one that is missing is left out, and named.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::child;
use crate::chunks::Chunk;

/// The key that the S3 server of the benches accepts.
pub(crate) const S3_KEY: &str = "AKBENCH";
/// Its secret, which is none.
pub(crate) const S3_SECRET: &str = "benchbenchbench";

/// The programs that fetch over HTTP.
pub(crate) const HTTP: [&str; 3] = ["aria2c", "rclone", "curl"];

/// The programs that fetch over S3.
pub(crate) const S3: [&str; 2] = ["s5cmd", "rclone"];

/// A command that fetches chunks over HTTP below `to`; `None` when the program is missing.
pub(crate) fn over_http(name: &str, prefix: &str, chunks: &[Chunk], to: &Path) -> Outcome<Option<Command>> {
    let Some(program) = child::find_program(name) else { return Ok(None) };
    let mut command = Command::new(program);
    let list = to.with_extension(name);
    match name {
        "aria2c" => {
            let mut lines = fs::File::create(&list)?;
            for file in chunks.iter().flat_map(|chunk| &chunk.files) {
                writeln!(lines, "{prefix}{}\n  dir={}\n  out={}", file.path, to.display(), file.path)?;
            }
            command.args(["--quiet", "--file-allocation=none", "--allow-overwrite=true", "--max-tries=20"]);
            command
                .args(["-j16", "-x8", "-s8", "-k8M", "--retry-wait=1", "--no-conf=true"])
                .arg("-i")
                .arg(list);
        }
        "rclone" => {
            command.args(["copy", "--transfers", "16", "--checkers", "16", "--multi-thread-streams", "8"]);
            command.args(["--multi-thread-cutoff", "32M", "--retries", "5", "--config", "/dev/null"]);
            command.arg("--http-url").arg(prefix).arg(":http:").arg(to);
        }
        "curl" => {
            let mut lines = fs::File::create(&list)?;
            for file in chunks.iter().flat_map(|chunk| &chunk.files) {
                writeln!(
                    lines,
                    "url = \"{prefix}{}\"\noutput = \"{}\"",
                    file.path,
                    to.join(&file.path).display()
                )?;
            }
            command.args(["--parallel", "--parallel-max", "32", "--create-dirs", "--silent", "--fail"]);
            command.args([
                "--retry",
                "10",
                "--retry-all-errors",
                "--speed-time",
                "10",
                "--speed-limit",
                "1000",
            ]);
            command.arg("--config").arg(list);
        }
        other => return Err(format!("how to call {other} over HTTP is not known").into()),
    }
    Ok(Some(command))
}

/// A command that fetches a bucket over S3 below `to`; `None` when the program is missing.
pub(crate) fn over_s3(name: &str, endpoint: &str, bucket: &str, to: &Path) -> Outcome<Option<Command>> {
    let Some(program) = child::find_program(name) else { return Ok(None) };
    let mut command = Command::new(program);
    command
        .env("AWS_ACCESS_KEY_ID", S3_KEY)
        .env("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        .env("AWS_REGION", "us-east-1");
    // Debian's rclone refuses to start with it, and plain HTTP has no use for it.
    command.env_remove("AWS_CA_BUNDLE");
    match name {
        "s5cmd" => {
            command.args(["--endpoint-url", endpoint, "--log", "error", "cp"]);
            command.arg(format!("s3://{bucket}/*")).arg(format!("{}/", to.display()));
        }
        "rclone" => {
            command.args(["copy", "--transfers", "16", "--checkers", "16", "--multi-thread-streams", "8"]);
            command.args(["--multi-thread-cutoff", "32M", "--config", "/dev/null", "--s3-provider", "Other"]);
            command.args(["--s3-env-auth", "--s3-force-path-style=true", "--s3-endpoint", endpoint]);
            command.arg(format!(":s3:{bucket}")).arg(to);
        }
        other => return Err(format!("how to call {other} over S3 is not known").into()),
    }
    Ok(Some(command))
}

/// `cp` from one directory to another: what the disk and the page cache allow.
pub(crate) fn copy(from: &Path, to: &Path) -> Command {
    let mut command = Command::new("cp");
    command.arg("-r").arg(from).arg(to.join("copy"));
    command
}
