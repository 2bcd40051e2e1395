"""Damaged requests, thrown at a real inference server: it may refuse them, and nothing else."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import copy
import json
import os
from pathlib import Path
import random
import subprocess
import sys
import tempfile
import time
from typing import Any, Final

import numpy as np

from embedding.errors import EmbeddingError
from embedding.protocol.messages import InferRequest, Message, RequestedOutput, decode_response, encode_request
from tests.embedding.graphs import restart_random, separable

from .children import ROOT, Findings, Limits
from .models import WrongAnswer
from .mutations import BLIND, spliced

HEIGHT, WIDTH, LENGTH = 12, 16, 16
TOKEN: Final = "fuzzing-with-this-token"
_INFER: Final = "/v2/models/net/infer"
_CLIENTS: Final = 8
_PATIENCE: Final = 0.05
"""Seconds within which a request that is complete is answered."""
_WARM: Final = 20_000
"""Cases before the server's memory is taken for what it needs."""
_GROWTH_MIB: Final = 32.0

_REFUSALS: Final = frozenset({400, 401, 404, 405, 408, 411, 413, 415, 417, 503, 504})
"""What a damaged request may be answered by."""

_NASTY: Final[Sequence[Any]] = (
    None, True, False, 0, 1, -1, 0.5, 1e308, 2**31, 2**63, -(2**64), 10**40, "", "input", "embedding", "UINT8", "FP32", "BYTES", "\ud800",
    "\0", "x" * 300, [], {}, [[]], [[], []], [{}], {"": {}}, [1, HEIGHT, WIDTH, 3], [0, HEIGHT, WIDTH, 3], [2**31, 2**31], [1] * 9, [True], ["1"],
)  # fmt: skip
_PATHS: Final = (
    "/", "/v2", "/v2/", "/metrics", "/v2/health/live", "/v2/health/ready", "/v2/models/net", "/v2/models/net/ready", "/v2/repository/index",
    "/v2/models/net/versions/0/infer", "/v2/models//infer", "/v2/models/%00/infer", "/v2/models/%2e%2e/infer", "/v2/models/" + "x" * 9000, "*", "//x",
    "http://other/v2", "/v2/models/net/infer?a=%zz", "/v2/models/n\u00e9t/infer", "/v2/health/live#x",
)  # fmt: skip
_METHODS: Final = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "TRACE", "PRI", "X" * 50, "")
_HEADERS: Final = (
    ("Inference-Header-Content-Length", ("0", "-1", "1", "7", "99999999999", "1e3", "+5", "\u0662", "", "5, 5")),
    ("Content-Length", ("0", "-1", "1", "99999999", "99999999999999999999", "abc", "5, 6", "")),
    ("Content-Encoding", ("gzip", "deflate", "identity", "br", "identity, gzip")),
    ("Transfer-Encoding", ("chunked", "identity", "gzip, chunked", "chunked, chunked")),
    ("Authorization", ("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"bearer  {TOKEN}", "Bearer \udcff\udcfe")),
    ("Expect", ("100-continue", "200-ok")),
    ("Connection", ("close", "keep-alive", "upgrade")),
    ("Upgrade", ("websocket", "h2c")),
    ("Content-Type", ("text/html", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "\0")),
    ("Host", ("", "a b", "x" * 9000)),
    ("X" * 8200, ("1",)),
)  # fmt: skip


class Requests:
    """Numbered damaged requests: the same seed and number give the same bytes."""

    def __init__(self) -> None:
        """Write the sound ones."""
        chance = np.random.default_rng(7)
        self._messages: list[Message] = []
        for count, binary in ((1, True), (3, True), (1, False)):
            pictures = chance.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)
            outputs = (RequestedOutput("embedding", binary),) if count == 1 else ()
            asked = InferRequest({"input": pictures}, outputs, f"case {count}", {"timeout": 5_000_000})
            self._messages.append(encode_request(asked, binary=binary))

    def case(self, seed: int, number: int) -> tuple[bytes, bool]:
        """Return a request as bytes, and whether its frame is sound, so that it must be answered."""
        chance = random.Random(f"{seed} {number}")
        message = self._messages[number % len(self._messages)]
        way = chance.random()
        if number < len(self._messages) or way < 0.05:
            return _framed(message), True
        if way < 0.35:
            return _framed(_damaged_body(message, self._messages, chance)), True
        if way < 0.75:
            return _framed(_damaged_head(message, chance)), True
        if way < 0.9:
            return _damaged_frame(message, chance), False
        data = bytearray(_framed(message))
        for _ in range(chance.choice([1, 1, 2, 4])):
            if data:
                chance.choice(BLIND)(data, chance)
        return bytes(data), False


def _framed(
    message: Message, method: str = "POST", path: str = _INFER, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a message as an HTTP request."""
    named = {
        "Host": "server",
        "Authorization": f"Bearer {TOKEN}",
        "Content-Length": str(len(message.body)),
        **message.headers,
        **(headers or {}),
    }
    lines = (f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", "")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + message.body


def _damaged_body(message: Message, others: Sequence[Message], chance: random.Random) -> Message:
    """Damage a body without knowledge of what it means."""
    if chance.random() < 0.1:
        return Message(spliced(message.body, chance.choice(others).body, chance), message.json_length)
    # As often as not where the JSON is, which is a small part of it.
    reach = message.json_length or len(message.body)
    data = bytearray(message.body[:reach] if chance.random() < 0.7 else message.body)
    rest = message.body[len(data) :]
    for _ in range(chance.choice([1, 1, 2, 4])):
        if data:
            chance.choice(BLIND)(data, chance)
    length = message.json_length
    if length is not None and chance.random() < 0.5:
        length = max(1, length + len(data) + len(rest) - len(message.body))
    return Message(bytes(data) + rest, length)


def _damaged_head(message: Message, chance: random.Random) -> Message:
    """Replace, remove or repeat parts of the JSON, which stays JSON."""
    length = len(message.body) if message.json_length is None else message.json_length
    head = json.loads(message.body[:length])
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        holder, key = chance.choice(list(_places(head)))
        way = chance.randrange(4)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif way == 2 and isinstance(holder, dict):
            holder[chance.choice(("binary_data_size", "binary_data", "data", "name", "id"))] = chance.choice(_NASTY)
        else:
            holder[key] = copy.deepcopy(chance.choice(_NASTY))
        if not head:
            break
    text = json.dumps(head).encode()
    if message.json_length is None:
        return Message(text)
    return Message(text + message.body[length:], len(text))


def _places(tree: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Yield every member of the tree, but only a few of long lists."""
    keys = list(tree) if isinstance(tree, dict) else list(range(min(4, len(tree))))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list) and depth < 6:
            yield from _places(tree[key], depth + 1)


def _damaged_frame(message: Message, chance: random.Random) -> bytes:
    """Change the method, the path or a header."""
    headers = {}
    for _ in range(chance.choice([0, 1, 1, 2])):
        name, values = chance.choice(_HEADERS)
        headers[name] = chance.choice(values)
    method = chance.choice(_METHODS) if chance.random() < 0.4 else "POST"
    path = chance.choice(_PATHS) if chance.random() < 0.4 else _INFER
    return _framed(message, method, path, headers)


class Client:
    """Sends cases to a server, each on a connection of its own unless the last one left it usable."""

    def __init__(self, path: Path, seconds: float) -> None:
        """Take the server's socket."""
        self._path = path
        self._seconds = seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def attempt(self, data: bytes, sound: bool) -> str:
        """Send a case; returns its status, or "closed". Raises WrongAnswer, TimeoutError."""
        if self._streams is None or not sound:
            self.close()
            self._streams = await asyncio.open_unix_connection(str(self._path))
        reader, writer = self._streams
        async with asyncio.timeout(self._seconds):
            try:
                status, headers, body = await _exchange(reader, writer, data, sound)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.close()
                if sound:
                    raise WrongAnswer("the connection was closed without an answer") from error
                return "closed"
        if not sound or headers.get("connection") == "close":
            self.close()
        _check(status, headers, body, sound)
        return str(status)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, sound: bool
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a case and read the answer."""
    writer.write(data)
    if sound:
        return await _answer(reader)
    answer = asyncio.ensure_future(_answer(reader))
    try:
        if not (await asyncio.wait({answer}, timeout=_PATIENCE))[0]:
            # What is not complete waits for more; an end that comes sooner would take the answers of others along.
            writer.write_eof()
        return await answer
    finally:
        answer.cancel()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str], bytes]:
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status != 100:
            break
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return status, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def _check(status: int, headers: Mapping[str, str], body: bytes, sound: bool) -> None:
    """Raise WrongAnswer where an answer is neither right nor a refusal in the protocol's form."""
    if status != 200:
        if status not in _REFUSALS:
            raise WrongAnswer(f"the status is {status}: {body[:300]!r}")
        if sound and list(json.loads(body)) != ["error"]:
            raise WrongAnswer(f"the error is {body[:300]!r}")
        return
    if not sound or b'"embedding"' not in body:
        return
    length = headers.get("inference-header-content-length")
    try:
        vectors = decode_response(body, None if length is None else int(length)).outputs["embedding"]
    except EmbeddingError as error:
        raise WrongAnswer(f"the answer breaks the protocol: {error}") from error
    if vectors.ndim != 2 or vectors.shape[1] != LENGTH or np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 1e-3:
        raise WrongAnswer(f"the embeddings have the shape {vectors.shape}, or are no unit vectors")


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a server with a small model and a token."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        restart_random()
        (folder / "net.tflite").write_bytes(separable("uint8", HEIGHT, WIDTH))
        (folder / "token").write_text(TOKEN)
        command = [sys.executable, "-m", "embedding.server", "--models", str(folder), "--unix", str(folder / "socket")]
        options = [
            "--token-file",
            str(folder / "token"),
            "--parent-pipe",
            "--log-level",
            "error",
            "--max-bytes",
            "65536",
        ]
        with subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "errors").open("wb"),
            env=os.environ | {"PYTHONPATH": str(ROOT / "custom_components" / "coral_imprint" / "core")},
        ) as process:
            try:
                yield process, folder
            finally:
                process.kill()


def _mib(process: subprocess.Popen[bytes], field: str) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


class _Run:
    """One run over numbered cases."""

    def __init__(self, process: subprocess.Popen[bytes], seed: int, limits: Limits) -> None:
        self.findings = Findings()
        self._process = process
        self._seed = seed
        self._limits = limits
        self._requests = Requests()
        self.warm_mib: float | None = None

    async def share(self, client: Client, numbers: Sequence[int]) -> None:
        """Work off some of the cases, one after the other."""
        for number in numbers:
            if self._process.poll() is not None or len(self.findings.failures) >= 100:
                return
            data, sound = self._requests.case(self._seed, number)
            start = time.perf_counter()
            try:
                outcome = await client.attempt(data, sound)
            except (WrongAnswer, TimeoutError, OSError) as error:
                client.close()
                outcome = "wrong" if isinstance(error, WrongAnswer) else "hang"
                self.findings.failures.append({"number": number, "why": outcome, "details": str(error)})
            self._count(number, outcome, time.perf_counter() - start)
        client.close()

    def _count(self, number: int, outcome: str, seconds: float) -> None:
        found = self.findings
        found.outcomes[outcome] += 1
        if seconds > found.slowest_seconds:
            found.slowest_seconds, found.slowest_at = seconds, number
        if self.warm_mib is None and found.outcomes.total() >= _WARM:
            self.warm_mib = _mib(self._process, "VmRSS")

    def finish(self, last: int) -> None:
        """See what became of the server."""
        if self._process.poll() is not None:
            self._fail(last, "crash", f"the server ended with {self._process.returncode}")
            return
        warm = self.warm_mib or _mib(self._process, "VmRSS")
        self.findings.left_mib = _mib(self._process, "VmRSS") - warm
        self.findings.most_mib = _mib(self._process, "VmHWM") - warm
        if self.findings.left_mib > _GROWTH_MIB or self.findings.most_mib > self._limits.mib:
            self._fail(last, "memory", f"{self.findings.left_mib:.0f} MiB more, {self.findings.most_mib:.0f} at most")

    def _fail(self, number: int, why: str, details: str) -> None:
        self.findings.failures.append({"number": number, "why": why, "details": details})


async def _ready(path: Path, seconds: float) -> None:
    """Wait for the server's model."""
    end = time.monotonic() + seconds
    request = b"GET /v2/health/ready HTTP/1.1\r\nHost: server\r\n\r\n"
    while time.monotonic() < end:
        client = Client(path, seconds)
        try:
            if await client.attempt(request, sound=True) == "200":
                return
        except OSError:
            pass
        finally:
            client.close()
        await asyncio.sleep(0.1)
    raise SystemExit("The server did not get ready")


async def _work(first: int, end: int, seed: int, limits: Limits, clients: int) -> Findings:
    with _server() as (process, folder):
        await _ready(folder / "socket", 60)
        run = _Run(process, seed, limits)
        async with asyncio.TaskGroup() as group:
            for own in range(clients):
                client = Client(folder / "socket", limits.seconds)
                group.create_task(run.share(client, range(first + own, end, clients)))
        run.finish(end - 1)
        traceback = (folder / "errors").read_text(errors="replace")
        if "Traceback" in traceback:
            run.findings.failures.append({"number": end - 1, "why": "exception", "details": traceback[-1500:]})
        return run.findings


def fuzz_requests(first: int, end: int, seed: int, limits: Limits, clients: int = _CLIENTS) -> dict[str, Any]:
    """Send the cases ``first`` to ``end`` − 1 to a server; returns the findings as JSON can hold them."""
    start = time.monotonic()
    findings = asyncio.run(_work(first, end, seed, limits, clients)).as_dict()
    return {"seed": seed, "first": first, **findings, "seconds": round(time.monotonic() - start, 1)}
