//! throughput: durable wall time and CPU time beside other programs, over HTTP, S3, a long link, and with small files.
//! Refuses to count what is not durable: after a rival's end its file system is synced, and that time is the rival's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use origin::{Link, Origin};

use crate::Outcome;
use crate::args::Options;
use crate::child::{self, Run, Server};
use crate::chunks::{self, Chunk};
use crate::report::{Figure, Goal, Report, median};
use crate::roles::{Fetch, Fetched, Floor, Serve};
use crate::{hold, machine, rivals};

const TIME_MAX: Duration = Duration::from_secs(300);

/// The least wall and CPU time that a bare loop from sockets to files takes.
const FLOORS: [(&str, bool); 2] = [("bare loop", false), ("bare loop, BLAKE3", true)];

/// ext4 without a journal does not reuse an inode for this long after its deletion, and the search for others takes more CPU
/// time than the files themselves. So nobody's files are removed shortly before somebody else's are made.
const INODE_REST: Duration = Duration::from_secs(6);

/// Parts with fewer bytes keep the files of all rounds until their end.
const KEPT_BYTES_MAX: u64 = 1_000_000_000;

/// One part of the case: what is fetched from where.
struct Part<'a> {
    name: &'a str,
    chunks: &'a [Chunk],
    /// Where it is served, for us.
    prefix: String,
    /// Where it is served, for others over S3.
    endpoint: Option<String>,
    /// Where the files lie, for `cp`.
    files: Option<PathBuf>,
    /// The port of a server that a bare loop may ask.
    floor_port: Option<u16>,
    /// What the link allows at best, in seconds.
    ideal_s: Option<f64>,
    goals: Goals,
}

/// What is asked of us beside the fastest rival and `cp`, the ideal, and the bare loop; CPU time beside the bare loop's.
#[derive(Clone, Copy, Default)]
struct Goals {
    to_fastest: Option<f64>,
    to_ideal: Option<f64>,
    to_floor: Option<f64>,
    cpu_to_floor: Option<f64>,
}

/// The rounds of one program.
struct Runs {
    who: String,
    runs: Vec<Run>,
    failures: usize,
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let large: Vec<Chunk> =
        (0..20).map(|number| Chunk::real(number, options.scaled(100_000_000)).with_digests()).collect();
    let small: Vec<Chunk> =
        (0..options.scaled(400)).map(|number| Chunk::equal(number, 64 << 10).with_digests()).collect();
    let far: Vec<Chunk> =
        (0..6).map(|number| Chunk::real(number, options.scaled(103_000_000)).with_digests()).collect();
    let same = Goals { to_fastest: Some(1.0), ..Goals::default() };
    for (name, chunks, goals) in [
        ("2 GB", &large, Goals { cpu_to_floor: Some(1.35), ..same }),
        ("small files", &small, Goals { to_floor: Some(1.3), ..same }),
    ] {
        let files = options.shared.dir.join(format!("site-{}", name.replace(' ', "-")));
        if options.wants(&format!("{name}, http")) {
            over_nginx(&format!("{name}, http"), chunks, &files, goals, options, report)?;
        }
        if options.wants(&format!("{name}, s3")) {
            over_s3(&format!("{name}, s3"), chunks, &files, same, options, report)?;
        }
    }
    for (name, chunks, to_ideal) in [("0.62 GB, far", &far, 1.05), ("small files, far", &small, 1.3)] {
        if options.wants(name) {
            let goals = Goals { to_ideal: Some(to_ideal), ..same };
            over_long_link(name, chunks, goals, options, report)?;
        }
    }
    if options.wants("killed") {
        killed_connections(options, report)?;
    }
    Ok(())
}

fn over_nginx(
    name: &str,
    chunks: &[Chunk],
    files: &Path,
    goals: Goals,
    options: &Options,
    report: &mut Report,
) -> Outcome<()> {
    chunks::write(chunks, files)?;
    let Some(program) = child::find_program("nginx") else {
        eprintln!("    left out: nginx is missing (apt-get install nginx)");
        return Ok(());
    };
    let port = machine::free_port()?;
    let config = options.shared.dir.join("nginx.conf");
    let dir = options.shared.dir.join("nginx");
    machine::fresh_dir(&dir)?;
    fs::write(&config, nginx_config(port, files, &dir))?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&config).arg("-p").arg(&dir).args(["-g", "daemon off;"]);
    let _server = Server::listening(command, port)?;
    let part = Part {
        name,
        chunks,
        prefix: format!("http://127.0.0.1:{port}/"),
        endpoint: None,
        files: Some(files.to_path_buf()),
        floor_port: Some(port),
        ideal_s: None,
        goals,
    };
    compare(&part, options, report)
}

fn nginx_config(port: u16, files: &Path, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "user root; worker_processes 2; pid {dir}/pid; error_log {dir}/error.log; events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;\n\
         uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         server {{ listen 127.0.0.1:{port}; root {}; autoindex on; }} }}\n",
        files.display()
    )
}

fn over_s3(
    name: &str,
    chunks: &[Chunk],
    files: &Path,
    goals: Goals,
    options: &Options,
    report: &mut Report,
) -> Outcome<()> {
    chunks::write(chunks, files)?;
    let Some(program) = child::find_program("s3s-fs") else {
        eprintln!("    left out: s3s-fs is missing (`cargo xtask test` installs it)");
        return Ok(());
    };
    let port = machine::free_port()?;
    let root = options.shared.dir.join("s3-root");
    fs::create_dir_all(&root)?;
    let bucket = "site";
    let link = root.join(bucket);
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(files, &link)?;
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", rivals::S3_KEY, "--secret-key", rivals::S3_SECRET]).arg(&root);
    let _server = Server::listening(command, port)?;
    let part = Part {
        name,
        chunks,
        prefix: format!("s3://{bucket}/"),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        files: None,
        floor_port: None,
        ideal_s: None,
        goals,
    };
    compare(&part, options, report)
}

fn over_long_link(
    name: &str,
    chunks: &[Chunk],
    goals: Goals,
    options: &Options,
    report: &mut Report,
) -> Outcome<()> {
    let serve = Serve { chunks: chunks.to_vec(), is_far: true };
    let server = Server::greeted(child::own("serve", &serve, &options.shared.dir)?)?;
    let link = Link::wan();
    let bytes: u64 = chunks.iter().map(Chunk::bytes).sum();
    let first = link.round_trip * 2 + link.first_byte;
    let ideal_s = bytes as f64 / link.bytes_per_second_total as f64 + first.as_secs_f64();
    let part = Part {
        name,
        chunks,
        prefix: server.greeting.clone(),
        endpoint: None,
        files: None,
        floor_port: None,
        ideal_s: Some(ideal_s),
        goals,
    };
    compare(&part, options, report)
}

/// Runs everybody in turn, round after round.
fn compare(part: &Part<'_>, options: &Options, report: &mut Report) -> Outcome<()> {
    let mut all: Vec<Runs> =
        names(part, options).into_iter().map(|who| Runs { who, runs: Vec::new(), failures: 0 }).collect();
    let targets = options.shared.dir.join("targets");
    machine::remove_dir(&targets)?;
    std::thread::sleep(INODE_REST);
    let is_kept = part.chunks.iter().map(Chunk::bytes).sum::<u64>() < KEPT_BYTES_MAX;
    for round in 0..options.shared.rounds {
        for each in &mut all {
            let to = targets.join(format!("{}-{round}", each.who));
            fs::create_dir_all(&to)?;
            machine::sync_file_system(&options.shared.dir)?;
            let Some(command) = command(&each.who, part, &to, options)? else {
                eprintln!("    left out: {} is missing", each.who);
                each.failures = usize::MAX;
                continue;
            };
            let sync = (each.who != "loghold").then_some(to.as_path());
            let run = child::run(command, sync, TIME_MAX)?;
            if run.is_sound {
                each.runs.push(run);
            } else {
                each.failures = each.failures.saturating_add(1);
            }
            if !is_kept {
                machine::remove_dir(&to)?;
            }
        }
        all.retain(|each| each.failures < usize::MAX);
    }
    machine::remove_dir(&targets)?;
    show(part, &all, report);
    Ok(())
}

fn names(part: &Part<'_>, options: &Options) -> Vec<String> {
    let mut names = vec!["loghold".to_owned()];
    if options.shared.has_rivals {
        let programs: &[&str] = if part.endpoint.is_some() { &rivals::S3 } else { &rivals::HTTP };
        names.extend(programs.iter().map(|&name| name.to_owned()));
    }
    if part.files.is_some() {
        names.push("cp".to_owned());
    }
    if part.floor_port.is_some() {
        names.extend(FLOORS.map(|(name, _)| name.to_owned()));
    }
    names
}

fn command(who: &str, part: &Part<'_>, to: &Path, options: &Options) -> Outcome<Option<Command>> {
    if who == "loghold" {
        let spec = Fetch {
            data_dir: to.to_path_buf(),
            prefix: part.prefix.clone(),
            chunks: part.chunks.to_vec(),
            is_first_come: false,
        };
        let mut command = child::own("fetch", &spec, &options.shared.dir)?;
        if let Some(endpoint) = &part.endpoint {
            command
                .env("AWS_ENDPOINT", endpoint)
                .env("AWS_ALLOW_HTTP", "true")
                .env("AWS_REGION", "us-east-1");
            command.env("AWS_ACCESS_KEY_ID", rivals::S3_KEY).env("AWS_SECRET_ACCESS_KEY", rivals::S3_SECRET);
        }
        return Ok(Some(command));
    }
    if let (Some((_, has_digest)), Some(port)) =
        (FLOORS.iter().find(|(name, _)| *name == who), part.floor_port)
    {
        let spec =
            Floor { port, chunks: part.chunks.to_vec(), to: to.to_path_buf(), has_digest: *has_digest };
        return child::own("floor", &spec, &options.shared.dir).map(Some);
    }
    match (&part.endpoint, &part.files) {
        (_, Some(files)) if who == "cp" => Ok(Some(rivals::copy(files, to))),
        (Some(endpoint), _) => rivals::over_s3(who, endpoint, "site", to),
        (None, _) => rivals::over_http(who, &part.prefix, part.chunks, to),
    }
}

fn show(part: &Part<'_>, all: &[Runs], report: &mut Report) {
    let bytes: u64 = part.chunks.iter().map(Chunk::bytes).sum();
    let gigabytes = bytes as f64 / 1e9;
    let walls = |each: &Runs| each.runs.iter().map(|run| run.wall_s).collect::<Vec<_>>();
    let median_of = Runs::wall_s;
    let is_floor = |each: &Runs| FLOORS.iter().any(|(name, _)| *name == each.who);
    let cpus = |each: &Runs| each.runs.iter().map(|run| run.cpu_s / gigabytes).collect::<Vec<_>>();
    let sound = |each: &&Runs| !each.runs.is_empty();
    let is_rival = |each: &&Runs| !["loghold", "cp"].contains(&each.who.as_str()) && !is_floor(each);
    let fastest =
        all.iter().filter(sound).filter(is_rival).min_by(|a, b| median_of(a).total_cmp(&median_of(b)));
    let copied = all.iter().filter(sound).find(|each| each.who == "cp");
    let floor = |at: usize| {
        all.iter().filter(sound).find(|each| FLOORS.get(at).is_some_and(|(name, _)| *name == each.who))
    };
    for each in all {
        if each.runs.is_empty() {
            eprintln!("    {}: {} failed in every round", part.name, each.who);
            continue;
        }
        let wall = walls(each);
        let new = || Figure::new("throughput", format!("{}, durable", part.name), &each.who, "s", &wall);
        let cpu = || Figure::new("throughput", format!("{}, CPU", part.name), &each.who, "s/GB", &cpus(each));
        if each.who != "loghold" {
            let figure = match part.ideal_s {
                Some(ideal_s) => new().beside(ideal_s, "ideal"),
                None => all.first().map_or_else(new, |ours| new().beside(median_of(ours), "loghold")),
            };
            let note = (each.failures > 0).then(|| format!("failed in {} rounds", each.failures));
            report.add(match note {
                Some(note) => figure.note(note),
                None => figure,
            });
            report.add(cpu());
            continue;
        }
        show_ours((part, &new, &cpu), Bases { fastest, copied, floors: [floor(0), floor(1)] }, report);
    }
}

/// Those that we are compared with.
struct Bases<'a> {
    fastest: Option<&'a Runs>,
    copied: Option<&'a Runs>,
    floors: [Option<&'a Runs>; 2],
}

impl Runs {
    fn wall_s(&self) -> f64 {
        median(&self.runs.iter().map(|run| run.wall_s).collect::<Vec<_>>())
    }

    fn cpu_s(&self) -> f64 {
        median(&self.runs.iter().map(|run| run.cpu_s).collect::<Vec<_>>())
    }
}

type Make<'a> = &'a dyn Fn() -> Figure;

fn show_ours((part, wall, cpu): (&Part<'_>, Make<'_>, Make<'_>), bases: Bases<'_>, report: &mut Report) {
    let goals = part.goals;
    let named = |runs: &'_ Runs| (runs.wall_s(), runs.who.clone());
    let [bare, digesting] = bases.floors;
    let mut is_shown = false;
    for (base, bound) in [
        (bases.fastest.map(named), goals.to_fastest),
        (bases.copied.map(named), goals.to_fastest),
        (part.ideal_s.map(|ideal_s| (ideal_s, "ideal".to_owned())), goals.to_ideal),
        (digesting.map(named), goals.to_floor),
    ] {
        if let (Some((base, who)), Some(bound)) = (base, bound) {
            report.add(wall().beside_goal(base, &who, Goal::AtMost(bound)));
            is_shown = true;
        }
    }
    if !is_shown {
        report.add(wall());
    }
    let bytes: u64 = part.chunks.iter().map(Chunk::bytes).sum();
    let gigabytes = bytes as f64 / 1e9;
    report.add(match (bare, goals.cpu_to_floor) {
        (Some(bare), Some(bound)) => {
            cpu().beside_goal(bare.cpu_s() / gigabytes, &bare.who, Goal::AtMost(bound))
        }
        _ => cpu(),
    });
    if let Some(digesting) = digesting {
        report.add(cpu().beside(digesting.cpu_s() / gigabytes, &digesting.who));
    }
}

/// A link that kills every connection after 20 s: how many bytes are sent for those that are needed.
fn killed_connections(options: &Options, report: &mut Report) -> Outcome<()> {
    let chunks: Vec<Chunk> = (0..6).map(|number| Chunk::real(number, options.scaled(100_000_000))).collect();
    let needed: u64 = chunks.iter().map(Chunk::bytes).sum();
    let link = Link {
        bytes_per_second_per_connection: 2_000_000,
        bytes_per_second_total: 12_000_000,
        kill_after: Some(Duration::from_secs(20)),
        ..Link::wan()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let origin = runtime.block_on(Origin::start(chunks::site(&chunks).link(link)))?;
    let dir = options.shared.dir.join("target");
    machine::fresh_dir(&dir)?;
    let spec = Fetch { data_dir: dir.clone(), prefix: origin.url(""), chunks, is_first_come: false };
    let run = child::run(child::own("fetch", &spec, &options.shared.dir)?, None, hold::PATIENCE)?;
    let fetched: Fetched = serde_json::from_str(&run.output)?;
    machine::remove_dir(&dir)?;
    let ideal_s = needed as f64 / link.bytes_per_second_total as f64;
    let name = "connections killed after 20 s";
    let figure =
        Figure::new("throughput", format!("{name}, sent"), "loghold", "bytes", &[origin.bytes_sent() as f64]);
    report.add(figure.beside_goal(needed as f64, "needed", Goal::AtMost(1.02)));
    let figure = Figure::new(
        "throughput",
        format!("{name}, received"),
        "loghold",
        "bytes",
        &[fetched.fetched_bytes as f64],
    );
    report.add(figure.beside(needed as f64, "needed"));
    let figure = Figure::new("throughput", format!("{name}, durable"), "loghold", "s", &[run.wall_s]);
    report.add(figure.beside(ideal_s, "the link"));
    Ok(())
}
