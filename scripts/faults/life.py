"""What goes on in the house whatever else happens: residents are taught, visitors come, are taught, changed and removed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from scripts.simulation.client import SUBENTRY_FLOWS, ClientError
from scripts.simulation.demo import add_classifier
from scripts.simulation.driveway import Scene

from .house import DOMAIN, ERRORS, GATES, REGION, House, Resident
from .ledger import ANYWHERE, BIN

KEPT = 24
"""Examples a resident keeps; what is more is removed again."""
FEWEST = 8
"""Of each class, that stay."""
MOST_VISITORS = 3
READS = ("look", "evaluate", "head_versions", "imprint", "known_classes")
"""Actions that change no example."""


async def live(house: House, rng: Random) -> None:
    """Live until cancelled."""
    async with asyncio.TaskGroup() as group:
        for one in house.residents:
            group.create_task(_attend(house, one, Random(rng.random())))
        group.create_task(_receive(house, Random(rng.random())))


async def _attend(house: House, one: Resident, rng: Random) -> None:
    """Teach a resident now and then, ask it things, remove examples again."""
    while True:
        await asyncio.sleep(rng.uniform(0.5, 4))
        await house.up.wait()
        async with one.busy:
            if rng.random() < 0.6:
                await house.capture(one)
            else:
                await _asked(house, one.device_id, rng.choice(READS[:4]))
            await _remove_surplus(house, one, rng)


async def _asked(house: House, device_id: str, action: str) -> None:
    try:
        await house.call(action, device_id)
    except ERRORS:
        house.ledger.refused += 1


async def _remove_surplus(house: House, one: Resident, rng: Random) -> None:
    for gate in GATES:
        kept = house.ledger.labelled(one.folder, gate)
        if len(kept) > max(FEWEST, KEPT // len(GATES)):
            await move(house, one.device_id, "remove_example", rng.choice(kept[FEWEST:]), BIN)


async def move(house: House, device_id: str, action: str, example: str, place: str, **data: object) -> None:
    """Remove or relabel an example, and note what was promised."""
    try:
        with house.ledger.moving(example, place):
            await house.call(action, device_id, example=example, **data)
    except ERRORS:
        house.ledger.refused += 1
    else:
        house.ledger.acknowledged += 1


# --- visitors -----------------------------------------------------------------------------------------------------


@dataclass
class Visitor:
    """A classifier that comes and goes."""

    name: str
    engine: str
    subentry_id: str
    device_id: str

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.lower().replace(" ", "_")


type Deed = Callable[[House, Visitor, Random], Awaitable[None]]


async def _receive(house: House, rng: Random) -> None:
    """Let visitors come, do something with them, let them go."""
    number = 0
    while True:
        await asyncio.sleep(rng.uniform(0.2, 2))
        await house.up.wait()
        async with house.guests:
            try:
                here = await visitors(house)
                if len(here) < MOST_VISITORS and rng.random() < 0.4:
                    number += 1
                    await _invite(house, number, rng)
                elif here:
                    await rng.choice(DEEDS)(house, rng.choice(here), rng)
            except ERRORS:
                house.ledger.refused += 1
            house.yard.show(Scene(gate=rng.choice(GATES)))


async def visitors(house: House) -> list[Visitor]:
    """Return the visitors that Home Assistant knows."""
    devices = {one["name"]: one["id"] for one in await house.client.command("config/device_registry/list")}
    found: list[Visitor] = []
    for engine in house.engines:
        known = await house.client.command("config_entries/subentries/list", entry_id=engine)
        names = {one["title"]: one["subentry_id"] for one in known if one["title"].startswith("Visitor")}
        found += [Visitor(name, engine, own_id, devices[name]) for name, own_id in names.items() if name in devices]
    return found


async def _invite(house: House, number: int, rng: Random) -> None:
    answers = {
        "name": f"Visitor {number}",
        "camera": house.yard_id,
        "classes": ["a", "b"],
        "interval": rng.randint(1, 3),
        "decision": {"looks": 1},
    }
    await add_classifier(house.client, rng.choice(house.engines), answers)
    house.ledger.acknowledged += 1


async def _teach(house: House, visitor: Visitor, rng: Random) -> None:
    label = rng.choice(("a", "b"))
    count = rng.randint(1, 3)
    data = {"class": label, "count": count, "interval": 0.2}
    answer = await house.call("capture_example", visitor.device_id, **data)
    house.ledger.captured(visitor.folder, label, *answer["examples"])


async def _change_example(house: House, visitor: Visitor, rng: Random) -> None:
    label = rng.choice(("a", "b"))
    if not (own := house.ledger.labelled(visitor.folder, label)):
        return
    if rng.random() < 0.5:
        other = "b" if label == "a" else "a"
        await move(house, visitor.device_id, "relabel_example", rng.choice(own), other, **{"class": other})
    else:
        await move(house, visitor.device_id, "remove_example", rng.choice(own), BIN)


async def _erase(house: House, visitor: Visitor, rng: Random) -> None:
    if own := house.ledger.labelled(visitor.folder, "a"):
        gone = rng.choice(own)
        # From here on nobody is promised that it is there.
        del house.ledger.entries[gone]
        await house.call("erase_example", visitor.device_id, example=gone)
        house.ledger.acknowledged += 1


async def _turn_back(house: House, visitor: Visitor, rng: Random) -> None:
    house.ledger.loosen(visitor.folder)
    await house.call(rng.choice(("undo", "undo", "redo")), visitor.device_id)
    house.ledger.acknowledged += 1


async def _change_classes(house: House, visitor: Visitor, rng: Random) -> None:
    label = f"c{rng.randint(1, 3)}"
    if rng.random() < 0.5:
        await house.call("add_class", visitor.device_id, **{"class": label})
    elif rng.random() < 0.5:
        await house.call("rename_class", visitor.device_id, **{"class": label}, name=f"d{rng.randint(1, 9)}")
    else:
        house.ledger.loosen(visitor.folder)
        await house.call("remove_class", visitor.device_id, **{"class": rng.choice((label, "b"))})
    house.ledger.acknowledged += 1


async def _ask(house: House, visitor: Visitor, rng: Random) -> None:
    await house.call(rng.choice(READS), visitor.device_id)


async def _reconfigure(house: House, visitor: Visitor, rng: Random) -> None:
    await reconfigure(house, visitor.engine, visitor.subentry_id, region=rng.choice((REGION, _WHOLE)), interval=2)
    house.ledger.acknowledged += 1


async def _send_away(house: House, visitor: Visitor, rng: Random) -> None:
    house.ledger.loosen(visitor.folder)
    going = house.client.command(
        "config_entries/subentries/delete", entry_id=visitor.engine, subentry_id=visitor.subentry_id
    )
    if rng.random() < 0.5:
        await going
    else:
        # While it is being taught.
        data = {"class": "a", "count": 3, "interval": 0.1}
        capture = asyncio.create_task(house.call("capture_example", visitor.device_id, **data))
        await asyncio.sleep(rng.uniform(0, 0.3))
        answers = await asyncio.gather(going, capture, return_exceptions=True)
        if isinstance(taught := answers[1], dict):
            house.ledger.captured(visitor.folder, ANYWHERE, *taught["examples"])
    house.ledger.acknowledged += 1


DEEDS: tuple[Deed, ...] = (
    *(_teach,) * 4,
    *(_change_example,) * 2,
    _erase,
    _turn_back,
    *(_change_classes,) * 2,
    _ask,
    _reconfigure,
    _send_away,
)
_WHOLE = {"left": 0, "top": 0, "right": 100, "bottom": 100}


async def send_all_away(house: House) -> None:
    """Remove every visitor; raises one of ERRORS."""
    for visitor in await visitors(house):
        house.ledger.loosen(visitor.folder)
        await house.client.command(
            "config_entries/subentries/delete", entry_id=visitor.engine, subentry_id=visitor.subentry_id
        )


async def reconfigure(house: House, engine: str, subentry_id: str, **changed: object) -> None:
    """Change a classifier by its form, everything else as it is; raises one of ERRORS."""
    begin = {"handler": (engine, DOMAIN_FLOW), "subentry_id": subentry_id}
    form = await house.client.rest("POST", SUBENTRY_FLOWS, begin)
    if "data_schema" not in form:  # the engine is just being started again
        raise ClientError(f"{DOMAIN}: {form.get('reason') or form}")
    answers = {**suggested(form["data_schema"]), **changed}
    result = await house.client.rest("POST", f"{SUBENTRY_FLOWS}/{form['flow_id']}", answers)
    if result.get("reason") != "reconfigure_successful":
        raise ClientError(f"{DOMAIN}: {result.get('errors') or result}")


DOMAIN_FLOW = "classifier"


def suggested(schema: list[dict[str, object]]) -> dict[str, object]:
    """Return what a form that is submitted as it is shown would answer."""
    answers: dict[str, object] = {}
    for field in schema:
        name = str(field["name"])
        if field.get("type") == "expandable":
            inner = field["schema"]
            assert isinstance(inner, list)
            answers[name] = suggested(inner)
            continue
        description = field.get("description")
        shown = description.get("suggested_value") if isinstance(description, dict) else None
        value = shown if shown is not None else field.get("default")
        if value is not None:
            answers[name] = value
    return answers
