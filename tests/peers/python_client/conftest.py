"""A server without keys, once for all tests."""

import pytest

import server


@pytest.fixture(scope="session")
def open_server():
    with server.running() as running:
        yield running
