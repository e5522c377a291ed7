"""Stores that are sealed into: one that keeps the first of several writers is taken, one that does not is refused.

Refuses to trust one server alone: moto enforces conditions, s3s-fs lets two of many writers win at times; with Garage, and
with moto behind a proxy that drops the condition, every writer wins.
"""

import http.client
import http.server
import json
import threading

import pytest

from log1_writer import Writer
from hold import Hold
from servers import Moto

BUCKET = "sealed"
PLAN = """
dataset = "trial"
store = "{store}"
numbering = "one-per-block"
finality = {{ lag = 3 }}
[cut]
records = 10
[[table]]
file = "records.parquet"
columns = "raw"
"""


class Careless(http.server.BaseHTTPRequestHandler):
    """Passes requests on without their conditions."""

    protocol_version = "HTTP/1.1"
    port = None

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "if-none-match"}
        server = http.client.HTTPConnection("127.0.0.1", self.port)
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        server.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def careless(moto):
    handler = type("CarelessMoto", (Careless,), {"port": int(moto.endpoint.rsplit(":", 1)[1])})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    moto.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield moto
    server.shutdown()
    thread.join()
    server.server_close()


def filled_log(place, dice, count):
    """A log that another program wrote, with its records."""
    directory = place / "log"
    directory.mkdir()
    writer = Writer(directory, "plain", 0, 0, dice)
    payloads = [f"record {number} ".encode() * dice.randrange(1, 20) for number in range(count)]
    for payload in payloads:
        writer.append(7, payload)
    return directory, payloads


def with_bucket(server, place):
    """The program with the server's variables, and an empty bucket."""
    nothing = place / "nothing"
    nothing.mkdir()
    server.upload(BUCKET, nothing)
    return Hold(place / "unused", place / "data", server.variables())


def program(binary, server, place):
    hold = with_bucket(server, place)
    return Hold(binary, hold.data_dir, server.variables())


def test_a_store_that_enforces_conditional_put_is_sealed_into_and_read_without_seam(binary, place, moto, dice):
    loghold = program(binary, moto, place)
    # moto forgets nothing between tests.
    url = f"s3://{BUCKET}/{place.name}/prefix"
    checked = loghold.run("store", "check", url, "-o", "json").json()[0]
    assert (checked["winners_max"], checked["writers"]) == (1, 16)
    log, payloads = filled_log(place, dice, 57)
    plan = place / "plan.toml"
    plan.write_text(PLAN.format(store=url))
    sealed = loghold.run("seal", "--log", str(log), "--plan", str(plan), "-o", "json").json()
    assert [(chunk["first_block"], chunk["last_block"]) for chunk in sealed] == [(n, n + 9) for n in range(0, 50, 10)]
    assert loghold.run("seal", "--log", str(log), "--plan", str(plan), "-o", "json").json() == []
    why = loghold.run("seal", "--log", str(log), "--plan", str(plan), "--why", "-o", "json").json()[0]
    assert (why["state"], why["sealed_block"], why["unsealed_records"], why["final_records"]) == ("waiting", 49, 7, 4), why
    assert "10 records" in why["reason"], why
    lines = loghold.run("read", "--plan", str(plan), "--log", str(log), "0..57").stdout.splitlines()
    assert [json.loads(line)["text"].encode() for line in lines] == payloads
    assert [json.loads(line)["block"] for line in lines] == list(range(57))
    of_chunks = loghold.run("read", url, "12..47", "-o", "json").json()
    assert [line["text"].encode() for line in of_chunks] == payloads[12:47]
    beyond = loghold.run("read", url, "45..60", code=4)
    assert len(beyond.stdout.splitlines()) == 5
    fetched = loghold.run("apply", "--from", url, "--log", str(log), "--consumer", "worker").stdout.splitlines()
    assert sorted(line.split()[1] for line in fetched) == [f"{n}..{n + 10}" for n in range(0, 50, 10)]
    consumers = {consumer["name"]: consumer["position"] for consumer in loghold.run("log", "consumers", "--log", str(log), "-o", "json").json()}
    assert consumers["worker"] == 50, consumers
    compacted = loghold.run("store", "compact", "--plan", str(plan), "-o", "json").json()
    assert [(chunk["first_block"], chunk["last_block"]) for chunk in compacted] == [(0, 49)]
    assert loghold.run("read", "--plan", str(plan), "--log", str(log), "0..57").stdout.splitlines() == lines


def check_refused(binary, server, place, dice):
    loghold = program(binary, server, place)
    # moto forgets nothing between tests.
    url = f"s3://{BUCKET}/{place.name}/prefix"
    refused = loghold.run("store", "check", url, code=6)
    assert "does not keep the first of several writers" in refused.stderr
    log, _ = filled_log(place, dice, 20)
    plan = place / "plan.toml"
    plan.write_text(PLAN.format(store=url))
    refused = loghold.run("seal", "--log", str(log), "--plan", str(plan), code=6)
    assert "does not keep the first of several writers" in refused.stderr
    assert loghold.run("read", url, "0..20", code=4).stdout == ""


def test_a_store_that_ignores_conditional_put_is_refused_and_nothing_is_sealed(binary, place, careless, dice):
    check_refused(binary, careless, place, dice)


def test_s3s_fs_whose_race_has_two_winners_is_refused(binary, place, s3s_fs, dice):
    check_refused(binary, s3s_fs, place, dice)


def test_garage_that_knows_no_conditions_is_refused(binary, place, garage, dice):
    check_refused(binary, garage, place, dice)


def test_endpoints_of_one_store_pass_and_those_of_two_are_refused(binary, place, moto, s3s_fs, dice):
    loghold = program(binary, moto, place)
    url = f"s3://{BUCKET}/{place.name}"
    # They share their objects, as nodes of a cluster do.
    second = Moto()
    try:
        checked = loghold.run("store", "check", url, "--endpoint", second.endpoint, "-o", "json").json()[0]
        assert checked["winners_max"] == 1
    finally:
        second.close()
    nothing = place / "nothing"
    s3s_fs.upload(BUCKET, nothing)
    refused = loghold.run("store", "check", url, "--endpoint", s3s_fs.endpoint, code=6)
    assert "does not keep the first of several writers" in refused.stderr
    assert "has no endpoints" in loghold.run("store", "check", f"file://{place}", "--endpoint", "http://x", code=2).stderr


def test_a_plan_with_a_mistake_names_the_key(binary, place):
    loghold = Hold(binary, place / "data")
    plan = place / "plan.toml"
    plan.write_text(PLAN.format(store=f"file://{place}/sealed").replace("lag = 3", "lagg = 3"))
    refused = loghold.run("seal", "--log", str(place), "--plan", str(plan), code=2)
    assert "finality" in refused.stderr
