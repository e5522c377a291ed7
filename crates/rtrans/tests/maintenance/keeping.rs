//! Checking, repairing, backing up and scrubbing a log, as its users do it.
//! Refuses to know where bytes lie, but for the names of files and the end of the magic in front of them.

use std::path::{Path, PathBuf};

use host::sim::SimDisk;
use host::{Clock, Disk, Kind};
use rtrans::{
    Action, Error, FindingKind, Findings, Log, Options, Parameters, Reader, Scrub, Severity, Threads,
    TransId, TypeNo, check_on, plan_repair, repair, repair_on,
};

/// Small files, so that a few records fill some.
fn options(format: u16) -> Options {
    let parameters = match format {
        1 => Parameters { index_num_per_file: 20, index_file_num_per_dir: 4, ..Parameters::format_1() },
        _ => Parameters { max_size_data_file: 4096, ..Parameters::format_2() },
    };
    Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() }
}

fn filled(disk: &Disk, format: u16, count: u32) -> Log {
    let log = Log::open_on(disk, &Clock::system(), options(format)).unwrap();
    for number in 0..count {
        log.append(TypeNo(number % 3), format!("record {number} {}", "x".repeat(100)).as_bytes()).unwrap();
    }
    log
}

fn id(number: u64) -> TransId {
    TransId::new(number).unwrap()
}

fn files(disk: &Disk) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in disk.list(Path::new("")).unwrap() {
        let path = PathBuf::from(&entry.name);
        match entry.kind {
            Kind::Dir => paths.extend(disk.list(&path).unwrap().iter().map(|file| path.join(&file.name))),
            _ => paths.push(path),
        }
    }
    paths
}

fn flip(disk: &Disk, path: &str, offset: u64) {
    let file = disk.edit_file(Path::new(path)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn kinds(findings: &Findings) -> Vec<(Severity, FindingKind)> {
    findings.list.iter().map(|finding| (finding.severity, finding.kind)).collect()
}

/// Every record that can be read, and how many cannot.
fn readable(disk: &Disk) -> (Vec<(u64, Vec<u8>)>, usize) {
    let Ok(reader) = Reader::open_on(disk) else { return (Vec::new(), usize::MAX) };
    let (mut records, mut errors) = (Vec::new(), 0);
    for record in reader.scan(..) {
        match record {
            Ok(record) => records.push((record.id.get(), record.bytes)),
            Err(_) => errors += 1,
        }
    }
    (records, errors)
}

#[test]
fn a_whole_log_has_no_findings_and_all_its_records_are_counted() {
    for format in [1, 2] {
        let sim = SimDisk::new(1);
        filled(&sim.disk(), format, 200).close().unwrap();
        let findings = check_on(&sim.disk()).unwrap();
        assert_eq!(findings.list, [], "format {format}");
        assert_eq!((findings.records, findings.ids), (200, Some((id(1), id(200)))), "format {format}");
    }
}

#[test]
fn rolled_back_and_trimmed_records_are_neither_counted_nor_missed() {
    let sim = SimDisk::new(1);
    let log = filled(&sim.disk(), 2, 200);
    log.truncate_after(Some(id(150))).unwrap();
    log.append(TypeNo(1), b"again").unwrap();
    log.trim_before(id(60)).unwrap();
    log.close().unwrap();
    let findings = check_on(&sim.disk()).unwrap();
    assert_eq!((findings.list.as_slice(), findings.records), (&[][..], 92));
}

#[test]
fn every_flipped_byte_of_a_log_is_reported_or_changes_no_record() {
    for format in [1, 2] {
        let sim = SimDisk::new(1);
        filled(&sim.disk(), format, 100).close().unwrap();
        let disk = sim.disk();
        let (whole, _) = readable(&disk);
        assert_eq!(whole.len(), 100);
        for path in files(&disk) {
            let len = disk.stat(&path).unwrap().len;
            for offset in (0..len).step_by(7) {
                flip(&disk, path.to_str().unwrap(), offset);
                let (records, errors) = readable(&disk);
                let is_reported =
                    errors > 0 || check_on(&disk).map_or(true, |findings| !findings.list.is_empty());
                assert!(records == whole || is_reported, "format {format}: {} at {offset}", path.display());
                for record in &records {
                    assert!(
                        whole.contains(record),
                        "format {format}: {} at {offset}: a record changed",
                        path.display()
                    );
                }
                flip(&disk, path.to_str().unwrap(), offset);
            }
        }
    }
}

#[test]
fn a_damaged_index_is_found_and_made_again_from_its_data() {
    let sim = SimDisk::new(1);
    filled(&sim.disk(), 2, 200).close().unwrap();
    let disk = sim.disk();
    flip(&disk, "0/index.1", 200);
    disk.remove_file(Path::new("0/index.2")).unwrap();
    let findings = check_on(&disk).unwrap();
    assert_eq!(kinds(&findings), [(Severity::Mendable, FindingKind::Index); 2]);
    let plan = plan_of(&sim, &findings);
    assert!(plan.actions.iter().all(|action| matches!(action, Action::RebuildIndex { .. })), "{plan:?}");
    let repaired = repair_on(&disk, &Clock::system(), &plan).unwrap();
    assert_eq!(repaired.findings.list, []);
    assert_eq!(readable(&disk).0.len(), 200);
}

/// Plans are made for directories; this one is of the same bytes on the real disk.
fn plan_of(sim: &SimDisk, findings: &Findings) -> rtrans::Plan {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (sim.disk(), Disk::open(dir.path()).unwrap());
    copy(&from, &to);
    plan_repair(dir.path(), findings).unwrap()
}

fn copy(from: &Disk, to: &Disk) {
    for path in files(from) {
        if let Some(dir) = path.parent() {
            drop(to.create_dir(dir));
        }
        let (source, target) = (from.open_file(&path).unwrap(), to.create_file(&path).unwrap());
        let mut bytes = vec![0; usize::try_from(source.len().unwrap()).unwrap()];
        source.read_exact_at(&mut bytes, 0).unwrap();
        target.write_all_at(&bytes, 0).unwrap();
    }
}

#[test]
fn damage_in_the_middle_is_given_up_only_when_asked_and_the_log_opens_clean_then() {
    let sim = SimDisk::new(1);
    filled(&sim.disk(), 2, 200).close().unwrap();
    let disk = sim.disk();
    flip(&disk, "0/data.1", 300);
    let findings = check_on(&disk).unwrap();
    assert!(!findings.is_sound());
    let plan = plan_of(&sim, &findings);
    assert!(plan.gives_up());
    assert!(plan.clone().without_giving_up().actions.is_empty(), "{plan:?}");
    let repaired = repair_on(&disk, &Clock::system(), &plan).unwrap();
    assert!(repaired.findings.is_sound(), "{:?}", repaired.findings);
    assert!(repaired.findings.list.iter().any(|finding| finding.kind == FindingKind::KnownGap));

    let log = Log::open_on(&disk, &Clock::system(), Options { parameters: None, ..options(2) }).unwrap();
    assert!(log.recovery().is_clean(), "{}", log.recovery());
    let gaps = log.reader().gaps().unwrap();
    let lost: u64 = gaps.iter().map(|(first, last)| last.get() - first.get() + 1).sum();
    assert!(lost > 0 && lost < 40, "{gaps:?}");
    assert_eq!(readable(&disk).0.len() as u64, 200 - lost);
    assert_eq!(log.append(TypeNo(1), b"more").unwrap(), id(201));
}

#[test]
fn damage_at_the_end_of_a_closed_log_is_given_up_as_well() {
    let sim = SimDisk::new(1);
    filled(&sim.disk(), 2, 10).close().unwrap();
    let disk = sim.disk();
    let (before, _) = readable(&disk);
    let file = disk.edit_file(Path::new("0/data.0")).unwrap();
    // The last record's bytes.
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let last = bytes.windows(8).rposition(|window| window == b"record 9").unwrap();
    flip(&disk, "0/data.0", last as u64);
    let findings = check_on(&disk).unwrap();
    assert_eq!(kinds(&findings), [(Severity::Damage, FindingKind::Records)]);
    assert_eq!(findings.list[0].at.ids, Some((id(10), id(10))));
    repair_on(&disk, &Clock::system(), &plan_of(&sim, &findings)).unwrap();
    let log = Log::open_on(&disk, &Clock::system(), Options { parameters: None, ..options(2) }).unwrap();
    assert!(log.recovery().is_clean(), "{}", log.recovery());
    assert_eq!(log.append(TypeNo(1), b"more").unwrap(), id(11));
    assert_eq!(readable(&disk).0[..9], before[..9]);
}

#[test]
fn damaged_parameters_are_written_anew_from_what_the_data_files_remember() {
    for offset in [0, 3, 15, 26] {
        let sim = SimDisk::new(1);
        filled(&sim.disk(), 2, 100).close().unwrap();
        let disk = sim.disk();
        Reader::open_on(&disk).unwrap().consumer("beside").unwrap().commit(id(50)).unwrap();
        flip(&disk, "metadata", offset);
        let findings = check_on(&disk).unwrap();
        assert_eq!(kinds(&findings), [(Severity::Damage, FindingKind::Metadata)], "byte {offset}");
        let repaired = repair_on(&disk, &Clock::system(), &plan_of(&sim, &findings)).unwrap();
        assert_eq!(repaired.findings.list, [], "byte {offset}");
        assert_eq!(readable(&disk).0.len(), 100);
    }
}

#[test]
fn a_file_whose_head_is_damaged_is_reported_and_kept_apart_and_its_ids_are_not_given_again() {
    for (count, path) in [(10, "0/data.0"), (100, "0/data.4")] {
        let sim = SimDisk::new(1);
        filled(&sim.disk(), 2, count).close().unwrap();
        let disk = sim.disk();
        assert!(disk.stat(Path::new(path)).is_ok(), "{:?}", files(&disk));
        let file = disk.open_file(Path::new(path)).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        flip(&disk, path, 44);
        bytes[44] ^= 1;
        assert!(!check_on(&disk).unwrap().is_sound(), "{path}");

        let log = Log::open_on(&disk, &Clock::system(), Options { parameters: None, ..options(2) }).unwrap();
        assert!(!log.recovery().damaged.is_empty(), "{path}");
        assert_eq!(log.append(TypeNo(1), b"more").unwrap(), id(u64::from(count) + 1), "{path}");
        let kept = disk.open_file(Path::new(&format!("{path}.damaged"))).unwrap();
        let mut kept_bytes = vec![0; bytes.len()];
        kept.read_exact_at(&mut kept_bytes, 0).unwrap();
        assert_eq!(kept_bytes, bytes, "{path}");
    }
}

#[test]
fn a_plan_that_no_longer_fits_is_refused() {
    let sim = SimDisk::new(1);
    filled(&sim.disk(), 2, 200).close().unwrap();
    let disk = sim.disk();
    flip(&disk, "0/data.1", 300);
    let plan = plan_of(&sim, &check_on(&disk).unwrap());
    flip(&disk, "0/data.1", 300);
    assert!(matches!(repair_on(&disk, &Clock::system(), &plan), Err(Error::Unsupported { .. })));
    assert_eq!(check_on(&disk).unwrap().list, []);
}

#[test]
fn a_log_that_is_written_is_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let _log = Log::open(dir.path(), Options::default()).unwrap();
    assert!(matches!(repair(dir.path(), &rtrans::Plan::default()), Err(Error::Locked { .. })));
}

#[test]
fn a_backup_holds_every_record_and_position_of_its_moment_and_goes_on_as_a_log() {
    for format in [1, 2] {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("log"), place.path().join("copy"));
        let log = filled(&Disk::open(&from).unwrap(), format, 200);
        log.consumer("sealer").unwrap().commit(id(50)).unwrap();
        let copied = log.backup(&to).unwrap();
        assert_eq!(
            (copied.findings.list.as_slice(), copied.findings.records),
            (&[][..], 200),
            "format {format}"
        );
        log.append(TypeNo(1), b"later").unwrap();

        let whole: Vec<_> = log.scan(..=id(200)).map(Result::unwrap).collect();
        let copy = Log::open(&to, Options::default()).unwrap();
        assert!(copy.recovery().is_clean(), "format {format}: {}", copy.recovery());
        assert_eq!(copy.scan(..).map(Result::unwrap).collect::<Vec<_>>(), whole);
        assert_eq!(copy.consumers().unwrap()[0].position, Some(id(50)));
        assert_eq!(copy.append(TypeNo(1), b"other").unwrap(), id(201));
    }
}

#[test]
fn a_backup_goes_into_an_empty_directory_only() {
    let place = tempfile::tempdir().unwrap();
    let log = filled(&Disk::open(&place.path().join("log")).unwrap(), 2, 3);
    assert!(matches!(log.backup(place.path().join("log")), Err(Error::Exists { .. })));
}

#[test]
fn a_backup_inside_of_its_log_is_refused_and_leaves_nothing() {
    for format in [1, 2] {
        let place = tempfile::tempdir().unwrap();
        let from = place.path().join("log");
        let log = filled(&Disk::open(&from).unwrap(), format, 3);
        std::os::unix::fs::symlink(&from, place.path().join("link")).unwrap();
        // 7 would be a directory of records.
        for to in [from.join("7"), from.join("copies/new"), place.path().join("link/7"), from.join("0")] {
            let refused = log.backup(&to);
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{}: {refused:?}", to.display());
        }
        assert!(!from.join("7").exists() && !from.join("copies").exists());
        assert!(
            log.backup(place.path().join("log2")).is_ok(),
            "a name that begins alike is another directory"
        );
    }
}

#[test]
fn a_backup_is_taken_beside_appends_trims_and_rollbacks() {
    let place = tempfile::tempdir().unwrap();
    let log = filled(&Disk::open(&place.path().join("log")).unwrap(), 2, 50);
    std::thread::scope(|scope| {
        let writer = log.clone();
        let busy = scope.spawn(move || {
            for number in 0..2000u32 {
                let last = writer.append(TypeNo(number), &[7; 100]).unwrap();
                if number % 97 == 96 {
                    writer.truncate_after(id(last.get() - 5).into()).unwrap();
                }
                if number % 211 == 210 {
                    writer.trim_before(id(last.get() - 40)).unwrap();
                }
            }
        });
        for number in 0..5 {
            let to = place.path().join(format!("copy{number}"));
            let copied = log.reader().backup(&to).unwrap();
            assert!(copied.findings.is_sound(), "{:?}", copied.findings);
            let copy = Log::open(&to, Options::default()).unwrap();
            assert!(copy.recovery().damaged.is_empty(), "{}", copy.recovery());
            assert!(copy.scan(..).all(|record| record.is_ok()));
        }
        busy.join().unwrap();
    });
}

#[test]
fn a_scrub_finds_what_rotted_while_the_log_is_in_use_and_ends_when_told() {
    let sim = SimDisk::new(1);
    let log = filled(&sim.disk(), 2, 200);
    assert!(log.scrub(&Scrub::default()).unwrap().is_sound());
    flip(&sim.disk(), "0/data.0", 300);
    assert!(!log.scrub(&Scrub::default()).unwrap().is_sound());
    let scrub = Scrub { bytes_per_second_max: Some(1), ..Scrub::default() };
    scrub.stop.stop();
    assert!(matches!(log.scrub(&scrub), Err(Error::Closed)));
}
