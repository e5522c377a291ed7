"""Power cuts at any write: what a disk may have kept of all that `append` and the file system wrote, image by image.

Refuses to trust the order of writes between two flushes: any of them may be there, and some sectors of others.
"""

import pytest

from hold import number_of
from log_program import LogProgram, framed, ids_in
from recorded_disk import CrashImage, Promises, recorded_disk

FLUSHES = number_of("LOGHOLD_LOG_IMAGES", 20)
SIZES = {"ext4": 64 << 20, "xfs": 300 << 20}
# Files and directories so small that some begin in each run.
FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "20", "--index-file-num-per-dir", "2"],
    "format-2": ["--max-size-data-file", "65536", "--index-file-num-per-dir", "2"],
}


@pytest.fixture(params=SIZES)
def disk(request, place):
    made = recorded_disk(place, request.param, SIZES[request.param])
    yield made
    made.close()


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_every_id_that_was_printed_is_in_every_image_that_a_power_cut_may_leave(
    binary, disk, place, dice, parameters
):
    log = LogProgram(binary, disk.mount_point / "log")
    log.run("init", *parameters)
    promises, records = Promises(disk), []
    promises.note(0)
    # One sync for each record, one for some, and many records that each process finds.
    for count, at_once in ((25, 1), (40, 8), (15, 1)):
        append(log, dice, records, count, at_once, promises)
    record = disk.record()
    for flush in record.images(place / "crash", record.choose(FLUSHES, dice), dice):
        printed = promises.kept_by(record, flush)
        with CrashImage(place / "crash", disk.kind) as mount_point:
            left = LogProgram(binary, mount_point / "log")
            if printed is not None or (left.directory / "metadata").exists():
                check(left, printed or 0, records)


def append(log, dice, records, count, at_once, promises):
    """Appends records of sizes that fill a file soon, and notes each id when it was printed."""
    running = log.start("append", "--framed")
    for number in range(0, count, at_once):
        new = [dice.randbytes(dice.choice((30, 700, 9000))) for _ in range(at_once)]
        records += new
        running.put(framed(new))
        running.wait_lines(number + at_once)
        printed = ids_in(b"\n".join(running.lines()))
        assert printed[-1:] == [len(records)], running.errors
        promises.note(len(records))
    running.process.stdin.close()
    assert running.ended() == 0, running.errors


def check(log, printed, records):
    assert [one for one in log.check() if one["severity"] == "damage"] == []
    # Who only reads finds the end that the next writer will make.
    found = log.records()
    assert len(found) >= printed and found == records[: len(found)], f"{printed} was printed"
    [id] = log.append([b"on"])
    assert id == len(found) + 1, f"the log had {len(found)} records, and goes on with {id}"
    assert log.records() == [*records[: id - 1], b"on"]
