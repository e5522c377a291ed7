"""A file system that is full, of blocks or of inodes, again and again: what was printed is there, and the work goes on.

Refuses to fill any disk but one of its own.
"""

import pytest

from file_systems import loop_file_system
from hold import number_of
from log_program import LogProgram, ids_in

ROUNDS = number_of("LOGHOLD_LOG_FULL_ROUNDS", 2)
IMAGE_BYTES = 64 << 20
RECORDS, RECORD_BYTES = 6000, 1000
# Files so small that each round begins some.
FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "100", "--index-file-num-per-dir", "8"],
    "format-2": ["--max-size-data-file", "65536"],
}


@pytest.fixture
def file_system(place):
    made = loop_file_system(place, "ext4", IMAGE_BYTES)
    yield made
    made.close()


def fill(file_system, what, dice):
    """Takes all of it but a little, or all; returns what gives it back."""
    if what == "inodes":
        file_system.leave_inodes(dice.randint(0, 8))
        return file_system.give_inodes
    file_system.leave_free(dice.randint(1, 4 << 20))
    if dice.random() < 0.3:
        file_system.leave_none()
    return file_system.give_room


@pytest.mark.parametrize("what", ["blocks", "inodes"])
@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_full_file_system_ends_appends_with_7_loses_nothing_printed_and_goes_on(
    binary, file_system, dice, parameters, what
):
    log = LogProgram(binary, file_system.mount_point / "log")
    log.run("init", *parameters)
    log.append([b"record 1 "])
    log.run("commit", "sealer", 1)
    first, count = 1, 1
    for _ in range(ROUNDS):
        give_back = fill(file_system, what, dice)
        lines = b"".join(b"record %d %s\n" % (count + number, b"x" * RECORD_BYTES) for number in range(1, RECORDS + 1))
        full = log.run("append", stdin=lines, code=7)
        assert "No space left" in full.stderr and "hint" in full.stderr, full
        printed = ids_in(full.stdout)
        assert printed == list(range(count + 1, count + 1 + len(printed)))
        # What is there is read where nothing can be written, and positions and trims have room that is kept for them.
        ids = log.ids()
        assert ids == list(range(first, len(ids) + first)) and ids[-1] >= max(printed, default=count)
        count = ids[-1]
        log.run("commit", "sealer", count)
        before = dice.randint(first, count)
        log.run("trim", "--before", before)
        # Format 1 removes whole directories of files.
        ids, first = log.ids(), log.ids()[0]
        assert ids == list(range(first, count + 1)) and first <= before
        assert log.consumers()["sealer"]["position"] == count
        give_back()
        assert log.append([b"record %d " % (count + 1)]) == [count + 1]
        count += 1
        assert [int(record.split()[1]) for record in log.records()] == list(range(first, count + 1))
        assert [one for one in log.check() if one["severity"] == "damage"] == []
