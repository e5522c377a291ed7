//! What the hold itself has to say, as lines on stderr: warnings as a rule, everything with `-v`, errors only with `-q`.
//! Refuses to show what other libraries say, and to write anywhere else.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::args::GlobalArguments;
use crate::output::note_line;

/// The crates that are listened to.
const OURS: [&str; 3] = ["data_manager", "host", "loghold"];

/// Shows the hold's own events from now on.
pub(crate) fn show(arguments: &GlobalArguments) {
    let level_max = match (arguments.quiet, arguments.verbose) {
        (true, _) => Level::ERROR,
        (false, true) => Level::DEBUG,
        (false, false) => Level::WARN,
    };
    // It fails only if somebody listens already, and then nothing is lost.
    let _somebody_listens = tracing::subscriber::set_global_default(Listener { level_max });
}

struct Listener {
    level_max: Level,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.target().split("::").next().is_some_and(|name| OURS.contains(&name));
        is_ours && metadata.is_event() && *metadata.level() <= self.level_max
    }

    /// Spans are not shown, so one id does for all.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        // When stderr is closed there is nobody left to tell.
        let _nobody_to_tell = writeln!(anstream::stderr().lock(), "{}", note_line(&line.finish()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message first, and the fields after it.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, name: &str, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _cannot_fail = if name == "message" {
            self.message.write_fmt(value)
        } else {
            write!(self.fields, ", {name}: {value}")
        };
    }

    fn finish(self) -> String {
        self.message + &self.fields
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format_args!("{value:?}"));
    }
}
