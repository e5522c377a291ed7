//! DuckDB, in a Python that stays: a line of SQL in, its time out.
//! Refuses to count the start of Python.

use std::process::Command;

use bench_kit::child::Running;
use bench_kit::machine::find_program;
use bench_kit::report::Sheet;

use crate::Outcome;

/// Answers each line of SQL with its seconds and its first value, or with what went wrong.
const SCRIPT: &str = r#"
import sys, time
import duckdb
connection = duckdb.connect()
print(duckdb.__version__, flush=True)
for line in sys.stdin:
    begin = time.perf_counter()
    try:
        rows = connection.execute(line).fetchall()
        print(time.perf_counter() - begin, rows[0][0] if rows else 0, flush=True)
    except Exception as error:
        print("failed:", " ".join(str(error).split()), flush=True)
"#;

/// A connection to a database in memory.
#[derive(Debug)]
pub(crate) struct DuckDb {
    python: Running,
    pub(crate) version: String,
}

impl DuckDb {
    /// Starts it where it is installed and wanted; otherwise the sheet says that it is missing.
    pub(crate) fn start(has_rivals: bool, sheet: &mut Sheet) -> Outcome<Option<DuckDb>> {
        if !has_rivals {
            return Ok(None);
        }
        for name in ["python", "python3"] {
            let Some(program) = find_python(name) else { continue };
            let mut command = Command::new(program);
            command.args(["-c", SCRIPT]);
            let mut python = Running::asked(command)?;
            let version = python.line()?;
            return Ok(Some(DuckDb { python, version }));
        }
        let missing =
            "DuckDB is NOT MEASURED: no Python here has the module duckdb (`cargo xtask test` makes one)";
        eprintln!("    {missing}");
        sheet.remark(missing);
        Ok(None)
    }

    /// Seconds of one statement, and its first value.
    pub(crate) fn run(&mut self, sql: &str) -> Outcome<(f64, String)> {
        let answer = self.python.answer(&sql.replace('\n', " "))?;
        let (seconds, value) = answer.split_once(' ').ok_or("DuckDB is gone")?;
        let seconds = seconds.parse().map_err(|_| answer.clone())?;
        Ok((seconds, value.to_owned()))
    }
}

/// A Python of this name with DuckDB.
fn find_python(name: &str) -> Option<std::path::PathBuf> {
    let has_module = |path: &std::path::PathBuf| {
        let output = Command::new(path).args(["-c", "import duckdb"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    // The one of the tests lies beside moto.
    let beside_moto = find_program("moto_server").map(|moto| moto.with_file_name(name));
    beside_moto.into_iter().chain(find_program(name)).find(has_module)
}
