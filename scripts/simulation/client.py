"""What a person does in Home Assistant's UI, done over the same REST and websocket interfaces."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

USER, PASSWORD = "demo", "demo"  # shown to whoever runs the demo; it listens on this machine only

FLOWS = "/api/config/config_entries/flow"
SUBENTRY_FLOWS = "/api/config/config_entries/subentries/flow"
FLOW_POLL_S = 0.25
FLOW_PROGRESS_S = 300.0
"""How long a flow may show progress."""

PATIENCE_S = 120.0
"""How long an answer may take."""

type StateListener = Callable[[str, str], None]


class ClientError(RuntimeError):
    """Home Assistant answered with an error; the message is its own."""


class Client:
    """One logged-in user of one Home Assistant."""

    def __init__(self, url: str, session: aiohttp.ClientSession, token: str) -> None:
        """Take the address, the session and an access token."""
        self.url = url
        self._session = session
        self._token = token
        self._socket: aiohttp.ClientWebSocketResponse
        self._reader: asyncio.Task[None]
        self._sent = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.patience_s = PATIENCE_S
        self._listeners: dict[int, StateListener] = {}
        self._actions: dict[str, dict[str, Any]] = {}
        """Home Assistant's description of every action, by domain and name, once it was asked for."""

    async def rest(self, method: str, path: str, body: object = None) -> Any:
        """Call the REST interface. Raises ClientError."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.request(method, self.url + path, json=body, headers=headers) as response:
            if response.status >= 400:
                raise ClientError(f"{method} {path}: {response.status} {(await response.text())[:500]}")
            return await response.json()

    async def bytes(self, path: str) -> bytes:
        """Fetch what is no JSON. Raises ClientError."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.get(self.url + path, headers=headers) as response:
            if response.status >= 400:
                raise ClientError(f"GET {path}: {response.status}")
            return await response.read()

    async def command(self, kind: str, **fields: object) -> Any:
        """Send a websocket command and return its result. Raises ClientError."""
        if self._reader.done():
            raise ClientError("Home Assistant closed the connection")
        self._sent += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        number = self._sent
        self._waiting[number] = answer
        await self._socket.send_json({"id": number, "type": kind, **fields})
        reply = await asyncio.wait_for(answer, self.patience_s)
        if not reply["success"]:
            raise ClientError(f"{kind}: {reply['error']['message']}")
        return reply["result"]

    async def call(self, domain: str, action: str, **data: object) -> Any:
        """Call an action and return its response (None for one that gives none). Raises ClientError."""
        fields: dict[str, object] = {"domain": domain, "service": action, "service_data": data}
        if action not in self._actions.get(domain, {}):
            self._actions = await self.command("get_services")
        fields["return_response"] = "response" in self._actions.get(domain, {}).get(action, {})
        return (await self.command("call_service", **fields)).get("response")

    async def state(self, entity_id: str) -> str:
        """Return an entity's state."""
        return str((await self.rest("GET", f"/api/states/{entity_id}"))["state"])

    async def on_states(self, listener: StateListener) -> None:
        """Call a listener with (entity id, new state) at each change of a state."""
        self._listeners[self._sent + 1] = listener
        await self.command("subscribe_events", event_type="state_changed")

    async def flow(self, handler: str | tuple[str, str], *answers: dict[str, Any]) -> dict[str, Any]:
        """Go through a flow of an integration, or of a config entry's subentry; return its last result.

        Raises ClientError when it ends anywhere but in a new entry.
        """
        path = FLOWS if isinstance(handler, str) else SUBENTRY_FLOWS
        result = await self._walk(path, {"handler": handler}, answers)
        if result["type"] != "create_entry":
            raise ClientError(f"{handler}: {_why(result)}")
        return result

    async def reconfigure(self, domain: str, entry_id: str, *answers: dict[str, Any]) -> None:
        """Change a config entry by its integration's flow. Raises ClientError when that does not end in a changed entry."""
        result = await self._walk(FLOWS, {"handler": domain, "entry_id": entry_id}, answers)
        if result.get("reason") != "reconfigure_successful":
            raise ClientError(f"{domain}: {_why(result)}")

    async def _walk(self, path: str, begin: dict[str, Any], answers: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Begin a flow, give its answers, wait wherever it shows progress; return its last result."""
        result = await self.rest("POST", path, begin)
        for answer in answers:
            result = await self._progressed(path, await self.rest("POST", f"{path}/{result['flow_id']}", answer))
        return dict(result)

    async def _progressed(self, path: str, result: dict[str, Any]) -> dict[str, Any]:
        """Return a flow's result once it shows no progress. Raises ClientError where that takes too long."""
        for _ in range(round(FLOW_PROGRESS_S / FLOW_POLL_S)):
            if result["type"] != "progress":
                return result
            await asyncio.sleep(FLOW_POLL_S)
            result = await self.rest("GET", f"{path}/{result['flow_id']}")
        raise ClientError(f"{result['handler']}: still busy after {FLOW_PROGRESS_S:.0f} s")

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._received(message.json())
        finally:
            # Whoever hung up: nobody waits for an answer any more.
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ClientError("Home Assistant closed the connection"))

    def _received(self, reply: dict[str, Any]) -> None:
        if reply["type"] == "result" and (waiting := self._waiting.pop(reply["id"], None)):
            if not waiting.done():
                waiting.set_result(reply)
        elif reply["type"] == "event" and (listener := self._listeners.get(reply["id"])):
            data = reply["event"]["data"]
            if data["new_state"]:
                listener(data["entity_id"], data["new_state"]["state"])

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Hold the websocket open."""
        self._socket = await self._session.ws_connect(f"{self.url}/api/websocket", max_msg_size=0)
        await self._socket.receive_json()
        await self._socket.send_json({"type": "auth", "access_token": self._token})
        if (reply := await self._socket.receive_json())["type"] != "auth_ok":
            raise ClientError(f"websocket login: {reply}")
        self._reader = asyncio.create_task(self._read())
        try:
            yield self
        finally:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
            await self._socket.close()


def _why(result: dict[str, Any]) -> str:
    """Return what a flow that did not end as it should says of itself."""
    if errors := result.get("errors"):
        return f"{errors}: {(result.get('description_placeholders') or {}).get('reason', 'no reason given')}"
    return str(result.get("reason") or result)


async def _onboard(url: str, session: aiohttp.ClientSession) -> str:
    """Make the owner of a new Home Assistant, finish its onboarding, return an access token."""
    client_id = f"{url}/"
    user = {"client_id": client_id, "name": "Demo", "username": USER, "password": PASSWORD, "language": "en"}
    async with session.post(f"{url}/api/onboarding/users", json=user) as response:
        response.raise_for_status()
        code = (await response.json())["auth_code"]
    grant = {"grant_type": "authorization_code", "code": code, "client_id": client_id}
    async with session.post(f"{url}/auth/token", data=grant) as response:
        response.raise_for_status()
        token = str((await response.json())["access_token"])
    client = Client(url, session, token)
    done = {step["step"] for step in await client.rest("GET", "/api/onboarding") if step["done"]}
    for step in ("core_config", "analytics"):
        if step not in done:
            await client.rest("POST", f"/api/onboarding/{step}", {})
    redirect = {"client_id": client_id, "redirect_uri": f"{url}/?auth_callback=1"}
    await client.rest("POST", "/api/onboarding/integration", redirect)
    # The access token of a login lasts half an hour; a soak test or a patient visitor needs more.
    async with client.connected():
        return str(await client.command("auth/long_lived_access_token", client_name="demo", lifespan=365))


@asynccontextmanager
async def onboarded(url: str) -> AsyncIterator[Client]:
    """Onboard a new Home Assistant and stay logged in."""
    async with aiohttp.ClientSession() as session:
        client = Client(url, session, await _onboard(url, session))
        async with client.connected():
            yield client
