//! `loghold with`: runs a command while a lease holds the files that it reads.
//! Refuses to own the data directory meanwhile: others work there, and the lease alone keeps the files.

mod child;
pub(crate) mod file_list;

use std::ffi::OsString;
use std::time::Duration;

use data_manager::data_manager::DataManagerImpl;
use data_manager::error::{Error, ErrorKind};
use data_manager::lease::Lease;
use host::Clock;
use tokio::time::sleep;

use crate::args::lease::WithArguments;
use crate::commands::chunk::expect_data_dirs;
use crate::commands::with::child::{Child, Signals};
use crate::commands::with::file_list::{FileList, sweep};
use crate::exit::{Ending, Exit, Failure, Outcome};
use crate::notes::Notes;
use crate::quantity::show_duration;
use crate::runtime::runtime;
use crate::selection::{Question, Selection, made_up_name, owner_text, wait_for_freed};
use crate::settings::Settings;
use crate::soundness::{chunks_of, look_in_task};

/// How long the directory is waited for at the end, to release the lease. After that it ends by itself.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a directory that another process owns is asked for.
const ASK_PAUSE: Duration = Duration::from_millis(25);

/// Renewals come this many times in a lifetime, so that two may fail.
const RENEWALS_PER_LIFETIME: u32 = 3;

/// The shortest lifetime: a renewal must have time to wait for its turn.
const LIFETIME_MIN: Duration = Duration::from_secs(3);

pub(crate) fn run(arguments: &WithArguments, settings: &Settings) -> Outcome<Ending> {
    if arguments.lease < LIFETIME_MIN {
        return Err(Failure::usage(format!("--lease is at least {}", show_duration(LIFETIME_MIN))));
    }
    expect_data_dirs(settings)?;
    runtime()?.block_on(async {
        // Heard from here on, so that nothing ends us before the lease is released.
        let mut signals = Signals::listen()?;
        let notes = Notes::new(settings);
        let keeper = Keeper { settings, lifetime: arguments.lease, notes };
        let hold = keeper.open(arguments.wait, &mut signals).await?;
        look_in_task(&hold, chunks_of(&hold, &arguments.dataset, Some(&arguments.blocks))).await?;
        let (mut lease, files) = keeper.take(&hold, arguments)?;
        hold.close();
        drop(hold);
        let ended = keeper.accompany(arguments, &files, &mut lease, &mut signals).await;
        keeper.release(&lease, &mut signals).await;
        ended
    })
}

/// Whoever takes, renews and releases the lease.
struct Keeper<'a> {
    settings: &'a Settings,
    lifetime: Duration,
    notes: Notes,
}

impl Keeper<'_> {
    /// Opens the hold, and waits for another process that owns it.
    async fn open(&self, time: Duration, signals: &mut Signals) -> Outcome<DataManagerImpl> {
        tokio::select! {
            opened = self.open_within(time) => opened.map_err(|error| {
                let is_locked = error.kind() == ErrorKind::Locked;
                let failure = Failure::from(error);
                if is_locked { failure.hint("`--wait 1m` waits until it is free") } else { failure }
            }),
            signal = signals.received() => {
                Err(Failure::new(signal.exit(), "stopped before the command was run"))
            }
        }
    }

    async fn open_within(&self, time: Duration) -> Result<DataManagerImpl, Error> {
        let options = self.settings.options_as_given();
        let clock = Clock::system();
        let deadline = clock.monotonic().saturating_add(time);
        loop {
            match DataManagerImpl::open_with(options.clone(), self.settings.hold_parts()) {
                Err(error) if error.kind() == ErrorKind::Locked && clock.monotonic() < deadline => {
                    sleep(ASK_PAUSE).await;
                }
                opened => {
                    return opened.inspect(|hold| sweep(hold, self.settings.data_dirs()));
                }
            }
        }
    }

    fn take(&self, hold: &DataManagerImpl, arguments: &WithArguments) -> Outcome<(Lease, FileList)> {
        let question = Question {
            dataset: &arguments.dataset,
            blocks: Some(&arguments.blocks),
            tables: &arguments.table,
        };
        let mut selection = Selection::find(hold, question)?;
        if !arguments.allow_gaps || selection.chunks.is_empty() {
            selection
                .expect_no_gaps(&arguments.dataset)
                .map_err(|failure| failure.hint("--allow-gaps runs the command on what is there"))?;
        }
        let command: Vec<_> = arguments.command.iter().map(|word| word.to_string_lossy()).collect();
        let owner = owner_text(&format!("pid {}: {}", std::process::id(), command.join(" ")));
        let lease = selection.lease(hold, (&made_up_name("with"), &owner), self.lifetime)?;
        let data_dirs = self.settings.data_dirs();
        let data_dir = data_dirs.first().ok_or_else(|| Failure::usage("no data directory is given"))?;
        match FileList::write(data_dir, &lease.name, &selection.files) {
            Ok(list) => Ok((lease, list)),
            Err(failure) => {
                // It would only stay until its time is over.
                drop(hold.release(&lease));
                Err(failure)
            }
        }
    }

    /// Runs the command, and renews the lease until it ends.
    async fn accompany(
        &self,
        arguments: &WithArguments,
        files: &FileList,
        lease: &mut Lease,
        signals: &mut Signals,
    ) -> Outcome<Ending> {
        let mut variables = files.variables();
        variables.push(("LOGHOLD_LEASE", Some(OsString::from(&lease.name))));
        if let Ok(data_dirs) = std::env::join_paths(self.settings.data_dirs()) {
            variables.push(("LOGHOLD_DATA_DIR", Some(data_dirs)));
        }
        if files.is_in_file_alone() {
            let why = "the list of files is too long for LOGHOLD_FILES, or has a path with a line break";
            self.notes.say(&format!("{why}: read the one in LOGHOLD_FILES_JSON"));
        }
        let mut child = Child::start(&arguments.command, variables)?;
        let renewed = self.renew_for_ever(lease);
        tokio::pin!(renewed);
        loop {
            tokio::select! {
                ended = child.ended() => return ended.map(Ending::OfCommand),
                signal = signals.received() => child.pass_on(signal),
                () = &mut renewed => {}
            }
        }
    }

    /// Renews the lease three times in its lifetime. Never ends.
    async fn renew_for_ever(&self, lease: &mut Lease) {
        let pause = self.lifetime / RENEWALS_PER_LIFETIME;
        let mut was_told = false;
        loop {
            sleep(pause).await;
            match self.renew(lease, pause).await {
                Ok(renewed) => {
                    *lease = renewed;
                    was_told = false;
                }
                Err(error) if error.kind() == ErrorKind::Missing => {
                    self.notes.say(&format!("{error}; the files that the command reads may go away"));
                    // Nothing is left to be renewed.
                    return std::future::pending().await;
                }
                Err(error) => {
                    if !was_told {
                        self.notes
                            .say(&format!("the lease {} could not be renewed yet: {error}", lease.name));
                    }
                    was_told = true;
                }
            }
        }
    }

    async fn renew(&self, lease: &Lease, time: Duration) -> Result<Lease, Error> {
        let hold = self.open_within(time).await?;
        let renewed = hold.renew(lease, self.lifetime);
        hold.close();
        renewed
    }

    /// Releases the lease, unless another process keeps us from it for too long.
    async fn release(&self, lease: &Lease, signals: &mut Signals) {
        let opened = tokio::select! {
            opened = self.open_within(RELEASE_TIME_MAX) => opened,
            _ = signals.received() => return self.say_it_stays(lease, "stopped"),
        };
        match opened.and_then(|hold| hold.release(lease).map(|()| wait_for_freed(&hold, lease))) {
            Ok(()) => {}
            // It was said when it was not renewed, or it was broken just now, which is the same to the command.
            Err(error) if error.kind() == ErrorKind::Missing => {}
            Err(error) => self.say_it_stays(lease, &error.to_string()),
        }
    }

    fn say_it_stays(&self, lease: &Lease, why: &str) {
        let name = &lease.name;
        let left = lease.expires.duration_since(Clock::system().wall()).unwrap_or_default();
        self.notes
            .say(&format!("the lease {name} stays, and ends by itself in {}: {why}", show_duration(left)));
    }
}

/// What is said of a command that cannot be run, as shells do.
pub(crate) fn cannot_run(command: &str, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NoCommand } else { Exit::NotRunnable };
    Failure::new(exit, format!("running {command}: {error}"))
}
