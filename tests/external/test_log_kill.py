"""Sudden ends of the real `log append` and of consumers, a second writer, and readers beside a writer that moves on.

Refuses to be gentle: SIGKILL at any moment, and every id that was printed is held against what is there afterwards.
"""

import re
import signal
import subprocess

import pytest

from hold import number_of
from log_program import LogProgram, check_prefix, ids_in, unframed

KILLS = number_of("LOGHOLD_LOG_KILLS", 15)
# All of a log is read behind each kill: a long one would take most of the time of many.
KILLS_PER_LOG = 20
# Of the starts behind a kill so many are killed as well, within the time that one takes.
KILLED_AGAIN_SHARE, START_SECONDS = 0.2, 0.015
SMALL = ["--max-size-data-file", "65536"]
FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "100", "--index-file-num-per-dir", "8"],
    "format-2": SMALL,
}


@pytest.fixture
def log(binary, place):
    return LogProgram(binary, place / "log")


def line(number):
    return f"record {number} {'x' * (number % 200)}\n".encode()


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("level", ["disk", "os"])
def test_every_id_that_was_printed_survives_a_kill_and_there_is_no_hole(binary, place, dice, parameters, level):
    for begin in range(0, KILLS, KILLS_PER_LOG):
        log = LogProgram(binary, place / f"log{begin}")
        log.run("init", *parameters)
        kill_writers(log, min(KILLS_PER_LOG, KILLS - begin), dice, level)


def kill_writers(log, kills, dice, level):
    count = 0
    for _ in range(kills):
        running = log.start("append", "--durability", level)
        lines = [line(number) for number in range(count + 1, count + 2001)]
        running.feed(b"".join(lines))
        running.wait_lines(dice.randint(0, 500))
        running.kill()
        printed = ids_in(b"\n".join(running.lines()))
        assert printed == list(range(count + 1, count + 1 + len(printed)))
        if dice.random() < KILLED_AGAIN_SHARE:
            kill_while_it_starts(log, dice)
        ids = log.ids()
        check_prefix(ids, printed)
        count = len(ids)
    assert log.records() == [line(number).rstrip(b"\n") for number in range(1, count + 1)]
    # Opening it once more mends its end; then nothing is left to say.
    log.append([b"last"])
    assert [one for one in log.check() if one["severity"] == "damage"] == []


def kill_while_it_starts(log, dice):
    """Kills the next writer too, while it looks for the end of the log and mends it, or a little later."""
    running = log.start("append")
    try:
        running.process.wait(dice.uniform(0, START_SECONDS))
    except subprocess.TimeoutExpired:
        pass
    assert running.kill() == -signal.SIGKILL, running.errors


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_an_import_that_is_killed_again_and_again_copies_every_record_once(
    log, binary, place, strace, dice, parameters
):
    other = LogProgram(binary, place / "other")
    wanted = [b"%d " % number + b"z" * (number % 100) for number in range(40_000)]
    other.append(wanted, "--create", "--durability", "os")
    log.run("init", *parameters)
    log.append([b"own"])
    counts, mark = [0], log.directory / "importing"
    for _ in range(KILLS):
        # At a write of either thread, of some dozens.
        when = str(dice.randint(1, 60))
        run = log.run("import", other.directory, code=None, before=strace("pwrite64", "signal=KILL", when))
        counts.append(len(log.ids()) - 1)
        assert counts == sorted(counts), "records that were copied are gone"
        assert log.records()[1:] == wanted[: counts[-1]]
        if run.code == 0:
            break
    print(f"{counts} records were there")
    if run.code != 0:
        log.run("import", other.directory)
    assert log.records() == [b"own", *wanted]
    assert not mark.exists()
    assert [one for one in log.check() if one["severity"] == "damage"] == []


def test_an_interrupt_ends_an_append_with_every_record_that_was_read_in_place(log):
    running = log.start("append", "--create")
    running.put(b"one\ntwo\n")
    running.wait_lines(2)
    assert running.kill(signal.SIGINT) == 130
    assert log.records() == [b"one", b"two"]
    assert log.check() == []


def test_a_second_writer_is_refused_with_the_pid_of_the_first_and_readers_are_not(log):
    running = log.start("append", "--create")
    running.put(b"one\n")
    running.wait_lines(1)
    for words in (["append"], ["trim", "--before", 1], ["truncate", "--after", 1], ["repair", "--yes"]):
        second = log.run(*words, stdin=b"two\n", code=8)
        assert re.search(rf"\b{running.pid}\b", second.stderr), f"the pid {running.pid} is not told:\n{second}"
    assert log.records() == [b"one"]
    running.process.stdin.close()
    assert running.ended() == 0
    assert log.ids() == [1]


def test_of_writers_that_begin_at_once_one_writes_and_a_stopped_one_keeps_the_log(log, dice):
    log.run("init", *SMALL)
    count = 0
    for _ in range(KILLS):
        writers = [log.start("append") for _ in range(4)]
        for writer in writers:
            try:
                writer.put(b"x\n")
            except BrokenPipeError:
                # It was refused already.
                pass
        # Each ends, but for the one that goes on reading its input.
        for writer in writers:
            writer.wait(lambda: writer.process.poll() is not None or bytes(writer.out).count(b"\n") > 0, "a verdict")
        owners = [writer for writer in writers if writer.lines()]
        assert len(owners) == 1, [writer.errors for writer in writers]
        [owner] = owners
        for writer in writers:
            if writer is not owner:
                assert writer.ended() == 8, writer.errors
                # The owner's pid, but for one that comes before that is written, in the same millisecond.
                told = re.search(r"process (\d+)", writer.errors)
                assert told is None or int(told[1]) == owner.pid, writer.errors
        count += 1
        assert ids_in(b"\n".join(owner.lines())) == [count]
        # An owner that was stopped is an owner still; one that is dead leaves nothing that has to be removed.
        owner.process.send_signal(signal.SIGSTOP)
        second = log.run("append", stdin=b"y\n", code=8)
        assert str(owner.pid) in second.stderr, second
        owner.kill()
        assert log.ids() == list(range(1, count + 1))


def test_a_line_is_durable_and_told_as_it_comes(log):
    running = log.start("append", "--create")
    for number in range(1, 4):
        running.put(f"{number}\n".encode())
        running.wait_lines(number)
        assert log.ids() == list(range(1, number + 1))
    running.process.stdin.close()
    assert running.ended() == 0


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_consumers_that_are_killed_see_every_record_at_least_once_and_in_order(log, dice, parameters):
    log.run("init", *parameters)
    count = 3000
    wanted = [f"{number} {'y' * (number % 50)}".encode() for number in range(1, count + 1)]
    log.append(wanted)
    for name in ("one", "two"):
        seen = []
        for _ in range(100):
            running = log.start("tail", "--consumer", name, "-o", "raw", "--framed")
            running.wait(lambda: len(running.out) > dice.randint(0, 40000), "records")
            running.kill()
            part = unframed(running.out, is_whole=False)
            # It goes on behind what was committed: never behind what was not written.
            start = wanted.index(part[0]) if part else len(seen)
            assert start <= len(seen), f"records {len(seen) + 1} to {start} were never seen"
            assert part == wanted[start : start + len(part)]
            seen[start:] = part if start + len(part) > len(seen) else seen[start:]
            if log.consumers().get(name, {"lag": 1})["lag"] == 0:
                break
        assert seen == wanted
    assert {one["lag"] for one in log.consumers().values()} == {0}


def test_a_follower_in_another_process_sees_everything_while_a_writer_goes_through_files(log):
    log.run("init", *SMALL)
    follower = log.start("tail", "-f", "--from", 1, "--ids")
    count = 5000
    log.run("append", "--durability", "os", stdin=b"".join(line(number) for number in range(count)))
    follower.wait_lines(count)
    assert ids_in(b"\n".join(follower.lines())) == list(range(1, count + 1))
    assert follower.kill(signal.SIGINT) == 130


def test_a_follower_and_a_reader_are_told_of_trims_and_rollbacks(log):
    log.run("init", *SMALL)
    log.append([b"x" * 500] * 1000)
    follower = log.start("tail", "-f", "--from", 1, "-o", "jsonl")
    follower.wait_lines(1000)
    log.run("truncate", "--after", 900)
    follower.wait_errors("what followed record 900 is gone")
    log.append([b"again"])
    follower.wait_lines(1001)
    assert b'"id":901' in follower.lines()[-1] and b"again" in follower.lines()[-1]
    log.run("trim", "--before", 800)
    assert log.run("read", "..", "--ids").stdout.split()[0] == b"800"
    assert log.run("read", 5, code=3).stdout == b""
    assert log.run("read", "700..=800", "--ids", code=4).stdout == b"800\n"
    assert log.append([b"more"]) == [902]
    follower.wait_lines(1002)
    assert follower.kill(signal.SIGTERM) == 143


def test_a_reader_beside_a_busy_writer_never_fails_and_never_sees_a_hole(log):
    log.run("init", *SMALL)
    writer = log.start("append", "--durability", "os")
    writer.feed(b"".join(line(number) for number in range(30000)))
    ended = 0
    while ended < 30000:
        ids = log.ids()
        assert ids == list(range(1, len(ids) + 1))
        assert len(ids) >= ended
        ended = len(ids)
        if writer.process.poll() is not None and ended < 30000:
            assert writer.ended() == 0
            assert log.ids() == list(range(1, 30001))
            break
    assert writer.ended() == 0


def test_a_pipe_that_closes_early_ends_the_reader_quietly(log):
    log.run("append", "--create", stdin=b"".join(line(number) for number in range(20000)))
    pipeline = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *log.command("read", "--ids")], capture_output=True, check=False
    )
    assert (pipeline.stdout, pipeline.stderr) == (b"1\n", b"")
