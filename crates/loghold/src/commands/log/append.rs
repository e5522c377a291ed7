//! `loghold log append`: records from stdin or files, pipelined; each id is printed once its record is as durable as
//! asked for.
//! Refuses to print an id before that, whatever the speed: a test may kill it at any moment and hold it to every line.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use rtrans::{Batch, Log, Options, Scheduling, Ticket, TransId, TypeNo};

use crate::args::OutputFormat;
use crate::args::log::AppendArguments;
use crate::commands::log::meter::Meter;
use crate::commands::log::records_in::{End, Go, Source, each_record};
use crate::commands::log::records_out::failed;
use crate::commands::log::{Context, options_of};
use crate::exit::{Exit, Failure, Outcome};
use crate::notes::Notes;
use crate::stop::Stop;

/// Records on their way whose ids are not printed yet; their bytes are bounded by the log itself.
const TICKETS_MAX: usize = 1 << 16;

/// What the one that prints is told, in order.
enum Event {
    /// A record of so many bytes is on its way.
    Appended(Ticket, usize),
    /// What stood behind the last line feed, and the id of the record before it: it is no record yet.
    Rest(Vec<u8>, Option<TransId>),
    /// There are no more.
    Ended(Outcome<()>),
    /// A signal came.
    Stopped(Exit),
}

pub(crate) fn run(context: &Context, arguments: AppendArguments) -> Outcome<Exit> {
    let options = options_of(arguments.create, &arguments.parameters)?;
    let scheduling = context.schedule(arguments.scheduling);
    let log = context.writer(&Options { level: arguments.durability.into(), scheduling, ..options })?;
    let (sender, events) = sync_channel(TICKETS_MAX);
    let on_stop = sender.clone();
    // A full channel has events in it that come first; the signal waits behind them.
    let stop = Stop::listen(move |exit| drop(on_stop.send(Event::Stopped(exit))))?;
    let source = match (arguments.framed, arguments.file.is_empty()) {
        (true, _) => Source::Frames,
        (false, true) => Source::Lines,
        (false, false) => Source::Files(arguments.file),
    };
    let type_no = TypeNo(arguments.type_no);
    read_in_a_thread((log.clone(), type_no, scheduling), source, sender)?;
    let mut printer = Printer::new(context.format, context.notes);
    // ^C ends whoever writes to stdin as well, mostly in the middle of a line: this is no record then. The signal was sent before
    // stdin was closed by that, and this thread is where it arrives.
    let take_rest = |bytes: &[u8], before| match stop.exit_by_now() {
        Some(exit) => Ok(Err(exit)),
        None => log.append_batch_async(&behind(before, type_no, bytes)).map(Ok).map_err(Failure::from),
    };
    let ended = printer.print(&events, take_rest);
    printer.finish()?;
    // Also what was not waited for. The thread that reads may still stand at stdin; its appends are refused from here on.
    let closed = log.close();
    let exit = ended.map_err(go_on_behind)?;
    closed.map_err(|error| go_on_behind(error.into()))?;
    Ok(exit)
}

/// Ids that were not printed may be there all the same: running the same command again is not the way to go on.
fn go_on_behind(failure: Failure) -> Failure {
    match failure.exit {
        Exit::DiskFull => failure.hint(
            "ids that were printed are kept, and some behind them may be: `loghold log ls` tells the last one, go on behind it",
        ),
        _ => failure,
    }
}

/// Reads and appends beside the printing: what comes while a sync is under way goes into the next one.
fn read_in_a_thread(
    (log, type_no, scheduling): (Log, TypeNo, Scheduling),
    source: Source,
    sender: SyncSender<Event>,
) -> Outcome<()> {
    let work = move || {
        scheduling.apply_here();
        let mut before = None;
        let read = each_record(source, |bytes, end| {
            if end == End::OfInput {
                let rest = Event::Rest(bytes.to_vec(), before);
                return Ok(sender.send(rest).map_or(Go::Stop, |()| Go::On));
            }
            let ticket = log.append_batch_async(&behind(before, type_no, bytes))?;
            before = ticket.id();
            // When nobody listens any more, the command is over.
            Ok(sender.send(Event::Appended(ticket, bytes.len())).map_or(Go::Stop, |()| Go::On))
        });
        drop(sender.send(Event::Ended(read)));
    };
    let thread = thread::Builder::new().name("input".to_string()).spawn(work);
    thread.map(drop).map_err(|error| Failure::io("starting a thread", &error))
}

/// Behind the record before, or not at all: when the disk is full only for a while, what comes later must not take the place of
/// what found no room.
fn behind(before: Option<TransId>, type_no: TypeNo, bytes: &[u8]) -> Batch<'_> {
    let batch = Batch::new().push(type_no, bytes);
    if before.is_some() { batch.expect_last(before) } else { batch }
}

/// Prints ids.
struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    format: OutputFormat,
    meter: Option<Meter>,
    count: u64,
    bytes: u64,
    is_flushed: bool,
}

impl Printer {
    fn new(format: OutputFormat, notes: Notes) -> Printer {
        // On a terminal the ids themselves are the progress.
        let meter = (!io::stdout().is_terminal()).then(|| Meter::new(notes, "appended"));
        let out = BufWriter::new(io::stdout().lock());
        Printer { out, format, meter, count: 0, bytes: 0, is_flushed: true }
    }

    fn print(
        &mut self,
        events: &Receiver<Event>,
        take_rest: impl Fn(&[u8], Option<TransId>) -> Outcome<Result<Ticket, Exit>>,
    ) -> Outcome<Exit> {
        loop {
            match self.next(events)? {
                Event::Appended(ticket, bytes) => self.print_id(&ticket, bytes)?,
                Event::Rest(bytes, before) => match take_rest(&bytes, before)? {
                    Ok(ticket) => self.print_id(&ticket, bytes.len())?,
                    Err(exit) => return Ok(exit),
                },
                Event::Ended(read) => return read.map(|()| Exit::Done),
                Event::Stopped(exit) => return Ok(exit),
            }
            let (bytes, count) = (self.bytes, self.count);
            if let Some(meter) = &mut self.meter {
                meter.show(bytes, None, || format!(", {count} records"));
            }
        }
    }

    fn print_id(&mut self, ticket: &Ticket, bytes: usize) -> Outcome<()> {
        if !ticket.is_done() {
            self.flush()?;
        }
        let appended = ticket.wait()?;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        match appended.first {
            Some(id) => self.write(id.get()).map_err(|error| failed(&error)),
            None => Ok(()),
        }
    }

    /// The next event. What was printed is flushed before it is waited for.
    fn next(&mut self, events: &Receiver<Event>) -> Outcome<Event> {
        let gone = || Failure::new(Exit::Error, "the thread that reads the input has ended");
        match events.try_recv() {
            Ok(event) => Ok(event),
            Err(TryRecvError::Empty) => {
                self.flush()?;
                events.recv().map_err(|_| gone())
            }
            Err(TryRecvError::Disconnected) => Err(gone()),
        }
    }

    fn write(&mut self, id: u64) -> io::Result<()> {
        self.is_flushed = false;
        let is_first = self.count == 0;
        self.count = self.count.saturating_add(1);
        match self.format {
            OutputFormat::Json if is_first => write!(self.out, "[\n  {{\"id\": {id}}}"),
            OutputFormat::Json => write!(self.out, ",\n  {{\"id\": {id}}}"),
            OutputFormat::Jsonl => writeln!(self.out, "{{\"id\":{id}}}"),
            OutputFormat::Table | OutputFormat::Raw => writeln!(self.out, "{id}"),
        }
    }

    fn flush(&mut self) -> Outcome<()> {
        if !self.is_flushed {
            self.is_flushed = true;
            self.out.flush().map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Outcome<()> {
        if let Some(meter) = self.meter.take() {
            meter.finish();
        }
        let ended = match (self.format, self.count) {
            (OutputFormat::Json, 0) => self.out.write_all(b"[]\n"),
            (OutputFormat::Json, _) => self.out.write_all(b"\n]\n"),
            _ => Ok(()),
        };
        ended.and_then(|()| self.out.flush()).map_err(|error| failed(&error))
    }
}
