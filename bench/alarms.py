"""Whether the budget of false alarms is kept: looks at a camera for months, simulated.

Two classes, *nothing* (background) and *event*. The log-odds of *event* vary from occasion to occasion (light, weather), and within one
from look to look with noise that hangs together over time. Now and then something foreign comes into view for a while; a
small share of it is plausible. Each run has a scene of its own, drawn at random; learns thresholds from a few occasions of that
scene; and lives with them, decided by the integration's own `step`. Prints one JSON object: in how many runs the alarms were at
most 1.5 times those asked for, alarms and misses as expected and as they came.
"""

import argparse
from dataclasses import dataclass
import json
import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imprinting.decision.decision import Rules, State, step
from imprinting.decision.thresholds import MONTH, Budget, Thresholds, thresholds
from imprinting.heads.calibration import HeldOut

NOTHING, EVENT = "nothing", "event"
OCCASION_SECONDS: Final = 3 * 3600.0
"""How long the light stays the same."""
EVENT_SHARE: Final = 0.1
"""Part of the occasions that show the event."""
LEEWAY: Final = 1.5
_BLOCK: Final = 128

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """How the log-odds of *event* are distributed."""

    nothing: float
    """Mean while there is nothing."""
    event: float
    """Mean while there is the event."""
    between: float
    """Standard deviation from occasion to occasion."""
    within: float
    """Standard deviation from look to look."""
    memory: float
    """Correlation of one look's noise and the next one's."""


def draw_scene(chance: np.random.Generator) -> Scene:
    """Draw a scene: classes well or hardly apart, noise of seconds or of half an hour."""
    return Scene(
        -chance.uniform(5, 10),
        chance.uniform(5, 10),
        chance.uniform(0.3, 1.5),
        chance.uniform(0.3, 1.5),
        float(np.exp(-1 / chance.uniform(0.3, 180))),
    )


def noise(count: int, scene: Scene, tails: float, chance: np.random.Generator) -> Values:
    """Return noise of deviation 1 in which neighbours hang together: a first-order autoregression, block by block.

    ``tails``: degrees of freedom of Student's distribution, 0 for the normal one; autocorrelation makes tails more normal.
    """
    fresh = (
        chance.standard_normal(count) if not tails else chance.standard_t(tails, count) / np.sqrt(tails / (tails - 2))
    )
    fresh *= np.sqrt(1 - scene.memory**2)
    blocks = np.pad(fresh, (0, -count % _BLOCK)).reshape(-1, _BLOCK)
    age = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)[None, :]
    inside = blocks @ np.where(age >= 0, scene.memory ** np.maximum(age, 0), 0).T
    carried, before = np.empty(len(blocks)), float(chance.standard_normal())
    for number, last in enumerate(inside[:, -1].tolist()):
        carried[number] = before
        before = last + before * scene.memory**_BLOCK
    values: Values = (inside + carried[:, None] * scene.memory ** np.arange(1, _BLOCK + 1)).ravel()[:count]
    return values


def learn(
    scene: Scene, options: argparse.Namespace, rules: Rules, budget: Budget, chance: np.random.Generator
) -> Thresholds:
    """Return the thresholds of *event* from bursts of examples on a few occasions, some of each class."""
    odds, truth, names = [], [], []
    for number in range(2 * options.occasions):
        event = number % 2
        level = (scene.event if event else scene.nothing) + scene.between * chance.standard_normal()
        odds.append(level + scene.within * noise(options.examples, scene, options.tails, chance))
        truth += [event] * options.examples
        names += [str(number)] * options.examples
    both = np.concatenate(odds)
    weights = np.full(len(both), 1 / options.examples)
    held_out = HeldOut(np.stack([-both / 2, both / 2], axis=1), np.array(truth, np.intp), np.array(names, str), weights)
    found = thresholds((NOTHING, EVENT), held_out, 1.0, rules, budget=budget, background=frozenset({NOTHING}))
    return found[EVENT]


def stream(
    scene: Scene, options: argparse.Namespace, budget: Budget, chance: np.random.Generator
) -> tuple[Values, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the log-odds of every look of all months, whether it shows the event and nothing before it, and whether it is plausible."""
    looks = int(options.months * MONTH / budget.interval)
    length = int(OCCASION_SECONDS / budget.interval)
    occasion = np.arange(looks) // length
    event = (chance.random(occasion[-1] + 1) < EVENT_SHARE)[occasion]
    level = scene.between * chance.standard_normal(occasion[-1] + 1)
    odds = np.where(event, scene.event, scene.nothing) + level[occasion]
    odds += scene.within * noise(looks, scene, options.tails, chance)
    plausible, foreign = np.ones(looks, bool), np.zeros(looks, bool)
    for _ in range(chance.poisson(budget.foreign_events * options.months)):
        start, stay = chance.integers(looks), max(1, int(chance.exponential(600) / budget.interval))
        part = slice(start, start + stay)
        accepted = chance.random() < options.accepted
        plausible[part], foreign[part] = accepted, True
        if accepted:
            # Nobody knows what a head makes of what it never saw: anything, and for as long as it is there.
            odds[part] = chance.normal(0, 8) + scene.within * chance.standard_normal(len(odds[part]))
    # An event that is hidden is none: its looks are no misses, and to name it is an alarm.
    return odds, event & ~foreign, plausible


def live(event: NDArray[np.bool_], named: NDArray[np.int8], rules: Rules, interval: float) -> int:
    """Return how often *event* entered while there was none, by `step`, around the looks that name it wrongly."""
    wrong = np.flatnonzero((named == 1) & ~event)
    if not len(wrong):
        return 0
    apart = int(rules.hold / interval) + rules.counted + 1
    alarms = 0
    for run in np.split(wrong, np.flatnonzero(np.diff(wrong) > apart) + 1):
        state = State(NOTHING, (run[0] - 1) * interval)
        for look in range(run[0], run[-1] + 1):
            name = (None, EVENT, NOTHING)[named[look]]
            after = step(state, name, look * interval, rules)
            alarms += after.current == EVENT and state.current != EVENT and not event[look]
            state = after
    return alarms


def name_looks(odds: Values, plausible: NDArray[np.bool_], found: Thresholds) -> NDArray[np.int8]:
    """Return what each look names by itself: 1 *event*, -1 *nothing*, 0 neither."""
    enter = np.log(found.enter / (1 - found.enter))
    named = np.where(odds >= enter, 1, np.where(odds <= -np.log(Rules().stay_at / (1 - Rules().stay_at)), -1, 0))
    return np.where(plausible, named, 0).astype(np.int8)


def missed(named: NDArray[np.int8], event: NDArray[np.bool_], rules: Rules) -> tuple[float, float]:
    """Return the shares, 0 to 1, of looks at the event that don't name it, and of its occasions in which it never enters."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], event, [False]]).astype(np.int8)))
    never = []
    for first, last in edges.reshape(-1, 2):
        sure = np.convolve(named[first:last] == 1, np.ones(rules.counted), "valid")
        never.append(float(sure.max(initial=0) < rules.looks))
    return float(np.mean(named[event] != 1)) if event.any() else 0.0, float(np.mean(never or [0.0]))


def run(options: argparse.Namespace) -> dict[str, object]:
    """Live through every run and sum up."""
    rules, kept, rows = Rules(looks=options.looks, window=options.window), [], []
    budget = Budget(options.budget, options.interval, options.foreign, options.accepted)
    unmet = 0
    for number in range(options.runs):
        chance = np.random.default_rng([options.seed, number])
        scene = draw_scene(chance)
        found = learn(scene, options, rules, budget, chance)
        if not found.trusted:
            unmet += 1
            continue
        odds, event, plausible = stream(scene, options, budget, chance)
        named = name_looks(odds, plausible, found)
        alarms = live(event, named, rules, options.interval) / options.months
        kept.append(alarms <= LEEWAY * options.budget)
        rows.append((alarms, found.alarms or 0.0, *missed(named, event, rules), found.misses or 0.0))
    table = np.array(rows or [(0.0,) * 5])
    return {
        "asked_a_month": options.budget,
        "runs": options.runs,
        "not_promised": unmet,
        "kept_percent": round(100 * float(np.mean(kept or [0.0])), 1),
        "alarms_a_month": round(float(table[:, 0].mean()), 3),
        "alarms_worst": round(float(table[:, 0].max()), 2),
        "alarms_expected": round(float(table[:, 1].mean()), 3),
        "looks_missed_percent": round(100 * float(table[:, 2].mean()), 2),
        "looks_missed_expected_percent": round(100 * float(table[:, 4].mean()), 2),
        "events_missed_percent": round(100 * float(table[:, 3].mean()), 2),
    }


def main() -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--months", type=float, default=6)
    parser.add_argument("--interval", type=float, default=10, help="seconds from look to look")
    parser.add_argument("--budget", type=float, default=1, help="false alarms a month")
    parser.add_argument("--occasions", type=int, default=10, help="of each class, to learn from")
    parser.add_argument("--examples", type=int, default=3, help="on each occasion")
    parser.add_argument("--foreign", type=float, default=20, help="a month")
    parser.add_argument("--accepted", type=float, default=0.01, help="share of what is foreign that is plausible")
    parser.add_argument("--looks", type=int, default=2)
    parser.add_argument("--window", type=int, default=0)
    parser.add_argument("--tails", type=float, default=0, help="degrees of freedom of Student's noise; 0: normal noise")
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(run(parser.parse_args()), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
