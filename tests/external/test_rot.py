"""A disk whose bytes change by themselves: `chunk verify` looks at the device, and not at what memory still has of it.

Refuses to write to any device but an image of its own.
"""

import pathlib
import subprocess

import pytest

from file_systems import loop_file_system
from hold import Contents, Hold, descriptor, write_descriptors

BLOCK_BYTES = 4096
FILE_BYTES = 3 << 20


@pytest.fixture(params=["ext4", "xfs"])
def file_system(request, place):
    made = loop_file_system(place, request.param, 2 << 30)
    yield made
    made.close()


def place_on_device(path):
    """Where on its device a file's first block is, in bytes."""
    listed = subprocess.run(["filefrag", "-e", "-b4096", str(path)], capture_output=True, text=True, check=True).stdout
    first = next(line for line in listed.splitlines() if line.strip().startswith("0:"))
    return int(first.split(":")[2].split("..")[0]) * BLOCK_BYTES


def turn_a_bit(image, offset):
    with open(image, "r+b") as device:
        device.seek(offset)
        byte = device.read(1)[0]
        device.seek(offset)
        device.write(bytes([byte ^ 1]))


def test_rot_below_what_memory_has_is_found_and_healed(binary, file_system, origin, place, dice):
    contents, descriptors = Contents(), []
    for index in range(3):
        data = dice.randbytes(FILE_BYTES)
        one = descriptor("rot", index, index + 1, {"blocks.parquet": origin.put(str(index), data)})
        contents.add(one["id"], "blocks.parquet", data)
        descriptors.append(one)
    hold = Hold(binary, file_system.mount_point / "data")
    hold.run("chunk", "get", write_descriptors(place / "chunks.jsonl", descriptors))
    rotten = descriptors[1]["id"]
    path = pathlib.Path(hold.ready()[rotten]["path"]) / "blocks.parquet"
    # From here on memory has the bytes as they were.
    before = path.read_bytes()
    turn_a_bit(file_system.image, place_on_device(path) + dice.randrange(FILE_BYTES))
    assert path.read_bytes() == before, "the bit is to be turned on the device alone"
    run = hold.run("chunk", "verify", "-o", "json", code=None)
    assert [one["id"] for one in run.json()] == [rotten], run
    hold.run("chunk", "wait", code=None)
    assert contents.check_listed(hold) == contents.ids()
    assert hold.run("chunk", "verify", "-o", "json").json() == []
