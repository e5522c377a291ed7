"""A device that fails every write and flush for a while, and then works again: what was told before is there, and nothing
that was not written is shown.

Refuses to fail reads: what is asked for is what the system believes to have written.
"""

import errno

import pytest

from hold import Contents, Hold, descriptor, file_bytes, number_of, write_descriptors
from log_program import LogProgram, check_prefix, ids_in
from recorded_disk import CrashImage, copy, recorded_disk

FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "100", "--index-file-num-per-dir", "8"],
    "format-2": ["--max-size-data-file", "262144"],
}
ROUNDS = number_of("LOGHOLD_FAILING_LOG_ROUNDS", 2)
CHUNK_ROUNDS = number_of("LOGHOLD_FAILING_CHUNK_ROUNDS", 1)
# Downloads keep 1 GiB free; the image is sparse.
IMAGE_BYTES = 2 << 30
CHUNKS = 12


@pytest.fixture(params=["ext4", "xfs"])
def disk(request, place):
    made = recorded_disk(place, request.param, IMAGE_BYTES)
    yield made
    made.close()


def power_cut(disk):
    """The disk as it would be found if the power went now: nothing that lies in memory only is there."""
    image = disk.place / "crash"
    copy(disk.image, image)
    return CrashImage(image, disk.kind)


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_an_append_on_a_device_that_fails_says_so_ends_and_keeps_what_was_printed(binary, disk, dice, parameters):
    log = LogProgram(binary, disk.mount_point / "log")
    log.run("init", *parameters)
    offered, ended = [], 0
    for number in range(ROUNDS):
        # What was appended in vain may be there, and then it counts.
        del offered[ended:]
        printed = append_until_it_fails(disk, log, dice, offered)
        disk.heal()
        # Opened again with what the system believes to have written; the journal may have ended for good, and say so.
        again = log.run("append", stdin=b"again\n", code=None)
        assert again.code in (0, 1), again
        assert again.code == 0 or "Input/output error" in again.stderr or "Read-only" in again.stderr, again
        printed += ids_in(again.stdout)
        with power_cut(disk) as mount_point:
            check(LogProgram(binary, mount_point / "log"), printed, offered)
        disk.unmount()
        disk.mount()
        check(log, printed, offered)
        offered[:] = [record.decode() for record in log.records()]
        ended = len(offered)
        assert log.append([f"round {number}".encode()]) == [ended + 1]
        offered.append(f"round {number}")
        ended += 1


def is_read_only(disk):
    """Whether the file system has given up, and refuses to make a file before it asks the device."""
    try:
        (disk.mount_point / "probe").touch()
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def append_until_it_fails(disk, log, dice, offered):
    """The ids that were printed before the device failed; none is printed afterwards."""
    running = log.start("append")
    begin, count = len(offered), dice.randint(1, 60)
    for number in range(count):
        offered.append(f"record {begin + number} {'x' * dice.randint(0, 20000)}")
        running.put(offered[-1].encode() + b"\n")
        running.wait_lines(number + 1)
    disk.fail()
    try:
        for number in range(20):
            running.put(f"lost {number} {'y' * 20000}\n".encode())
    except (BrokenPipeError, OSError):
        pass
    try:
        running.process.stdin.close()
    except (BrokenPipeError, OSError):
        pass
    assert running.ended() == 1, running.errors
    # Where its journal failed first, at the call of another thread, ext4 answers everybody so from then on.
    answers = ["Input/output error", "Read-only"] if is_read_only(disk) else ["Input/output error"]
    assert any(answer in running.errors for answer in answers), running.errors
    printed = ids_in(b"\n".join(running.lines()))
    assert printed == list(range(begin + 1, begin + count + 1)), "an id was printed that no sync can have covered"
    return printed


def check(log, printed, offered):
    ids = log.ids()
    check_prefix(ids, printed)
    records = [record.decode() for record in log.records()]
    assert records[: len(offered)] == offered
    assert all(record == "again" or record.startswith("lost ") for record in records[len(offered) :])
    assert [one for one in log.check() if one["severity"] == "damage"] == []


def test_chunks_on_a_device_that_fails_are_not_listed_unless_they_are_whole(binary, disk, origin, place, dice):
    contents, descriptors = Contents(), []
    for index in range(CHUNKS):
        data = file_bytes(dice, 1 << 18)
        one = descriptor("failing", index, index + 1, {"blocks.parquet": origin.put(str(index), data)})
        contents.add(one["id"], "blocks.parquet", data)
        descriptors.append(one)
    names = write_descriptors(place / "chunks.jsonl", descriptors)
    first = write_descriptors(place / "first.jsonl", descriptors[:2])
    for number in range(CHUNK_ROUNDS):
        directory = f"data{number}"
        Hold(binary, disk.mount_point / directory).run("chunk", "get", first)
        get_until_it_fails(disk, binary, directory, contents, names, dice)


def get_until_it_fails(disk, binary, directory, contents, names, dice):
    """A hold gets chunks until the device fails; none is lost that was told, and the rest is fetched afterwards."""
    hold = Hold(binary, disk.mount_point / directory)
    running = hold.start("-v", "--limit-rate", "4MiB/s", "chunk", "get", "--patience", "2s", names)
    running.wait_reported(dice.randint(1, CHUNKS // 2))
    disk.fail()
    before = set(running.reported())
    ended = running.ended()
    assert ended.code != 0 or before == contents.ids(), ended
    assert "Input/output error" in ended.stderr, ended
    told = set(running.reported())
    disk.heal()
    with power_cut(disk) as mount_point:
        left = contents.check_listed(Hold(binary, mount_point / directory))
        assert told <= left, f"lost: {sorted(told - left)}"
    disk.unmount()
    disk.mount()
    listed = contents.check_listed(hold)
    assert told <= listed, f"lost: {sorted(told - listed)}"
    hold.run("chunk", "get", names)
    assert contents.check_listed(hold) == contents.ids()
    assert hold.run("chunk", "verify", "-o", "json").json() == []
