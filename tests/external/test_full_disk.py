"""A full disk: it is said, it ends with its own exit code, and the work goes on once there is room.

Refuses to fill any disk but one of its own.
"""

import pytest

from file_systems import loop_file_system
from hold import Contents, Hold, descriptor, write_descriptors

# The program keeps so much free on each disk.
FREE_BYTES_MIN = 1 << 30
FILE_BYTES = 2 << 20
CHUNKS = 6


@pytest.fixture
def file_system(place):
    made = loop_file_system(place, "ext4", 2 << 30)
    yield made
    made.close()


def serve(origin, dice, place):
    descriptors, contents = [], Contents()
    for index in range(CHUNKS):
        data = dice.randbytes(FILE_BYTES)
        one = descriptor("full", index, index + 1, {"blocks.parquet": origin.put(str(index), data)})
        contents.add(one["id"], "blocks.parquet", data)
        descriptors.append(one)
    return descriptors, contents, write_descriptors(place / "chunks.jsonl", descriptors)


def test_downloads_stop_before_the_reserve_and_go_on_after_room_was_made(
    binary, file_system, origin, place, dice
):
    _, contents, names = serve(origin, dice, place)
    hold = Hold(binary, file_system.mount_point / "data")
    file_system.leave_free(FREE_BYTES_MIN + 3 * FILE_BYTES)
    run = hold.run("chunk", "get", names, code=7)
    assert "no room" in run.stderr and "hint: free some space" in run.stderr, run
    assert str(hold.data_dir) in run.stderr, f"which disk is full is not told:\n{run}"
    assert file_system.free_bytes() >= FREE_BYTES_MIN, "the reserve was used up"
    listed = contents.check_listed(hold)
    assert listed < contents.ids()
    file_system.give_room()
    hold.run("chunk", "get", names)
    assert contents.check_listed(hold) == contents.ids()


def test_a_disk_that_others_fill_to_the_last_block_loses_nothing_and_still_removes(
    binary, file_system, origin, place, dice
):
    descriptors, contents, names = serve(origin, dice, place)
    hold = Hold(binary, file_system.mount_point / "data")
    hold.run("chunk", "get", write_descriptors(place / "first.jsonl", descriptors[:1]))
    last = str(CHUNKS - 1)
    origin.gate(last, after_bytes=FILE_BYTES // 2)
    running = hold.start("-v", "chunk", "get", "--patience", "2s", names)
    try:
        origin.wait_at_gate(last)
        # Of what a download set aside nobody can take anything; beside it no block is left.
        file_system.leave_none()
        origin.open_gate(last)
        run = running.ended()
    finally:
        running.kill()
    # 0 is for a chunk that had all its room before the disk was filled.
    assert run.code in (0, 7), run
    assert run.code == 0 or "no room" in run.stderr or "No space left on device" in run.stderr, run
    reported = set(running.reported())
    # What is there is listed and found, even with no block to write to.
    assert reported <= contents.check_listed(hold)
    file_system.give_room()
    hold.run("chunk", "get", names)
    assert contents.check_listed(hold) == contents.ids()
    hold.run("chunk", "rm", "--dataset", "full")
    assert contents.check_listed(hold) == set()
