//! Downloads that are broken off and go on: by the link, by the program's end, by an object that changes. Fails when bytes of
//! two versions meet, or when more is fetched again than must be.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]
#![expect(clippy::unwrap_used, reason = "helpers fail as tests do")]

mod fixture;

use std::time::Duration;

use data_manager::event::Event;
use fixture::{PATIENCE, Said, Stock, assert_nothing_wrong, expect_event, stocked};
use origin::{Content, Fault, Link, Plan, Site};

const SEGMENT: u64 = 1 << 20;

fn large() -> Stock {
    Stock::new(1, &[("a.parquet", 5 << 20), ("b.parquet", 34 << 20), ("c.parquet", 1 << 20)])
}

/// Stops a hold in the midst of a chunk, opens it again, and returns how many bytes the second one was sent.
fn cut_in_half(said: Said, fault: Option<Fault>) -> (u64, u64) {
    let stock = large();
    let link = Link { bytes_per_second_total: 100 << 20, ..Link::default() };
    let world = fixture::World::of(stock.on(Site::new().link(link)));
    if let Some(fault) = fault {
        world.origin.set_fault("", Plan::always(fault));
    }
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, said)).unwrap();
    world.runtime.block_on(world.origin.wait_for_bytes(stock.bytes_in_all() / 2));
    hold.close();
    drop(hold);
    let before = world.origin.bytes_sent();
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, said)).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
    (world.origin.bytes_sent() - before, stock.bytes_in_all())
}

#[test]
fn a_stop_at_half_costs_half_and_a_segment_for_each_open_request() {
    for said in [Said::Nothing, Said::Blake3] {
        let (again, all) = cut_in_half(said, None);
        // Three requests of the large file and one of each other may have been open.
        assert!(again <= all / 2 + 5 * SEGMENT, "{said:?}: {again} of {all} bytes came again");
    }
}

#[test]
fn without_a_version_a_stop_starts_files_over_and_a_digest_spares_that() {
    let (again, all) = cut_in_half(Said::Size, Some(Fault::NoEtag));
    assert!(again > all / 4, "files that nothing identifies are not joined: {again} of {all}");
    let (again, all) = cut_in_half(Said::Blake3, Some(Fault::NoEtag));
    assert!(again <= all / 2 + 5 * SEGMENT, "{again} of {all} bytes came again");
}

#[test]
fn a_link_that_kills_connections_again_and_again_costs_two_percent() {
    let stock = Stock::new(1, &[("a.parquet", 48 << 20)]);
    let link = Link {
        bytes_per_second_per_connection: 6 << 20,
        kill_after: Some(Duration::from_millis(700)),
        ..Link::default()
    };
    let world = fixture::World::of(stock.on(Site::new().link(link)));
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, Said::Nothing)).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
    let (sent, needed) = (world.origin.bytes_sent(), stock.bytes_in_all());
    assert!(world.origin.connections() > 6, "the link did kill: {}", world.origin.connections());
    // What the kernel had taken when the connection was reset counts as sent.
    assert!(hold.totals().fetched_bytes <= needed * 102 / 100, "{}", hold.totals().fetched_bytes);
    assert!(sent <= needed * 108 / 100, "{sent} of {needed}");
}

#[test]
fn a_large_object_of_a_source_that_ignores_ranges_comes_whole() {
    for (fault, said) in [
        (Fault::IgnoreRange, Said::Nothing),
        (Fault::IgnoreRange, Said::Size),
        (Fault::NoEtag, Said::Size),
        (Fault::WeakEtag, Said::Nothing),
        (Fault::ETagEachTime, Said::Size),
        (Fault::ETagEachTime, Said::Blake3),
    ] {
        let stock = Stock::new(1, &[("a.parquet", 80 << 20)]);
        let world = stocked(std::slice::from_ref(&stock));
        world.origin.set_fault("", Plan::always(fault.clone()));
        let hold = world.open();
        hold.download_chunk(stock.chunk(&world.origin, said)).unwrap();
        hold.wait_chunk(stock.id(), PATIENCE).unwrap_or_else(|error| panic!("{fault:?} {said:?}: {error}"));
        assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
    }
}

#[test]
fn an_object_that_changes_between_two_parts_starts_over() {
    let mut stock = large();
    let link = Link { bytes_per_second_total: 60 << 20, ..Link::default() };
    let world = fixture::World::of(stock.on(Site::new().link(link)));
    let hold = world.open();
    let chunk = stock.chunk(&world.origin, Said::Size);
    hold.download_chunk(chunk.clone()).unwrap();
    world.runtime.block_on(world.origin.wait_for_bytes(20 << 20));
    hold.close();
    drop(hold);
    // Other bytes of the same length, under a new version.
    stock.number = 2;
    for item in 0..3 {
        let content = stock.content(item);
        stock.number = 1;
        world.origin.replace(&stock.path(item), content);
        stock.number = 2;
    }
    let hold = world.open();
    hold.download_chunk(chunk.clone()).unwrap();
    let found = hold.wait_chunk(chunk.id, PATIENCE).unwrap();
    let path = data_manager::data_chunk::DataChunkRef::path(&found).join("b.parquet");
    assert!(std::fs::read(path).unwrap() == stock.bytes(1), "no byte of the old version is in it");
}

#[test]
fn parts_without_a_version_are_not_joined_to_parts_that_have_one() {
    let old = Stock::new(1, &[("a.parquet", 30 << 20)]);
    let new = Stock::new(2, &[("a.parquet", 30 << 20)]);
    let link = Link { bytes_per_second_total: 60 << 20, ..Link::default() };
    let world = fixture::World::of(old.on(Site::new().link(link)));
    world.origin.set_fault("", Plan::always(Fault::NoEtag));
    let hold = world.open();
    hold.download_chunk(old.chunk(&world.origin, Said::Size)).unwrap();
    world.runtime.block_on(world.origin.wait_for_bytes(15 << 20));
    hold.close();
    drop(hold);
    world.origin.clear_faults();
    world.origin.replace(&old.path(0), new.content(0));
    let hold = world.open();
    hold.download_chunk(old.chunk(&world.origin, Said::Size)).unwrap();
    let found = hold.wait_chunk(old.id(), PATIENCE).unwrap();
    assert!(
        new.is_in(data_manager::data_chunk::DataChunkRef::path(&found)),
        "no byte of the old version is in it"
    );
}

#[test]
fn an_object_that_shrinks_below_its_staged_part_starts_over() {
    let stock = Stock::new(1, &[("a.parquet", 40 << 20)]);
    let link = Link { bytes_per_second_total: 60 << 20, ..Link::default() };
    let world = fixture::World::of(stock.on(Site::new().link(link)));
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, Said::Nothing)).unwrap();
    world.runtime.block_on(world.origin.wait_for_bytes(20 << 20));
    hold.close();
    drop(hold);
    let short = Content::Generated { seed: 9, len: 1_000_000 };
    world.origin.replace(&stock.path(0), short.clone());
    let hold = world.open();
    hold.download_chunk(stock.chunk(&world.origin, Said::Nothing)).unwrap();
    let found = hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    let path = data_manager::data_chunk::DataChunkRef::path(&found).join("a.parquet");
    assert_eq!(std::fs::read(path).unwrap(), short.read().unwrap());
}

#[test]
fn a_deletion_while_bytes_come_in_stops_them_and_leaves_nothing() {
    let stock = large();
    let link = Link { bytes_per_second_total: 10 << 20, ..Link::default() };
    let world = fixture::World::of(stock.on(Site::new().link(link)));
    let hold = world.open();
    let mut watch = hold.watch();
    hold.download_chunk(stock.chunk(&world.origin, Said::Nothing)).unwrap();
    world.runtime.block_on(world.origin.wait_for_bytes(8 << 20));
    hold.delete_chunk(stock.id());
    let after = expect_event(&mut watch, "the removal", |event| {
        assert!(!matches!(event, Event::Ready(_) | Event::Failed { .. }), "{event:?}");
        matches!(event, Event::Removed(_))
    });
    assert_eq!(after, Event::Removed(stock.id()));
    assert_eq!(hold.totals().connections, 0);
    let staged = std::fs::read_dir(world.path().join("hold/.staging")).unwrap().count();
    assert_eq!(staged, 0, "nothing is left in staging");
    assert!(world.origin.bytes_sent() < 20 << 20);
    assert!(hold.status(stock.id()).is_none());
}
