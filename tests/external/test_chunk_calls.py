"""A kill at each system call of `chunk get` and of `chunk rm`, whatever the call is, and one start behind it.

Refuses to choose the calls that matter: all that a run makes are tried, or as many as there is time for, spread over the run.
"""

import json
import os
import re
import shutil
import signal

import pytest

from hold import Contents, Hold, descriptor, file_bytes, number_of, write_descriptors
from system_calls import numbered

# So many kills of each command are tried; each makes some hundreds of calls.
CASES = number_of("LOGHOLD_CHUNK_CALLS", 30)
DATASET = "calls"
# The first chunk is there before the others are fetched, and stays when they are removed.
FILES = (2, 10, 1)
FILE_BYTES_MAX = 100_000


class Scene:
    """Three chunks at an origin, and data directories as they are before and after the last two are fetched."""

    def __init__(self, binary, origin, place, dice):
        self.origin, self.contents = origin, Contents()
        self.descriptors = [self._chunk(dice, index, files) for index, files in enumerate(FILES)]
        self.kept, *self.fetched = [one["id"] for one in self.descriptors]
        self.all_names = write_descriptors(place / "all.jsonl", self.descriptors)
        self.names = write_descriptors(place / "chunks.jsonl", self.descriptors[1:])
        self.hold = Hold(binary, place / "data")
        self.before, self.after = place / "before", place / "after"
        self.hold.run("chunk", "get", write_descriptors(place / "kept.jsonl", self.descriptors[:1]))
        shutil.copytree(self.hold.data_dir, self.before)
        self.hold.run("chunk", "get", self.names)
        shutil.copytree(self.hold.data_dir, self.after)

    def _chunk(self, dice, index, files):
        parts = {f"part{part}.parquet": file_bytes(dice, FILE_BYTES_MAX) for part in range(files)}
        urls = {name: self.origin.put(f"{index}/{name}", data) for name, data in parts.items()}
        one = descriptor(DATASET, index, index + 1, urls)
        for name, data in parts.items():
            self.contents.add(one["id"], name, data)
        return one

    def restore(self, directory):
        shutil.rmtree(self.hold.data_dir)
        shutil.copytree(directory, self.hold.data_dir)

    def start_once(self, dice):
        """One start of the program, by a command that looks at the chunks."""
        verify = ["verify", "-o", "json"]
        words = dice.choice([["ls"], ["files", DATASET], verify])
        run = self.hold.run("chunk", *words, code=None)
        assert run.code == 0 and (words is not verify or run.json() == []), run
        return words[0]

    def check(self, least, most):
        """What is listed is whole, has all of `least` and nothing beyond `most`, and no byte lies there that nobody will use. Returns
        what is listed."""
        listed = self.contents.check_listed(self.hold)
        assert least <= listed <= most, f"{sorted(least)} <= {sorted(listed)} <= {sorted(most)}"
        strays = [path for path in self._files() if not self._has_use(path, listed, most)]
        assert strays == [], f"nobody will use {strays}"
        return listed

    def _files(self):
        for directory, _, names in os.walk(self.hold.data_dir):
            yield from (os.path.relpath(os.path.join(directory, name), self.hold.data_dir) for name in names)

    def _has_use(self, path, listed, wanted):
        """Whether a file is one of the hold's own, of a chunk that is listed, or of one that is still wanted and can go on."""
        ids = [f"0x{id.removeprefix('0x')}" for id in listed]
        own = r"LOCK|\.catalogue/snapshot|\.catalogue/journal\.\d+"
        chunk = rf"dataset_id=[^/]+/first_block=\d+/last_block=\d+/chunk=({'|'.join(ids)})/[^/]+"
        if re.fullmatch(own, path) or re.fullmatch(chunk, path):
            return True
        staged = re.fullmatch(r"\.staging/(0x[0-9a-f]{64})/[^/]+", path)
        return bool(staged) and staged[1] in wanted - listed


@pytest.fixture
def scene(binary, origin, place, dice):
    return Scene(binary, origin, place, dice)


def choose(calls, dice):
    """As many as are tried, spread over the run."""
    count = min(CASES, len(calls))
    start = dice.random()
    return [calls[int((start + index) * len(calls) / count)] for index in range(count)]


def kill_at_calls(scene, strace, dice, place, command, begin, check):
    """Runs the command once to learn its calls, and then, from the same directory, with a kill at each that is chosen. `check` is told
    what was said, and says what is wrong."""

    def run(call, what, when, traced="write"):
        scene.restore(begin)
        running = scene.hold.start(*command, before=strace(call, what, when, place / "trace", traced))
        return running.ended(), running.reported()

    # So many are not made.
    whole, _ = run("fsync", "error=EIO", 60000, "/.")
    assert whole.code == 0, whole
    calls = numbered((place / "trace").read_text())
    assert {"pwrite64", "fsync", "renameat2", "write"} <= {call for call, _ in calls}, calls
    killed = 0
    for call, number in choose(calls, dice):
        done, reported = run(call, "signal=KILL", number)
        assert done.code in (0, -signal.SIGKILL), done
        killed += done.code == -signal.SIGKILL
        try:
            check(done, reported)
        except AssertionError as error:
            raise AssertionError(f"killed at {call} number {number} (exit {done.code}): {error}\n{done}") from error
    tried = min(CASES, len(calls))
    print(f"{killed} of {tried} kills of {command[:3]} came, of {len(calls)} that there may be")
    assert 2 * killed >= tried, f"only {killed} of {tried} kills came"


def test_a_kill_at_any_call_of_a_get_leaves_whole_chunks_and_no_stray_byte(scene, strace, dice, place):
    def check(done, reported):
        told = set(reported) | {one["id"] for one in rows(done.stdout) if one["state"] == "ready"}
        assert done.code != 0 or told >= set(scene.fetched), "it ended before all was there"
        by = scene.start_once(dice)
        everything = scene.contents.ids()
        listed = scene.check({scene.kept, *told}, everything)
        asked = len(scene.origin.requests)
        scene.hold.run("chunk", "get", scene.all_names)
        assert scene.check(everything, everything) == everything, f"behind a {by}"
        again = {path for path, _, _ in scene.origin.requests[asked:]}
        here = {f"/{index}/" for index, one in enumerate(scene.descriptors) if one["id"] in listed}
        assert not [path for path in again if path.startswith(tuple(here))], f"{again} were fetched though they were listed"

    command = ("-v", "chunk", "get", "-o", "jsonl", scene.names)
    kill_at_calls(scene, strace, dice, place, command, scene.before, check)


def test_a_kill_at_any_call_of_an_rm_leaves_chunks_whole_or_gone_for_good(scene, strace, dice, place):
    def check(done, _):
        told = {one["id"] for one in rows(done.stdout) if one["state"] == "removed"}
        assert done.code != 0 or told == set(scene.fetched), "it ended before all was gone"
        scene.start_once(dice)
        everything = scene.contents.ids()
        listed = scene.check({scene.kept}, everything - told)
        # What a start has brought back or not stays as it is.
        assert scene.check(listed, listed) == listed
        scene.hold.run("chunk", "rm", "--dataset", DATASET)
        assert scene.check(set(), set()) == set()

    command = ("chunk", "rm", "-o", "jsonl", *scene.fetched)
    kill_at_calls(scene, strace, dice, place, command, scene.after, check)


def rows(text):
    """The whole lines."""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
