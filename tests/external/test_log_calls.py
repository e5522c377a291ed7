"""Real system calls of `log append` fail, one after the other: each call to the disk that it makes, with EIO and with ENOSPC.

Refuses to expect a certain outcome of a call: what was printed is there, nothing else is, and the log goes on.
"""

import os
import shutil
import signal
import subprocess

import pytest

from hold import number_of
from log_program import LogProgram, check_prefix, ids_in
from system_calls import begun, begun_by_all

# So many failures of each kind are tried; a session has some hundreds.
CASES = number_of("LOGHOLD_CALL_FAULTS", 25)
CALLS = "pwrite64 pread64 fdatasync fsync ftruncate fallocate mkdirat renameat2 unlinkat flock sync_file_range".split()
FORMATS = {
    "format-1": ["--format-version", "1", "--index-num-per-file", "4", "--index-file-num-per-dir", "2"],
    "format-2": ["--max-size-data-file", "16384"],
}
RECORDS = [b"record %d " % number + b"x" * 1500 for number in range(24)]


def append_one_by_one(log, before):
    """Appends records, each when the one before it is safe; returns the exit code, the ids that were printed, and what was said."""
    running = log.start("append", before=before)
    for number, record in enumerate(RECORDS):
        try:
            running.put(record + b"\n")
        except OSError:
            break
        running.wait_lines(number + 1)
    try:
        running.process.stdin.close()
    except OSError:
        pass
    code = running.ended()
    return code, ids_in(b"\n".join(running.lines())), running.errors


def fail_calls(binary, place, strace, dice, parameters, error, times):
    """Fails a choice of calls, each as many times as `times` says behind its number, and returns how many of them were told. Each has to
    come, or to be one that no thread gets to."""
    log = LogProgram(binary, place / "log")

    def append(call, when):
        shutil.rmtree(log.directory, ignore_errors=True)
        log.run("init", *parameters)
        log.append([b"before"])
        return append_one_by_one(log, strace(call, f"error={error}", when, place / "trace", ",".join(CALLS)))

    # So many calls are not made.
    assert append("fsync", 60000)[0] == 0
    trace, came, failed = (place / "trace").read_text(), 0, 0
    assert begun_by_all(trace, "pwrite64") > len(RECORDS) and begun_by_all(trace, "fdatasync") >= len(RECORDS)
    # Each call of each thread is one of these, and some are calls of two threads.
    numbers = [(call, number) for call in CALLS for number in range(1, begun(trace, call) + 1)]
    cases = [(call, number, more) for call, number in numbers for more in times]
    for call, number, more in dice.sample(cases, min(CASES, len(cases))):
        code, printed, said = append(call, f"{number}{more}")
        what = f"{call} number {number}{more} fails with {error}: exit {code}, {len(printed)} printed\n{said}"
        trace = (place / "trace").read_text()
        has_come = "(INJECTED)" in trace
        # Which thread makes a call may be another one in each run: then none has made so many.
        assert has_come or begun(trace, call) < number, f"it never came: {what}"
        assert has_come or code == 0, f"without a failure: {what}"
        came += has_come
        if code == 127 and "shared libraries" in said:
            # It was not loaded at all.
            continue
        assert code in (0, 1, 7) and "panicked" not in said, what
        assert code == 0 or "error:" in said, what
        assert code != 0 or len(printed) == len(RECORDS), what
        failed += code != 0
        check_prefix(log.ids(), [1, *printed])
        records = log.records()
        assert records == [b"before", *RECORDS][: len(records)], what
        assert [one for one in log.check() if one["severity"] == "damage"] == [], what
        assert log.append([b"after"]) == [len(records) + 1], what
    tried = min(CASES, len(cases))
    print(f"{came} of {tried} failures came, {failed} were told, of {len(cases)} that there may be")
    assert 2 * came >= tried, f"only {came} of {tried} failures came"
    return failed


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_call_that_fails_loses_nothing_that_was_printed_and_the_log_goes_on(
    binary, place, strace, dice, parameters, error
):
    # Once, and from then on.
    failed = fail_calls(binary, place, strace, dice, parameters, error, ("", "+"))
    assert failed > 0, "no failure was told"


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_call_that_a_signal_interrupts_is_made_again(binary, place, strace, dice, parameters):
    failed = fail_calls(binary, place, strace, dice, parameters, "EINTR", ("",))
    assert failed == 0, "an interrupted call is no failure"


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_kill_at_any_call_and_at_any_call_of_the_start_after_it_takes_nothing_that_was_printed(
    binary, place, strace, dice, parameters
):
    log = LogProgram(binary, place / "log")
    log.run("init", *parameters)
    assert append_one_by_one(log, strace("fsync", "error=EIO", 60000, place / "trace", ",".join(CALLS)))[0] == 0
    trace = (place / "trace").read_text()
    cases = [(call, number) for call in CALLS for number in range(1, begun(trace, call) + 1)]
    killed = 0
    for call, number in dice.sample(cases, min(CASES, len(cases))):
        shutil.rmtree(log.directory, ignore_errors=True)
        log.run("init", *parameters)
        code, printed, _ = append_one_by_one(log, strace(call, "signal=KILL", number))
        killed += code == -signal.SIGKILL
        # A start makes fewer calls of each kind than that; a kill behind its end is one of an append.
        again = dice.choice(CALLS)
        log.run("append", stdin=b"again\n", code=None, before=strace(again, "signal=KILL", dice.randint(1, 12)))
        what = f"killed at {call} number {number}, then at a {again}"
        records = log.records()
        check_prefix(log.ids(), printed)
        assert len(records) >= len(printed), what
        assert [record for record in records if record != b"again"] == RECORDS[: len(records) - (b"again" in records)], what
        assert [one for one in log.check() if one["severity"] == "damage"] == [], what
        assert log.append([b"after"]) == [len(records) + 1], what
    print(f"{killed} of {min(CASES, len(cases))} kills came, of {len(cases)} that there may be")
    assert killed > 0, "no kill came"


def end_by_signal(log, inject):
    """Appends records one by one and asks for the end by SIGTERM, with faults from that moment on; the exit code, and the ids that were printed."""
    running = log.start("append")
    for number, record in enumerate(RECORDS):
        running.put(record + b"\n")
        running.wait_lines(number + 1)
    with subprocess.Popen([*inject, "-p", str(running.pid)], stderr=subprocess.PIPE) as tracer:
        # Calls are counted from here on.
        said = tracer.stderr.readline()
        assert b"attached" in said, said
        running.process.send_signal(signal.SIGTERM)
        code = running.ended()
    return code, ids_in(b"\n".join(running.lines()))


@pytest.mark.parametrize("parameters", FORMATS.values(), ids=FORMATS)
def test_a_kill_at_any_call_of_an_orderly_end_takes_nothing_that_was_printed(binary, place, strace, parameters):
    log = LogProgram(binary, place / "log")
    calls = [*CALLS, "close", "munmap"]
    wanted = [b"before", *RECORDS]

    def run(call, what, when):
        shutil.rmtree(log.directory, ignore_errors=True)
        log.run("init", *parameters)
        log.append([b"before"])
        return end_by_signal(log, strace(call, what, when, place / "trace", ",".join(calls)))

    code, printed = run("fsync", "error=EIO", 60000)
    assert code == 143 and len(printed) == len(RECORDS)
    cases = [(call, when) for call in calls for when in range(1, begun((place / "trace").read_text(), call) + 1)]
    assert {"pwrite64", "fdatasync"} <= {call for call, _ in cases}, f"it ends without telling so durably: {cases}"
    killed = 0
    for call, when in cases:
        code, printed = run(call, "signal=KILL", when)
        what = f"killed at {call} number {when} of {cases}: exit {code}"
        killed += code == -signal.SIGKILL
        assert len(printed) == len(RECORDS), what
        assert log.records() == wanted, what
        assert log.check() == [], what
        assert log.append([b"after"]) == [len(wanted) + 1], what
        assert log.records() == [*wanted, b"after"], what
    print(f"{killed} of {len(cases)} kills came")
    assert 2 * killed >= len(cases), "the kills miss the end"


def test_a_start_that_gets_no_thread_to_help_it_reads_a_large_file_alone(binary, place, strace):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("with one core there is no help at a start")
    log = LogProgram(binary, place / "log")
    wanted = [b"%d " % number + b"x" * 20000 for number in range(500)]
    log.append(wanted, "--create", "--durability", "os")
    # Killed before it could say that it was closed.
    log.run("append", stdin=b"last\n", code=None, before=strace("write", "signal=KILL", 1))
    for when, code in (("1", 0), ("1+", 1)):
        run = log.run("trim", "--before", 1, code=None, before=strace("clone3", "error=EAGAIN", when, place / "trace"))
        trace = (place / "trace").read_text()
        assert "INJECTED" in trace and run.code == code and "panicked" not in run.stderr, f"{when}: {run}"
        assert log.records() in ([*wanted, b"last"], wanted)
    assert "rtrans" in run.stderr or "Resource temporarily unavailable" in run.stderr, run
