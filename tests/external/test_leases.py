"""Leases under real engines: what `sql-init` prints opens the right files only, and nothing vanishes under `with`.

Refuses to time anything: what an engine opened is taken from its own words.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import threading

import duckdb
import pytest

from hold import descriptor, number_of, sha256, write_descriptors
from test_engines import ROWS, parquet

CHUNKS = 20
QUERIES = number_of("LOGHOLD_STORM_QUERIES", 40)
DATASET = "leases"


@pytest.fixture
def chunks(hold, origin, place):
    """Chunks of two tables each; `logs` has another name's end in it, `more_logs`."""
    descriptors = []
    for index in range(CHUNKS):
        first = index * ROWS
        data = parquet(first)
        names = ("blocks.parquet", "logs.parquet", "more_logs.parquet")
        urls = {name: origin.put(f"{index}/{name}", data) for name in names}
        descriptors.append(descriptor(DATASET, first, first + ROWS, urls))
    names = write_descriptors(place / "chunks.jsonl", descriptors)
    hold.run("chunk", "get", names)
    # What lies beside the chunks must trouble nobody.
    (hold.data_dir / ".staging" / "junk").mkdir()
    (hold.data_dir / ".staging" / "junk" / "blocks.parquet").write_text("junk")
    return names


def files_scanned(plan):
    found = re.search(r"Scanning Files: (\d+)/(\d+)", plan)
    assert found, plan
    return int(found[1])


def test_duckdb_opens_the_files_of_the_range_only(hold, chunks):
    with duckdb.connect() as connection:
        connection.execute(hold.run("sql-init", "duckdb").stdout)
        query = f"FROM loghold_chunks('{DATASET}', 'logs', 5500, 6001)"
        assert connection.sql(f"SELECT count(*), min(number), max(number) {query}").fetchall() == [(2000, 5000, 6999)]
        types = connection.sql(f"SELECT typeof(dataset_id), typeof(first_block), typeof(last_block), typeof(chunk) {query} LIMIT 1")
        assert types.fetchall() == [("VARCHAR", "UBIGINT", "UBIGINT", "VARCHAR")]
        plan = connection.sql(f"EXPLAIN ANALYZE SELECT sum(number) {query}").fetchall()[0][1]
        assert files_scanned(plan) == 2, plan
        id = "0x" + sha256(DATASET.encode())
        assert connection.sql(f"SELECT count(*) FROM loghold_chunks('{id}', 'blocks', 0, 1)").fetchall() == [(1000,)]


def python(hold, module, script, variables=None):
    """Runs a script beside a module that `sql-init` printed."""
    directory = hold.data_dir.parent
    (directory / f"loghold_{module}.py").write_text(hold.run("sql-init", module).stdout)
    path = directory / "script.py"
    path.write_text(textwrap.dedent(script))
    environment = os.environ | hold.environment | {"PYTHONPATH": str(directory)} | (variables or {})
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, env=environment, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_polars_opens_the_files_of_the_range_only(hold, chunks):
    told = python(hold, "polars", f"""
        from loghold_polars import loghold_chunks, polars
        chunks = loghold_chunks("{DATASET}", "logs", 5500, 6001)
        rows = chunks.collect()
        print(rows.height, rows["number"].min(), rows["number"].max())
        print([str(rows.schema[name]) for name in ("dataset_id", "first_block", "last_block", "chunk")])
        print(chunks.explain())
    """)
    lines = told.splitlines()
    assert lines[0] == "2000 5000 6999"
    assert lines[1] == "['String', 'UInt64', 'UInt64', 'String']"
    opened = re.findall(r"first_block=(\d+)/last_block=\d+/chunk=0x[0-9a-f]+/(\w+)\.parquet", "\n".join(lines[2:]))
    assert opened == [("5000", "logs"), ("6000", "logs")], told


def test_datafusion_opens_the_files_of_the_range_only(hold, chunks):
    told = python(hold, "datafusion", f"""
        from datafusion import SessionContext
        from loghold_datafusion import loghold_chunks
        context = SessionContext()
        loghold_chunks(context, "logs", "{DATASET}", "logs")
        where = "FROM logs WHERE first_block < 6001 AND last_block >= 5500"
        print(context.sql(f"SELECT count(*) AS n, min(number) AS a, max(number) AS b {{where}}").to_pydict())
        print(context.sql(f"SELECT arrow_typeof(first_block) AS t {{where}} LIMIT 1").to_pydict())
        print(context.sql(f"EXPLAIN SELECT sum(number) {{where}}").to_pydict())
    """)
    lines = told.splitlines()
    assert lines[0] == "{'n': [2000], 'a': [5000], 'b': [6999]}"
    assert "UInt64" in lines[1]
    opened = set(re.findall(r"first_block=(\d+)/last_block=\d+/chunk=0x[0-9a-f]+/(\w+)\.parquet", "\n".join(lines[2:])))
    assert opened == {("5000", "logs"), ("6000", "logs")}, told


LEASED = {
    "duckdb": """
        import duckdb, os, subprocess
        connection = duckdb.connect()
        connection.execute(subprocess.check_output([os.environ["LOGHOLD_BINARY"], "sql-init", "duckdb"], text=True))
        query = lambda: connection.sql("SELECT count(*), sum(number) FROM loghold_leased('logs')").fetchall()[0]
    """,
    "polars": """
        from loghold_polars import loghold_leased, polars
        query = lambda: loghold_leased("logs").select(polars.len(), polars.col("number").sum()).collect().row(0)
    """,
    "datafusion": """
        from datafusion import SessionContext
        from loghold_datafusion import loghold_leased
        context = SessionContext()
        loghold_leased(context, "logs", "logs")
        query = lambda: tuple(c[0] for c in context.sql("SELECT count(*) AS n, sum(number) AS s FROM logs").to_pydict().values())
    """,
}


@pytest.mark.parametrize("engine", LEASED)
def test_no_file_vanishes_under_with_while_chunks_are_removed_and_fetched_in_a_storm(hold, chunks, engine):
    stop, storms, wrong = threading.Event(), [0], []

    def storm():
        # Others may own the directory at a moment; any other end is wrong.
        while not stop.is_set():
            for words in (["chunk", "rm", "--dataset", DATASET], ["chunk", "get", chunks]):
                run = hold.run("-q", *words, code=None)
                if run.code not in (0, 3, 8):
                    wrong.append(run)
                storms[0] += run.code == 0 and words[1] == "rm"

    directory = hold.data_dir.parent
    if engine != "duckdb":
        (directory / f"loghold_{engine}.py").write_text(hold.run("sql-init", engine).stdout)
    script = textwrap.dedent(LEASED[engine]) + textwrap.dedent(f"""
        import sys
        print("up", flush=True)
        count = 0
        while count < {QUERIES} or sys.stdin.readline() != "enough\\n":
            found = query()
            assert tuple(map(int, found)) == (5000, sum(range(5000, 10000))), found
            count += 1
            print(count, flush=True)
    """)
    (directory / "storm.py").write_text(script)
    words = ["with", DATASET, "5000..10000", "--table", "logs", "--lease", "4s", "--wait", "30s", "--", sys.executable, str(directory / "storm.py")]
    environment = os.environ | hold.environment | {"PYTHONPATH": str(directory), "LOGHOLD_BINARY": hold.binary}
    running = subprocess.Popen(
        hold._command(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert running.stdout.readline() == "up\n", running.communicate(timeout=30)
    thread = threading.Thread(target=storm)
    thread.start()
    try:
        asked = 0
        for line in running.stdout:
            asked = int(line)
            # Each further query is made after the storm went over the chunks once more.
            if asked >= QUERIES:
                running.stdin.write("enough\n" if storms[0] >= 5 else "more\n")
                running.stdin.flush()
        code = running.wait(30)
        stderr = running.stderr.read()
    finally:
        stop.set()
        thread.join()
        running.kill()
        for pipe in (running.stdin, running.stdout, running.stderr):
            pipe.close()
    assert code == 0, stderr
    assert not wrong, wrong
    assert asked >= QUERIES and storms[0] >= 5, f"{asked} queries in {storms[0]} storms: the test is empty"
    assert hold.run("lease", "ls", "-o", "json").json() == []


def test_without_a_lease_a_file_does_vanish(hold, chunks):
    """What the lease is for: the same list without one is dead after a removal."""
    files = [file["path"] for file in hold.run("files", DATASET, "--table", "logs", "-o", "json").json()]
    hold.run("chunk", "rm", "--dataset", DATASET)
    with duckdb.connect() as connection, pytest.raises(duckdb.IOException):
        connection.read_parquet(files).fetchall()


def test_a_with_that_is_killed_leaves_a_lease_that_ends_by_itself(hold, chunks):
    running = hold.start("with", DATASET, "0..1000", "--lease", "3s", "--", "sh", "-c", "echo up; sleep 4")
    assert running.process.stdout.readline() == "up\n"
    listed = hold.run("lease", "ls", "-o", "json").json()
    running.signal(signal.SIGKILL)
    running.ended()
    assert len(listed) == 1 and "sleep 4" in listed[0]["owner"]
    hold.run("chunk", "rm", "--dataset", DATASET, "--blocks", "0..1000")
    assert pathlib.Path(hold.data_dir).is_dir()
    pause = threading.Event()
    while hold.run("lease", "ls", "-o", "json").json():
        pause.wait(0.1)
    assert json.loads(hold.run("chunk", "ls", "-o", "json").stdout) is not None
