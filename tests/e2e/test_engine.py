"""An engine in a real Home Assistant: it installs LiteRT and changes its extractor while its classifier goes on answering."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
import subprocess
from typing import Any

import pytest

from scripts.simulation.camera import running_camera
from scripts.simulation.client import onboarded
from scripts.simulation.demo import Setting, add_camera, add_classifier, add_engine
from scripts.simulation.driveway import GATE_REGION, Scene, jpeg
from scripts.simulation.home import running_home
from scripts.simulation.layer import layered, site_packages
from tests.embedding.graphs import restart_random, separable

pytestmark = pytest.mark.usefixtures("socket_enabled")

ROOT = Path(__file__).parents[2]
FILE = "small_mobilenet.tflite"
REGION = {edge: 100 * value for edge, value in zip(("left", "top", "right", "bottom"), GATE_REGION, strict=True)}
PATIENCE_S = 120.0
"""How long something that goes on in the background may take on a busy machine."""


class Witness:
    """One engine and its classifier, and all that was heard of them."""

    def __init__(self, made: Setting, engine: str) -> None:
        """Take what was set up, and the engine's config entry."""
        self.made = made
        self.engine = engine
        self.answers: list[str] = []
        """What the classifier's looks named."""
        self.states: dict[str, list[str]] = {}
        """The states that entities took, by entity id."""

    def heard(self, name: str) -> list[str]:
        """Return the states that an entity of the classifier took so far."""
        return self.states.get(self.made.entities[name], [])

    async def listen(self) -> None:
        """Note every state from now on."""
        await self.made.client.on_states(lambda entity, state: self.states.setdefault(entity, []).append(state))

    async def look_on(self) -> None:
        """Look again and again."""
        while True:
            self.answers.append((await self.made.look())["best"])
            await asyncio.sleep(0.1)

    async def evidence(self) -> dict[str, float]:
        """Return the similarities that the classifier sees now."""
        return dict((await self.made.look())["evidence"])

    async def change(self, **chosen: Any) -> None:
        """Change the engine as a user does."""
        choose = {"next_step_id": "choose"}
        await self.made.client.reconfigure("coral_imprint", self.engine, choose, {"threads": 1, **chosen})

    async def runtime(self) -> dict[str, Any]:
        """Return the engine's Runtime sensor."""
        entities = await self.made.client.command("config/entity_registry/list")
        unique = {entity["entity_id"] for entity in entities if entity["original_name"] == "Runtime"}
        return dict(await self.made.client.rest("GET", f"/api/states/{unique.pop()}"))

    async def embedded(self) -> str:
        """Return the classifier's Examples embedded sensor."""
        return await self.made.client.state(self.made.entities["Examples embedded"])


async def until(what: str, met: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition is met."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not await met():
        assert asyncio.get_running_loop().time() < end, f"{what}: not within {PATIENCE_S:.0f} s"
        await asyncio.sleep(0.1)


def drop_in(config: Path) -> None:
    """Put a network into the folder of models, as a user of a machine without internet does."""
    models = config / "coral_imprint" / "models"
    models.mkdir(parents=True)
    restart_random()
    (models / FILE).write_bytes(separable("uint8", 32, 32))


@asynccontextmanager
async def taught(folder: Path, python: Path) -> AsyncIterator[Witness]:
    """Return an engine on the portable runtime and its classifier, who has learned a gate and sees it open."""
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera(seed=0))
        home = await stack.enter_async_context(running_home(folder, prepared=drop_in, python=python))
        client = await stack.enter_async_context(onboarded(home.url))
        entity_id = await add_camera(client, camera.url)
        engine = await add_engine(client, FILE, "portable")
        answers = {"name": "Gate", "camera": entity_id, "classes": ["open", "closed"], "interval": 1, "region": REGION}
        # It is shown the same picture for as long as a slow machine takes.
        device_id, entities = await add_classifier(client, engine, answers | {"decision": {"stale_after": 0}})
        witness = Witness(Setting(home, client, camera, device_id, entities), engine)
        # The same bytes in every run: what is found in them depends on the engine alone.
        for number, light in enumerate((0.9, 0.5, 0.35)):
            for gate in ("closed", "open"):
                camera.show_picture(jpeg(Scene(gate=gate, light=light), number))
                await witness.made.capture(gate)
        camera.show_picture(jpeg(Scene(gate="open", light=0.8), 10))

        async def settled() -> bool:
            return bool((await witness.made.look())["class"] == "open")

        await until("the gate is open", settled)
        await witness.listen()
        looking = asyncio.create_task(witness.look_on())
        try:
            yield witness
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking  # where a look failed, this says so


@pytest.fixture(scope="module")
def demo_environment() -> None:
    """Make sure that there is a real Home Assistant."""
    done = subprocess.run([ROOT / "scripts" / "setup", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def litert_is_installed(witness: Witness, package: Path) -> None:
    """Let Home Assistant install LiteRT, and wait until the same network is executed by it."""
    portable = await witness.evidence()
    assert not package.exists()
    await witness.change(extractor=FILE, runtime="install")
    assert package.is_dir(), "installed by Home Assistant itself"

    async def on_litert() -> bool:
        shown = await witness.runtime()
        return (shown["state"], shown["attributes"]["reason"]) == ("litert", "chosen")

    async def all_embedded() -> bool:
        return "0" in witness.heard("Examples embedded") and await witness.embedded() == "100"

    await until("LiteRT is used", on_litert)
    await until("the examples are embedded on LiteRT", all_embedded)
    assert await witness.evidence() == pytest.approx(portable, abs=0.01), "another runtime of the same network"


async def there_and_back(witness: Witness) -> None:
    """Change to the built-in extractor, then to the former network again."""
    former = await witness.evidence()

    async def others() -> bool:
        return await witness.embedded() == "100" and await witness.evidence() != pytest.approx(former, abs=1e-4)

    async def as_before() -> bool:
        return await witness.embedded() == "100" and await witness.evidence() == pytest.approx(former, abs=1e-6)

    await witness.change(extractor="builtin", runtime="auto")
    await until("the built-in extractor is used", others)
    assert (await witness.runtime())["state"] == "builtin"
    await witness.change(extractor=FILE, runtime="litert")
    await until("the former network is used again", as_before)
    assert (await witness.runtime())["state"] == "litert"


async def extractors_are_compared(witness: Witness) -> None:
    """Ask which extractor to use."""
    device = {"device_id": witness.made.device_id}
    advice = await witness.made.client.call("coral_imprint", "recommend_extractor", **device)
    rows = {row["extractor"]: row for row in advice["extractors"]}
    assert rows.keys() == {"builtin", FILE} and advice["recommended"] in rows and not advice["unusable"]
    assert all(row["tested_examples"] == 6 and row["milliseconds"] > 0 for row in rows.values())


@pytest.mark.usefixtures("demo_environment")
async def test_an_engine_changes_while_its_classifier_answers(tmp_path: Path) -> None:
    # Of its own: what Home Assistant installs is gone with it.
    python = await layered(tmp_path / "environment")
    async with taught(tmp_path / "home", python) as witness:
        assert (await witness.runtime())["state"] == "portable"
        await litert_is_installed(witness, await site_packages(python) / "ai_edge_litert")
        await there_and_back(witness)
        await extractors_are_compared(witness)
        # All the while it was asked, and looked by itself.
        assert len(witness.answers) >= 10
        assert set(witness.answers) == {"open"}
        assert set(witness.heard("Class")) <= {"open"}
        assert set(witness.heard("open")) <= {"on"}
