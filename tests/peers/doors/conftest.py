"""Servers and clients, once for all tests."""

import pytest

import clients
import server


@pytest.fixture(scope="session")
def open_server():
    """Without keys, so that every caller is trusted and sees scores."""
    with server.running() as running:
        yield running


@pytest.fixture(scope="session")
def keyed_server():
    """With keys, tokens for impressions that are old after a second, and a model that is asked only
    for callers who wait for more than 40 seconds."""
    settings = (
        "[tokens]\nimpression_age_s_max = 1\nleeway_s = 0\n"
        "[deadlines]\nmodel_ms_min = 40000\ndefault_ms = 60000\n"
    )
    with server.running(settings, keyed=True) as running:
        yield running


@pytest.fixture(scope="session")
def doors(open_server):
    grpc_door = clients.GrpcDoor(open_server.public)
    yield clients.JsonDoor(open_server.public), grpc_door
    grpc_door.close()


@pytest.fixture(scope="session")
def keyed_doors(keyed_server):
    """Both doors for a kind of key; `None` is nobody."""
    made = []

    def pair(kind):
        key = keyed_server.keys[kind] if kind else None
        door = clients.GrpcDoor(keyed_server.public, key)
        made.append(door)
        return clients.JsonDoor(keyed_server.public, key), door

    yield pair
    for door in made:
        door.close()
