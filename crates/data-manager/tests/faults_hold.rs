//! Limits, room, order and junk: what the hold does when the disk, the link or the data directory are not as it would like.
//! Fails when a limit is passed, a pause does not end, or junk stops the start.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]

mod fixture;

use std::time::Duration;

use data_manager::assignment::{Assignment, Dropping, Priority};
use data_manager::data_chunk::{DataChunk, DataChunkRef};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::error::ErrorKind;
use data_manager::event::Event;
use data_manager::options::DataDir;
use data_manager::verify::{Depth, Verify};
use fixture::{DATASET, PATIENCE, Said, Stock, World, assert_nothing_wrong, expect_event, stocked, wide_id};
use origin::{Fault, Link, Plan, Site};

fn small(number: u32) -> Stock {
    Stock::new(number, &[("a.parquet", 10_000)])
}

/// Fetches chunks one after the other.
fn get(hold: &DataManagerImpl, world: &World, stock: &[Stock]) {
    for each in stock {
        hold.download_chunk(each.chunk(&world.origin, Said::Size)).expect("it is taken");
        hold.wait_chunk(each.id(), PATIENCE).expect("it becomes ready");
    }
}

fn slow(stock: &[Stock], bytes_per_second: u64) -> World {
    let link = Link { bytes_per_second_total: bytes_per_second, ..Link::default() };
    World::of(stock.iter().fold(Site::new().link(link), |site, each| each.on(site)))
}

#[test]
fn a_bandwidth_limit_holds_and_can_be_lifted_while_bytes_come() {
    let stock = Stock::new(1, &[("a.parquet", 40 << 20)]);
    let world = stocked(std::slice::from_ref(&stock));
    let mut options = world.options();
    options.limits.bytes_per_second_max = Some(1 << 20);
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
    // At 1 MiB a second it would take 40 s; what the sockets hold is on top of it.
    assert!(hold.wait_chunk(stock.id(), Duration::from_secs(1)).is_err());
    assert!(hold.totals().fetched_bytes <= 8 << 20, "{}", hold.totals().fetched_bytes);
    let mut limits = hold.limits();
    limits.bytes_per_second_max = None;
    hold.set_limits(limits).unwrap();
    hold.wait_chunk(stock.id(), Duration::from_secs(20)).unwrap();
    assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
}

#[test]
fn no_more_chunks_are_in_flight_than_allowed_and_no_more_requests_are_open() {
    let stock: Vec<Stock> = (1..=12)
        .map(|number| {
            Stock::new(number, &[("a.parquet", 200_000), ("b.parquet", 200_000), ("c.parquet", 200_000)])
        })
        .collect();
    let world = slow(&stock, 8 << 20);
    let mut options = world.options();
    options.limits.chunks_in_flight_max = 2;
    options.limits.connections_max = 3;
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    let mut watch = hold.watch();
    for each in &stock {
        hold.download_chunk(each.chunk(&world.origin, Said::Size)).unwrap();
    }
    let (mut open, mut ready) = (0_i32, 0);
    expect_event(&mut watch, "all ready", |event| {
        match event {
            Event::Started(_) => open += 1,
            Event::Ready(_) => {
                open -= 1;
                ready += 1;
            }
            _ => {}
        }
        // One whose bytes are all here is published while the next begins.
        assert!(open <= 3, "{open} chunks in flight");
        ready == 12
    });
    assert!(world.origin.connections() <= 6, "{} connections", world.origin.connections());
}

#[test]
fn a_full_directory_pauses_and_goes_on_when_a_chunk_is_deleted() {
    let stock: Vec<Stock> = (1..=3).map(|number| Stock::new(number, &[("a.parquet", 1_000_000)])).collect();
    let world = stocked(&stock);
    let mut options = world.options();
    options.data_dirs[0].bytes_max = Some(2_500_000);
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    get(&hold, &world, &stock[..2]);
    let mut watch = hold.watch();
    hold.download_chunk(stock[2].chunk(&world.origin, Said::Size)).unwrap();
    let paused = expect_event(&mut watch, "the pause", |event| matches!(event, Event::Paused { .. }));
    let Event::Paused { reason, .. } = paused else { unreachable!() };
    assert!(reason.contains("may hold 2.3 MiB"), "{reason}");
    let status = hold.data_dirs().remove(0);
    assert_eq!((status.ready_bytes, status.paused, status.until_restart), (2_000_000, Some(reason), false));
    let failed = expect_event(&mut watch, "the failure", |event| matches!(event, Event::Failed { .. }));
    let Event::Failed { reason, .. } = failed else { unreachable!() };
    assert!(reason.contains("no room for 976.5 KiB"), "{reason}");
    assert!(hold.status(stock[2].id()).unwrap().last_error.unwrap().contains("no room"));
    hold.delete_chunk(stock[0].id());
    expect_event(&mut watch, "the end of the pause", |event| matches!(event, Event::Resumed(_)));
    assert_eq!(hold.data_dirs()[0].paused, None);
    hold.wait_chunk(stock[2].id(), Duration::from_secs(5)).unwrap();
    assert_nothing_wrong(&hold, &stock);
}

#[test]
fn a_length_that_no_descriptor_says_is_checked_against_the_room_before_it_is_taken() {
    let large = Stock::new(1, &[("a.parquet", 3_000_000)]);
    let small = Stock::new(2, &[("a.parquet", 900_000)]);
    let stock = [large, small];
    let world = stocked(&stock);
    let mut options = world.options();
    options.data_dirs[0].bytes_max = Some(2_000_000);
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    let mut watch = hold.watch();
    hold.download_chunk(stock[0].chunk(&world.origin, Said::Nothing)).unwrap();
    let failed = expect_event(&mut watch, "the failure", |event| matches!(event, Event::Failed { .. }));
    let Event::Failed { reason, .. } = failed else { unreachable!() };
    assert!(reason.contains("no room"), "{reason}");
    hold.download_chunk(stock[1].chunk(&world.origin, Said::Nothing)).unwrap();
    hold.wait_chunk(stock[1].id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, &stock);
}

#[test]
fn downloads_under_way_count_against_the_share_of_their_directory() {
    let stock: Vec<Stock> = (1..=3).map(|number| Stock::new(number, &[("a.parquet", 1_000_000)])).collect();
    let world = stocked(&stock);
    world.origin.set_fault("1/", Plan::always(Fault::HangBody { after: 600_000 }));
    let mut options = world.options();
    options.data_dirs[0].bytes_max = Some(2_500_000);
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    let mut watch = hold.watch();
    hold.download_chunk(stock[0].chunk(&world.origin, Said::Size)).unwrap();
    world.runtime.block_on(world.origin.wait_for_bytes(600_000));
    hold.download_chunk(stock[1].chunk(&world.origin, Said::Size)).unwrap();
    hold.wait_chunk(stock[1].id(), PATIENCE).unwrap();
    hold.download_chunk(stock[2].chunk(&world.origin, Said::Size)).unwrap();
    expect_event(&mut watch, "the pause", |event| matches!(event, Event::Paused { .. }));
    world.origin.clear_faults();
}

#[test]
fn room_that_must_stay_free_stays_free() {
    let stock = small(1);
    let world = stocked(std::slice::from_ref(&stock));
    let mut options = world.options();
    options.limits.free_bytes_min = u64::MAX;
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    let mut watch = hold.watch();
    hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
    expect_event(&mut watch, "the pause", |event| matches!(event, Event::Paused { .. }));
    assert!(world.origin.log().is_empty(), "nothing is asked for that has no room");
    let mut limits = hold.limits();
    limits.free_bytes_min = 0;
    hold.set_limits(limits).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
}

#[test]
fn chunks_go_to_the_directory_with_room() {
    let stock: Vec<Stock> = (1..=6).map(|number| Stock::new(number, &[("a.parquet", 1_000_000)])).collect();
    let world = stocked(&stock);
    let mut options = world.options();
    let dir =
        |name: &str, mb: u64| DataDir { path: world.path().join(name), bytes_max: Some(mb * 1_000_000) };
    options.data_dirs = vec![dir("one", 2), dir("two", 4)];
    let hold = DataManagerImpl::open_with(options.clone(), Parts::default()).unwrap();
    get(&hold, &world, &stock);
    let on_one = stock
        .iter()
        .filter(|each| hold.get_chunk(each.id()).unwrap().path().starts_with(world.path().join("one")));
    assert_eq!(on_one.count(), 2, "each directory holds what it may");
    hold.close();
    drop(hold);
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    assert_eq!(hold.list_chunks().len(), 6);
    assert_nothing_wrong(&hold, &stock);
}

#[test]
fn an_assignment_drops_the_old_only_when_the_new_is_there() {
    let stock: Vec<Stock> = (1..=4).map(small).collect();
    let world = stocked(&stock);
    let hold = world.open();
    let assign = |id: &str, members: &[usize], drop: Dropping| Assignment {
        id: id.to_string(),
        chunks: members
            .iter()
            .map(|member| (stock[*member].chunk(&world.origin, Said::Size), Priority::default()))
            .collect(),
        drop,
    };
    let mut watch = hold.watch();
    hold.apply(assign("first", &[0, 1], Dropping::Now)).unwrap();
    expect_event(&mut watch, "the first", |event| *event == Event::Applied("first".to_string()));
    world.origin.set_fault("", Plan::first(1, Fault::Delay { for_ms: 300 }));
    hold.apply(assign("second", &[1, 2, 3], Dropping::AfterApplied(Duration::from_millis(200)))).unwrap();
    let mut applied = false;
    expect_event(&mut watch, "the end of the old", |event| {
        applied |= *event == Event::Applied("second".to_string());
        assert!(applied || !matches!(event, Event::Hidden(_)), "the old stays until the new is there");
        *event == Event::Removed(stock[0].id())
    });
    assert_eq!(hold.applied().as_deref(), Some("second"));
    let mut left = hold.list_chunks();
    left.sort_unstable();
    assert_eq!(left, [2, 3, 4].map(wide_id));
}

/// Makes a descriptor one that must be refused.
type Spoil<'a> = &'a dyn Fn(&mut DataChunk);

#[test]
fn an_assignment_with_one_chunk_that_is_too_large_is_refused_whole_before_the_disk_is_touched() {
    let stock = [small(1), small(2), small(3)];
    let world = stocked(&stock);
    let hold = world.open();
    hold.download_chunk(stock[0].chunk(&world.origin, Said::Size)).unwrap();
    hold.wait_chunk(stock[0].id(), PATIENCE).unwrap();
    let asked = world.origin.log().len();
    let too_many_files = |chunk: &mut DataChunk| {
        chunk.files = (0..65).map(|file| (format!("{file}.parquet"), world.origin.url("x"))).collect();
    };
    let too_many_bytes = |chunk: &mut DataChunk| {
        chunk.files = ["a.parquet", "b.parquet"]
            .map(|name| (name.to_string(), format!("{}#size={}", world.origin.url(name), u64::MAX)))
            .into();
    };
    let cases: [(Spoil<'_>, &str); 2] = [(&too_many_files, "64"), (&too_many_bytes, "2^64")];
    for (spoil, reason) in cases {
        let mut bad = stock[2].chunk(&world.origin, Said::Size);
        spoil(&mut bad);
        let chunks = vec![(stock[1].chunk(&world.origin, Said::Size), Priority(0)), (bad, Priority(0))];
        let assignment = Assignment { id: "bad".to_string(), chunks, drop: Dropping::Now };
        let error = hold.apply(assignment).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(reason), "{error}");
    }
    assert!(hold.status(stock[1].id()).is_none() && hold.status(stock[2].id()).is_none());
    assert_eq!(hold.list_chunks(), [stock[0].id()], "what it does not name is still here");
    assert_eq!(world.origin.log().len(), asked);
    assert_eq!(std::fs::read_dir(world.path().join("hold/.staging")).unwrap().count(), 0);
}

#[test]
fn damage_on_disk_is_found_by_verify_and_healed() {
    let stock: Vec<Stock> = (1..=3).map(small).collect();
    let world = stocked(&stock);
    let hold = world.open();
    get(&hold, &world, &stock);
    let path = hold.get_chunk(stock[1].id()).unwrap().path().join("a.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5_000] ^= 1;
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of the test's own")]
    permissions.set_readonly(false);
    std::fs::set_permissions(&path, permissions).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let mut watch = hold.watch();
    hold.verify(Verify::default()).unwrap().wait().unwrap();
    expect_event(
        &mut watch,
        "the finding",
        |event| matches!(event, Event::Quarantined { id, .. } if *id == stock[1].id()),
    );
    hold.wait_chunk(stock[1].id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, &stock);
    assert_eq!(hold.list_chunks().len(), 3);
}

#[test]
fn a_link_in_the_place_of_a_chunk_is_damage_and_what_it_leads_to_is_left_alone() {
    let stock: Vec<Stock> = (1..=2).map(small).collect();
    let world = stocked(&stock);
    let hold = world.open();
    get(&hold, &world, &stock);
    let path = hold.get_chunk(stock[0].id()).unwrap().path().to_path_buf();
    hold.close();
    drop(hold);
    let outside = world.path().join("outside");
    std::fs::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    let hold = world.open();
    let report = hold.verify(Verify { depth: Depth::Lengths, ..Verify::default() }).unwrap().wait().unwrap();
    assert!(report.damaged.len() <= 1, "the look after the start may have been first: {report:?}");
    hold.wait_gone(stock[0].id(), PATIENCE).unwrap();
    assert_eq!(hold.list_chunks(), [stock[1].id()]);
    assert!(outside.join("a.parquet").exists() && !path.exists());
}

#[test]
fn a_link_above_chunks_keeps_no_hold_from_starting_and_no_deletion_from_ending() {
    let stock: Vec<Stock> = (1..=2).map(small).collect();
    let world = stocked(&stock);
    let hold = world.open();
    get(&hold, &world, &stock);
    let pin = hold.get_chunk(stock[0].id()).unwrap();
    hold.delete_chunk(stock[0].id());
    hold.close();
    drop(hold);
    // The dataset's directory, which is three levels up.
    let dataset = pin.path().ancestors().nth(3).unwrap().to_path_buf();
    let outside = world.path().join("outside");
    std::fs::rename(&dataset, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &dataset).unwrap();
    let hold = world.open();
    hold.delete_chunk(stock[1].id());
    for each in &stock {
        hold.wait_gone(each.id(), PATIENCE).unwrap();
    }
    hold.close();
    drop(hold);
    assert_eq!(world.open().list_chunks(), [[0; 32]; 0]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 2, "what the link leads to is not ours");
}

#[test]
fn a_verification_counts_every_byte_it_reads_and_ends_at_its_total() {
    let stock: Vec<Stock> = (1..=3).map(|number| Stock::new(number, &[("a.parquet", 9 << 20)])).collect();
    let world = stocked(&stock);
    let hold = world.open();
    get(&hold, &world, &stock);
    let mut verification = hold.verify(Verify::default()).unwrap();
    let report = world.runtime.block_on(verification.finished()).unwrap();
    let reached = verification.progress();
    assert_eq!((report.sound, report.bytes), (3, 27 << 20));
    assert_eq!((reached.chunks_done, reached.chunks_total), (3, 3));
    assert_eq!((reached.bytes_done, reached.bytes_total), (27 << 20, 27 << 20));
    assert_eq!(world.runtime.block_on(verification.finished()), None, "it answers once");
}

#[test]
fn junk_in_the_data_directory_neither_stops_the_start_nor_is_touched() {
    let stock = small(1);
    let world = stocked(std::slice::from_ref(&stock));
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    hold.close();
    drop(hold);
    let root = world.path().join("hold");
    for number in 0..10_000 {
        std::fs::write(root.join(format!("junk-{number}")), b"").unwrap();
    }
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe odd\n");
    std::fs::create_dir_all(root.join(odd)).unwrap();
    std::fs::create_dir_all(root.join("dataset_id=0xnothex/first_block=1/last_block=0/chunk=0x")).unwrap();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("keep"), b"mine").unwrap();
    for place in ["link", ".staging/link", ".trash/link", &format!(".staging/{}", hex(stock.id()))] {
        std::os::unix::fs::symlink(&outside, root.join(place)).unwrap();
    }
    let second = small(2);
    world.origin.replace(&second.path(0), second.content(0));
    std::os::unix::fs::symlink(&outside, root.join(format!(".staging/{}", hex(second.id())))).unwrap();
    for place in ["fifo", ".staging/fifo", ".trash/fifo", ".catalogue/fifo"] {
        assert!(std::process::Command::new("mkfifo").arg(root.join(place)).status().unwrap().success());
    }
    let hold = world.open();
    assert_eq!(hold.list_chunks(), [stock.id()]);
    assert!(hold.find_chunk(DATASET, 12).is_some());
    hold.download_chunk(second.chunk(&world.origin, Said::Size)).unwrap();
    hold.wait_chunk(second.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, &[stock, second]);
    assert_eq!(std::fs::read(outside.join("keep")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "nothing is written through a link");
    assert!(root.join("junk-9999").exists());
}

#[test]
fn a_pipe_in_place_of_the_part_map_does_not_hang_a_download() {
    let stock = small(1);
    let world = stocked(std::slice::from_ref(&stock));
    let staging = world.path().join("hold/.staging").join(hex(stock.id()));
    std::fs::create_dir_all(&staging).unwrap();
    for name in ["_parts", "a.parquet"] {
        assert!(std::process::Command::new("mkfifo").arg(staging.join(name)).status().unwrap().success());
    }
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, &[stock]);
}

fn hex(id: [u8; 32]) -> String {
    data_manager::data_chunk::hex_id(&id)
}
