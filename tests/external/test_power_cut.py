"""Power cuts under the real program: what it had reported ready is there after the cut, and nothing partial is.

Refuses to count what was reported after the cut: a sync in flight at that moment may be answered falsely.
"""

import pytest

from file_systems import FLUSH_JOURNAL, FLUSH_NOTHING, loop_file_system
from hold import Contents, Hold, descriptor, file_bytes, number_of, until, write_descriptors

CUTS = number_of("LOGHOLD_CUTS", 3)
CHUNKS = 16
# Downloads keep 1 GiB free; the image is sparse.
IMAGE_BYTES = 3 << 30


@pytest.fixture(params=["ext4", "xfs"])
def file_system(request, place):
    made = loop_file_system(place, request.param, IMAGE_BYTES)
    yield made
    made.close()


def serve(origin, dice):
    descriptors, contents = [], Contents()
    for index in range(CHUNKS):
        urls = {}
        for name in ("blocks.parquet", "logs.parquet"):
            data = file_bytes(dice, 1 << 18)
            urls[name] = origin.put(f"{index}/{name}", data)
        one = descriptor("cuts", index, index + 1, urls)
        for name in urls:
            contents.add(one["id"], name, origin.files[f"/{index}/{name}"])
        descriptors.append(one)
    return descriptors, contents


def cut(file_system, running, flag):
    """Cuts the power, and returns what had been reported ready before."""
    before = set(running.reported())
    file_system.shut_down(flag)
    running.kill()
    file_system.unmount()
    file_system.mount()
    return before


@pytest.mark.parametrize("flag", [FLUSH_JOURNAL, FLUSH_NOTHING], ids=["journal-flushed", "nothing-flushed"])
def test_what_was_reported_ready_survives_a_cut_and_nothing_partial_is_listed(
    binary, file_system, origin, place, dice, flag
):
    descriptors, contents = serve(origin, dice)
    names = write_descriptors(place / "chunks.jsonl", descriptors)
    for number in range(CUTS):
        hold = Hold(binary, file_system.mount_point / f"data{number}")
        running = hold.start("-v", "--limit-rate", "16MiB/s", "chunk", "get", names)
        running.wait_reported(dice.randint(0, CHUNKS - 1))
        reported = cut(file_system, running, flag)
        listed = contents.check_listed(hold)
        assert reported <= listed, f"lost by a cut: {sorted(reported - listed)}"
        hold.run("chunk", "get", names)
        assert contents.check_listed(hold) == contents.ids()
        assert hold.run("chunk", "verify", "-o", "json").json() == []


@pytest.mark.parametrize("flag", [FLUSH_JOURNAL, FLUSH_NOTHING], ids=["journal-flushed", "nothing-flushed"])
def test_what_was_reported_removed_stays_away_after_a_cut_and_the_rest_is_whole(
    binary, file_system, origin, place, dice, flag
):
    descriptors, contents = serve(origin, dice)
    names = write_descriptors(place / "chunks.jsonl", descriptors)
    hold = Hold(binary, file_system.mount_point / "data")
    for _ in range(CUTS):
        hold.run("chunk", "get", names)
        removed = {one["id"] for one in dice.sample(descriptors, 4)}
        hold.run("chunk", "rm", *removed)
        others = contents.ids() - removed
        goal = len(others) - dice.randint(0, len(others) - 1)
        running = hold.start("chunk", "rm", *others)
        until(
            lambda: running.process.poll() is not None or hold.count_published() <= goal,
            "chunks are removed",
        )
        was_done = running.process.poll() == 0
        cut(file_system, running, flag)
        listed = contents.check_listed(hold)
        assert not listed & removed, "a removed chunk came back"
        assert not was_done or not listed, "removed chunks came back"
