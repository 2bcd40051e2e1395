"""The house: a real Home Assistant, a camera per resident classifier, and what its user has been promised."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
import time
from typing import Any, Literal

import aiohttp

from scripts.simulation.camera import Camera, served
from scripts.simulation.client import Client, ClientError, onboarded
from scripts.simulation.demo import add_camera, add_classifier, add_engine, say
from scripts.simulation.driveway import GATE_REGION, Scene, jpeg
from scripts.simulation.home import Home, running_home
from tests.embedding.graphs import restart_random, separable

from .ledger import Ledger, counts, digest
from .probe import DOMAIN as PROBE, YAML, Count, as_count, plant
from .shim import Disk, Shim

DOMAIN = "coral_imprint"
NETWORK = "small_network.tflite"
type Gate = Literal["open", "closed"]
GATES: tuple[Gate, Gate] = ("open", "closed")
LIGHTS = (0.9, 0.8, 0.7)
STALE_AFTER_S = 4
"""How long a camera of this house may repeat itself."""
LOOKS_TO_BE_RIGHT = 2
ANSWER_S = 900.0
"""How long an answer may take: of a hundred at once, on a machine that does other things, the last takes minutes."""
PATIENCE_S = 60.0
"""How long something may take until it counts as never coming."""
REGION = {
    edge: round(100 * value, 1) for edge, value in zip(("left", "top", "right", "bottom"), GATE_REGION, strict=True)
}
DECISION = {"stale_after": STALE_AFTER_S}

ERRORS = (ClientError, aiohttp.ClientError, TimeoutError, ConnectionError)
"""What calling Home Assistant raises when it refuses, or goes away."""


class HouseCamera(Camera):
    """Shows pictures that were drawn before, each of them a little different, and remembers them."""

    def __init__(self, drawn: Mapping[Gate, list[bytes]]) -> None:
        """Take pictures by what the gate is."""
        super().__init__()
        self._pictures = drawn
        self._number = 0
        self.sent: set[bytes] = set()

    async def frame(self) -> bytes:
        """Return a picture of the gate with a comment of its own, so that no two are the same bytes."""
        pictures = self._pictures[self.gate]
        self._number += 1
        comment = f"{id(self)} {self._number}".encode()
        plain = pictures[self._number % len(pictures)]
        picture = plain[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + plain[2:]
        self.sent.add(digest(picture))
        return picture

    @property
    def gate(self) -> Gate:
        """What is true."""
        assert self.scene
        return self.scene.gate


@dataclass
class Resident:
    """A classifier that stays, alone at its camera."""

    name: str
    camera: HouseCamera
    camera_id: str
    """The camera's entity id; changes when it is renamed."""
    camera_entry: str
    """The camera's config entry."""
    engine: str
    device_id: str
    entities: dict[str, str]
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever asks its camera, or makes it fail."""

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.lower().replace(" ", "_")

    @property
    def caches_by_time(self) -> bool:
        """Whether its camera is one that repeats its last picture for as long as the clock is behind that picture's time."""
        return "generic" in self.name.lower()


class House:
    """What runs, what was promised, and what went wrong."""

    def __init__(self, home: Home, shim: Shim) -> None:
        """Take a Home Assistant that runs, onboarded."""
        self.home = home
        self.shim = shim
        self.ledger = Ledger()
        self.residents: list[Resident] = []
        self.yard: HouseCamera
        """What visitors look at."""
        self.yard_id = ""
        self.engines: list[str] = []
        self.states: dict[str, str] = {}
        self.wrong: list[str] = []
        self.up = asyncio.Event()
        """Set while Home Assistant can be talked to."""
        self.guests = asyncio.Lock()
        """Held while a visitor does something, or must not."""
        self.began = time.monotonic()
        self.clock_ahead = 0.0
        """By how many seconds its clock is ahead."""
        self._token = ""
        self._client: Client
        self._connection = AsyncExitStack()

    def fail(self, what: str) -> None:
        """Note that something is wrong."""
        self.wrong.append(f"[{time.monotonic() - self.began:.0f} s] {what}")
        say(self.wrong[-1])

    @property
    def data(self) -> Path:
        """The folder of all classifiers' examples."""
        return self.home.config / DOMAIN

    @property
    def sent(self) -> set[bytes]:
        """Every picture that any camera showed."""
        return set[bytes]().union(self.yard.sent, *(one.camera.sent for one in self.residents))

    # --- talking -------------------------------------------------------------------------------------------------

    async def connect(self, token: str = "") -> None:
        """Log in, and follow the states."""
        self._token = token or self._token
        session = await self._connection.enter_async_context(aiohttp.ClientSession())
        self._client = Client(self.home.url, session, self._token)
        self._client.patience_s = ANSWER_S
        await self._connection.enter_async_context(self._client.connected())
        await self._client.on_states(self.states.__setitem__)
        self.states |= {one["entity_id"]: one["state"] for one in await self._client.rest("GET", "/api/states")}
        self.up.set()

    async def disconnect(self) -> None:
        """Hang up."""
        self.up.clear()
        self.states.clear()
        await self._connection.aclose()
        self._connection = AsyncExitStack()

    @property
    def client(self) -> Client:
        """The user. Raises ConnectionError while Home Assistant is down."""
        if not self.up.is_set():
            raise ConnectionError("Home Assistant is down")
        return self._client

    async def call(self, action: str, device_id: str, **data: object) -> Any:
        """Call an action of the integration; raises one of ERRORS."""
        return await self.client.call(DOMAIN, action, device_id=device_id, **data)

    async def count(self) -> Count:
        """Ask the probe; raises one of ERRORS."""
        return as_count(await self.client.call(PROBE, "count"))

    async def capture(self, resident: Resident) -> bool:
        """Teach a resident what its camera shows; return whether that was acknowledged."""
        gate = resident.camera.gate
        try:
            answer = await self.call("capture_example", resident.device_id, **{"class": gate})
        except ERRORS:
            self.ledger.refused += 1
            return False
        self.ledger.captured(resident.folder, gate, *answer["examples"])
        return True

    # --- being right ---------------------------------------------------------------------------------------------

    def is_right(self, resident: Resident) -> bool:
        """Whether every entity of a resident says what is true."""
        gate = resident.camera.gate
        said = [self.states.get(resident.entities[one]) for one in ("Class", *GATES)]
        return said == [gate, *("on" if one == gate else "off" for one in GATES)]

    def is_silent(self, resident: Resident) -> bool:
        """Whether a resident's entities say that they don't know."""
        return all(self.states.get(resident.entities[one]) == "unavailable" for one in ("Class", *GATES))

    async def until(self, met: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
        """Wait until a condition is met; return whether it was."""
        end = time.monotonic() + seconds
        while not met():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    async def recover(self, residents: Iterable[Resident], after: str) -> list[int]:
        """Wait until residents are right again; return after how many looks each was.

        Looks are counted as pictures that were asked for from now on; nobody else may ask meanwhile.
        """
        marks = {one.name: one.camera.served for one in residents}
        needed: dict[str, int] = {}

        def settled() -> bool:
            for one in residents:
                looks = one.camera.served - marks[one.name]
                if one.name not in needed and self.is_right(one):
                    needed[one.name] = looks
                # The next look has begun: what the ones before it found is known.
                elif one.name not in needed and looks > LOOKS_TO_BE_RIGHT + 1:
                    needed[one.name] = looks
                    said = {key: self.states.get(one.entities[key]) for key in ("Class", *GATES)}
                    self.fail(f"{one.name}: after {after} still {said}, not {one.camera.gate}, after {looks - 1} looks")
            return len(needed) == len(marks)

        if not await self.until(settled):
            late = marks.keys() - needed.keys()
            self.fail(f"{', '.join(sorted(late))}: no looks within {PATIENCE_S:.0f} s after {after}")
        return list(needed.values())

    # --- what is on disk -----------------------------------------------------------------------------------------

    def check_disk(self, when: str) -> None:
        """Compare the disk with what was acknowledged."""
        for problem in self.ledger.check(self.data, self.sent):
            self.fail(f"{when}: {problem}")

    async def check_counts(self, when: str) -> None:
        """Compare what Home Assistant says of the residents with the disk."""
        for one in self.residents:
            async with one.busy:
                said = dict((await self.call("imprint", one.device_id))["examples"])
                there = counts(self.data, one.folder)
            if said != there:
                self.fail(f"{when}: {one.name} has {said}, the disk {there}")

    # --- life and death ------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """Kill Home Assistant, look at what it leaves, and start it again on a sound disk."""
        self.up.clear()
        await self.home.kill()
        await self.disconnect()
        self.shim.disk(Disk.SOUND)
        self.check_disk("killed")
        await self.home.start()
        await self.connect()
        await self.refresh()

    async def refresh(self) -> None:
        """Learn anew what things are called: what Home Assistant had not yet saved is forgotten, device ids too.

        A camera that was enabled again, which a full disk kept Home Assistant from saving, is enabled once more.
        """
        cameras = {one.camera_entry for one in self.residents}
        for entry in await self.client.command("config_entries/get"):
            if entry["entry_id"] in cameras and entry["disabled_by"]:
                await self.client.command("config_entries/disable", entry_id=entry["entry_id"], disabled_by=None)
        registered = {one["entity_id"]: one for one in await self.client.command("config/entity_registry/list")}
        devices = {one["name"]: one["id"] for one in await self.client.command("config/device_registry/list")}
        for one in self.residents:
            one.device_id = devices[one.name]
            mine = [entity for entity in registered.values() if entity["device_id"] == one.device_id]
            one.entities = {entity["original_name"]: entity["entity_id"] for entity in mine}
            own = [key for key, entity in registered.items() if entity["config_entry_id"] == one.camera_entry]
            one.camera_id = own[0]


def _drop_in(config: Path) -> None:
    plant(config)
    models = config / DOMAIN / "models"
    models.mkdir(parents=True)
    restart_random()
    (models / NETWORK).write_bytes(separable("uint8", 32, 32))


async def _add_mjpeg(client: Client, url: str, name: str) -> str:
    """Add a camera by its stream and its still picture; return its entity id."""
    known = {state["entity_id"] for state in await client.rest("GET", "/api/states")}
    fields = {"name": name, "mjpeg_url": f"{url}/mjpeg", "still_image_url": f"{url}/still.jpg", "verify_ssl": False}
    await client.flow("mjpeg", {**fields, "username": "", "password": ""})
    for _ in range(100):
        states = await client.rest("GET", "/api/states")
        found = [one["entity_id"] for one in states if one["entity_id"].startswith("camera.")]
        if new := set(found) - known:
            return str(new.pop())
        await asyncio.sleep(0.1)
    raise ClientError("no camera came")


async def _add_resident(house: House, client: Client, number: int, camera: HouseCamera, engine: str) -> Resident:
    kind = ("generic", "mjpeg")[number % 2]
    name = f"Gate {number} {kind}"
    camera_id = await (
        add_camera(client, camera.url) if kind == "generic" else _add_mjpeg(client, camera.url, f"Camera {number}")
    )
    registered = await client.command("config/entity_registry/get", entity_id=camera_id)
    answers = {
        "name": name,
        "camera": camera_id,
        "classes": [*GATES],
        "interval": 1,
        "region": REGION,
        "decision": DECISION,
    }
    device_id, entities = await add_classifier(client, engine, answers)
    return Resident(name, camera, camera_id, registered["config_entry_id"], engine, device_id, entities)


@asynccontextmanager
async def running_house(config: Path, tools: Path, residents: int, python: Path) -> AsyncIterator[House]:
    """Build a house and live in it. Raises HomeError, ShimError, ClientError."""
    drawn = {
        gate: [jpeg(Scene(gate=gate, light=light), number) for number, light in enumerate(LIGHTS)] for gate in GATES
    }
    async with AsyncExitStack() as stack:
        cameras = [HouseCamera(drawn) for _ in range(residents + 1)]
        for camera in cameras:
            await stack.enter_async_context(served(camera))
        shim = await asyncio.to_thread(Shim, tools, config)
        made = running_home(config, extra=YAML, prepared=_drop_in, python=python, extra_environment=shim.environment)
        home = await stack.enter_async_context(made)
        house = House(home, shim)
        async with onboarded(home.url) as client:
            token = str(await client.command("auth/long_lived_access_token", client_name="house", lifespan=300))
            house.yard = cameras.pop()
            house.yard_id = await add_camera(client, house.yard.url)
            house.engines = [
                await add_engine(client, "builtin", "auto"),
                await add_engine(client, NETWORK, "portable"),
            ]
            for number, camera in enumerate(cameras):
                engine = house.engines[number // 2 % 2]
                house.residents.append(await _add_resident(house, client, number, camera, engine))
        # Home Assistant saves its registries some seconds late: what was set up must outlive the first kill.
        await home.stop()
        await home.start()
        await house.connect(token)
        stack.push_async_callback(house.disconnect)
        await house.refresh()
        await _teach(house)
        yield house


async def _teach(house: House) -> None:
    """Teach every resident both states of its gate, and see that it knows them."""
    for _ in LIGHTS:
        for gate in GATES:
            for one in house.residents:
                one.camera.show(Scene(gate=gate))
                if not await house.capture(one):
                    house.fail(f"{one.name}: could not be taught")
    for gate in GATES:
        for one in house.residents:
            one.camera.show(Scene(gate=gate))
        await house.recover(house.residents, "being taught")
