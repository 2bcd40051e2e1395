"""What a person does in Home Assistant's UI, done over the same REST and websocket interfaces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

USER, PASSWORD = "demo", "demo"  # shown to whoever runs the demo; it listens on this machine only

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
        self._listeners: dict[int, StateListener] = {}

    async def rest(self, method: str, path: str, body: object = None) -> Any:
        """Call the REST interface. Raises ClientError."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.request(method, self.url + path, json=body, headers=headers) as response:
            if response.status >= 400:
                raise ClientError(f"{method} {path}: {response.status} {(await response.text())[:500]}")
            return await response.json()

    async def command(self, kind: str, **fields: object) -> Any:
        """Send a websocket command and return its result. Raises ClientError."""
        self._sent += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        number = self._sent
        self._waiting[number] = answer
        await self._socket.send_json({"id": number, "type": kind, **fields})
        reply = await asyncio.wait_for(answer, 120)
        if not reply["success"]:
            raise ClientError(f"{kind}: {reply['error']['message']}")
        return reply["result"]

    async def call(self, domain: str, action: str, **data: object) -> Any:
        """Call an action and return its response (None for one that gives none). Raises ClientError."""
        fields: dict[str, object] = {"domain": domain, "service": action, "service_data": data}
        if domain == "coral_imprint" and not action.startswith(("rename", "remove")):
            fields["return_response"] = True
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
        path = "/api/config/config_entries/" + ("flow" if isinstance(handler, str) else "subentries/flow")
        result = await self.rest("POST", path, {"handler": handler})
        for answer in answers:
            result = await self.rest("POST", f"{path}/{result['flow_id']}", answer)
        if result["type"] != "create_entry":
            raise ClientError(f"{handler}: {result.get('errors') or result.get('reason') or result}")
        return dict(result)

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            reply = message.json()
            if reply["type"] == "result" and (waiting := self._waiting.pop(reply["id"], None)):
                if not waiting.done():
                    waiting.set_result(reply)
            elif reply["type"] == "event" and (listener := self._listeners.get(reply["id"])):
                data = reply["event"]["data"]
                if data["new_state"]:
                    listener(data["entity_id"], data["new_state"]["state"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ClientError("Home Assistant closed the connection"))

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
