"""What the tests of the Edge TPU's process share."""

import importlib
import importlib.util

import pytest


@pytest.fixture(autouse=True)
def unix_sockets() -> None:
    """Allow Unix sockets too, where Home Assistant's test harness allows its own machine's address alone."""
    if importlib.util.find_spec("pytest_socket"):
        guard = importlib.import_module("pytest_socket")
        guard.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
