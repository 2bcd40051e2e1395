"""The demo: a real Home Assistant learns what a simulated camera shows, all through its public surface."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
import json
import math
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from .camera import Camera, running_camera
from .client import PASSWORD, PATIENCE_S, USER, Client, ClientError, onboarded
from .driveway import GATE_REGION, Scene
from .home import ROOT, Home, HomeError, running_home
from .layer import layered, site_packages
from .pictures import PUBLISHED, Score, extractor_file, judge_with_cores, offered_as, read_split

BUILTIN = "builtin"
LITERT = ROOT / ".dev" / "demo-litert"
"""Environment of a Home Assistant that has installed LiteRT. The demo's own goes without it, as a new user's does."""
MODELS = ROOT.parent / "shared" / "models"
"""Where published extractors may lie already."""
NAMES_ALWAYS = {"enter_at": 0, "stay_at": 0, "looks": 1, "hold": 0, "stale_after": 0, "reject_foreign": False}
"""Pictures that follow no order in time are judged one by one: no thresholds, no consecutive looks."""

TEACH: dict[int, tuple[Scene, ...]] = {
    1: (Scene(light=0.9),),
    3: (Scene(light=0.9), Scene(light=0.35, hour=18.5), Scene(light=0.0, hour=1.0)),
}
"""Under which light each gate state is taught, by examples per class."""

JUDGED_AFTER = 3
"""Looks after which a change must be known."""

STEP_S = 1.0
"""Simulated seconds from one look of ``--once`` to the next: at least ten looks at each state, however long they take."""

POLL_S = 0.05

# Home Assistant keeps a camera's picture for 1 / frame rate: ask for a new one at every look.
CAMERA_ADVANCED = {"framerate": 1000, "verify_ssl": False}


@dataclass(frozen=True)
class Setting:
    """What the demo set up."""

    home: Home
    client: Client
    camera: Camera
    device_id: str
    entities: dict[str, str]
    """Entity ids, by class label or entity key."""

    async def capture(self, label: str) -> None:
        """Teach what the camera shows."""
        await self.client.call("coral_imprint", "capture_example", device_id=self.device_id, **{"class": label})

    async def look(self) -> dict[str, Any]:
        """Look now."""
        return dict(await self.client.call("coral_imprint", "look", device_id=self.device_id))


async def _new_entity(client: Client, domain: str, before: set[str]) -> str:
    """Return the entity that a flow has just made."""
    for _ in range(round(PATIENCE_S / POLL_S)):
        states: set[str] = {state["entity_id"] for state in await client.rest("GET", "/api/states")}
        if new := sorted(entity for entity in states - before if entity.startswith(f"{domain}.")):
            return new[0]
        await asyncio.sleep(POLL_S)
    raise ClientError(f"no {domain} entity came")


async def add_camera(client: Client, url: str) -> str:
    """Add the simulated camera as any network camera is added; return its entity id."""
    before = {state["entity_id"] for state in await client.rest("GET", "/api/states")}
    await client.flow(
        "generic",
        {"still_image_url": f"{url}/still.jpg", "advanced": CAMERA_ADVANCED},
        {"confirmed_ok": True},
    )
    return await _new_entity(client, "camera", before)


async def add_engine(client: Client, extractor: str, runtime: str) -> str:
    """Add an engine; return its config entry id."""
    here = {"next_step_id": "local"}
    result = await client.flow("coral_imprint", here, {"extractor": extractor, "runtime": runtime})
    return str(result["result"]["entry_id"])


async def add_classifier(client: Client, entry_id: str, answers: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Add a classifier; return its device id and its entities by label or key."""
    answers.setdefault("region", {"left": 0, "top": 0, "right": 100, "bottom": 100})
    answers["decision"] = {"enter_at": 80, "stay_at": 60, "looks": 2, "hold": 30, "stale_after": 300} | answers.get(
        "decision", {}
    )
    await client.flow((entry_id, "classifier"), answers)
    for _ in range(round(PATIENCE_S / POLL_S)):
        devices = await client.command("config/device_registry/list")
        device = next((device for device in devices if device["name"] == answers["name"]), None)
        entities = await client.command("config/entity_registry/list")
        mine = {
            entity["original_name"]: entity["entity_id"]
            for entity in entities
            if device and entity["device_id"] == device["id"]
        }
        if device and {*answers["classes"], "Class", "Last look"} <= mine.keys():
            return str(device["id"]), mine
        await asyncio.sleep(POLL_S)
    raise ClientError("the classifier's entities did not come")


@asynccontextmanager
async def setting(options: argparse.Namespace, answers: dict[str, Any]) -> AsyncIterator[Setting]:
    """Start everything and set it up; ``answers`` are the classifier's."""
    async with AsyncExitStack() as stack:
        camera = await stack.enter_async_context(running_camera(seed=options.seed))
        say("starting Home Assistant (the first start installs what it needs and takes a minute)")
        began = time.monotonic()
        python = await layered(LITERT) if options.runtime == "litert" else Path(sys.executable)
        home = await stack.enter_async_context(running_home(options.config, options.port, python=python))
        say(f"Home Assistant runs after {time.monotonic() - began:.1f} s")
        client = await stack.enter_async_context(onboarded(home.url))
        entity_id = await add_camera(client, camera.url)
        extractor = drop_in(home, options.extractor)
        runtime = options.runtime
        if runtime == "litert" and not (await site_packages(python) / "ai_edge_litert").exists():
            runtime = "install"
        entry_id = await add_engine(client, extractor, runtime)
        device_id, entities = await add_classifier(client, entry_id, {"camera": entity_id, **answers})
        say(f"camera {entity_id}, engine {extractor}, classifier “{answers['name']}”")
        yield Setting(home, client, camera, device_id, entities)


def drop_in(home: Home, extractor: str) -> str:
    """Put an extractor's file into the folder of models, if it has one here; return what the engine's form calls it."""
    if (file := extractor_file(extractor, MODELS)) is None:
        return extractor
    models = home.config / "coral_imprint" / "models"
    models.mkdir(parents=True)
    return offered_as(Path(shutil.copy(file, models)))


def say(text: str) -> None:
    """Tell the person who watches; JSON goes to standard output alone."""
    print(text, file=sys.stderr, flush=True)


# --- the driveway -------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Compares what the sensors say with what is true."""

    truth: Callable[[], str]
    looks: int = 0
    wrong_looks: int = 0
    flips: int = 0
    changed_at: float = 0.0
    changed_look: int = 0
    state: str = ""
    delays: list[int] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    pending: str | None = None

    def follow(self, now: float) -> None:
        """Notice that the truth has changed."""
        truth = self.truth()
        if truth == self.state:
            return
        if self.pending:
            self.missed.append(self.pending)
        self.state, self.pending, self.changed_at, self.changed_look = truth, truth, now, self.looks

    def decided(self, answer: str, now: float) -> None:
        """Take in what the classifier has decided after a look."""
        if answer == self.pending:
            looks = self.looks - self.changed_look
            self.delays.append(looks)
            counted = f", {looks} looks" if self.looks else ""
            say(f"  gate {answer}: known after {now - self.changed_at:.1f} s{counted}")
            self.pending = None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "looks": self.looks,
            "looks_right_percent": round(100 * (1 - self.wrong_looks / max(self.looks, 1)), 2),
            "transitions": len(self.delays) + len(self.missed),
            "missed": self.missed,
            "flips_beyond_truth": self.flips,
            "worst_delay_looks": max(self.delays, default=0),
        }


async def teach_gate(made: Setting, shots: int) -> None:
    """Teach both gate states under each light.

    What is new is drawn before it is asked for: Home Assistant gives a camera ten seconds, which drawing may take on a busy machine.
    """
    for scene in TEACH[shots]:
        for gate in ("closed", "open"):
            made.camera.show(Scene(**{**vars(scene), "gate": gate}))
            await made.camera.frame()
            await made.capture(gate)
            say(f"captured “{gate}” at light {scene.light}")


async def watch_cycle(made: Setting, watch: Watch, seconds: float) -> None:
    """Look at one moment of the simulated days after the other, until a simulated time has come.

    The day waits for the looks: where they take long, it takes long, and each state is looked at as often as ever. Each moment is
    drawn before it is asked for, as in `teach_gate`.
    """
    reported: list[tuple[str, str]] = []
    sensor = made.entities["Class"]
    await made.client.on_states(lambda entity, state: reported.append((entity, state)) if entity == sensor else None)
    for number in range(math.ceil(seconds / STEP_S)):
        made.camera.show_moment(number * STEP_S)
        await made.camera.frame()
        watch.follow(time.monotonic())
        answer = await made.look()
        watch.looks += 1
        if watch.pending and answer["best"] == watch.pending and answer["confidence"] < 0.8:
            say(f"  unsure: {answer['best']} at {answer['confidence']:.2f}")
        watch.wrong_looks += answer["best"] != watch.state
        watch.decided(await made.client.state(sensor), time.monotonic())
    if watch.looks - watch.changed_look < JUDGED_AFTER:
        watch.pending = None  # the day ended before this could be known
    changes = [state for _, state in reported]
    say("sensor said: " + " ".join(changes))
    watch.flips = max(0, len(changes) - len(watch.delays))


async def gate_demo(options: argparse.Namespace) -> int:
    """Teach the gate and follow it for a day, or for ever."""
    region = {
        edge: round(100 * value, 1) for edge, value in zip(("left", "top", "right", "bottom"), GATE_REGION, strict=True)
    }
    interval = 3600 if options.once else 1
    answers = {"name": "Gate", "classes": ["open", "closed"], "interval": interval, "region": region}
    async with setting(options, answers) as made:
        await teach_gate(made, options.shots or 3)

        def truth() -> str:
            scene = made.camera.scene
            return scene.gate if scene else ""

        watch = Watch(truth)
        if options.once:
            await watch_cycle(made, watch, options.seconds)
            print(json.dumps(watch.as_dict()))
            return 1 if watch.missed or watch.pending or not watch.delays else 0
        made.camera.play(speed=options.speed)
        await show_for_ever(made, watch)
    return 0


async def show_for_ever(made: Setting, watch: Watch) -> None:
    """Print each transition until interrupted."""
    say(f"\n  {made.home.url}   user {USER}, password {PASSWORD}   (Ctrl-C ends it)\n")

    def changed(entity_id: str, state: str) -> None:
        if entity_id == made.entities["Last look"]:
            return
        if entity_id == made.entities["Class"]:
            watch.decided(state, time.monotonic())

    await made.client.on_states(changed)
    while True:
        watch.follow(time.monotonic())
        await asyncio.sleep(0.1)


# --- real pictures ------------------------------------------------------------------------------------------------


async def pictures_demo(options: argparse.Namespace) -> int:
    """Teach some of the pictures, show the rest, read the Class sensor after each look."""
    try:
        split = read_split(options.pictures, options.shots or 5, options.seed)
    except (OSError, ValueError) as error:
        say(str(error))
        return 2
    classes = list(split.taught)
    answers = {"name": "Pictures", "classes": classes, "interval": 3600, "decision": NAMES_ALWAYS}
    score = Score()
    # The classifier's form asks the camera for a frame: let it see a picture of the set, not the driveway.
    async with setting(options, answers) as made:
        for label, pictures in split.taught.items():
            for picture in pictures:
                made.camera.show_picture(picture.read_bytes())
                await made.capture(label)
        say(f"taught {sum(map(len, split.taught.values()))} pictures; showing {len(split.shown)}")
        began = time.monotonic()
        for truth, picture in split.shown:
            made.camera.show_picture(picture.read_bytes())
            await made.look()
            score.add(truth, await made.client.state(made.entities["Class"]))
        took = time.monotonic() - began
    if options.runtime == "litert":
        sys.path.append(str(await site_packages(await layered(LITERT))))
    file = extractor_file(options.extractor, MODELS, options.config / ".cache" / "coral_imprint")
    cores = await judge_with_cores(split, file or BUILTIN, options.runtime)
    result = {
        "folder": options.pictures.name,
        "extractor": Path(options.extractor).name,
        "shots": options.shots or 5,
        **score.as_dict(),
        "cores_accuracy": round(cores.accuracy, 2),
        "ms_per_look": round(1000 * took / len(split.shown), 1),
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"accuracy {result['accuracy']} % over {result['shown']} pictures (cores alone: {result['cores_accuracy']} %)"
        )
        for truth, answers_given in result["confusion"].items():
            print(f"  {truth}: {answers_given}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after a simulated day; fail if a state was missed")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="play a class-per-folder tree of pictures instead"
    )
    parser.add_argument(
        "--shots", type=int, help="examples per class (driveway: 1 or 3, default 3; pictures: default 5)"
    )
    parser.add_argument(
        "--extractor", default=BUILTIN, help="builtin, a published one's name, or a .tflite file (default: %(default)s)"
    )
    parser.add_argument("--runtime", default="auto", choices=["auto", "portable", "litert"])
    parser.add_argument(
        "--speed", type=float, help="simulated seconds per second (default: 4); --once goes from look to look"
    )
    parser.add_argument("--seconds", type=float, default=600, help="simulated seconds that --once watches")
    parser.add_argument("--port", type=int, default=8123, help="another one is taken where this is in use")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "home", help="folder, made anew")
    parser.add_argument("--json", action="store_true", help="print the result of --pictures as JSON")
    options = parser.parse_args(arguments)
    if options.once and options.speed:
        parser.error("--once goes from look to look: it has no --speed")
    options.speed = options.speed or 4.0
    if options.extractor not in {BUILTIN, *PUBLISHED} and not Path(options.extractor).is_file():
        parser.error(f"there is no {options.extractor}; published are {', '.join(sorted(PUBLISHED))}")
    if not options.pictures and options.shots not in {None, *TEACH}:
        parser.error(f"the driveway is taught with {' or '.join(map(str, TEACH))} examples per class")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    options = _options(arguments)
    try:
        return asyncio.run(pictures_demo(options) if options.pictures else gate_demo(options))
    except KeyboardInterrupt:
        return 0
    except (HomeError, ClientError, TimeoutError) as error:
        say(f"the demo failed: {error or 'Home Assistant gives no answer'}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
