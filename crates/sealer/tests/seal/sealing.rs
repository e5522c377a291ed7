//! What is sealed, when, and that it stays what it was: one behaviour a test.
//! Refuses chance; the walk through all of it together is in `model`.

use std::time::Duration;

use rtrans::{Batch, TransId, TypeNo};
use sealer::{Error, Halt, SealState, Step};

use crate::world::{World, Wrong, plan, plan_with, records, said};

fn id(number: u64) -> TransId {
    TransId::new(number).unwrap()
}

#[test]
fn a_chunk_ends_with_the_record_that_fills_it_and_the_rest_waits() {
    let (world, plan) = (World::new(1), plan("[cut]\nrecords = 3"));
    let log = world.log();
    for number in 0..7_u32 {
        log.append(TypeNo(number), &number.to_le_bytes()).unwrap();
    }
    let mut sealer = world.sealer(&plan, &log);
    let chunks = sealer.seal_all().unwrap();
    let ranges: Vec<_> =
        chunks.iter().map(|chunk| (chunk.first_block, chunk.last_block, chunk.sequence)).collect();
    assert_eq!(ranges, [(0, 2, 1), (3, 5, 2)]);
    assert_eq!(sealer.step().unwrap(), Step::Waiting { records: 1 });
    assert_eq!(log.consumers().unwrap()[0].position, Some(id(6)));
    let expected: Vec<_> = log.scan(..).map(|record| said(&record.unwrap())).collect();
    assert_eq!(records(&world.read(&plan, Some(log.reader()), 0..100)), expected);
    assert_eq!(records(&world.read(&plan, None, 1..5)), expected[1..5]);
}

#[test]
fn the_age_of_the_first_record_ends_a_chunk() {
    let (world, plan) = (World::new(1), plan("[cut]\nage = '10m'"));
    let log = world.log();
    log.append(TypeNo(1), b"a").unwrap();
    let mut sealer = world.sealer(&plan, &log);
    assert_eq!(sealer.step().unwrap(), Step::Waiting { records: 1 });
    world.time.set_wall(world.time.clock().wall() + Duration::from_mins(10));
    assert!(matches!(sealer.step().unwrap(), Step::Sealed(_)));
}

#[test]
fn the_same_records_make_the_same_bytes_whoever_seals_them() {
    let plan = plan("[cut]\nrecords = 2");
    let contents = [1, 2].map(|seed| {
        let world = World::new(seed);
        let log = world.log();
        for _ in 0..4 {
            log.append(TypeNo(1), b"the same").unwrap();
        }
        world.sealer(&plan, &log).seal_all().unwrap();
        let names = world.memory.names();
        names.into_iter().map(|name| (world.memory.object(&name), name)).collect::<Vec<_>>()
    });
    assert_eq!(contents[0].len(), 4);
    assert_eq!(contents[0], contents[1]);
}

#[test]
fn a_chunk_of_many_rows_holds_each_once_however_they_were_appended() {
    const COUNT: u32 = 20_000;
    let tables = "[[table]]\nfile = 'raw.parquet'\ncolumns = 'raw'\n\
                  [[table]]\ntype = 1\nfile = 'odd.parquet'\ncolumns = [{ name = 'n', type = 'u64' }]\n";
    let plan = plan_with("[cut]\nage = '0s'", tables);
    // Half of the records are for the typed table, and half of these do not fit it.
    let payload =
        |n: u32| (TypeNo(n % 2), if n % 4 == 1 { "{}".to_owned() } else { format!("{{\"n\":{n}}}") });
    let contents = [1, 700].map(|at_once| {
        let world = World::new(1);
        let log = world.log();
        let payloads: Vec<_> = (0..COUNT).map(payload).collect();
        for some in payloads.chunks(at_once) {
            let batch = some.iter().fold(Batch::new(), |batch, (t, text)| batch.push(*t, text.as_bytes()));
            log.append_batch(&batch).unwrap();
        }
        let sealed = world.sealer(&plan, &log).seal_all().unwrap();
        let rows = ["raw.parquet", "odd.parquet", "_rejected.parquet"].map(|name| sealed[0].files[name].rows);
        assert_eq!(rows, [20_000, 5_000, 5_000]);
        let read = records(&world.read(&plan, None, 0..u64::from(COUNT)));
        assert_eq!(
            read,
            (1..).zip(&payloads).map(|(id, (t, text))| (id, t.0, text.clone().into())).collect::<Vec<_>>()
        );
        let names = world.memory.names().into_iter();
        names.map(|name| (world.memory.object(&name), name)).collect::<Vec<_>>()
    });
    assert!(contents[0] == contents[1], "other bytes for the same records");
}

#[test]
fn what_is_not_final_is_not_sealed_and_what_is_sealed_is_final() {
    let (world, plan) = (World::new(1), plan("finality = { lag = 2 }\n[cut]\nrecords = 1"));
    let log = world.log();
    for _ in 0..5 {
        log.append(TypeNo(1), b"a").unwrap();
    }
    let mut sealer = world.sealer(&plan, &log);
    assert_eq!(sealer.seal_all().unwrap().len(), 3);
    log.truncate_after(Some(id(3))).unwrap();
    assert!(matches!(log.truncate_after(Some(id(2))), Err(rtrans::Error::Finalized { .. })));
    log.append(TypeNo(1), b"b").unwrap();
    log.append(TypeNo(1), b"c").unwrap();
    assert_eq!(sealer.seal_all().unwrap(), []);
    log.append(TypeNo(1), b"d").unwrap();
    assert_eq!(sealer.seal_all().unwrap().len(), 1);
    let bytes: Vec<_> =
        records(&world.read(&plan, None, 0..9)).into_iter().map(|(_, _, bytes)| bytes).collect();
    assert_eq!(bytes, [b"a", b"a", b"a", b"b"]);
}

#[test]
fn only_what_the_mark_says_is_sealed() {
    let (world, plan) = (World::new(1), plan("finality = 'mark'\n[cut]\nage = '0s'"));
    let log = world.log();
    for _ in 0..5 {
        log.append(TypeNo(1), b"a").unwrap();
    }
    let mut sealer = world.sealer(&plan, &log);
    assert_eq!(sealer.step().unwrap(), Step::Waiting { records: 0 });
    log.finalize(id(3)).unwrap();
    assert_eq!(sealer.seal_all().unwrap()[0].last_transid, 3);
    assert_eq!(sealer.step().unwrap(), Step::Waiting { records: 0 });
}

#[test]
fn blocks_are_not_divided_and_holes_are_told() {
    let (world, plan) =
        (World::new(1), plan("numbering = { field = 'n' }\nfinality = { lag = 1 }\n[cut]\nrecords = 2"));
    let log = world.log();
    for number in [1, 1, 1, 5, 9, 9, 12] {
        log.append(TypeNo(1), format!("{{\"n\":{number}}}").as_bytes()).unwrap();
    }
    let chunks = world.sealer(&plan, &log).seal_all().unwrap();
    let ranges: Vec<_> =
        chunks.iter().map(|chunk| (chunk.first_block, chunk.last_block, chunk.gaps.clone())).collect();
    assert_eq!(ranges, [(1, 1, vec![]), (5, 9, vec![[6, 8]])]);
}

#[test]
fn a_block_with_another_parent_stops_the_line_until_it_is_rolled_back() {
    let linked = "finality = { lag = 0 }\nparent = { hash = 'h', parent = 'p' }\n[cut]\nrecords = 1";
    let (world, plan) = (World::new(1), plan(linked));
    let log = world.log();
    log.append(TypeNo(1), br#"{"h":"a","p":"0"}"#).unwrap();
    let mut sealer = world.sealer(&plan, &log);
    sealer.seal_all().unwrap();
    log.append(TypeNo(1), br#"{"h":"c","p":"b"}"#).unwrap();
    for _ in 0..2 {
        let halted = sealer.step();
        assert!(matches!(&halted, Err(Error::Halted(Halt::ParentDiffers { block: 1, .. }))), "{halted:?}");
    }
    log.truncate_after(Some(id(1))).unwrap();
    log.append(TypeNo(1), br#"{"h":"b","p":"a"}"#).unwrap();
    let chunks = sealer.seal_all().unwrap();
    assert_eq!(chunks[0].last_hash.as_deref(), Some("b"));
}

#[test]
fn another_log_is_not_sealed_behind_what_was_sealed() {
    let plan = plan("[cut]\nrecords = 2");
    let (world, other) = (World::new(1), World::new(2));
    let (log, stranger) = (world.log(), other.log());
    for _ in 0..4 {
        log.append(TypeNo(1), b"a").unwrap();
        stranger.append(TypeNo(1), b"b").unwrap();
    }
    world.sealer(&plan, &log).seal_all().unwrap();
    let mixed = World { memory: world.memory.clone(), ..other };
    let halted = mixed.sealer(&plan, &stranger).step();
    assert!(matches!(halted, Err(Error::Halted(Halt::LogDiffers { .. }))), "{halted:?}");
}

#[test]
fn a_store_that_lost_its_manifests_stops_the_line() {
    let (world, plan) = (World::new(1), plan("[cut]\nrecords = 1"));
    let log = world.log();
    log.append(TypeNo(1), b"a").unwrap();
    world.sealer(&plan, &log).seal_all().unwrap();
    let empty = World { memory: crate::world::Memory::default(), ..world };
    let halted = empty.sealer(&plan, &log).step();
    assert!(matches!(halted, Err(Error::Halted(Halt::StoreBehind { sealed: None, .. }))), "{halted:?}");
}

#[test]
fn every_call_of_the_store_may_fail_or_lose_its_answer_and_each_record_is_sealed_once() {
    let plan = plan("retain = 'unsealed'\n[cut]\nrecords = 2");
    for wrong in [Wrong::Refused, Wrong::AnswerLost, Wrong::Off] {
        for calls in 0.. {
            let world = World::new(1);
            let log = world.log();
            for number in 0..4_u8 {
                log.append(TypeNo(1), &[number]).unwrap();
            }
            world.memory.go_wrong(calls, wrong);
            let mut sealer = world.sealer(&plan, &log);
            let failed = sealer.seal_all().is_err();
            let in_chunks = |world: &World| records(&world.read(&plan, Some(log.reader()), 0..100));
            world.memory.heal();
            assert_eq!(in_chunks(&world).len(), 4, "{wrong:?} at {calls}");
            drop(sealer);
            world.sealer(&plan, &log).seal_all().unwrap();
            assert_eq!(
                in_chunks(&world),
                (0..4_u8).map(|n| (u64::from(n) + 1, 1, vec![n])).collect::<Vec<_>>()
            );
            assert_eq!(world.memory.names().len(), 4, "{wrong:?} at {calls}: {:?}", world.memory.names());
            assert_eq!(log.first(), None, "what was sealed was trimmed");
            if !failed && world.memory.calls() < calls {
                break;
            }
        }
    }
}

#[test]
fn a_second_sealer_of_the_same_records_repeats_or_goes_on_behind() {
    let first = plan("consumer = 'one'\n[cut]\nrecords = 2");
    let second = plan("consumer = 'two'\n[cut]\nrecords = 3");
    let world = World::new(1);
    let log = world.log();
    for number in 0..9_u8 {
        log.append(TypeNo(1), &[number]).unwrap();
    }
    let (mut one, mut two) = (world.sealer(&first, &log), world.sealer(&second, &log));
    assert!(matches!(one.step().unwrap(), Step::Sealed(_)));
    assert!(matches!(two.step().unwrap(), Step::Sealed(chunk) if chunk.first_transid == 3));
    assert!(matches!(one.step().unwrap(), Step::Sealed(chunk) if chunk.first_transid == 6));
    assert!(matches!(world.try_sealer(&first, &log), Err(Error::Log(rtrans::Error::Locked { .. }))));
}

#[test]
fn what_another_consumer_has_not_seen_is_not_trimmed() {
    let (world, plan) = (World::new(1), plan("retain = 'unsealed'\n[cut]\nrecords = 2"));
    let log = world.log();
    for number in 0..6_u8 {
        log.append(TypeNo(1), &[number]).unwrap();
    }
    let mut backend = log.consumer("backend").unwrap();
    backend.commit(id(3)).unwrap();
    let mut sealer = world.sealer(&plan, &log);
    sealer.seal_all().unwrap();
    assert_eq!(log.first(), Some(id(4)));
}

#[test]
fn damaged_files_are_noticed_before_the_manifest_is_written() {
    let (world, plan) = (World::new(1), plan("[cut]\nrecords = 1"));
    let log = world.log();
    log.append(TypeNo(1), b"a").unwrap();
    let mut sealer = world.sealer(&plan, &log);
    sealer.seal_all().unwrap();
    let name = world.memory.names().remove(0);
    world.memory.set(&name, "something else");
    let store = world.memory.store();
    let mut reading = sealer::Reading::new(&store, None, 0..9);
    assert!(matches!(reading.next_within(Duration::ZERO), Err(Error::Damaged { .. })));
    let manifest = world.memory.object("manifests/00000000000000000001.json");
    world.memory.set("manifests/00000000000000000002.json", manifest);
    assert!(matches!(sealer.step(), Err(Error::Damaged { .. })));
}

#[test]
fn in_the_layout_of_sqd_blocks_come_last_and_directories_hold_a_thousand_chunks() {
    let text = "layout = 'sqd'\nfirst_block = 7\nparent = { hash = 'h', parent = 'p' }\n[cut]\nrecords = 2";
    let tables = "[[table]]\nfile = 'blocks.parquet'\ncolumns = [{ name = 'h', type = 'utf8' }]\n\
                  [[table]]\nfile = 'records.parquet'\ncolumns = 'raw'\n";
    let (world, plan) = (World::new(1), plan_with(text, tables));
    let log = world.log();
    for (hash, parent) in [("0xaaaaaaaaa1", "0"), ("0xbbbbbbbbb2", "0xaaaaaaaaa1")] {
        log.append(TypeNo(1), format!(r#"{{"h":"{hash}","p":"{parent}"}}"#).as_bytes()).unwrap();
    }
    world.sealer(&plan, &log).seal_all().unwrap();
    let directory = "0000000007/0000000007-0000000008-bbbbbbb2";
    let expected = [
        format!("{directory}/records.parquet"),
        format!("{directory}/blocks.parquet"),
        "manifests/00000000000000000001.json".to_owned(),
    ];
    assert_eq!(world.memory.puts(), expected);
}

#[test]
fn a_file_that_the_store_garbles_gets_no_manifest_and_nothing_is_trimmed() {
    let (world, plan) = (World::new(1), plan("retain = 'unsealed'\n[cut]\nrecords = 1"));
    let log = world.log();
    log.append(TypeNo(1), b"a").unwrap();
    let mut sealer = world.sealer(&plan, &log);
    // The list of manifests is the first call, the file the second.
    world.memory.go_wrong(1, Wrong::Garbled);
    assert!(matches!(sealer.step(), Err(Error::Damaged { .. })));
    assert!(world.memory.names().iter().all(|name| !name.starts_with("manifests/")));
    assert_eq!(log.first(), Some(id(1)));
    assert!(matches!(sealer.step().unwrap(), Step::Sealed(_)));
    assert_eq!(log.first(), None);
}

#[test]
fn a_sealer_that_comes_second_says_so_and_goes_on_behind_the_first() {
    let (first, second) = (World::new(1), World::new(2));
    let (more, fewer) = (plan("[cut]\nrecords = 3"), plan("retain = 'unsealed'\n[cut]\nrecords = 2"));
    let logs = [first.log(), second.log()];
    for number in 0..5_u8 {
        for log in &logs {
            log.append(TypeNo(1), &[number]).unwrap();
        }
    }
    first.sealer(&more, &logs[0]).seal_all().unwrap();
    for name in first.memory.names().iter().filter(|name| name.starts_with("chunks/")) {
        second.memory.set(name, first.memory.object(name));
    }
    second.memory.be_first_next(first.memory.object("manifests/00000000000000000001.json"));
    let mut sealer = second.sealer(&fewer, &logs[1]);
    assert_eq!(sealer.step().unwrap(), Step::Overtaken);
    assert_eq!(logs[1].first(), Some(id(4)));
    assert!(matches!(sealer.step().unwrap(), Step::Sealed(chunk) if chunk.first_transid == 4));
    assert_eq!(records(&second.read(&fewer, None, 0..9)).len(), 5);
}

#[test]
fn a_rollback_between_two_steps_is_noticed_before_a_block_is_divided() {
    let text = "numbering = { field = 'n' }\nfinality = { lag = 2 }\n[cut]\nrecords = 2";
    let (world, plan) = (World::new(1), plan(text));
    let log = world.log();
    let append = |number: u64| log.append(TypeNo(1), format!("{{\"n\":{number}}}").as_bytes()).unwrap();
    for number in [1, 2, 3] {
        append(number);
    }
    let mut sealer = world.sealer(&plan, &log);
    assert_eq!(sealer.step().unwrap(), Step::Waiting { records: 1 });
    log.truncate_after(Some(id(1))).unwrap();
    for number in [5, 5, 6] {
        append(number);
    }
    assert_eq!(sealer.step().unwrap(), Step::Waiting { records: 1 });
    append(7);
    assert!(matches!(sealer.step().unwrap(), Step::Sealed(chunk) if chunk.last_transid == 3));
}

#[test]
fn why_says_how_far_sealing_is_and_what_stops_it_beside_a_sealer() {
    let parent = "parent = { hash = 'h', parent = 'p' }\nfinality = { lag = 1 }\n[cut]\nrecords = 2";
    let (world, plan) = (World::new(1), plan(parent));
    let log = world.log();
    let why = || sealer::why(&plan, log.reader(), &world.memory.store(), &world.time.clock()).unwrap();
    assert_eq!((why().state, why().unsealed), (SealState::Waiting, 0));
    for payload in [r#"{"h":"a","p":"x"}"#, r#"{"h":"b","p":"a"}"#, r#"{"h":"c","p":"b"}"#] {
        log.append(TypeNo(1), payload.as_bytes()).unwrap();
    }
    assert_eq!(why().state, SealState::Ready { last: id(2) });
    let mut sealer = world.sealer(&plan, &log);
    assert_eq!(sealer.seal_all().unwrap().len(), 1);
    assert_eq!((why().state, why().unsealed, why().pending.records), (SealState::Waiting, 1, 0));
    assert_eq!(why().sealed.unwrap().last_transid, 2);

    log.append(TypeNo(1), br#"{"h":"e","p":"d"}"#).unwrap();
    let Error::Halted(halt) = sealer.step().unwrap_err() else { panic!("it went on") };
    assert_eq!(why().state, SealState::Halted(halt));
    log.truncate_after(Some(id(3))).unwrap();
    assert_eq!(why().state, SealState::Waiting);
    log.truncate_after(Some(id(2))).unwrap();
    world.memory.remove_manifests();
    assert!(matches!(why().state, SealState::Halted(Halt::StoreBehind { .. })));
}
