"""Power cuts at any write of the joint: `append`, `seal` and its store on one disk, image by image.

Refuses to trust the order of writes between two flushes: any of them may be there, and some sectors of others.
"""

import signal

import pytest

from hold import number_of
from joint_line import RECORDS_PER_CHUNK, Line, of_chunks
from recorded_disk import CrashImage, Promises, recorded_disk

FLUSHES = number_of("LOGHOLD_SEAL_IMAGES", 10)
SIZES = {"ext4": 64 << 20, "xfs": 300 << 20}


@pytest.fixture(params=SIZES)
def disk(request, place):
    made = recorded_disk(place, request.param, SIZES[request.param])
    yield made
    made.close()


@pytest.mark.parametrize("retain", ["all", "unsealed"])
def test_every_record_is_once_in_the_line_of_every_image_that_a_power_cut_may_leave(binary, disk, place, dice, retain):
    line = Line(binary, disk.mount_point, retain).begin()
    promises = Promises(disk)
    promises.note((0, 0))
    running = line.follow() if retain == "all" else None
    told = 0
    for _ in range(5):
        line.append(dice.randint(5, 2 * RECORDS_PER_CHUNK))
        promises.note((len(line.appended), told))
        # A sealer that trims is the log's one writer: it runs by itself.
        due = (len(line.appended) - 3) // RECORDS_PER_CHUNK
        if running:
            running.wait_lines(due)
            told = len(of_chunks(running))
        else:
            told += len(line.seal().json())
        assert told == due
        promises.note((len(line.appended), told))
    if running:
        assert running.kill(signal.SIGINT) == 130, running.errors
    record = disk.record()
    for flush in record.images(place / "crash", record.choose(FLUSHES, dice), dice):
        kept = promises.kept_by(record, flush)
        if kept is not None:
            with CrashImage(place / "crash", disk.kind) as mount_point:
                check(Line(binary, mount_point, retain), line.appended, *kept)


def check(left, appended, printed, told):
    """The line shows what was printed, whatever was sealed of it, and the next sealer goes on."""
    assert [one for one in left.log.check() if one["severity"] == "damage"] == []
    sealed = left.sealed()
    assert sealed >= told * RECORDS_PER_CHUNK, f"{told} chunks were told, and the store ends at {sealed}"
    left.appended = appended[: max([sealed, *left.log.ids()])]
    assert len(left.appended) >= printed, f"{printed} was printed, and the line ends at {len(left.appended)}"
    assert left.read() == left.appended
    new = left.seal().json()
    assert [chunk["first_block"] for chunk in new] == list(range(sealed, left.sealed(), RECORDS_PER_CHUNK))
    assert left.sealed() == max(len(left.appended) - 3, 0) // RECORDS_PER_CHUNK * RECORDS_PER_CHUNK
    assert left.read() == left.appended
