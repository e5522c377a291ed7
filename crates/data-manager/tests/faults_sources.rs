//! Hostile and overloaded sources: what they ask of us is granted within bounds, what they must not learn or reach stays ours.
//! Fails when Retry-After is broken, a mirror is not used, a forbidden place is asked, or a credential is shown.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]
#![expect(clippy::unwrap_used, reason = "helpers fail as tests do")]

mod fixture;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use data_manager::assignment::{Assignment, Priority};
use data_manager::data_chunk::DataChunkRef;
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::DataSource;
use data_manager::error::ErrorKind;
use data_manager::event::Event;
use data_manager::options::{Mirror, Network};
use data_manager::sources::FileSource;
use data_manager::status::FailureKind;
use data_manager::verify::Verify;
use fixture::{PATIENCE, Said, Stock, World, assert_nothing_wrong, expect_event, first_outcomes, stocked};
use origin::{Fault, Plan, RetryAfter, Site};

fn one() -> Stock {
    Stock::new(1, &[("a.parquet", 10_000)])
}

/// The wait that is announced after the first failure.
fn announced(hold: &DataManagerImpl, world: &World, stock: &Stock) -> Duration {
    let mut watch = hold.watch();
    hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
    let failed = expect_event(&mut watch, "the failure", |event| matches!(event, Event::Failed { .. }));
    let Event::Failed { next_try, .. } = failed else { unreachable!() };
    next_try.unwrap()
}

#[test]
fn a_source_that_asks_for_time_gets_it() {
    for status in [429, 503, 500, 502] {
        let stock = one();
        let world = stocked(std::slice::from_ref(&stock));
        let fault = Fault::StatusRetryAfter(status, RetryAfter::Seconds(1));
        world.origin.set_fault("", Plan::always(fault));
        let hold = world.open();
        let wait = announced(&hold, &world, &stock);
        assert!(wait >= Duration::from_secs(1), "{status}: {wait:?}");
        // On a busy machine a late answer was asked for twice; both requests were made before it was given.
        let asked = world.origin.log().len();
        world.origin.clear_faults();
        hold.wait_chunk(stock.id(), PATIENCE).unwrap();
        let log = world.origin.log();
        let gap = log[asked].at.saturating_sub(log[0].at);
        assert!(gap >= Duration::from_secs(1), "{status}: asked again after {gap:?}");
    }
}

#[test]
fn a_date_is_understood_and_an_absurd_wish_is_cut_to_five_minutes() {
    let wishes = [
        (RetryAfter::Date(SystemTime::now() + Duration::from_secs(40)), 38, 41),
        (RetryAfter::Seconds(315_360_000), 300, 300),
        (RetryAfter::Raw("99999999999999999999999999".to_string()), 300, 300),
        (RetryAfter::Date(SystemTime::now() + Duration::from_secs(400_000_000)), 300, 300),
        (RetryAfter::Raw("-5".to_string()), 0, 2),
        (RetryAfter::Raw("soon".to_string()), 0, 2),
    ];
    for (wish, least_s, most_s) in wishes {
        let stock = one();
        let world = stocked(std::slice::from_ref(&stock));
        world.origin.set_fault("", Plan::always(Fault::StatusRetryAfter(503, wish.clone())));
        let hold = world.open();
        let wait = announced(&hold, &world, &stock);
        assert!(
            wait >= Duration::from_secs(least_s) && wait <= Duration::from_secs(most_s),
            "{wish:?}: {wait:?}"
        );
        let asked = world.origin.log().len();
        assert!(asked <= 2 || least_s == 0, "{wish:?}: asked {asked} times and not left alone");
    }
}

/// How many chunks have parts in staging.
fn staged(world: &World) -> usize {
    std::fs::read_dir(world.path().join("hold/.staging")).unwrap().count()
}

/// A world whose hold knows a second origin as a mirror.
fn mirrored(stock: &Stock) -> (World, origin::Origin, DataManagerImpl) {
    let world = stocked(std::slice::from_ref(stock));
    let second = world.runtime.block_on(origin::Origin::start(stock.on(Site::new()))).unwrap();
    let mut options = world.options();
    options.mirrors = vec![Mirror { prefix: world.origin.url(""), others: vec![second.url("")] }];
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    (world, second, hold)
}

#[test]
fn a_mirror_serves_what_its_source_cannot() {
    for fault in [Fault::Status(500), Fault::ResetBeforeAnswer, Fault::Hang, Fault::BadStatusLine] {
        let stock = Stock::new(1, &[("a.parquet", 10_000), ("b.parquet", 6 << 20)]);
        let (world, second, hold) = mirrored(&stock);
        world.origin.set_fault("", Plan::always(fault.clone()));
        hold.download_chunk(stock.chunk(&world.origin, Said::Nothing)).unwrap();
        hold.wait_chunk(stock.id(), PATIENCE).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
        assert!(second.bytes_sent() >= stock.bytes_in_all(), "{fault:?}");
    }
}

#[test]
fn an_object_that_is_not_at_its_first_place_is_asked_for_at_the_next_at_once() {
    for status in [401, 403, 404, 410] {
        // Long enough for several requests, so that each of them has to turn to the mirror.
        let stock = Stock::new(1, &[("a.parquet", 10_000), ("b.parquet", 20 << 20)]);
        let (world, second, hold) = mirrored(&stock);
        world.origin.set_fault("", Plan::always(Fault::Status(status)));
        let mut watch = hold.watch();
        hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
        let outcomes = first_outcomes(&mut watch, &[stock.id()]);
        assert!(matches!(outcomes.last(), Some(Event::Ready(_))), "{status}: {outcomes:?}");
        assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
        assert!(second.bytes_sent() >= stock.bytes_in_all(), "{status}");
    }
}

#[test]
fn an_object_that_is_at_no_place_fails_once_for_long_and_leaves_nothing_staged() {
    let stock = one();
    let (world, second, hold) = mirrored(&stock);
    world.origin.set_fault("", Plan::always(Fault::Status(404)));
    second.set_fault("", Plan::always(Fault::Status(410)));
    let wait = announced(&hold, &world, &stock);
    assert!(wait >= Duration::from_secs(30), "{wait:?}");
    assert_eq!((world.origin.log().len(), second.log().len()), (1, 1));
    let status = hold.status(stock.id()).unwrap();
    assert_eq!(status.last_failure, Some(FailureKind::Missing));
    assert_eq!(staged(&world), 0);
}

#[test]
fn a_mirror_that_fails_in_passing_is_asked_again_soon_although_the_first_place_has_lost_it() {
    let stock = one();
    let (world, second, hold) = mirrored(&stock);
    world.origin.set_fault("", Plan::always(Fault::Status(404)));
    second.set_fault("", Plan::always(Fault::ResetBeforeAnswer));
    let wait = announced(&hold, &world, &stock);
    assert!(wait < Duration::from_secs(5), "{wait:?}");
    second.clear_faults();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
}

#[test]
fn a_mirror_of_a_host_is_not_asked_for_what_another_host_has() {
    let stock = one();
    let world = stocked(std::slice::from_ref(&stock));
    let second = world.runtime.block_on(origin::Origin::start(stock.on(Site::new()))).unwrap();
    // A prefix that ends within a name: every path below it begins with other letters.
    let prefix = world.origin.url("st");
    let mut options = world.options();
    options.mirrors = vec![Mirror { prefix, others: vec![second.url("st")] }];
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    world.origin.set_fault("", Plan::always(Fault::Status(404)));
    announced(&hold, &world, &stock);
    assert!(second.log().is_empty());
}

#[test]
fn a_stalled_body_goes_on_at_the_mirror_with_hardly_a_byte_twice() {
    let stock = Stock::new(1, &[("a.parquet", 20 << 20)]);
    let (world, second, hold) = mirrored(&stock);
    world.origin.set_fault("", Plan::always(Fault::HangBody { after: 9 << 20 }));
    hold.download_chunk(stock.chunk(&world.origin, Said::Size)).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
    let sent = world.origin.bytes_sent() + second.bytes_sent();
    assert!(sent <= stock.bytes_in_all() * 103 / 100, "{sent} of {}", stock.bytes_in_all());
    assert_eq!(world.origin.log().len(), 1);
}

#[test]
fn mirrors_that_name_versions_differently_are_joined_where_a_digest_proves_it() {
    let stock = Stock::new(1, &[("a.parquet", 12 << 20)]);
    let (world, second, hold) = mirrored(&stock);
    // The same bytes, put there once more: another ETag.
    second.replace(&stock.path(0), stock.content(0));
    world.origin.set_fault("", Plan::always(Fault::HangBody { after: 5 << 20 }));
    hold.download_chunk(stock.chunk(&world.origin, Said::Blake3)).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
    let sent = world.origin.bytes_sent() + second.bytes_sent();
    assert!(sent <= stock.bytes_in_all() * 103 / 100, "{sent}");
}

#[test]
fn hostile_names_and_urls_are_refused_before_any_request() {
    let world = stocked(&[one()]);
    let hold = world.open();
    let good = one().chunk(&world.origin, Said::Nothing);
    let url = world.origin.url(&one().path(0));
    for name in [
        "../a.parquet",
        "/etc/passwd",
        "a/b",
        "a\\b",
        ".hidden",
        "",
        "..",
        "a\0b",
        "CON",
        "nul.txt",
        "a\nb",
        "_chunk.json",
        "_parts",
        "name\u{202e}",
        "a:b",
        "trailing.",
    ] {
        let mut chunk = good.clone();
        chunk.files = [(name.to_string(), url.clone())].into();
        assert_eq!(hold.download_chunk(chunk).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
    for bad in [
        "",
        "relative/path",
        "//host/path",
        "http:/one-slash",
        "http://",
        "file://host/etc/passwd",
        "/a/../b",
        "http://host/a#sha256=12",
        "http://host/a#size=-1",
        "http://host/a#secret",
    ] {
        let mut chunk = good.clone();
        chunk.files = [("a.parquet".to_string(), bad.to_string())].into();
        assert_eq!(hold.download_chunk(chunk).unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
    }
    assert!(world.origin.log().is_empty() && hold.statuses().is_empty());
}

#[test]
fn places_that_must_not_be_called_are_not_called_and_not_tried_again() {
    let stock = one();
    let world = stocked(std::slice::from_ref(&stock));
    let mut options = world.options();
    options.network = Network::Public;
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    for (place, reason) in [
        (world.origin.url("a"), "loopback"),
        ("http://2130706433/a".to_string(), "loopback"),
        ("http://[::ffff:169.254.169.254]/a".to_string(), "link-local"),
    ] {
        let mut watch = hold.watch();
        let mut chunk = stock.chunk(&world.origin, Said::Nothing);
        chunk.files = [("a.parquet".to_string(), place.clone())].into();
        hold.download_chunk(chunk).unwrap();
        let failed = expect_event(&mut watch, "the refusal", |event| matches!(event, Event::Failed { .. }));
        let Event::Failed { reason: said, next_try, .. } = failed else { unreachable!() };
        assert!(said.contains(reason), "{place}: {said}");
        assert_eq!(next_try, None, "{place}: asking again cannot help");
        assert_eq!(staged(&world), 0, "{place}: nothing is left of what may not be had");
        hold.delete_chunk(stock.id());
        hold.wait_gone(stock.id(), PATIENCE).unwrap();
    }
    assert!(world.origin.log().is_empty());
}

#[test]
fn a_scheme_that_no_source_serves_is_refused_at_once_with_those_that_are() {
    let stock = one();
    let world = stocked(std::slice::from_ref(&stock));
    let mut options = world.options();
    options.mirrors =
        vec![Mirror { prefix: "dataset://host/".to_string(), others: vec![world.origin.url("")] }];
    let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    let chunk_at = |place: &str| {
        let mut chunk = stock.chunk(&world.origin, Said::Nothing);
        chunk.files = [("a.parquet".to_string(), place.to_string())].into();
        chunk
    };
    for (place, words) in [
        (
            "gopher://user:secret@host/a?key=secret",
            "gopher://host/a: no source serves the scheme \"gopher\"; known are ",
        ),
        ("htps://host/a", "(did you mean \"https\"?); known are "),
        ("htps://host/a", "http, https"),
        ("htps://host/a", "Parts::sources"),
        ("htps://host/a", "file \"a.parquet\""),
        ("dataset://other/a", "no source serves the scheme \"dataset\""),
        ("file:///etc/hosts", "files of this machine are not read"),
        ("/etc/hosts", "files of this machine are not read"),
    ] {
        let chunks = vec![(chunk_at(place), Priority::default())];
        let assignment = Assignment { id: "all".to_string(), chunks, ..Assignment::default() };
        let checked = hold.check_chunk(chunk_at(place));
        for refused in [hold.download_chunk(chunk_at(place)), hold.apply(assignment), checked] {
            let error = refused.expect_err(place);
            let said = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{said}");
            assert!(said.contains(words) && !said.contains("secret"), "{place}: {said}");
        }
    }
    assert!(hold.statuses().is_empty() && hold.applied().is_none());
    // A name of one's own that a mirror stands behind is served.
    hold.download_chunk(chunk_at(&format!("dataset://host/{}", stock.path(0)))).unwrap();
    let pin = hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    // And what is here needs no source, be it hidden only.
    hold.download_chunk(chunk_at("gopher://host/a")).unwrap();
    hold.delete_chunk(stock.id());
    hold.download_chunk(chunk_at("gopher://host/a")).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    hold.delete_chunk(stock.id());
    drop(pin);
    hold.wait_gone(stock.id(), PATIENCE).unwrap();
    hold.download_chunk(chunk_at("gopher://host/a")).unwrap_err();
}

#[test]
fn a_damaged_chunk_whose_source_is_not_there_any_more_stops_no_start_and_says_why() {
    let stock = one();
    let world = stocked(std::slice::from_ref(&stock));
    let file = world.path().join("a.parquet");
    std::fs::write(&file, stock.bytes(0)).unwrap();
    let mut chunk = stock.chunk(&world.origin, Said::Nothing);
    chunk.files = [("a.parquet".to_string(), file.to_str().unwrap().to_string())].into();
    let source: Arc<dyn DataSource> = Arc::new(FileSource);
    let parts = Parts { sources: vec![("file".to_string(), source)], ..Parts::default() };
    let hold = DataManagerImpl::open_with(world.options(), parts).unwrap();
    hold.download_chunk(chunk.clone()).unwrap();
    let path = hold.wait_chunk(stock.id(), PATIENCE).unwrap().path().join("a.parquet");
    hold.close();
    drop(hold);
    let mut bytes = stock.bytes(0);
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();

    let hold = world.open();
    let mut watch = hold.watch();
    let verified = hold.verify(Verify::default()).unwrap().wait().unwrap();
    assert_eq!(verified.damaged.len(), 1, "{verified:?}");
    expect_event(&mut watch, "the failure", |event| matches!(event, Event::Failed { next_try: None, .. }));
    let why = hold.why(chunk.dataset_id, chunk.block_range.start);
    let said = why[0].last_error.clone().unwrap_or_default();
    assert!(said.contains("files of this machine are not read"), "{said}");
}

#[test]
fn a_file_of_this_machine_is_read_only_where_its_source_is_registered_whatever_the_network() {
    let stock = one();
    let world = stocked(std::slice::from_ref(&stock));
    let file = world.path().join("a.parquet");
    std::fs::write(&file, stock.bytes(0)).unwrap();
    let mut chunk = stock.chunk(&world.origin, Said::Nothing);
    chunk.files = [("a.parquet".to_string(), file.to_str().unwrap().to_string())].into();
    // Private addresses are allowed here, and files are not for that.
    let hold = world.open();
    let refused = hold.download_chunk(chunk.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    hold.close();
    drop(hold);
    let source: Arc<dyn DataSource> = Arc::new(FileSource);
    let parts = Parts { sources: vec![("file".to_string(), source)], ..Parts::default() };
    let hold = DataManagerImpl::open_with(world.options(), parts).unwrap();
    hold.download_chunk(chunk).unwrap();
    hold.wait_chunk(stock.id(), PATIENCE).unwrap();
    assert_nothing_wrong(&hold, std::slice::from_ref(&stock));
}

/// Takes down every field of every span and event.
#[derive(Debug, Default, Clone)]
struct Overheard(Arc<Mutex<String>>);

impl tracing::field::Visit for Overheard {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Overheard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        attributes.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn credentials_are_sent_and_shown_nowhere() {
    let overheard = Overheard::default();
    // Only this test of the file sets one, and others only add to what is overheard.
    tracing::subscriber::set_global_default(overheard.clone()).unwrap();
    let faults = [
        None,
        Some(Fault::NotFound),
        Some(Fault::ResetBeforeAnswer),
        Some(Fault::Short),
        Some(Fault::GzipEncoding),
        Some(Fault::RedirectLoop),
        Some(Fault::ErrorPage),
        Some(Fault::Truncate { by: 5 }),
        Some(Fault::Status(503)),
        Some(Fault::FlipByte { at: 5 }),
        Some(Fault::Hang),
    ];
    for fault in faults {
        let stock = one();
        let world = stocked(std::slice::from_ref(&stock));
        if let Some(fault) = fault.clone() {
            world.origin.set_fault("", Plan::always(fault));
        }
        let hold = world.open();
        let mut watch = hold.watch();
        let mut chunk = stock.chunk(&world.origin, Said::Blake3);
        for url in chunk.files.values_mut() {
            *url = url.replace("http://", "http://us3r:s3cret@").replace('#', "?X-Sig=s1gn#");
        }
        hold.download_chunk(chunk.clone()).unwrap();
        let outcome = expect_event(&mut watch, "an outcome", |event| {
            matches!(event, Event::Ready(_) | Event::Failed { .. })
        });
        let mut shown = format!(
            "{outcome:?} {:?} {:?} {:?} {hold:?} {:?}",
            hold.statuses(),
            hold.sources(),
            hold.progress(),
            hold.wait_chunk(stock.id(), Duration::ZERO).err(),
        );
        if let Some(ready) = hold.get_chunk(stock.id()) {
            shown += &std::fs::read_to_string(ready.path().join("_chunk.json")).unwrap();
        }
        chunk.files.insert("../bad".to_string(), "http://us3r:s3cret@host/?X-Sig=s1gn#nonsense".to_string());
        shown.extend(hold.download_chunk(chunk).err().map(|error| format!("{error:?}")));
        hold.close();
        shown += &overheard.0.lock().unwrap();
        for secret in ["s3cret", "us3r", "s1gn"] {
            assert!(!shown.contains(secret), "{fault:?} shows {secret}: {shown}");
        }
        let log = world.origin.log();
        assert_eq!(log[0].query.as_deref(), Some("X-Sig=s1gn"), "{fault:?}");
        assert!(log[0].header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    }
}
