"""The log as a table: from a real Redis, and the same as from the journal's export."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import offerd
import pytest
import server

PATIENCE_S = 20
VISITS = 40


@pytest.fixture
def redis_url(tmp_path):
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no redis-server in the path")
        pytest.skip("no redis-server in the path")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: reachable(port), "redis-server answers")
        yield f"redis://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait()


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(holds, what):
    last = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < last, f"never: {what}"
        time.sleep(0.05)


def post(door, path, body):
    call = urllib.request.Request(f"http://{door}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=10) as answer:
        return json.load(answer)


def visit(door, number, test=False):
    """A decision, and what the customer did: all see the offers, every fifth one buys."""
    customer = {"id": f"c-{number}", "features": {"tenure": number, "Contract": "One year"}}
    request = {"appointment": {"phase": "en_route"}, "customer": customer, "placements": [{"id": "tracker_hero"}], "test": test}
    answer = post(door, "/v1/decisions", request)
    events = []
    for offer in answer["placements"][0]["offers"]:
        events.append({"id": f"i-{number}", "type": "impression", "token": offer["token"]})
        if number % 5 == 0:
            events.append({"id": f"b-{number}", "type": "conversion", "token": offer["token"]})
    if events:
        assert post(door, "/v1/events", {"events": events})["accepted"] == len(events)
    return 1 + len(events)


def test_streams_and_export_tell_the_same(redis_url, tmp_path):
    exported = tmp_path / "log.ndjson"
    with server.running(f'[redis]\nurl = "{redis_url}"\n') as running:
        records = sum(visit(running.public, number) for number in range(VISITS))
        visit(running.public, VISITS, test=True)
        assert records > 2 * VISITS, "no offers were shown, so this would prove little"
        until(lambda: len(offerd.read_events(redis_url)) >= records, f"{records} records in Redis")
        streamed = offerd.read_events(redis_url)
        command = [server.program(), "export", "--data", str(running.data)]
        exported.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    written = offerd.read_events(exported)
    assert len(streamed) == len(written) == records
    key = ["type", "id", "decision"]
    one, other = (frame.sort_values(key).reset_index(drop=True) for frame in (streamed, written))
    assert one["record"].tolist() == other["record"].tolist()
    assert one.drop(columns="record").equals(other.drop(columns="record"))
    assert (one["type"] == "conversion").sum() == len([n for n in range(VISITS) if n % 5 == 0])
    contract = offerd.FeatureContract.of([offerd.Feature("tenure"), offerd.Feature("offer.price", "offer")])
    frame = offerd.training_frame(streamed, contract, offerd.offers_of(server.ROOT / "catalog/demo.toml"))
    assert frame["converted"].sum() == (one["type"] == "conversion").sum()
    assert set(frame["tenure"]) <= set(range(VISITS)) and (frame["propensity"] == 1.0).all()
