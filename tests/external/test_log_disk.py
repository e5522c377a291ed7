"""Disks that fail under the real `log append`: power cuts, no room, failing syncs, flipped bits.

Refuses to count what was printed after a cut: a sync in flight at that moment may be answered falsely.
"""

import os
import shutil

import pytest

from file_systems import FLUSH_JOURNAL, FLUSH_NOTHING, loop_file_system, run
from hold import number_of
from log_program import LogProgram, check_prefix, framed, ids_in, unframed

CUTS = number_of("LOGHOLD_LOG_CUTS", 3)
# All of a log is read behind each cut: a long one would take most of the time of many.
CUTS_PER_LOG = 10
FLIPS = number_of("LOGHOLD_LOG_FLIPS", 40)
FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "100", "--index-file-num-per-dir", "8"],
    "format-2": ["--max-size-data-file", "262144"],
}


@pytest.fixture(params=["ext4", "xfs"])
def file_system(request, place):
    made = loop_file_system(place, request.param, 512 << 20)
    yield made
    made.close()


@pytest.fixture
def small_tmpfs(place):
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    mount_point = place / "tmpfs"
    mount_point.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mount_point))
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted: {mounted.stderr}")
    yield mount_point
    run("umount", str(mount_point))


@pytest.mark.parametrize(
    ("flag", "is_partial"),
    [(FLUSH_JOURNAL, False), (FLUSH_NOTHING, False), (FLUSH_NOTHING, True)],
    ids=["journal-flushed", "nothing-flushed", "some-files-synced"],
)
@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_every_id_that_was_printed_before_a_power_cut_is_there_after_it(
    binary, file_system, dice, parameters, flag, is_partial
):
    for number in range(CUTS):
        if number % CUTS_PER_LOG == 0:
            log, count = LogProgram(binary, file_system.mount_point / f"log{number}"), 0
            log.run("init", *parameters)
        running = log.start("append")
        running.feed(b"".join(f"record {count + number}\n".encode() for number in range(1, 20001)))
        running.wait_lines(dice.randint(1, 3000))
        printed = ids_in(b"\n".join(running.lines()))
        if is_partial:
            sync_some(log.directory, dice)
        file_system.shut_down(flag)
        running.kill()
        file_system.unmount()
        file_system.mount()
        ids = log.ids()
        check_prefix(ids, printed)
        count = len(ids)
        records = log.records()
        assert records == sorted(records, key=lambda record: int(record.split()[1]))
        assert [one for one in log.check() if one["severity"] == "damage"] == []
        # The next writer goes on behind it.
        assert log.append([f"record {count + 1}".encode()]) == [count + 1]
        count += 1


def sync_some(directory, dice):
    """Syncs half of what is there, as somebody else may do: the disk has some files as they are now, and others not."""
    for path in directory.rglob("*"):
        if dice.random() < 0.5:
            try:
                opened = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            os.fsync(opened)
            os.close(opened)


def test_a_full_disk_is_told_with_its_own_code_and_the_work_goes_on_once_there_is_room(binary, small_tmpfs):
    log = LogProgram(binary, small_tmpfs / "log")
    log.run("init", "--max-size-data-file", "65536")
    ballast = small_tmpfs / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    full = log.run("append", stdin=(b"x" * 1000 + b"\n") * 10000, code=7)
    assert "No space left" in full.stderr and "hint" in full.stderr, full
    printed = ids_in(full.stdout)
    assert printed == list(range(1, len(printed) + 1)) and printed
    ids = log.ids()
    check_prefix(ids, printed)
    assert log.run("commit", "sealer", printed[-1], code=None).code in (0, 7)
    ballast.unlink()
    assert log.append([b"more"]) == [len(ids) + 1]
    assert log.check() == []


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_full_disk_takes_positions_and_a_trim_and_goes_on_in_the_room_that_this_makes(binary, small_tmpfs, parameters):
    log = LogProgram(binary, small_tmpfs / "log")
    log.run("init", *parameters)
    # A directory of format 1, which a trim removes as a whole, and some more.
    log.append([b"x" * 1000] * 900)
    log.run("commit", "sealer", 1)
    # Somebody else has the rest of the disk, and keeps it.
    with (small_tmpfs / "ballast").open("wb", buffering=0) as ballast:
        with pytest.raises(OSError):
            while True:
                ballast.write(bytes(4096))
    log.run("append", "--framed", stdin=framed([b"x" * 1000] * 10000), code=7)
    last = len(log.ids())
    for position in (2, last, 3, last - 1):
        log.run("commit", "sealer", position)
        assert log.consumers()["sealer"]["position"] == position
    assert log.records() == [b"x" * 1000] * last
    log.run("trim", "--before", last)
    log.append([b"y" * 1000] * 5)
    assert log.ids()[-5:] == list(range(last + 1, last + 6))
    assert log.consumers()["sealer"]["position"] == last - 1
    assert log.check() == []


@pytest.mark.parametrize("level", ["memory", "os", "disk"])
@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_full_disk_leaves_the_first_records_of_the_input_and_no_later_ones(binary, small_tmpfs, parameters, level):
    log = LogProgram(binary, small_tmpfs / "log")
    log.run("init", *parameters)
    wanted = [b"%d" % number for number in range(1, 400_001)]
    full = log.run("append", "--durability", level, stdin=b"\n".join(wanted), code=7)
    assert "go on behind it" in full.stderr, full.stderr
    printed, records = ids_in(full.stdout), log.records()
    assert printed == list(range(1, len(printed) + 1)), "an id was printed twice, or none"
    assert records and records == wanted[: len(records)], "a later record took the place of one that found no room"
    assert level == "memory" or len(printed) <= len(records)


def test_a_backup_that_finds_no_room_is_no_log_and_says_what_to_do_with_it(binary, place, small_tmpfs):
    log, copy = LogProgram(binary, place / "log"), LogProgram(binary, small_tmpfs / "copy")
    log.append([b"%d" % number * 100 for number in range(20_000)], "--create", "--durability", "os")
    full = log.run("backup", copy.directory, code=7)
    assert "append again" not in full.stderr and f"the copy in {copy.directory} is no log yet" in full.stderr, full
    copy.run("ls", code=3)
    assert run("mount", "-o", "remount,size=64m", str(small_tmpfs)).returncode == 0
    log.run("backup", copy.directory, code=2)
    shutil.rmtree(copy.directory)
    log.run("backup", copy.directory)
    assert copy.records() == log.records()


def test_an_import_that_finds_no_room_says_how_to_take_back_what_it_copied_or_to_go_on(binary, place, small_tmpfs):
    other, log = LogProgram(binary, place / "other"), LogProgram(binary, small_tmpfs / "log")
    wanted = [b"%d" % number * 100 for number in range(20_000)]
    other.append(wanted, "--create", "--durability", "os")
    log.run("init", *FORMATS["format-2"])
    log.append([b"own"])
    full = log.run("import", place / "other", code=7)
    count = len(log.ids()) - 1
    assert 0 < count < len(wanted) and log.records()[1:] == wanted[:count]
    assert f"{count} records of the other log were copied" in full.stderr and "truncate --after 1`" in full.stderr, full
    assert log.check() == []
    # With room it comes to its end: the size of a tmpfs can be changed.
    assert run("mount", "-o", "remount,size=64m", str(small_tmpfs)).returncode == 0
    log.run("import", place / "other")
    assert log.records() == [b"own", *wanted] and log.check() == []


@pytest.mark.parametrize("when", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_failed_sync_poisons_the_log_and_no_id_is_printed_after_it(binary, place, strace, parameters, when):
    log = LogProgram(binary, place / "log")
    log.run("init", *parameters)
    log.append([b"before"] * 10)
    failed = log.start("append", before=strace("fdatasync", "error=EIO", f"{when}+", place / "trace"))
    # One at a time, so that each has a sync of its own.
    for number in range(1, 20):
        try:
            failed.put(b"x\n")
        except (BrokenPipeError, OSError):
            break
        failed.wait_lines(number)
        if failed.process.poll() is not None:
            break
    try:
        failed.process.stdin.close()
    except BrokenPipeError:
        pass
    assert failed.ended() == 1, failed.errors
    assert "Input/output error" in failed.errors, failed.errors
    printed = ids_in(b"\n".join(failed.lines()))
    calls = (place / "trace").read_text(encoding="utf-8", errors="replace").splitlines()
    failure = next(at for at, call in enumerate(calls) if "INJECTED" in call)
    told = [call for call in calls[failure:] if "write(1," in call]
    assert not told, f"ids were printed after a sync that failed: {told}"
    ids = log.ids()
    check_prefix(ids, [*range(1, 11), *printed])
    assert log.append([b"after"]) == [len(log.ids())]
    assert [one for one in log.check() if one["severity"] == "damage"] == []


@pytest.mark.parametrize("when", [1, 2, 3, 4])
def test_a_write_without_room_ends_with_7_and_keeps_what_was_printed(binary, place, strace, when):
    log = LogProgram(binary, place / "log")
    log.append([b"before"] * 10, "--create")
    failed = log.run(
        "append",
        stdin=b"".join(bytes([97 + number % 26]) * 70000 + b"\n" for number in range(50)),
        code=None,
        before=strace("pwrite64", "error=ENOSPC", f"{when}+"),
    )
    assert failed.code in (1, 7), failed
    assert "No space left" in failed.stderr, failed
    ids = log.ids()
    check_prefix(ids, [*range(1, 11), *ids_in(failed.stdout)])
    assert log.append([b"after"]) == [len(log.ids())]


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_process_without_file_handles_says_so_and_keeps_what_was_printed(binary, place, parameters):
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed")
    log = LogProgram(binary, place / "log")
    log.run("init", *parameters)
    records, refused = b"".join(b"%d %s\n" % (number, b"x" * 3000) for number in range(300)), 0
    for handles in range(4, 40):
        end = len(log.ids())
        run = log.run("append", stdin=records, code=None, before=["prlimit", f"--nofile={handles}"])
        # With next to none the program is not loaded, and with some more tokio panics: it has none for signals.
        assert run.code in (0, 1, 127) or (run.code == 101 and "UnixStream" in run.stderr), run
        printed = ids_in(run.stdout)
        assert printed == list(range(end + 1, end + 1 + len(printed)))
        check_prefix(log.ids(), printed)
        refused += "Too many open files" in run.stderr
        if run.code == 0:
            assert len(printed) == 300
            break
    assert refused > 0 and run.code == 0, run
    assert log.check() == []


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_flipped_bit_anywhere_is_reported_or_changes_no_record(binary, place, dice, parameters):
    log = LogProgram(binary, place / "log")
    log.run("init", *parameters)
    wanted = [f"record {number}".encode() * 20 for number in range(100)]
    log.append(wanted)
    files = [path for path in log.directory.rglob("*") if path.is_file() and path.stat().st_size > 0]
    written = {path: max(at for at, byte in enumerate(path.read_bytes()) if byte or at == 0) + 1 for path in files}
    for number in range(FLIPS):
        path = files[number % len(files)]
        at, bit = dice.randrange(written[path]), 1 << dice.randrange(8)
        before = path.read_bytes()
        path.write_bytes(before[:at] + bytes([before[at] ^ bit]) + before[at + 1 :])
        read = log.run("read", "-o", "raw", "--framed", code=None)
        checked = log.run("check", "--json", code=None)
        is_reported = read.code != 0 or checked.code != 0 or checked.stdout.strip() != b"[]"
        records = unframed(read.stdout)
        assert records == wanted or is_reported, f"{path} at {at}, bit {bit}"
        assert all(record in wanted for record in records), f"{path} at {at}: a record changed"
        path.write_bytes(before)
    assert log.records() == wanted
