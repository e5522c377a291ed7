//! The Rust of the README: it compiles, and stands there as it stands here.
//! Refuses to run it: it would fetch from the network and write below /var/lib.

#[rustfmt::skip]
#[expect(dead_code, unused_variables, clippy::duration_suboptimal_units, reason = "it is there to be compiled, as it is shown")]
fn the_hold_as_a_library() -> Result<(), Box<dyn std::error::Error>> {
    // From the README.
    use std::collections::HashMap;
    use std::time::Duration;
    use data_manager::data_chunk::{DataChunk, DataChunkRef};
    use data_manager::data_manager::DataManagerImpl;
    use data_manager::options::Options;

    let hold = DataManagerImpl::open(Options::new("/var/lib/worker"))?;   // what an earlier run fetched is found again
    hold.download_chunk(DataChunk {                                       // returns at once; the download runs in the background
        id: [1; 32],
        dataset_id: [7; 32],
        block_range: 0..36,                                               // half-open: the last block is 35
        files: HashMap::from([(
            "blocks.parquet".to_string(),                                 // #sha256=<hex>, #blake3=<hex> and &size= are checked
            "https://data.example/0-35/blocks.parquet#size=1048576".to_string(),
        )]),
    })?;
    let view = hold.wait_ready([7; 32], 0..36, Duration::from_secs(60))?; // all chunks of the range, pinned together
    let chunk = hold.find_chunk([7; 32], 17).expect("it is ready");       // a pin; takes no lock and does no IO
    println!("{}", chunk.path().display());                               // the files stay as they are until the last pin is dropped
    hold.delete_chunk([1; 32]);                                           // hidden at once, removed after the last pin
    // As far as that.
    Ok(())
}

#[rustfmt::skip]
#[expect(dead_code, unused_variables, reason = "it is there to be compiled, as it is shown")]
fn the_log_as_a_library() -> Result<(), Box<dyn std::error::Error>> {
    // From the README.
    use rtrans::{Log, Options, TypeNo};

    let log = Log::open("/var/lib/blocks", Options::default())?;
    let id = log.append(TypeNo(7), b"bytes")?;                            // durable when it returns
    let mut backend = log.consumer("backend")?;                           // goes on where it was, also after a crash
    for record in backend.next_batch(100)? {
        backend.commit(record.id)?;
    }
    // As far as that.
    Ok(())
}

#[cfg(test)]
mod tests {
    /// What stands between two lines, each time.
    fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> Vec<&'a str> {
        text.split(begin).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
    }

    #[test]
    fn the_rust_of_the_readme_is_what_compiles_here() {
        let shown: Vec<Vec<&str>> = between(include_str!("../../../README.md"), "\n```rust\n", "```\n")
            .into_iter()
            .map(|block| block.lines().collect())
            .collect();
        let (functions, _) = include_str!("readme.rs").split_once("\n#[cfg(test)]\n").unwrap();
        let compiled: Vec<Vec<&str>> =
            between(functions, "    // From the README.\n", "    // As far as that.\n")
                .into_iter()
                .map(|block| block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect())
                .collect();
        assert_eq!(shown.len(), 2, "a block without its function, or a function without its block");
        assert_eq!(shown, compiled, "copy the block of the README to tests/readme.rs, or the other way");
    }
}
