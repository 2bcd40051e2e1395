"""HTTP to one inference server, by a session of the caller's: bounded in time and size, and every failure by its name."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
import math
from typing import Final, NoReturn

import aiohttp
from yarl import URL

from ..errors import (
    NoSuchModel,
    ServerBusy,
    ServerDenied,
    ServerRefused,
    ServerUnreachable,
    ServerUntrusted,
    UnusableAnswer,
)
from ..serving.protocol import JSON_LENGTH, Message, read_json_length
from ..serving.tensors import ProtocolError
from .address import Address
from .answers import read_error
from .settings import Access

METADATA_LIMIT: Final = 1 << 20
"""Bytes that an answer other than an embedding may have."""

_ERROR_LIMIT: Final = 16 * 1024
_CHUNK: Final = 1 << 16

BUSY_WAIT: Final = 1.0
"""Seconds to leave a busy server alone that does not say for how long."""
LONGEST_WAIT: Final = 300.0
"""Seconds that a server may ask for."""


class Http:
    """One server. Calls are independent of each other."""

    def __init__(self, address: Address, access: Access, session: aiohttp.ClientSession) -> None:
        """Take the caller's session, which is left open; a Unix socket gets one of its own, closed by `aclose`."""
        self.name = address.text
        self._base = address.base
        self._access = access
        self._own: aiohttp.ClientSession | None = None
        if address.socket:
            self._own = aiohttp.ClientSession(connector=aiohttp.UnixConnector(address.socket))
        self._session = self._own or session
        self._timeout = aiohttp.ClientTimeout(total=access.timeout, connect=access.connect_timeout)
        self._headers = {"Accept-Encoding": "identity"}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"

    async def get(self, path: str) -> bytes:
        """Return the body of a ``GET`` below the server's address. Raises ServerError."""
        return (await self._ask("GET", path, None, METADATA_LIMIT)).body

    async def post(self, path: str, message: Message, limit: int) -> Message:
        """Return the answer to a request, of ``limit`` bytes at most. Raises ServerError."""
        try:
            return await self._ask("POST", path, message, limit)
        except _Dropped:
            # The server closed a connection that it had kept, just when it was used again. Inference changes nothing there.
            return await self._ask("POST", path, message, limit)

    async def aclose(self) -> None:
        """Close what is not the caller's."""
        if self._own:
            await self._own.close()

    async def _ask(self, method: str, path: str, message: Message | None, limit: int) -> Message:
        try:
            async with self._request(method, path, message) as response:
                await self._check_status(response)
                return await self._read(response, limit)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise ServerUntrusted(f"The certificate of {self.name} is not valid: {error}", server=self.name) from error
        except TimeoutError as error:
            seconds = f"{self._access.timeout:g} seconds"
            raise ServerUnreachable(f"{self.name} did not answer within {seconds}", server=self.name) from error
        except aiohttp.ClientConnectorError as error:
            raise ServerUnreachable(f"{self.name} can't be reached: {_said(error)}", server=self.name) from error
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError) as error:
            raise _Dropped(f"{self.name} dropped the connection", server=self.name) from error
        except aiohttp.ClientOSError as error:
            # Such as “connection reset by peer”, which aiohttp makes one of its own.
            raise _Dropped(f"{self.name} dropped the connection: {_said(error)}", server=self.name) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(f"{self.name} can't be reached: {_said(error)}", server=self.name) from error
        except ValueError as error:
            # Headers that aiohttp refuses to send or to take.
            raise ServerUnreachable(f"{self.name} can't be asked: {_said(error)}", server=self.name) from error

    def _request(
        self, method: str, path: str, message: Message | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers: Mapping[str, str] = {**self._headers, **(message.headers if message else {})}
        return self._session.request(
            method,
            # Quoted already, and to be left so: names of models may hold anything.
            URL(self._base + path, encoded=True),
            data=message.body if message else None,
            headers=headers,
            timeout=self._timeout,
            ssl=self._access.ssl,
            # The token is for this server, and so are the pictures.
            allow_redirects=False,
        )

    async def _check_status(self, response: aiohttp.ClientResponse) -> None:
        """Raise the error that a status stands for."""
        status = response.status
        if status == HTTPStatus.OK:
            return
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            wait = read_wait(response.headers.get("Retry-After"), datetime.now(UTC))
            raise ServerBusy(f"{self.name} is busy", wait=wait, server=self.name)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ServerDenied(f"{self.name} wants another token", server=self.name)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise ServerRefused(f"{self.name} points elsewhere ({status})", server=self.name)
        body = await _read_up_to(response, _ERROR_LIMIT)
        said = read_error(body) if len(body) <= _ERROR_LIMIT else ""
        if status == HTTPStatus.NOT_FOUND:
            raise NoSuchModel(f"{self.name} has no such model ({said or status})", server=self.name)
        raise ServerRefused(f"{self.name} refused with {status}: {said or response.reason}", server=self.name)

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> Message:
        """Read an answer as long as it keeps within its limit."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            # Nobody asked for it, and a few bytes could unpack to gigabytes.
            self._refuse("is compressed")
        if (response.content_length or 0) > limit:
            self._refuse(f"has {response.content_length} bytes; {limit} is the most")
        body = await _read_up_to(response, limit)
        if len(body) > limit:
            self._refuse(f"has more than {limit} bytes")
        try:
            return Message(body, read_json_length(response.headers.get(JSON_LENGTH)))
        except ProtocolError as error:
            raise UnusableAnswer(f"The answer of {self.name}: {error}", server=self.name) from error

    def _refuse(self, why: str) -> NoReturn:
        raise UnusableAnswer(f"The answer of {self.name} {why}", server=self.name)


class _Dropped(ServerUnreachable):
    """The connection ended before an answer."""


async def _read_up_to(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return a body; of one that is longer than ``limit``, more than ``limit`` bytes, but not much more."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return b"".join(parts)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def read_wait(header: str | None, now: datetime) -> float:
    """Return the seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3), 0 to LONGEST_WAIT; BUSY_WAIT without one."""
    if header is None:
        return BUSY_WAIT
    try:
        wait = float(header)
    except ValueError:
        try:
            until = parsedate_to_datetime(header)
        except ValueError:
            return BUSY_WAIT
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return min(max(wait, 0.0), LONGEST_WAIT) if math.isfinite(wait) else BUSY_WAIT
