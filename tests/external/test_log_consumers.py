"""Consumers that are stopped and killed, alone and together, beside a writer that goes on.

Refuses to go by time: what has to happen meanwhile is waited for, and whoever hinders it hangs the test.
"""

import json
import os
import signal

import pytest

from hold import number_of
from log_program import LogProgram, ids_in, unframed

KILLS = number_of("LOGHOLD_LOG_KILLS", 15)
FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "100", "--index-file-num-per-dir", "8"],
    "format-2": ["--max-size-data-file", "65536"],
}
COMMIT_CALLS = "pwrite64 fdatasync fsync openat2 flock ftruncate mkdirat write close".split()


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def log(request, binary, place):
    log = LogProgram(binary, place / "log")
    log.run("init", *request.param)
    return log


def stop(running):
    """Stops a run, and waits until it has stopped."""
    running.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)


def position(log, name):
    return log.consumers().get(name, {}).get("position") or 0


def lines_of(first, last):
    return b"".join(b"record %d %s\n" % (number, b"x" * (number % 90)) for number in range(first, last + 1))


def test_a_stopped_consumer_holds_up_nobody_and_goes_on_where_it_was(log, dice):
    writer = log.start("append", "--durability", "os")
    names = ["stopped", "one", "two"]
    running = {name: log.start("tail", "-f", "--consumer", name, "--ids") for name in names}
    writer.put(lines_of(1, 100))
    running["stopped"].wait_lines(100)
    # Records that come in a later batch: then it is known how far it is, and somebody could wait for it.
    writer.put(lines_of(101, 500))
    running["stopped"].wait_lines(dice.randint(101, 500))
    stop(running["stopped"])
    # What it is done with was printed before; it may still be in the pipe.
    held = position(log, "stopped")
    assert held >= 100
    running["stopped"].wait_lines(held)
    told = ids_in(b"\n".join(running["stopped"].lines()))
    assert told == list(range(1, len(told) + 1))
    # Through several files, and to the end: the writer, who else consumes, and who comes new.
    count = 4000
    writer.feed(lines_of(501, count))
    writer.wait_lines(count)
    for name in ("one", "two"):
        running[name].wait_lines(count)
        assert ids_in(b"\n".join(running[name].lines())) == list(range(1, count + 1))
    assert ids_in(log.run("tail", "--consumer", "new", "--ids").stdout) == list(range(1, count + 1))
    assert writer.ended() == 0
    assert position(log, "stopped") == held, "a stopped consumer moves"
    second = log.run("tail", "--consumer", "stopped", "--ids", code=8)
    assert str(running["stopped"].pid) in second.stderr and second.stdout == b"", second
    running["stopped"].process.send_signal(signal.SIGCONT)
    running["stopped"].wait_lines(count)
    assert ids_in(b"\n".join(running["stopped"].lines())) == list(range(1, count + 1)), "passed over, or repeated"
    for one in running.values():
        assert one.kill(signal.SIGTERM) == 143
    assert {one["position"] for one in log.consumers().values()} == {count}


def test_a_consumer_that_is_killed_while_it_is_stopped_goes_on_behind_its_position(log, dice):
    seen = 0
    for _ in range(5):
        # More than are waited for: it may have been done with all before it was stopped.
        log.append([b"x"] * 500)
        running = log.start("tail", "-f", "--consumer", "one", "--ids")
        running.wait_lines(dice.randint(1, 300))
        stop(running)
        running.kill()
        part = ids_in(b"\n".join(running.lines()))
        assert part == list(range(part[0], part[0] + len(part)))
        assert part[0] <= seen + 1, f"records {seen + 1} to {part[0] - 1} were never seen"
        seen = max(seen, part[-1])
        assert part[0] - 1 <= position(log, "one") <= seen


def test_consumers_that_are_killed_at_the_same_moment_see_every_record_and_pass_over_none(log, dice):
    count = 3000
    wanted = [b"%d " % number + b"y" * (number % 50) for number in range(1, count + 1)]
    writer = log.start("append", "--durability", "os")
    seen = {"one": [], "two": []}
    rounds = 0
    while any(part != wanted for part in seen.values()):
        rounds += 1
        assert rounds <= 200, "they come to no end"
        if rounds == 1:
            writer.feed(b"".join(record + b"\n" for record in wanted))
        runs = {name: log.start("tail", "--consumer", name, "-o", "raw", "--framed") for name in seen}
        goal = dice.randint(0, 30000)
        runs[dice.choice(list(seen))].wait(lambda: any(len(one.out) > goal for one in runs.values()), "records")
        for one in runs.values():
            if one.process.poll() is None:
                os.kill(one.pid, signal.SIGKILL)
        for name, one in runs.items():
            one.ended()
            part = unframed(one.out, is_whole=False)
            start = wanted.index(part[0]) if part else len(seen[name])
            assert start <= len(seen[name]), f"{name}: records {len(seen[name]) + 1} to {start} were never seen"
            assert part == wanted[start : start + len(part)]
            seen[name][start:] = part if start + len(part) > len(seen[name]) else seen[name][start:]
            assert position(log, name) <= len(seen[name]), f"{name} is done with records that it has not seen"
    assert writer.ended() == 0
    for name in seen:
        rest = unframed(log.run("tail", "--consumer", name, "-o", "raw", "--framed").stdout)
        assert rest == wanted[count - len(rest) :] and position(log, name) == count


@pytest.mark.parametrize("is_beside", [False, True], ids=["alone", "beside-a-writer"])
def test_a_position_that_was_printed_survives_a_kill_and_none_is_ahead_of_what_was_asked(
    log, place, strace, dice, is_beside
):
    log.append([b"x"] * 1000)
    writer = log.start("append") if is_beside else None
    if writer:
        writer.put(b"beside\n")
        writer.wait_lines(1)
    held = asked = 0
    for _ in range(4 * KILLS):
        asked += dice.randint(1, 10)
        call = dice.choice(COMMIT_CALLS)
        # Few of each are made: a kill behind the last one is none.
        when = dice.randint(1, 12 if call in ("openat2", "close") else 3)
        run = log.run("commit", "one", asked, "--json", code=None, before=strace(call, "signal=KILL", when))
        found = position(log, "one")
        assert held <= found <= asked and found in (held, asked), f"{found}, was {held}, asked for {asked}: {run}"
        if run.stdout.strip():
            [told] = [one for one in json.loads(run.stdout) if one["name"] == "one"]
            assert told["position"] == found == asked, run
        assert run.code != 0 or found == asked, run
        held = found
    assert held > 0
    if writer:
        writer.kill()
        assert log.append([b"again"]) == [1002]
        assert position(log, "one") == held
