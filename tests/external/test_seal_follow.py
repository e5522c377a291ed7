"""`seal --follow` beside a writer, and its sudden ends: every record ends in exactly one chunk, whoever dies when.

Refuses to be gentle: SIGKILL at any moment, two sealers at once, a trim behind them.
"""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess

import pytest

from hold import number_of, until
from joint_line import RECORDS_PER_CHUNK, Line, of_chunks

KILLS = number_of("LOGHOLD_SEAL_KILLS", 12)


@pytest.fixture
def line(binary, place):
    return Line(binary, place).begin()


def test_what_is_appended_beside_it_is_sealed_as_it_comes_and_an_interrupt_ends_it(line):
    running = line.follow()
    for chunks in range(1, 4):
        # The writer and the sealer are two processes that come and go.
        line.append(RECORDS_PER_CHUNK + (3 if chunks == 1 else 0))
        running.wait_lines(chunks)
        assert len(of_chunks(running)) >= chunks, running.errors
    assert running.kill(signal.SIGINT) == 130
    ranges = [(chunk["first_block"], chunk["last_block"]) for chunk in of_chunks(running)]
    assert ranges == [(first, first + RECORDS_PER_CHUNK - 1) for first in range(0, 60, RECORDS_PER_CHUNK)]
    assert line.read() == line.appended
    assert line.seal().json() == []


@pytest.mark.parametrize("retain", ["all", "unsealed"])
def test_kills_at_any_moment_seal_no_record_twice_and_lose_none(binary, place, dice, retain):
    line = Line(binary, place, retain).begin()
    told = set()
    for _ in range(KILLS):
        count = dice.randint(1, 4 * RECORDS_PER_CHUNK)
        if retain == "unsealed":
            # It trims the log, so it is its one writer.
            line.append(count)
        running = line.follow()
        if retain == "all":
            line.append(count)
        if line.seals_more_than(told) and dice.randint(0, 2):
            running.wait_lines(1)
        running.kill()
        for chunk in of_chunks(running):
            span = (chunk["first_block"], chunk["last_block"])
            assert span not in told, f"{span} was told twice"
            told.add(span)
        assert line.read() == line.appended
    line.seal()
    assert line.read() == line.appended
    assert line.sealed() == (len(line.appended) - 3) // RECORDS_PER_CHUNK * RECORDS_PER_CHUNK
    assert [one for one in line.log.check() if one["severity"] == "damage"] == []


def test_a_second_sealer_of_the_same_log_seals_nothing_twice(line):
    first, second = line.follow(), line.follow()
    for _ in range(6):
        line.append(RECORDS_PER_CHUNK)
    line.append(3)
    until(lambda: line.sealed() == 6 * RECORDS_PER_CHUNK, "six chunks")
    codes = [one.kill(signal.SIGINT) for one in (first, second)]
    assert 130 in codes, (first.errors, second.errors)
    spans = [(c["first_block"], c["last_block"]) for one in (first, second) for c in of_chunks(one)]
    assert len(spans) == len(set(spans)), "a chunk was sealed by both"
    assert line.read() == line.appended


@contextlib.contextmanager
def slow_renames(running):
    """Holds a process up before each of its renames: after it has looked, and before it decides anything."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    words = ["-e", "trace=renameat,renameat2", "-e", "inject=renameat,renameat2:delay_enter=150ms"]
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(running.pid), *words])
    status = pathlib.Path(f"/proc/{running.pid}/status")
    until(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text() or tracer.poll() is not None, "a tracer")
    try:
        yield
    finally:
        tracer.kill()
        tracer.wait()


def test_a_sealer_of_a_copy_that_comes_late_replaces_no_chunk_of_one_that_cuts_otherwise(line):
    # One log has one sealer, by a lock. A copy of it elsewhere knows nothing of that: only the store decides.
    copy = line.copy("records = 7")
    late, first = line.follow(), copy.follow()
    with slow_renames(late):
        for _ in range(3):
            line.append(2 * RECORDS_PER_CHUNK)
            copy.append(2 * RECORDS_PER_CHUNK)
            until(lambda: line.sealed() + RECORDS_PER_CHUNK > len(line.appended) - 3, "the line is sealed")
            assert line.read() == line.appended
    codes = [one.kill(signal.SIGINT) for one in (late, first)]
    assert 130 in codes, (late.errors, first.errors)
    told = sorted((c["first_block"], c["last_block"]) for one in (late, first) for c in of_chunks(one))
    ends = [last + 1 for _, last in told]
    assert [first for first, _ in told] == [0, *ends[:-1]], f"a chunk was replaced, or told twice: {told}"
    assert ends[-1] == line.sealed()
    assert line.read() == line.appended


def test_a_reader_that_follows_is_interrupted_with_all_that_it_read_in_one_document(line):
    line.append(RECORDS_PER_CHUNK + 5)
    line.seal()
    reading = line.start_reading("-o", "json", "-v")
    reading.wait(lambda: bytes(reading.out).count(b'"block"') >= len(line.appended), "what is there")
    line.append(5)
    reading.wait(lambda: bytes(reading.out).count(b'"block"') >= len(line.appended), "what comes")
    assert reading.kill(signal.SIGINT) == 130
    assert [row["text"].encode() for row in json.loads(bytes(reading.out))] == line.appended
    assert f"{len(line.appended)} lines of blocks 0..={len(line.appended) - 1}" in reading.errors


def test_a_block_is_found_in_its_chunk_or_at_the_head(line):
    line.append(RECORDS_PER_CHUNK + 5)
    line.seal()
    ways = ["--plan", str(line.plan), "--log", str(line.place / "log")]
    found = line.loghold.run("find", *ways, "7", "-o", "json").json()
    [chunk] = found
    assert (chunk["place"], chunk["first_transid"], chunk["last_transid"]) == ("chunk", 1, RECORDS_PER_CHUNK)
    assert (line.place / "sealed" / chunk["path"] / "records.parquet").is_file()
    [head] = line.loghold.run("find", *ways, str(RECORDS_PER_CHUNK), "-o", "json").json()
    assert (head["place"], head["first_transid"], head["path"]) == ("head", RECORDS_PER_CHUNK + 1, None)
    store = f"file://{line.place}/sealed"
    assert line.loghold.run("find", store, "7", "-o", "json").json() == found
    assert "--log look in the log" in line.loghold.run("find", store, str(RECORDS_PER_CHUNK), code=3).stderr
    line.loghold.run("find", *ways, str(len(line.appended)), code=3)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("lag = 3", "lag = -3", ["line 5", "finality is", "0 or more"]),
        ("[cut]", "[cutt]", ["cutt", "expected one of", "`cut`"]),
        ('dataset = "trial"', "", ["text", "missing field `dataset`"]),
    ],
)
def test_a_mistake_in_a_plan_is_told_in_one_line_that_names_it(line, right, wrong, told):
    line.plan.write_text(line.plan.read_text().replace(right, wrong))
    refused = line.seal(code=2).stderr
    assert len(refused.splitlines()) == 1 and all(part in refused for part in told), refused
