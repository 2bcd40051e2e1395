"""HTTP to one inference server, by a session of the caller's: bounded in time and size, and every failure by its name."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Final, NoReturn

import aiohttp
from yarl import URL

from ..errors import ServerUnreachable, ServerUntrusted, UnusableAnswer
from ..protocol.messages import JSON_LENGTH, Message, read_json_length
from ..protocol.tensors import ProtocolError
from .address import Address
from .settings import METADATA_LIMIT, Access
from .statuses import ERROR_LIMIT, refusal, says_more

_CHUNK: Final = 1 << 16


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
        body = await _read_up_to(response, ERROR_LIMIT) if says_more(status) else b""
        raise refusal(self.name, status, response.reason, response.headers.get("Retry-After"), body)

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
