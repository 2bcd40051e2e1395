"""Going through everything that an instance offers, and noting what was gone through."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from scripts.simulation.client import FLOWS, SUBENTRY_FLOWS, Client, ClientError
from scripts.simulation.demo import Setting
from scripts.simulation.driveway import Scene, jpeg

DOMAIN = "coral_imprint"
PATIENCE_S = 120.0
REPAIRS = "/api/repairs/issues/fix"
KINDS = {FLOWS: "config", SUBENTRY_FLOWS: "classifier", REPAIRS: "repairs"}

type Met = Callable[[], Awaitable[bool]]


async def until(what: str, met: Met) -> None:
    """Wait until a condition is met."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not await met():
        assert asyncio.get_running_loop().time() < end, f"{what}: not within {PATIENCE_S:.0f} s"
        await asyncio.sleep(0.1)


@dataclass
class Tour:
    """One engine with one classifier, and what was tried of them."""

    made: Setting
    engine: str
    steps: set[str] = field(default_factory=set)
    """Steps of flows that were shown, as ``kind step``."""
    actions: set[str] = field(default_factory=set)
    answers: dict[str, Any] = field(default_factory=dict)
    """The last answer of each action."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """By class, as they were acknowledged."""
    pictures: int = 0

    @property
    def client(self) -> Client:
        """The user."""
        return self.made.client

    # --- flows ---------------------------------------------------------------------------------------------------

    async def walk(self, path: str, begin: dict[str, Any], *answers: dict[str, Any]) -> dict[str, Any]:
        """Go through a flow, noting each step that is shown; return its last result."""
        result = await self._settled(path, await self.client.rest("POST", path, begin))
        for answer in answers:
            result = await self._settled(path, await self.client.rest("POST", f"{path}/{result['flow_id']}", answer))
        return result

    async def _settled(self, path: str, result: dict[str, Any]) -> dict[str, Any]:
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            if step := result.get("step_id"):
                self.steps.add(f"{KINDS[path]} {step}")
            if result["type"] != "progress":
                return result
            assert asyncio.get_running_loop().time() < end, f"{result} goes on and on"
            await asyncio.sleep(0.2)
            result = await self.client.rest("GET", f"{path}/{result['flow_id']}")

    # --- actions -------------------------------------------------------------------------------------------------

    def show(self, gate: str) -> None:
        """Show a picture of the gate that was never shown before."""
        self.pictures += 1
        scene = Scene(gate="open" if gate == "open" else "closed", light=0.9 - 0.02 * (self.pictures % 20))
        self.made.camera.show_picture(jpeg(scene, self.pictures))

    async def act(self, action: str, **data: Any) -> Any:
        """Call an action on the classifier."""
        answer = await self.client.call(DOMAIN, action, device_id=self.made.device_id, **data)
        self.actions.add(action)
        self.answers[action] = answer
        return answer

    async def capture(self, label: str, gate: str | None = None) -> str:
        """Teach a class by a new picture; return the example's id."""
        self.show(gate or label)
        (example,) = (await self.act("capture_example", **{"class": label}))["examples"]
        self.examples.setdefault(label, []).append(example)
        return str(example)

    # --- entities ------------------------------------------------------------------------------------------------

    async def registered(self) -> list[dict[str, Any]]:
        """Return every registered entity of the integration."""
        entities: list[dict[str, Any]] = await self.client.command("config/entity_registry/list")
        return [one for one in entities if one["platform"] == DOMAIN]

    async def state(self, entity_id: str) -> dict[str, Any]:
        """Return an entity's state and attributes; no state where it has none."""
        try:
            return dict(await self.client.rest("GET", f"/api/states/{entity_id}"))
        except ClientError:
            return {"state": None, "attributes": {}}

    async def becomes(self, entity_id: str, wanted: Callable[[str | None], bool], why: str) -> None:
        """Wait until a state is as it should be."""

        async def met() -> bool:
            return wanted((await self.state(entity_id))["state"])

        await until(f"{entity_id} {why}", met)
