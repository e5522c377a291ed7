"""Logs of format 1 that a real Ruby has written, with its Marshal and its Zlib, are read, scanned and imported.

Refuses to run without Ruby: `cargo xtask test` installs it.
"""

import json
import pathlib
import shutil
import subprocess

import pytest

from log_program import LogProgram

SCRIPT = pathlib.Path(__file__).with_name("log1_ruby.rb")
COUNT = 60


@pytest.fixture(params=["typed", "untyped"])
def form(request):
    return request.param


@pytest.mark.parametrize("compress", [0, 1])
def test_a_log_that_ruby_has_written_is_read_and_imported_record_by_record(binary, place, dice, form, compress):
    if shutil.which("ruby") is None:
        pytest.skip("ruby is not installed")
    log = LogProgram(binary, place / "log")
    words = ["ruby", SCRIPT, log.directory, form, compress, dice.getrandbits(32), COUNT]
    run = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    listed = [line.split(" ") for line in run.stdout.splitlines()]
    wanted = [(int(id), int(type_no), bytes.fromhex(data)) for id, type_no, data in listed]
    assert len(wanted) == COUNT and len({len(data) for _, _, data in wanted}) > 3
    assert_holds(log, wanted)
    assert [one for one in log.check() if one["severity"] == "damage"] == []
    assert log.consumers()["backend"]["position"] == COUNT // 2
    # It is the original program's: nothing is appended to it.
    refused = log.run("append", stdin=b"more\n", code=None)
    assert refused.code != 0 and "loghold log import" in refused.stderr, refused
    for version in (1, 2):
        copy = LogProgram(binary, place / f"copy-{version}")
        copy.run("import", log.directory, "--create", "--format-version", version)
        assert_holds(copy, wanted)
        assert copy.append([b"more"]) == [COUNT + 1]


def assert_holds(log, wanted):
    assert log.records() == [data for _, _, data in wanted]
    shown = [json.loads(line) for line in log.run("read", "-o", "jsonl").stdout.splitlines()]
    assert [(one["id"], one["type"]) for one in shown] == [(id, type_no) for id, type_no, _ in wanted]
    for id, _, data in wanted[:: len(wanted) // 7]:
        assert log.run("read", id, "-o", "raw").stdout == data
