"""Who owns a log: one process, until it ends, and whoever has its descriptor of the lock.

Refuses to go by time: what is refused at once is seen by its system calls.
"""

import ctypes
import os
import re
import signal

import pytest

from hold import number_of
from log_program import LogProgram, ids_in

ROUNDS = number_of("LOGHOLD_LOCK_ROUNDS", 20)
PIDFD_GETFD = 438


@pytest.fixture
def log(binary, place):
    log = LogProgram(binary, place / "log")
    log.run("init")
    return log


def owner_of(log, number):
    """A writer that has appended a record, and holds the log."""
    owner = log.start("append")
    owner.put(b"record\n")
    owner.wait_lines(1)
    assert ids_in(b"\n".join(owner.lines())) == [number]
    return owner


def descriptors(pid):
    """What is open in a process: number and path."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def inherited(pid, number):
    """The descriptor of another process as its fork would have it: the same open file."""
    library = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        descriptor = library.syscall(PIDFD_GETFD, process, number, 0)
        if descriptor < 0:
            pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
        return descriptor
    finally:
        os.close(process)


def refused(log, strace, trace):
    """What a second writer is told, which tries the lock once and waits for nothing."""
    calls = "flock,fcntl,nanosleep,clock_nanosleep"
    second = log.run("append", stdin=b"second\n", code=8, before=strace("fsync", "error=EIO", 60000, trace, calls))
    assert second.stdout == b"", second
    tried = re.findall(r"(\w+)\(([^)]*)\)", trace.read_text())
    locks = [words for call, words in tried if call == "flock"]
    assert len(locks) == 1 and "LOCK_NB" in locks[0], tried
    assert not [words for call, words in tried if "nanosleep" in call or "SETLKW" in words], tried
    return second.stderr


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_second_writer_is_refused_at_once_with_the_pid_of_the_owner(log, place, strace, state):
    owner = owner_of(log, 1)
    if state == "stopped":
        owner.process.send_signal(signal.SIGSTOP)
        # Not before it has stopped: a signal is on its way for a while.
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
    told = refused(log, strace, place / "trace")
    assert re.search(rf"\b{owner.pid}\b", told), told
    assert owner.kill() == -signal.SIGKILL
    assert log.append([b"next"]) == [2]
    assert log.records() == [b"record", b"next"]


def test_a_program_that_an_owner_starts_inherits_none_of_its_descriptors(log):
    owner = owner_of(log, 1)
    shown = descriptors(owner.pid)
    own = {number: path for number, path in shown.items() if str(log.directory) in path}
    assert [path for path in own.values() if path.endswith("/LOCK")], shown
    for number in set(shown) - {0, 1, 2}:
        with open(f"/proc/{owner.pid}/fdinfo/{number}", encoding="utf-8") as info:
            flags = int(re.search(r"flags:\s*(\d+)", info.read())[1], 8)
        assert flags & os.O_CLOEXEC, f"{shown[number]} would be open in a program that is started"
    owner.kill()


def test_a_fork_that_has_inherited_the_lock_keeps_it_when_the_owner_is_dead(log, place, strace):
    owner = owner_of(log, 1)
    [lock] = [number for number, path in descriptors(owner.pid).items() if path == str(log.directory / "LOCK")]
    kept = inherited(owner.pid, lock)
    try:
        assert str(owner.pid) in refused(log, strace, place / "trace")
        assert owner.kill() == -signal.SIGKILL
        # Whoever has the descriptor could write: there is no second writer, and no owner is named that is dead.
        told = refused(log, strace, place / "trace")
        assert not re.search(rf"\b{owner.pid}\b", told), told
        assert log.records() == [b"record"], "readers need no lock"
    finally:
        os.close(kept)
    assert log.append([b"next"]) == [2]


def test_of_two_writers_that_race_one_writes_and_the_death_of_the_owner_is_enough_for_the_next(log):
    for number in range(1, ROUNDS + 1):
        writers = [log.start("append") for _ in range(2)]
        for writer in writers:
            try:
                writer.put(f"{writer.pid}\n".encode())
            except BrokenPipeError:
                pass
        for writer in writers:
            writer.wait(lambda: writer.process.poll() is not None or bytes(writer.out).count(b"\n") > 0, "a verdict")
        owners = [writer for writer in writers if writer.lines()]
        assert len(owners) == 1, [writer.errors for writer in writers]
        [owner] = owners
        [loser] = [writer for writer in writers if writer is not owner]
        assert loser.ended() == 8 and loser.lines() == []
        told = re.search(r"process (\d+)", loser.errors)
        assert told is None or int(told[1]) == owner.pid, loser.errors
        assert ids_in(b"\n".join(owner.lines())) == [number]
        # Killed, or stopped and killed: the loser would get the log now, with nothing to be removed.
        if number % 2:
            owner.process.send_signal(signal.SIGSTOP)
        owner.kill()
        assert log.records()[-1] == str(owner.pid).encode()
    assert log.ids() == list(range(1, ROUNDS + 1))
