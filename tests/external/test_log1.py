"""The second opinion on format 1 is itself tried: it reads what the independent writer wrote, and finds damage.

Refuses to run the product: `crates/rtrans/tests/format1` runs it against these two.
"""

import pathlib
import shutil

import pytest

from log1_reader import Log1, Violation
from log1_writer import GEOMETRIES, Writer

PAGE = pathlib.Path(__file__).parents[2] / "docs/formats/log-1.md"


def written(directory, geometry, compress, dice, count):
    """A log of random records, and what they are."""
    writer, records = Writer(directory, "plain", geometry, compress, dice), []
    for _ in range(count):
        records.append((dice.getrandbits(32), dice.randbytes(dice.choice([0, 1, 52, 53, 300]))))
        writer.append(*records[-1])
    return records


@pytest.mark.parametrize("geometry", range(len(GEOMETRIES)))
@pytest.mark.parametrize("compress", [0, 1])
def test_the_reader_finds_what_the_writer_wrote(place, dice, geometry, compress):
    directory = place / "log"
    directory.mkdir()
    records = written(directory, geometry, compress, dice, 40)
    log = Log1(directory)
    log.verify()
    assert [(entry[1], payload) for entry, payload in log.records()] == records


def test_the_reader_finds_every_flipped_bit_but_those_of_types_and_padding(place, dice):
    directory, copy = place / "log", place / "copy"
    directory.mkdir()
    records = written(directory, 1, 0, dice, 3)
    index = directory / "0" / "index.0"
    whole = index.read_bytes()
    for bit in range(len(whole) * 8):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (copy / "0" / "index.0").write_bytes(flipped)
        is_type = 8 <= bit // 8 % 36 < 12
        try:
            found = [(entry[1], payload) for entry, payload in Log1(copy).records()]
        except Violation:
            assert not is_type, bit
            continue
        assert is_type and [payload for _, payload in found] == [payload for _, payload in records], bit


def test_the_example_of_the_page_is_a_whole_log(place):
    directory, path = place / "example", None
    for line in PAGE.read_text().split("## 8.")[1].splitlines():
        if line.startswith("`") and not line.startswith("``"):
            path = directory / line.split("`")[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        elif "  " in line:
            path.write_bytes(path.read_bytes() + bytes.fromhex(line.split("  ")[1]))
    log = Log1(directory)
    log.verify()
    listed = [(entry[1], payload) for entry, payload in log.records()]
    assert listed == [(7, b"hello"), (7, b""), (300, b"a longer record than a block")]
