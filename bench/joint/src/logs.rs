//! Logs that are to be sealed, and plans by which they are.
//! Refuses any setting that a user would not find.

use std::path::Path;

use rtrans::{Level, Log, Options, TypeNo};
use sealer::Plan;

use crate::Outcome;
use crate::payloads::COLUMNS;

/// The type of every record.
pub(crate) const TYPE: TypeNo = TypeNo(1);

/// A new log with these records, which are on disk.
pub(crate) fn filled(dir: &Path, payloads: impl Iterator<Item = Vec<u8>>) -> Outcome<Log> {
    bench_kit::machine::fresh_dir(dir)?;
    let log = Log::open(dir, Options::default())?;
    for payload in payloads {
        log.append_at(Level::Memory, TYPE, &payload)?;
    }
    log.sync()?;
    Ok(log)
}

/// The columns of the only table of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    Raw,
    Typed,
}

/// A plan with one table, chunks of so many records, and so many records that are not final yet.
pub(crate) fn plan(store: &str, columns: Columns, records: u64, lag: u64) -> Outcome<Plan> {
    let columns = match columns {
        Columns::Raw => "\"raw\"".to_owned(),
        Columns::Typed => {
            let column = |(name, kind): (&str, &str)| format!("{{ name = \"{name}\", type = \"{kind}\" }}");
            format!("[{}]", COLUMNS.map(column).join(", "))
        }
    };
    let text = format!(
        "dataset = \"bench\"\nstore = \"{store}\"\nnumbering = \"one-per-block\"\nfinality = {{ lag = {lag} }}\n\
         [cut]\nrecords = {records}\n[[table]]\nfile = \"records.parquet\"\ncolumns = {columns}\n"
    );
    Ok(Plan::parse(&text)?)
}
