"""What happens to the house: one row per fault. Each ends with every resident right again within two looks."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from scripts.simulation.camera import Mode
from scripts.simulation.driveway import Scene

from .house import ERRORS, GATES, REGION, STALE_AFTER_S, Gate, House, Resident
from .life import reconfigure
from .shim import Disk

QUICK_S = 4.0
"""Long enough for a camera of no use to be noticed at one look a second."""
STALE_S = STALE_AFTER_S + 4.0
HANG_S = 10.0 + STALE_S
"""Home Assistant gives up on a camera after 10 s, and some then hand out their last picture."""
HOUR_S = 3600.0
AHEAD_S = (HOUR_S, 24 * HOUR_S, 5 * 24 * HOUR_S)
"""How far the clock may jump ahead: less than the week for which removed examples are kept."""
STORM = 100
"""Actions at once."""

type Act = Callable[[House, Random], Awaitable[list[int]]]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happens; ``act`` returns after how many looks each resident was right again."""

    name: str
    act: Act
    is_kill: bool = False


def _other(gate: Gate) -> Gate:
    return GATES[1 - GATES.index(gate)]


def _change(residents: list[Resident]) -> None:
    """Let the gate move: to say so, a classifier has to look, and to be right."""
    for one in residents:
        one.camera.show(Scene(gate=_other(one.camera.gate)))


def _maybe_change(residents: list[Resident], rng: Random) -> None:
    """Let some gates move behind the cameras' backs."""
    _change([one for one in residents if rng.random() < 0.5])


async def _alone(house: House, stack: AsyncExitStack, residents: list[Resident]) -> None:
    """Let nobody else ask these residents' cameras."""
    for one in residents:
        await stack.enter_async_context(one.busy)


def _expect_silence(house: House, residents: list[Resident], why: str) -> None:
    for one in residents:
        if not house.is_silent(one):
            said = {key: house.states.get(one.entities[key]) for key in ("Class", *GATES)}
            house.fail(f"{one.name}: {why}, and it still says {said}")


# --- cameras ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CameraFault:
    """A camera that answers in some other way than with a picture of this moment."""

    mode: Mode
    seconds: float

    async def __call__(self, house: House, rng: Random) -> list[int]:
        """Let some cameras, and the visitors', fail for a while."""
        hit = rng.sample(house.residents, rng.randint(1, 2))
        async with AsyncExitStack() as stack:
            await _alone(house, stack, hit)
            for camera in (house.yard, *(one.camera for one in hit)):
                camera.mode = self.mode
            if self.mode not in {Mode.HANG, Mode.STALE}:
                # Whatever is acknowledged now must be a picture.
                await asyncio.gather(*(house.capture(one) for one in hit))
            _maybe_change(hit, rng)
            await asyncio.sleep(self.seconds)
            _expect_silence(house, hit, f"its camera is in mode {self.mode} for {self.seconds:.0f} s")
            for camera in (house.yard, *(one.camera for one in hit)):
                camera.mode = Mode.OK
            return await house.recover(hit, f"camera mode {self.mode}")


async def _vanish(house: House, rng: Random) -> list[int]:
    """Disable a camera in Home Assistant, as a device that left the network would be; enable it again."""
    one = rng.choice(house.residents)
    async with AsyncExitStack() as stack:
        await _alone(house, stack, [one])
        await _set_disabled(house, one.camera_entry, True)
        await asyncio.sleep(QUICK_S)
        _expect_silence(house, [one], "its camera is gone")
        _maybe_change([one], rng)
        await _set_disabled(house, one.camera_entry, False)
        return await house.recover([one], "its camera came back")


async def _set_disabled(house: House, entry_id: str, disabled: bool) -> None:
    await house.client.command("config_entries/disable", entry_id=entry_id, disabled_by="user" if disabled else None)


async def _rename(house: House, rng: Random) -> list[int]:
    """Give a camera another entity id, while its classifier looks."""
    one = rng.choice(house.residents)
    async with AsyncExitStack() as stack:
        await _alone(house, stack, [one])
        wanted = f"camera.moved_{rng.randrange(10**6)}"
        await house.client.command("config/entity_registry/update", entity_id=one.camera_id, new_entity_id=wanted)
        one.camera_id = wanted
        _change([one])
        return await house.recover([one], "its camera was renamed")


async def _change_region(house: House, rng: Random) -> list[int]:
    """Give a resident another region: its examples are embedded anew while it looks."""
    one = rng.choice(house.residents)
    async with AsyncExitStack() as stack:
        await _alone(house, stack, [one])
        subentries = await house.client.command("config_entries/subentries/list", entry_id=one.engine)
        subentry = next(found["subentry_id"] for found in subentries if found["title"] == one.name)
        region = {**REGION, "left": rng.choice((REGION["left"], round(REGION["left"] - 2, 1)))}
        await reconfigure(house, one.engine, subentry, region=region)
        _change([one])
        return await house.recover([one], "its region was changed")


# --- disk and clock -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DiskFault:
    """A disk that refuses, under all that goes on."""

    state: Disk

    async def __call__(self, house: House, rng: Random) -> list[int]:
        """Let the disk refuse for a while; looks go on as if nothing was."""
        refused = house.shim.refused
        house.shim.disk(self.state, room=rng.choice((0, 1000, 60_000, 400_000)))
        async with AsyncExitStack() as stack:
            await _alone(house, stack, house.residents)
            await asyncio.gather(*(house.capture(one) for one in house.residents))
        await asyncio.sleep(QUICK_S)
        async with AsyncExitStack() as stack:
            await _alone(house, stack, house.residents)
            _change(house.residents)
            await house.recover(house.residents, f"disk {self.state.name} (and still)")
            house.shim.disk(Disk.SOUND)
            if house.shim.refused == refused:
                house.fail(f"disk {self.state.name}: nothing was refused, so nothing was tested")
            _change(house.residents)
            return await house.recover(house.residents, f"disk {self.state.name}")


async def _jump(house: House, rng: Random) -> list[int]:
    """Let the clock jump: ahead, or back to the real time."""
    back = house.clock_ahead > 0
    house.clock_ahead = 0.0 if back else rng.choice(AHEAD_S)
    house.shim.clock(house.clock_ahead)
    async with AsyncExitStack() as stack:
        await _alone(house, stack, house.residents)
        repeating = [one for one in house.residents if back and one.caches_by_time]
        if repeating:
            # Home Assistant's generic camera repeats its last picture until the clock has come that far again.
            # A picture may stay the same for three times as long as it usually does: faults before this one made that longer.
            await asyncio.sleep(3 * STALE_S)
            _expect_silence(house, repeating, "its camera repeats itself since the clock was put back")
            await asyncio.gather(*(_reload(house, one.camera_entry) for one in repeating))
        _change(house.residents)
        return await house.recover(house.residents, f"the clock jumped {'back' if back else 'ahead'}")


async def _reload(house: House, entry_id: str) -> None:
    await house.client.rest("POST", f"/api/config/config_entries/entry/{entry_id}/reload")


# --- Home Assistant -----------------------------------------------------------------------------------------------


async def _storm(house: House, rng: Random) -> list[int]:
    """Let a hundred actions come at once."""
    reads = ("look", "evaluate", "head_versions", "imprint")
    async with AsyncExitStack() as stack:
        await _alone(house, stack, house.residents)
        calls: list[Awaitable[object]] = []
        for number in range(STORM):
            one = house.residents[number % len(house.residents)]
            if rng.random() < 0.5:
                calls.append(house.capture(one))
            else:
                calls.append(house.call(rng.choice(reads), one.device_id))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        # One that is refused, as by a camera that takes too long, is answered too; what was acknowledged is in the ledger.
        lost = [answer for answer in answers if isinstance(answer, TimeoutError | OSError)]
        served = sum(answer is not False and not isinstance(answer, BaseException) for answer in answers)
        if lost or served < STORM // 2:
            house.fail(f"of {STORM} actions at once {served} were served, {len(lost)} never answered")
        _change(house.residents)
        return await house.recover(house.residents, f"{STORM} actions at once")


async def _reload_engine(house: House, rng: Random) -> list[int]:
    """Reload an engine with its classifiers."""
    engine = rng.choice(house.engines)
    hit = [one for one in house.residents if one.engine == engine]
    async with AsyncExitStack() as stack:
        await _alone(house, stack, hit)
        await _reload(house, engine)
        return await house.recover(hit, "its engine was reloaded")


async def _kill(house: House, rng: Random) -> list[int]:
    """Kill Home Assistant at some moment, perhaps while the disk refuses or a storm rages; start it again."""
    await asyncio.sleep(rng.uniform(0, 3))
    if rng.random() < 0.25:
        house.shim.disk(rng.choice((Disk.FULL, Disk.READ_ONLY, Disk.FAILING)), room=rng.randrange(200_000))
    raging: list[asyncio.Task[bool]] = []
    if rng.random() < 0.5:
        raging = [asyncio.create_task(house.capture(rng.choice(house.residents))) for _ in range(rng.randint(1, 20))]
    await asyncio.sleep(rng.uniform(0, 1))
    await house.kill()
    for task in raging:
        await task
    async with AsyncExitStack() as stack:
        await _alone(house, stack, house.residents)
        _maybe_change(house.residents, rng)
        looks = await house.recover(house.residents, "a kill")
    await house.check_counts("after a kill")
    return looks


KILL = Event(name="kill", act=_kill, is_kill=True)
EVENTS = (
    *(
        Event(name=f"camera {mode}", act=CameraFault(mode, seconds))
        for mode, seconds in (
            (Mode.HTML, QUICK_S),
            (Mode.GARBAGE, QUICK_S),
            (Mode.TRUNCATED, QUICK_S),
            (Mode.EMPTY, QUICK_S),
            (Mode.STALE, STALE_S),
            (Mode.ERROR500, STALE_S),
            (Mode.NOTFOUND, STALE_S),
            (Mode.HANG, HANG_S),
        )
    ),
    Event(name="camera vanishes", act=_vanish),
    Event(name="camera renamed", act=_rename),
    Event(name="region changed", act=_change_region),
    *(Event(name=f"disk {one.name.lower()}", act=DiskFault(one)) for one in Disk if one is not Disk.SOUND),
    Event(name="clock jumps", act=_jump),
    Event(name="clock jumps again", act=_jump),
    Event(name="storm", act=_storm),
    Event(name="engine reloaded", act=_reload_engine),
)


async def attempt(house: House, event: Event, rng: Random) -> list[int]:
    """Let an event happen; note where Home Assistant did not even take what the event itself asks for."""
    try:
        return await event.act(house, rng)
    except ERRORS as error:
        house.fail(f"{event.name}: {type(error).__name__}: {error}")
        return []
