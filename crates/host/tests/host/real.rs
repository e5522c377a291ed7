//! What only the real disk meets: symbolic links, pipes, other processes, modes, and a root that must be made.
//! It refuses to write outside its own temporary directories.
#![expect(clippy::disallowed_methods, reason = "the trees under test are planted behind the disk's back")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, IoSliceMut, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use host::{Blocks, Disk, File, Kind, LockError};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::tree::bytes;

/// Set for the child process of `a_lock_is_held_across_processes_and_ends_with_a_killed_owner`: the root to lock.
const CHILD_ROOT: &str = "HOST_TEST_CHILD_ROOT";

fn path(path: &str) -> &Path {
    Path::new(path)
}

fn refused<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
}

#[test]
fn a_link_on_the_way_is_refused_by_every_operation_on_every_level() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::open(root.path()).unwrap();
    disk.create_dir_all(path("a/b")).unwrap();
    fs::create_dir_all(outside.path().join("sub/dir")).unwrap();
    fs::write(outside.path().join("sub/secret"), "secret").unwrap();
    fs::write(root.path().join("file"), "mine").unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    for link in ["link", "a/link", "a/b/link"] {
        symlink(outside.path(), root.path().join(link)).unwrap();
        for below in ["sub", "sub/secret", "sub/dir", "sub/new"] {
            let bad = &path(link).join(below);
            assert!(refused(disk.list(bad)), "{bad:?}");
            assert!(refused(disk.stat(bad)), "{bad:?}");
            assert!(refused(disk.open_file(bad)), "{bad:?}");
            assert!(refused(disk.edit_file(bad)), "{bad:?}");
            assert!(refused(disk.create_file(bad)), "{bad:?}");
            assert!(refused(disk.create_dir(bad)), "{bad:?}");
            assert!(disk.create_dir_all(bad).is_err(), "{bad:?}");
            assert!(refused(disk.rename(bad, path("new"))), "{bad:?}");
            assert!(refused(disk.rename(path("file"), bad)), "{bad:?}");
            assert!(refused(disk.replace(bad, path("file"))), "{bad:?}");
            assert!(refused(disk.replace(path("file"), bad)), "{bad:?}");
            assert!(refused(disk.remove_file(bad)), "{bad:?}");
            assert!(refused(disk.remove_dir(bad)), "{bad:?}");
            assert!(refused(disk.remove_tree(bad)), "{bad:?}");
            assert!(refused(disk.sync_dir(bad)), "{bad:?}");
            assert!(refused(disk.publish_file(bad, b"bad")), "{bad:?}");
            assert!(refused(disk.publish_dir(path("dir"), bad)), "{bad:?}");
            assert!(matches!(disk.lock(bad), Err(LockError::Io(_))), "{bad:?}");
        }
    }
    assert_eq!(fs::read(outside.path().join("sub/secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outside.path().join("sub")).unwrap().count(), 2);
}

#[test]
fn a_link_itself_is_told_as_other_never_opened_and_removed_alone() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::open(root.path()).unwrap();
    let target = outside.path().join("target");
    fs::write(&target, "target").unwrap();
    for name in ["one", "two", "three", "four"] {
        symlink(&target, root.path().join(name)).unwrap();
    }
    symlink(outside.path(), root.path().join("dir")).unwrap();
    assert!(disk.list(path("")).unwrap().iter().all(|entry| entry.kind == Kind::Other));
    assert_eq!(disk.stat(path("one")).unwrap().kind, Kind::Other);
    assert!(refused(disk.open_file(path("one"))));
    assert!(refused(disk.edit_file(path("one"))));
    assert!(refused(disk.list(path("dir"))));
    assert_eq!(disk.create_file(path("one")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(matches!(disk.lock(path("one")), Err(LockError::Io(_))));
    assert!(refused(disk.replace(path("one"), path("two"))));
    disk.publish_file(path("two"), b"published").unwrap();
    assert_eq!(bytes(&disk, "two"), b"published");
    disk.remove_file(path("three")).unwrap();
    disk.remove_tree(path("dir")).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"target");
}

#[test]
fn a_removed_tree_takes_links_but_not_their_targets() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::open(root.path()).unwrap();
    fs::write(outside.path().join("target"), "target").unwrap();
    disk.create_dir_all(path("a/b")).unwrap();
    symlink(outside.path(), root.path().join("a/b/dir")).unwrap();
    symlink(outside.path().join("target"), root.path().join("a/file")).unwrap();
    disk.remove_tree(path("a")).unwrap();
    assert_eq!(disk.list(path("")).unwrap(), []);
    assert_eq!(fs::read(outside.path().join("target")).unwrap(), b"target");
}

#[test]
fn a_pipe_is_refused_and_does_not_hang() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::open(root.path()).unwrap();
    assert!(Command::new("mkfifo").arg(root.path().join("pipe")).status().unwrap().success());
    assert_eq!(disk.stat(path("pipe")).unwrap().kind, Kind::Other);
    assert!(refused(disk.open_file(path("pipe"))));
    assert!(refused(disk.edit_file(path("pipe"))));
    assert!(matches!(disk.lock(path("pipe")), Err(LockError::Io(_))));
    disk.remove_tree(path("pipe")).unwrap();
}

#[test]
fn the_root_is_made_for_its_owner_alone_and_may_be_reached_through_links() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("deep/er/root");
    let disk = Disk::open(&root).unwrap();
    assert_eq!(disk.root(), root);
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    disk.publish_file(path("file"), b"1").unwrap();
    symlink(&root, base.path().join("link")).unwrap();
    assert_eq!(bytes(&Disk::open(&base.path().join("link")).unwrap(), "file"), b"1");
    let error = Disk::open(&root.join("file")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert!(error.to_string().contains("deep/er/root/file"), "{error}");
}

#[test]
fn a_disk_stays_in_its_directory_when_that_is_moved() {
    let base = tempfile::tempdir().unwrap();
    let (root, moved) = (base.path().join("root"), base.path().join("moved"));
    let disk = Disk::open(&root).unwrap();
    fs::rename(&root, &moved).unwrap();
    disk.publish_file(path("file"), b"1").unwrap();
    assert_eq!(fs::read(moved.join("file")).unwrap(), b"1");
}

#[test]
fn a_preallocated_file_takes_its_room_at_once() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::open(root.path()).unwrap();
    let file = disk.create_file(path("file")).unwrap();
    file.preallocate(1 << 20).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20);
    let huge = file.preallocate(1 << 62).unwrap_err();
    assert!(matches!(huge.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge), "{huge}");
}

#[test]
fn a_lock_is_held_across_processes_and_ends_with_a_killed_owner() {
    let root = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "real::the_child_that_locks"])
        .env(CHILD_ROOT, root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().contains("locked")));
    let disk = Disk::open(root.path()).unwrap();
    let held = disk.lock(path("LOCK")).unwrap_err();
    assert!(matches!(held, LockError::Held { pid: Some(pid) } if pid == child.id()), "{held}");
    assert_eq!(held.to_string(), format!("process {} holds the lock", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    let lock = disk.lock(path("LOCK")).unwrap();
    assert_eq!(bytes(&disk, "LOCK"), format!("{}\n", std::process::id()).as_bytes());
    drop(lock);
}

#[test]
#[ignore = "it is the other process of the test above, and does nothing alone"]
fn the_child_that_locks() {
    let Some(root) = std::env::var_os(CHILD_ROOT) else { return };
    let lock = Disk::open(Path::new(&root)).unwrap().lock(path("LOCK")).unwrap();
    println!("\nlocked");
    std::io::stdout().flush().unwrap();
    // The parent kills this process; should it die first, the end of its pipe ends this process too.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(lock);
}

#[test]
fn a_dead_owner_leaves_nothing_of_its_longer_number() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::open(root.path()).unwrap();
    fs::write(root.path().join("LOCK"), "4194304999\n").unwrap();
    let _lock = disk.lock(path("LOCK")).unwrap();
    assert_eq!(bytes(&disk, "LOCK"), format!("{}\n", std::process::id()).as_bytes());
}

#[test]
fn a_lock_names_no_owner_that_is_dead() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::open(root.path()).unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    // As between the two calls of a new owner: it has the lock, and the file is the last one's.
    let lock = disk.lock(path("LOCK")).unwrap();
    fs::write(root.path().join("LOCK"), format!("{}\n", dead.id())).unwrap();
    assert!(matches!(disk.lock(path("LOCK")), Err(LockError::Held { pid: None })));
    drop(lock);
}

#[test]
fn a_lock_file_with_rubbish_names_nobody() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::open(root.path()).unwrap();
    let lock = disk.lock(path("LOCK")).unwrap();
    for rubbish in [&b""[..], b"\xff\xfe", b"99999999999", b"-1", &[b'1'; 5000]] {
        fs::write(root.path().join("LOCK"), rubbish).unwrap();
        assert!(matches!(disk.lock(path("LOCK")), Err(LockError::Held { pid: None })));
    }
    drop(lock);
}

#[test]
fn whole_blocks_are_written_and_read_without_being_kept_in_memory() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = Disk::open(root.path()).unwrap();
    let system = disk.file_system().unwrap();
    if !["ext4", "xfs"].contains(&system) {
        return eprintln!(
            "SKIPPED: {system} may keep in memory what is written past it: this asks ext4 or xfs"
        );
    }
    let file = disk.create_file(path("file")).unwrap();
    file.preallocate(9 * File::BLOCK_BYTES as u64).unwrap();
    let mut blocks = Blocks::new(8 * File::BLOCK_BYTES, 100);
    blocks.take(&vec![7; 8 * File::BLOCK_BYTES]);
    file.write_blocks(&blocks).unwrap();
    let opened = fs::File::open(root.path().join("file")).unwrap();
    let cached = |block: usize| {
        let mut buffer = [0; 1];
        let place = &mut [IoSliceMut::new(&mut buffer)];
        preadv2(&opened, place, (block * File::BLOCK_BYTES) as u64, ReadWriteFlags::NOWAIT)
            != Err(Errno::AGAIN)
    };
    // In order of falling offsets: a read brings what follows it into memory.
    let found: Vec<bool> = (0..8).rev().map(cached).collect();
    assert_eq!(
        found,
        [false, false, false, false, false, false, false, true],
        "only the first is no whole block"
    );
    file.sync().unwrap();
    file.evict().unwrap();
    let mut read = Blocks::new(8 * File::BLOCK_BYTES, 0);
    disk.open_file(path("file")).unwrap().read_blocks(&mut read).unwrap();
    assert!(read.bytes()[100..].iter().all(|&byte| byte == 7));
    assert!(!(0..8).rev().any(cached), "what was read is in memory");
    assert!(bytes(&disk, "file")[100..8 * File::BLOCK_BYTES].iter().all(|&byte| byte == 7));
}
