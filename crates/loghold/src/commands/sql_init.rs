//! `loghold sql-init`: what a SQL engine needs to read the chunks with the right types, opening the right files only.
//! Refuses a data directory whose name an engine would take for a pattern.

use std::path::PathBuf;

use crate::args::lease::{SqlEngine, SqlInitArguments};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print;
use crate::settings::Settings;

const DUCKDB: &str = include_str!("sql_init/duckdb.sql");
const POLARS: &str = include_str!("sql_init/polars.py");
const DATAFUSION: &str = include_str!("sql_init/datafusion.py");

/// The list that `loghold with` gives to its command.
const FILES_VARIABLE: &str = "LOGHOLD_FILES_JSON";

/// What stands between a data directory and a table's file.
const LEVELS: &str = "first_block=*/last_block=*/chunk=*";

pub(crate) fn run(arguments: &SqlInitArguments, settings: &Settings) -> Outcome<Exit> {
    settings.hold_options()?;
    let dirs = settings.data_dirs().iter().map(absolute).collect::<Outcome<Vec<String>>>()?;
    let text = match arguments.engine {
        SqlEngine::Duckdb => duckdb(&dirs, std::env::var(FILES_VARIABLE).ok().as_deref()),
        SqlEngine::Polars => POLARS.replace("@DIRS@", &python_list(&dirs)),
        SqlEngine::Datafusion => DATAFUSION.replace("@DIRS@", &python_list(&dirs)),
    };
    print(|out| out.write_all(text.as_bytes()))?;
    Ok(Exit::Done)
}

fn absolute(dir: &PathBuf) -> Outcome<String> {
    let shown = dir.display();
    let path = std::path::absolute(dir).map_err(|error| Failure::io(format!("finding {shown}"), &error))?;
    let text = path
        .to_str()
        .ok_or_else(|| Failure::usage(format!("the path {shown} is not UTF-8, and engines take text")))?;
    if text.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(Failure::usage(format!(
            "the path {shown} has one of * ? [ ] {{ }} in it, which engines take for patterns"
        )));
    }
    Ok(text.trim_end_matches('/').to_string())
}

/// The macros, and inside of `loghold with` the variable with its list.
fn duckdb(dirs: &[String], files: Option<&str>) -> String {
    let globs: Vec<String> = dirs
        .iter()
        .map(|dir| {
            let start = sql_text(&format!("{dir}/dataset_id="));
            let middle = sql_text(&format!("/{LEVELS}/"));
            format!("{start} || loghold_dataset(dataset) || {middle} || table_name || '.parquet'")
        })
        .collect();
    let globs = match &globs[..] {
        [glob] => glob.clone(),
        // DuckDB wants each of them to match a file.
        globs => format!("[{}]", globs.join(",\n     ")),
    };
    let text = DUCKDB.replace("@GLOBS@", &globs);
    let Some(files) = files else { return text };
    let list = sql_text(files);
    let read = format!("read_json({list}, format = 'array', columns = {{path: 'VARCHAR'}})");
    format!("{text}SET VARIABLE loghold_files = (SELECT list(path) FROM {read});\n")
}

fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// JSON's texts are Python's too.
fn python_list(dirs: &[String]) -> String {
    let texts: Vec<String> =
        dirs.iter().map(|dir| serde_json::Value::from(dir.as_str()).to_string()).collect();
    format!("[{}]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_directories_cannot_leave_their_quotes() {
        let dirs = ["/it's".to_string(), "/a\"\\b".to_string()];
        assert!(duckdb(&dirs, Some("/x'y")).contains("read_json('/x''y'"));
        assert!(duckdb(&dirs, None).contains("'/it''s/dataset_id='"));
        assert_eq!(python_list(&dirs), r#"["/it's", "/a\"\\b"]"#);
    }

    #[test]
    fn a_directory_that_is_a_pattern_is_refused() {
        assert_eq!(absolute(&"/data/*".into()).unwrap_err().exit, Exit::Usage);
        assert_eq!(absolute(&"/data/".into()).unwrap(), "/data");
    }
}
