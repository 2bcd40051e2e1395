"""Chaos in a whole house: a real Home Assistant, its cameras, its disk and its clock.

Four classifiers, each with a camera of its own, on two engines, look once a second and are taught all the while; further ones come, are
changed and removed. Meanwhile cameras return HTML, garbage, half pictures, nothing, errors, old pictures, or hang, disappear, are
renamed; the disk is full, read-only, or fails to sync; the clock jumps; a hundred actions come at once; the process is killed. In the end
(and after each kill) every example that was ever acknowledged must be where it was promised, byte for byte; Home Assistant must
say the same as the disk; no error may have gone unhandled, no task or thread be left over; and after each fault every entity
must say what is true within two looks.

Disk and clock misbehave in a library that is compiled and loaded into Home Assistant's process (shim.c says what exactly each
fault does); looks come once a second instead of every ten, cameras count as frozen after 4 s, so that a minute holds what ten
minutes of a usual house do. Prints JSON, ends with 1 where anything was wrong.
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from contextlib import suppress
import json
from pathlib import Path
from random import Random
import sys
import time
from typing import Any

from scripts.simulation.client import ClientError
from scripts.simulation.demo import say
from scripts.simulation.home import ROOT, HomeError

from . import log
from .events import EVENTS, KILL, Event, attempt
from .house import ERRORS, House, running_house
from .life import live, send_all_away
from .probe import Count
from .shim import Disk, ShimError

CENSUS = Event(name="census", act=lambda house, rng: _never())
"""Everybody but the residents goes; what runs is counted."""
QUIET_S = 30.0
DESCRIPTORS = 12
"""Files and connections that may be open beyond those of before: what Home Assistant and its database hold at the time."""


async def _never() -> list[int]:
    return []


def deck(rng: Random, kills: float) -> list[Event]:
    """Return every event once, in some order, with kills among them (a fraction: by chance)."""
    cards = [*EVENTS, CENSUS, *[KILL] * (int(kills) + (rng.random() < kills % 1))]
    rng.shuffle(cards)
    return cards


class Run:
    """One run of the test."""

    def __init__(self, house: House, options: argparse.Namespace) -> None:
        """Take a house that is lived in."""
        self.house = house
        self.options = options
        self.rng = Random(options.seed)
        self.happened: Counter[str] = Counter()
        self.looks: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.before: Count | None = None

    async def go(self) -> None:
        """Let everything happen."""
        end = time.monotonic() + 60 * self.options.minutes
        living = asyncio.create_task(live(self.house, Random(self.options.seed)))
        try:
            await self.census()
            # About 6 s an event, 15 s a kill: what there is time for in one deck.
            while time.monotonic() < end or self.happened[KILL.name] < self.options.kills:
                left = max(0.0, end - time.monotonic())
                missing = self.options.kills - self.happened[KILL.name]
                decks = max(1.0, left / (12 * len(EVENTS)))
                await self.deal(deck(self.rng, missing / decks), end)
                if living.done():
                    break
        finally:
            living.cancel()
            with suppress(asyncio.CancelledError):
                await living
        await self.finish()

    async def deal(self, cards: list[Event], end: float) -> None:
        """Let the events of one deck happen, until the time is over."""
        for event in cards:
            if time.monotonic() > end and (not event.is_kill or self.happened[KILL.name] >= self.options.kills):
                continue
            began = time.monotonic()
            if event is CENSUS:
                await self.census()
            else:
                self.looks[event.name].update(await attempt(self.house, event, self.rng))
            if event.is_kill:
                self.before = None
            self.happened[event.name] += 1
            if self.house.home.process.returncode is not None:
                self.house.fail(f"Home Assistant ended by itself with {self.house.home.process.returncode}")
                raise HomeError("Home Assistant ended by itself")
            wrong = len(self.house.wrong)
            say(f"{event.name}: {time.monotonic() - began:.1f} s; wrong so far: {wrong}")

    async def census(self) -> None:
        """Count what runs while nobody but the residents is there; it must not grow within one life of the process."""
        house = self.house
        async with house.guests:
            try:
                await send_all_away(house)
                count = await self._quiet(self.before)
            except ERRORS as error:
                house.fail(f"census: {error}")
                return
        if self.before is None:
            self.before = count
        elif more := count.more_than(self.before):
            house.fail(f"left over: {more}")
        elif count.descriptors > self.before.descriptors + DESCRIPTORS:
            house.fail(f"left over: descriptors {self.before.descriptors} -> {count.descriptors}")

    async def _quiet(self, before: Count | None) -> Count:
        """Count again and again until it is no more than before, or until that has had its time."""
        end = time.monotonic() + (QUIET_S if before else 0)
        await asyncio.sleep(3)
        count = await self.house.count()
        while before and count.more_than(before) and time.monotonic() < end:
            await asyncio.sleep(0.5)
            count = await self.house.count()
        return count

    async def finish(self) -> None:
        """Hold everything against what was promised; remove the engines, after which nothing may run."""
        house = self.house
        house.shim.disk(Disk.SOUND)
        house.shim.clock(0)
        house.check_disk("in the end")
        await house.check_counts("in the end")
        for engine in house.engines:
            await house.client.rest("DELETE", f"/api/config/config_entries/entry/{engine}")
        # Each classifier's folder is in the bin now.
        for entry in house.ledger.entries.values():
            house.ledger.loosen(entry.classifier)
        house.check_disk("after the engines were removed")
        nothing = Count({}, {"": 0}, {}, 0)
        for _ in range(30):
            count = await house.count()
            ours = {name: number for name, number in count.threads.items() if "coral" in name}
            left = Count(count.tasks, ours, count.objects, 0).more_than(nothing)
            if not left:
                return
            await asyncio.sleep(1)
        house.fail(f"left over after the engines were removed: {left}")

    def report(self) -> dict[str, Any]:
        """Return what happened and what was wrong."""
        house, ledger = self.house, self.house.ledger
        text = house.home.log.read_text(errors="replace")
        unhandled = log.unhandled(text)
        return {
            "ok": not house.wrong and not unhandled,
            "minutes": round((time.monotonic() - house.began) / 60, 1),
            "seed": self.options.seed,
            "events": dict(self.happened),
            "looks_until_right": {name: dict(sorted(counted.items())) for name, counted in self.looks.items()},
            "examples_acknowledged": len(ledger.entries),
            "changes_acknowledged": ledger.acknowledged,
            "changes_refused": ledger.refused,
            "pictures_unacknowledged": ledger.unacknowledged(house.data),
            "disk_operations_refused": house.shim.refused,
            "looks": sum(one.camera.served for one in house.residents) + house.yard.served,
            "memory_mib": round(house.home.memory(), 1) if house.home.process.returncode is None else None,
            "wrong": house.wrong,
            "unhandled": unhandled[:20],
            "log": log.summary(text),
        }


async def chaos(options: argparse.Namespace) -> int:
    """Run the test and print what came of it."""
    say("building the house (a first start installs what Home Assistant needs and takes a minute)")
    config = options.config.resolve()
    async with running_house(config, config.with_name(f"{config.name}-tools"), 4, Path(sys.executable)) as house:
        run = Run(house, options)
        try:
            await run.go()
        except (HomeError, *ERRORS) as error:
            house.fail(f"given up: {type(error).__name__}: {error}")
        report = run.report()
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] else 1


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: %(default)s)")
    parser.add_argument(
        "--kills", type=int, default=50, help="how often it is killed, longer if need be (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides what happens when (default: %(default)s)")
    parser.add_argument("--config", type=Path, default=ROOT / ".dev" / "chaos", help="folder, made anew")
    try:
        return asyncio.run(chaos(parser.parse_args(arguments)))
    except (HomeError, ShimError, ClientError) as error:
        say(f"the house could not be built: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
