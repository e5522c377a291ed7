"""Real records through the whole life of a log: what went in comes out, by id, range, type and time.

Refuses made-up data: without the recorded blocks these tests are left out, and say so.
"""

import json

import pytest

from log_program import LogProgram, unframed
from real_chunks import find_records

TYPES = {"block": 1, "transaction": 2, "log": 3}
FORMATS = {"format-1": ["--format-version", "1"], "format-2": [], "zstd": ["--need-compress", "3"]}


@pytest.fixture(scope="session")
def lines():
    path = find_records()
    if path is None:
        pytest.skip("the real Ethereum blocks are not here; name their directory in LOGHOLD_TEST_DATA")
    # One kind after the other: each goes in by one run, under its own type.
    return sorted(path.read_bytes().splitlines(), key=lambda line: TYPES[json.loads(line)["kind"]])


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def filled(request, binary, place, lines):
    """A log with all the records."""
    log = LogProgram(binary, place / "log")
    log.run("init", *request.param)
    kinds = [json.loads(line)["kind"] for line in lines]
    ids = []
    for kind, number in TYPES.items():
        ids += log.append([line for line, one in zip(lines, kinds) if one == kind], "--type", number)
    assert ids == list(range(1, len(lines) + 1))
    return log, kinds


def test_real_records_come_back_byte_by_byte_in_every_way_of_reading(filled, lines, dice):
    log, kinds = filled
    assert log.records() == lines
    for id in [1, len(lines), *(dice.randint(1, len(lines)) for _ in range(20))]:
        assert log.run("read", id, "-o", "raw").stdout == lines[id - 1]
    first = dice.randint(1, len(lines) - 500)
    assert log.records(f"{first}..={first + 400}") == lines[first - 1 : first + 400]
    assert log.records("--last", 7, "--reverse") == lines[:-8:-1]
    for kind, number in TYPES.items():
        wanted = [line for line, one in zip(lines, kinds) if one == kind]
        assert log.records("--type", number) == wanted
        assert log.records("--type", number, "--last", 3) == wanted[-3:]


def test_real_records_are_found_by_their_time(filled, lines):
    log, _ = filled
    if json.loads(log.run("ls", "--json").stdout)["format_version"] == 1:
        refused = log.run("read", "--since", "1h", code=2)
        assert "format 1" in refused.stderr
        return
    one = json.loads(log.run("read", len(lines) // 2, "-o", "jsonl").stdout)
    found = log.run("read", "--since", one["appended_at"], "-o", "jsonl").stdout.splitlines()
    times = [json.loads(line)["appended_at"] for line in log.run("read", "-o", "jsonl").stdout.splitlines()]
    assert len(found) == sum(time >= one["appended_at"] for time in times)
    assert log.records("--since", "1h") == lines
    log.run("read", "--since", "2200-01-01", code=3)


def test_real_records_reach_two_consumers_that_are_killed_on_the_way(filled, lines, dice):
    log, _ = filled
    for name in ("sealer", "index"):
        seen = 0
        for _ in range(4):
            running = log.start("tail", "--consumer", name, "-o", "raw", "--framed")
            goal = dice.randint(0, 4 << 20)
            running.wait(lambda: len(running.out) > goal, "records")
            running.kill()
            part = unframed(running.out, is_whole=False)
            start = log_start(lines, part, seen)
            assert part == lines[start : start + len(part)]
            seen = max(seen, start + len(part))
        rest = unframed(log.run("tail", "--consumer", name, "-o", "raw", "--framed").stdout)
        assert len(lines) - len(rest) <= seen, "some records were never seen"
        assert rest == lines[len(lines) - len(rest) :]
        assert log.consumers()[name]["lag"] == 0


def log_start(lines, part, seen):
    """Where a part begins: at what was seen already or right behind it, never later."""
    if not part:
        return seen
    starts = [at for at in range(min(seen, len(lines) - 1) + 1) if lines[at] == part[0]]
    starts = [at for at in starts if lines[at : at + len(part)] == part]
    assert starts, f"records behind {seen} were passed over"
    return starts[-1]


def test_real_records_go_through_a_backup_and_an_import_into_the_other_format(filled, lines, binary, place):
    log, kinds = filled
    log.run("commit", "sealer", 100)
    log.run("backup", place / "copy")
    copy = LogProgram(binary, place / "copy")
    assert copy.records() == lines
    assert copy.consumers()["sealer"]["position"] == 100
    assert copy.check() == []
    version = json.loads(log.run("ls", "--json").stdout)["format_version"]
    other = LogProgram(binary, place / "other")
    other.run("import", log.directory, "--create", "--format-version", 3 - version)
    assert other.records() == lines
    assert other.records("--type", 1) == [line for line, kind in zip(lines, kinds) if kind == "block"]
    assert copy.append([b"more"]) == [len(lines) + 1]
