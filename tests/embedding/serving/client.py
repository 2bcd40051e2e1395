"""A client for tests: requests as bytes, and a server's process."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import http.client
import json
import os
from pathlib import Path
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding.protocol.messages import InferRequest, Message, decode_response, encode_request, read_json_length

ROOT = Path(__file__).parents[3]
CORE = ROOT / "custom_components" / "coral_imprint" / "core"
PATIENCE = 60.0
"""Seconds for what takes one on a machine that does nothing else."""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """What is wrong, in the protocol's form."""
        assert self.headers["content-type"].startswith("application/json")
        (member,) = self.json.items()
        assert member[0] == "error"
        return str(member[1])

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The embeddings."""
        length = read_json_length(self.headers.get("inference-header-content-length"))
        return decode_response(self.body, length).outputs["embedding"]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("server", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connection(address: str, timeout: float = PATIENCE) -> http.client.HTTPConnection:
    """Return a connection to what a server calls its address."""
    if address.startswith("http://"):
        return http.client.HTTPConnection(address.removeprefix("http://"), timeout=timeout)
    return _UnixConnection(address, timeout)


def ask(
    address: str, path: str, message: Message | bytes | None = None, method: str | None = None, **headers: str
) -> Answer:
    """Send one request; underscores in the headers' names stand for hyphens."""
    body = message.body if isinstance(message, Message) else message
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(message, Message):
        sent = {**message.headers, **sent}
    http_connection = connection(address)
    try:
        http_connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
        response = http_connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        http_connection.close()


def infer_message(pixels: NDArray[Any], *, binary: bool = True, **more: Any) -> Message:
    """Return a request for the embeddings of pictures."""
    return encode_request(InferRequest({"input": pixels}, **more), binary=binary)


def raw_request(path: str, message: Message, **headers: str) -> bytes:
    """Return a POST as bytes."""
    named = {"Host": "server", "Content-Length": str(len(message.body)), **message.headers}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join((*lines, "", "")).encode() + message.body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Answer(int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"])))


async def ask_raw(path: Path | str, request: bytes) -> Answer:
    """Send bytes to a Unix socket and read one answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request)
        return await asyncio.wait_for(read_answer(reader), PATIENCE)
    finally:
        writer.close()


@dataclass
class Server:
    """A server's process."""

    process: subprocess.Popen[bytes]
    addresses: list[str]

    @property
    def address(self) -> str:
        """Its first address."""
        return self.addresses[0]

    def wait_ready(self) -> None:
        """Wait for its models."""
        end = time.monotonic() + PATIENCE
        while ask(self.address, "/v2/health/ready").status != 200:
            assert time.monotonic() < end
            time.sleep(0.05)


def command(*options: object) -> list[str]:
    """Return the command line of a server."""
    return [sys.executable, "-m", "embedding.server", *map(str, options)]


def environment() -> dict[str, str]:
    """Return a server's environment."""
    return os.environ | {"PYTHONPATH": str(CORE), "OPENBLAS_NUM_THREADS": "1"}


def run(*options: object) -> subprocess.CompletedProcess[str]:
    """Run a server that should end by itself."""
    return subprocess.run(
        command(*options), env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@contextmanager
def running(*options: object, ready: bool = True) -> Iterator[Server]:
    """Run a server until the end of the block; ``ready``: wait for its models."""
    with subprocess.Popen(
        command(*options), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read().decode() if process.stderr else ""
            server = Server(process, json.loads(line)["listening"])
            if ready:
                server.wait_ready()
            yield server
        finally:
            process.kill()
