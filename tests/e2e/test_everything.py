"""Everything that a real Home Assistant offers of the integration is tried once: each action, entity and step of a flow.

What is offered is asked of the instance, not listed here: what is new is either tried in general, by its kind, or this
fails and names it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
import json
from pathlib import Path
import subprocess
from typing import Any

import pytest

from scripts.faults.log import unhandled
from scripts.simulation.camera import running_camera
from scripts.simulation.client import FLOWS, SUBENTRY_FLOWS, onboarded
from scripts.simulation.demo import Setting, add_camera, add_classifier
from scripts.simulation.driveway import GATE_REGION
from scripts.simulation.home import ROOT, running_home
from scripts.simulation.layer import DEMO
from tests.embedding.graphs import restart_random, separable
from tests.embedding.serving.client import running

from .touring import DOMAIN, REPAIRS, Tour, until

pytestmark = pytest.mark.usefixtures("socket_enabled")

FILE = "mine.tflite"
TOKEN = "a-token-of-more-than-sixteen-characters"
LABELS = ("background", "tench", "crane", "gate", "wall", "tabby", "lamp", "car", "door", "dog")
REGION = {edge: 100 * value for edge, value in zip(("left", "top", "right", "bottom"), GATE_REGION, strict=True)}
TEXTS = json.loads((ROOT / "custom_components" / DOMAIN / "translations" / "en.json").read_text())

ELSEWHERE = {
    "config hassio_confirm": "tests/shell/flows/test_discovery.py",
    "config reauth_confirm": "tests/shell/extractors/test_remote.py",
    "config download_failed": "tests/shell/flows/test_engine_flow.py",
    "config edgetpu": "tests/shell/extractors/test_edge_tpu.py",
}
"""Steps that only come where there is a Supervisor, a server that changes its mind, no internet, or a device; and what shows them."""


def network() -> bytes:
    """Return the file of a small network that knows classes."""
    restart_random()
    return separable("uint8", 32, 32)


def drop_in(config: Path) -> None:
    """Put a network and its labels into the folder of models."""
    models = config / DOMAIN / "models"
    models.mkdir(parents=True)
    (models / FILE).write_bytes(network())
    (models / "mine_labels.txt").write_text("\n".join(LABELS))


@pytest.fixture(scope="module")
def demo_environment() -> None:
    """Make sure that there is a real Home Assistant."""
    done = subprocess.run([ROOT / "scripts" / "setup", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@asynccontextmanager
async def beginning(folder: Path) -> AsyncIterator[Tour]:
    """Set up an instance with an engine and a classifier that knows nothing yet."""
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera())
        made = running_home(folder / "home", prepared=drop_in, python=DEMO / "bin" / "python")
        home = await stack.enter_async_context(made)
        client = await stack.enter_async_context(onboarded(home.url))
        tour = Tour(Setting(home, client, camera, "", {}), "")
        camera_id = await add_camera(client, camera.url)
        here = {"next_step_id": "local"}
        added = await tour.walk(FLOWS, {"handler": DOMAIN}, here, {"extractor": FILE, "runtime": "portable"})
        tour.engine = added["result"]["entry_id"]
        tour.steps.add("classifier user")  # add_classifier submits that form
        answers = {"name": "Gate", "camera": camera_id, "classes": ["open", "closed"], "interval": 1, "region": REGION}
        device_id, entities = await add_classifier(
            client, tour.engine, answers | {"decision": {"stale_after": 0, "looks": 1, "reject_foreign": False}}
        )
        tour.made = Setting(home, client, camera, device_id, entities)
        yield tour


# --- actions ------------------------------------------------------------------------------------------------------


async def teach(tour: Tour) -> None:
    """Teach two classes, and make a third."""
    for _ in range(3):
        for gate in ("open", "closed"):
            await tour.capture(gate)
    assert (await tour.act("look"))["best"] == "closed"
    await tour.act("add_class", **{"class": "ajar"})
    await tour.act("rename_class", **{"class": "ajar"}, name="half open")
    await tour.capture("half open", "open")
    assert (await tour.act("imprint"))["examples"] == {"open": 3, "closed": 3, "half open": 1}


async def change_examples(tour: Tour) -> None:
    """Relabel, remove, erase, take back, make again."""
    moved = tour.examples["half open"][0]
    await tour.act("relabel_example", example=moved, **{"class": "open"})
    await tour.act("undo")
    await tour.act("redo")
    await tour.act("remove_example", example=tour.examples["closed"][2])
    await tour.act("erase_example", example=moved)
    assert (await tour.act("imprint"))["examples"] == {"open": 3, "closed": 2, "half open": 0}
    await tour.act("remove_class", **{"class": "half open"})


async def judge(tour: Tour) -> None:
    """Ask how good it is, go back to an earlier head, set thresholds."""
    assert (await tour.act("evaluate"))["head"]
    newest = (await tour.act("head_versions"))["versions"][0]["version"]
    await tour.act("restore_head", version=newest)
    assert (await tour.act("head_versions"))["restored"] == newest
    await tour.act("set_thresholds", **{"class": "open"}, enter_at=90, stay_at=50)
    await tour.act("set_thresholds", **{"class": "open"})
    assert {row["extractor"] for row in (await tour.act("recommend_extractor"))["extractors"]} >= {FILE, "builtin"}


async def transfer(tour: Tour) -> None:
    """Write out what was taught, and take it in again."""
    assert (await tour.act("known_classes", search="tab"))["classes"]
    model = Path((await tour.act("export_model"))["model"])
    await tour.act("import_model", file=model.name)
    archive = Path((await tour.act("export_examples"))["file"])
    assert sum((await tour.act("import_examples", file=archive.name))["there_already"].values()) == 5


ACTIONS: tuple[Callable[[Tour], Awaitable[None]], ...] = (teach, change_examples, judge, transfer)

# --- entities -----------------------------------------------------------------------------------------------------


async def says_something(tour: Tour, entity_id: str) -> None:
    """Look until there is a state."""
    await tour.becomes(entity_id, lambda state: state not in {None, "unavailable"}, "never said anything")


async def is_pressed(tour: Tour, entity_id: str) -> None:
    """Press a button, and see that it notes when."""
    before = (await tour.state(entity_id))["state"]
    tour.show("open")
    await tour.client.call("button", "press", entity_id=entity_id)
    await tour.becomes(
        entity_id, lambda state: state not in {None, "unknown", "unavailable", before}, "was not pressed"
    )


async def is_switched(tour: Tour, entity_id: str) -> None:
    """Turn a switch to the other side and back."""
    before = (await tour.state(entity_id))["state"]
    for wanted in ("off", "on") if before == "on" else ("on", "off"):
        await tour.client.call("switch", f"turn_{wanted}", entity_id=entity_id)
        await tour.becomes(entity_id, lambda state, wanted=wanted: state == wanted, f"is not {wanted}")  # type: ignore[misc]


async def is_set(tour: Tour, entity_id: str) -> None:
    """Set a number one step from where it is, and back."""
    found = await tour.state(entity_id)
    value, step = float(found["state"]), float(found["attributes"]["step"])
    other = value - step if value - step >= found["attributes"]["min"] else value + step
    for wanted in (other, value):
        await tour.client.call("number", "set_value", entity_id=entity_id, value=wanted)
        await tour.becomes(entity_id, lambda state, wanted=wanted: float(state or "nan") == wanted, f"is not {wanted}")  # type: ignore[misc]


async def is_chosen(tour: Tour, entity_id: str) -> None:
    """Choose each option."""
    for option in (await tour.state(entity_id))["attributes"]["options"]:
        await tour.client.call("select", "select_option", entity_id=entity_id, option=option)
        await tour.becomes(entity_id, lambda state, option=option: state == option, f"is not {option}")  # type: ignore[misc]


async def is_shown(tour: Tour, entity_id: str) -> None:
    """Fetch the picture."""
    await says_something(tour, entity_id)
    picture = await tour.client.bytes(f"/api/image_proxy/{entity_id}")
    assert picture.startswith(b"\xff\xd8"), f"{entity_id} shows no JPEG"


KINDS: dict[str, Callable[[Tour, str], Awaitable[None]]] = {
    "binary_sensor": says_something,
    "button": is_pressed,
    "event": says_something,
    "image": is_shown,
    "number": is_set,
    "select": is_chosen,
    "sensor": says_something,
    "switch": is_switched,
}
"""How an entity of each domain is tried."""
ORDER = [kind for kind in KINDS if kind != "button"] + ["button"]
"""Buttons last: one teaches the class that was chosen."""


async def enable_all(tour: Tour) -> None:
    """Enable what is disabled at first."""
    for one in await tour.registered():
        if one["disabled_by"]:
            await tour.client.command("config/entity_registry/update", entity_id=one["entity_id"], disabled_by=None)
    await tour.client.rest("POST", f"/api/config/config_entries/entry/{tour.engine}/reload")


# --- flows --------------------------------------------------------------------------------------------------------


async def change_engine(tour: Tour) -> None:
    """Change the engine by choosing, and by comparing."""
    begin = {"handler": DOMAIN, "entry_id": tour.engine}
    answers = {"extractor": FILE, "runtime": "portable", "threads": 2}
    result = await tour.walk(FLOWS, begin, {"next_step_id": "choose"}, answers)
    assert result.get("reason") == "reconfigure_successful", result
    result = await tour.walk(FLOWS, begin, {"next_step_id": "recommend"}, answers | {"threads": 1})
    assert result.get("reason") == "reconfigure_successful", result


async def change_classifier(tour: Tour) -> None:
    """Change the classifier by its form as it is shown."""
    (subentry,) = await tour.client.command("config_entries/subentries/list", entry_id=tour.engine)
    begin = {"handler": (tour.engine, "classifier"), "subentry_id": subentry["subentry_id"]}
    form = await tour.walk(SUBENTRY_FLOWS, begin)
    result = await tour.client.rest("POST", f"{SUBENTRY_FLOWS}/{form['flow_id']}", suggested(form["data_schema"]))
    assert result.get("reason") == "reconfigure_successful", result


def suggested(schema: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a form that is submitted as it is shown answers."""
    answers: dict[str, Any] = {}
    for one in schema:
        if one.get("type") == "expandable":
            answers[one["name"]] = suggested(one["schema"])
            continue
        value = (one.get("description") or {}).get("suggested_value", one.get("default"))
        if value is not None:
            answers[one["name"]] = value
    return answers


async def add_server(tour: Tour, folder: Path) -> None:
    """Add an engine on an inference server of this project's own, that wants a token."""
    models, token = folder / "server_models", folder / "token"
    models.mkdir()
    (models / "first.tflite").write_bytes(network())
    token.write_text(TOKEN)
    with running("--models", models, "--token-file", token, "--port", 0, "--runtime", "portable") as server:
        answers = {"servers": [str(server.address)], "token": TOKEN, "verify_ssl": True}
        chosen = {"extractor": "first", "pixel_range": "server"}
        result = await tour.walk(FLOWS, {"handler": DOMAIN}, {"next_step_id": "server"}, answers, chosen)
        assert result["type"] == "create_entry", result
        await tour.client.rest("DELETE", f"/api/config/config_entries/entry/{result['result']['entry_id']}")


async def repair(tour: Tour) -> None:
    """Lose the engine's extractor, be told under Repairs, put it back and try again."""
    file = tour.made.home.config / DOMAIN / "models" / FILE
    kept = file.read_bytes()
    file.unlink()
    await tour.client.rest("POST", f"/api/config/config_entries/entry/{tour.engine}/reload")

    (issue,) = await issues(tour, "extractor")
    file.write_bytes(kept)
    assert (await tour.walk(REPAIRS, {"handler": DOMAIN, "issue_id": issue}, {}))["type"] == "create_entry"


async def mend_camera(tour: Tour) -> None:
    """Disable the camera, be told under Repairs, and give the classifier another one there."""
    (before,) = [one["entity_id"] for one in await tour.client.rest("GET", "/api/states") if is_camera(one)]
    other = await add_camera(tour.client, tour.made.camera.url)
    await tour.client.command("config/entity_registry/update", entity_id=before, disabled_by="user")
    (issue,) = await issues(tour, "camera")
    found = await tour.walk(REPAIRS, {"handler": DOMAIN, "issue_id": issue}, {"camera": other})
    assert found["type"] == "create_entry", found
    assert (await tour.act("look"))["best"]


def is_camera(state: dict[str, Any]) -> bool:
    """Return whether a state is a camera's."""
    return str(state["entity_id"]).startswith("camera.")


async def issues(tour: Tour, about: str) -> list[str]:
    """Wait until the user is told of something under Repairs; return the ids of all such issues."""
    found: list[str] = []

    async def told() -> bool:
        listed = (await tour.client.command("repairs/list_issues"))["issues"]
        own = [issue["issue_id"] for issue in listed if issue["domain"] == DOMAIN]
        found[:] = [issue for issue in own if about in issue]
        return bool(found)

    await until(f"the user is told of the {about}", told)
    return found


def offered_steps() -> set[str]:
    """Return every step that has a text, as ``kind step``."""
    steps = {f"config {step}" for step in TEXTS["config"]["step"]}
    steps |= {f"{kind} {step}" for kind, texts in TEXTS["config_subentries"].items() for step in texts["step"]}
    fixes = [issue["fix_flow"]["step"] for issue in TEXTS["issues"].values() if "fix_flow" in issue]
    return steps | {f"repairs {step}" for fix in fixes for step in fix}


@pytest.mark.parametrize(("step", "file"), ELSEWHERE.items())
def test_what_is_not_tried_here_is_tried_elsewhere(step: str, file: str) -> None:
    assert f'"{step.split()[1]}"' in (ROOT / file).read_text()


@pytest.mark.usefixtures("demo_environment")
async def test_everything_that_is_offered_is_tried(tmp_path: Path) -> None:
    async with beginning(tmp_path) as tour:
        for exercise in ACTIONS:
            await exercise(tour)
        services = await tour.client.command("get_services")
        assert services[DOMAIN].keys() - tour.actions == set(), "actions that were never called"

        await enable_all(tour)
        entities = await tour.registered()
        kinds = {one["entity_id"].partition(".")[0] for one in entities}
        assert kinds - KINDS.keys() == set(), "entities of kinds that nothing here tries"
        assert len(entities) > 20
        for one in sorted(entities, key=lambda one: ORDER.index(one["entity_id"].partition(".")[0])):
            await KINDS[one["entity_id"].partition(".")[0]](tour, one["entity_id"])

        await change_engine(tour)
        await change_classifier(tour)
        await add_server(tour, tmp_path)
        await repair(tour)
        await mend_camera(tour)
        assert offered_steps() - tour.steps - ELSEWHERE.keys() == set(), "steps of flows that were never shown"

        assert unhandled(tour.made.home.log.read_text(errors="replace")) == []
