//! Chunks and log as one line, while the sealer, trims and rollbacks go on underneath.
//! Refuses chance; the walk through all of it together is in `model`.

use std::time::Duration;

use rtrans::{TransId, TypeNo};
use sealer::{Compaction, Line, Reading, compact};

use crate::world::{World, plan, plan_with, records};

fn reading(world: &World, plan: &sealer::Plan, log: &rtrans::Log, blocks: std::ops::Range<u64>) -> Reading {
    Reading::new(&world.memory.store(), Some((plan.clone(), log.reader().clone())), blocks)
}

fn next(reading: &mut Reading) -> Option<Line> {
    reading.next_within(Duration::ZERO).unwrap()
}

#[test]
fn records_that_are_sealed_and_trimmed_while_they_are_read_are_given_once() {
    let plan = plan("retain = 'unsealed'\n[cut]\nrecords = 4");
    for seal_after in 0..=20 {
        for compact_after in [seal_after, seal_after + 3] {
            let world = World::new(1);
            let log = world.log();
            for number in 0..20_u8 {
                log.append(TypeNo(1), &[number]).unwrap();
            }
            let mut reading = reading(&world, &plan, &log, 2..17);
            let mut lines = Vec::new();
            while let Some(line) = next(&mut reading) {
                lines.push(line);
                if lines.len() == seal_after {
                    world.sealer(&plan, &log).seal_all().unwrap();
                }
                if lines.len() == compact_after {
                    compact(&plan, &world.memory.store(), Compaction { bytes_max: 1 << 30, chunks_min: 2 })
                        .unwrap();
                }
            }
            let expected: Vec<_> =
                (2..17_u8).map(|number| (u64::from(number) + 1, 1, vec![number])).collect();
            assert_eq!(records(&lines), expected, "sealed after {seal_after}");
            assert!(reading.is_done());
            let covered = reading.covered();
            assert_eq!((covered.first, covered.last, covered.lines), (Some(2), Some(16), 15));
            assert!(covered.gaps.is_empty() && covered.lost.is_empty());
        }
    }
}

#[test]
fn a_follower_sees_what_comes_and_what_was_rolled_back() {
    let (world, plan) = (World::new(1), plan("finality = { lag = 2 }\n[cut]\nrecords = 1"));
    let log = world.log();
    let mut sealer = world.sealer(&plan, &log);
    let mut reading = reading(&world, &plan, &log, 0..100);
    assert_eq!(next(&mut reading), None);
    for number in 0..4_u8 {
        log.append(TypeNo(1), &[number]).unwrap();
        sealer.seal_all().unwrap();
        assert_eq!(records(&[next(&mut reading).unwrap()]), [(u64::from(number) + 1, 1, vec![number])]);
        assert_eq!(next(&mut reading), None);
    }
    log.truncate_after(TransId::new(3)).unwrap();
    log.append(TypeNo(1), b"other").unwrap();
    assert_eq!(next(&mut reading), Some(Line::RolledBack { after: TransId::new(3) }));
    assert_eq!(records(&[next(&mut reading).unwrap()]), [(4, 1, b"other".to_vec())]);
    assert_eq!(next(&mut reading), None);
    assert_eq!(reading.covered().gaps, []);
}

#[test]
fn what_was_trimmed_before_it_was_sealed_is_told_as_lost() {
    let (world, plan) = (World::new(1), plan("[cut]\nrecords = 100"));
    let log = world.log();
    for number in 0..9_u8 {
        log.append(TypeNo(1), &[number]).unwrap();
    }
    log.trim_before(TransId::new(6).unwrap()).unwrap();
    let mut reading = reading(&world, &plan, &log, 0..100);
    let mut lines = Vec::new();
    while let Some(line) = next(&mut reading) {
        lines.push(line);
    }
    assert_eq!(lines.len(), 4);
    assert_eq!(reading.covered().lost, [(TransId::FIRST, TransId::new(5).unwrap())]);
    assert_eq!(reading.covered().gaps, vec![0..5; 1]);
}

#[test]
fn rows_of_typed_tables_are_the_same_from_the_log_and_from_chunks() {
    let tables = "[[table]]\ntype = 1\nfile = 'blocks.parquet'\ncolumns = [{ name = 'hash', type = 'binary' }, \
                  { name = 'at', type = 'timestamp_s' }]\n\
                  [[table]]\ntype = 2\nfile = 'logs.parquet'\ncolumns = [{ name = 'data', type = 'json', optional = true }]\n";
    let plan = plan_with("numbering = { field = 'n' }\nfinality = 'mark'\n[cut]\nage = '0s'", tables);
    let world = World::new(1);
    let log = world.log();
    for (type_no, payload) in [
        (1, r#"{"n":1,"hash":"0x01","at":"2023-07-13T17:38:11Z"}"#),
        (2, r#"{"n":1,"data":[1,{"a":2}]}"#),
        (2, r#"{"n":1}"#),
        (1, r#"{"n":2,"hash":"nothing","at":5}"#),
        (3, r#"{"n":2}"#),
        (1, r#"{"n":3,"hash":"ff","at":1.5}"#),
    ] {
        log.append(TypeNo(type_no), payload.as_bytes()).unwrap();
    }
    let from_log = world.read(&plan, Some(log.reader()), 0..9);
    log.finalize(log.last().unwrap()).unwrap();
    world.sealer(&plan, &log).seal_all().unwrap();
    let from_chunks = world.read(&plan, None, 0..9);
    assert_eq!(from_log, from_chunks);
    let tables: Vec<_> = from_chunks
        .iter()
        .map(|line| match line {
            Line::Row { table, values, .. } => (table.as_str(), values.get("reason").cloned()),
            other => panic!("{other:?}"),
        })
        .collect();
    let reason = |text: &str| Some(serde_json::Value::from(text));
    assert_eq!(
        tables,
        [
            ("blocks", None),
            ("logs", None),
            ("logs", None),
            ("_rejected", reason("blocks.parquet: hash is no binary")),
            ("_rejected", reason("no table takes type 3")),
            ("_rejected", reason("blocks.parquet: at is no timestamp_s")),
        ]
    );
    let Line::Row { values, .. } = &from_chunks[0] else { panic!("a row") };
    let expected = r#"{"block_number":1,"transid":1,"hash":"0x01","at":"2023-07-13T17:38:11Z"}"#;
    assert_eq!(*values, serde_json::from_str::<serde_json::Map<_, _>>(expected).unwrap());
}
