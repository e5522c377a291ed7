"""The program under test with one log, and what tests of the log do with it: append, kill, read back.

Refuses to assert what a test is about: it fails only where a run breaks what every run promises.
"""

import json
import pathlib
import signal
import struct
import subprocess
import threading

from hold import RUN_SECONDS_MAX, Run, environment


class LogProgram:
    """The program, with a log."""

    def __init__(self, binary, directory):
        self.binary, self.directory = str(binary), pathlib.Path(directory)

    def command(self, *words):
        return [self.binary, "--color=never", "log", "--log", str(self.directory), *map(str, words)]

    def run(self, *words, stdin=b"", code=0, before=()):
        """Runs to the end, in bytes; `code` is the exit code that is expected, `None` any; `before` wraps the program."""
        done = subprocess.run(
            [*before, *self.command(*words)],
            input=stdin,
            capture_output=True,
            env=environment(),
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        run = Run(tuple(map(str, words)), done.returncode, done.stdout, done.stderr.decode(errors="replace"))
        assert code is None or run.code == code, f"expected exit {code}:\n{run}"
        return run

    def start(self, *words, before=()):
        return Process([*before, *self.command(*words)])

    def append(self, records, *words, code=0):
        """Appends records whatever bytes they have; returns their ids."""
        return ids_in(self.run("append", "--framed", *words, stdin=framed(records), code=code).stdout)

    def ids(self, *words):
        return ids_in(self.run("read", "--ids", *words).stdout)

    def records(self, *words, code=0):
        """The bytes of records."""
        return unframed(self.run("read", "-o", "raw", "--framed", *words, code=code).stdout)

    def check(self):
        return json.loads(self.run("check", "--json").stdout)

    def consumers(self):
        return {one["name"]: one for one in json.loads(self.run("consumers", "--json").stdout)}


class Process:
    """A run beside the test. Lines of stdout are read as they come."""

    def __init__(self, command):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment())
        self.out = bytearray()
        self._changed = threading.Condition()
        self._is_done = False
        self._errors = bytearray()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        while piece := self.process.stdout.read1(1 << 16):
            with self._changed:
                self.out += piece
                self._changed.notify_all()
        with self._changed:
            self._is_done = True
            self._changed.notify_all()

    def _read_errors(self):
        while piece := self.process.stderr.read1(1 << 16):
            with self._changed:
                self._errors += piece
                self._changed.notify_all()

    @property
    def errors(self):
        with self._changed:
            return self._errors.decode(errors="replace")

    def feed(self, data):
        """Writes to stdin, in a thread: a run that is killed breaks the pipe."""

        def write():
            try:
                self.process.stdin.write(data)
                self.process.stdin.close()
            except (BrokenPipeError, ValueError, OSError):
                pass

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        self._threads.append(thread)

    def put(self, data):
        """Writes to stdin, which stays open."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def lines(self):
        """Whole lines of stdout up to now."""
        with self._changed:
            whole, _, _ = bytes(self.out).rpartition(b"\n")
            return whole.split(b"\n") if whole else []

    def wait_lines(self, count):
        return self.wait(lambda: bytes(self.out).count(b"\n") >= count, f"{count} lines")

    def wait_errors(self, text):
        return self.wait(lambda: text in self._errors.decode(errors="replace"), f"{text!r} on stderr")

    def wait(self, condition, what):
        """Until it is so, or the run has ended."""
        with self._changed:
            is_so = self._changed.wait_for(lambda: condition() or self._is_done, RUN_SECONDS_MAX)
        assert is_so, f"waited in vain for {what}:\n{self.errors}"

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self, seconds=RUN_SECONDS_MAX):
        """Waits for the end; the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"a run hangs: {self.process.args}\n{self.errors}") from None
        for thread in self._threads:
            thread.join(RUN_SECONDS_MAX)
        return code


def framed(records):
    return b"".join(struct.pack("<I", len(record)) + record for record in records)


def unframed(data, is_whole=True):
    """The records in a stream; a half one at its end is left out, if that is allowed."""
    records, at = [], 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        if at + 4 + size > len(data):
            break
        records.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    assert at == len(data) or not is_whole, "the stream ends in the middle of a record"
    return records


def ids_in(data):
    return [int(line) for line in bytes(data).split()]


def check_prefix(ids, printed):
    """What was printed is there, and there is no hole."""
    assert ids == list(range(1, len(ids) + 1)), "there is a hole"
    assert not printed or max(printed) <= len(ids), f"{max(printed)} was printed, and the log ends at {len(ids)}"
