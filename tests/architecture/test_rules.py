"""The rules of the house, held to the house as it is; and each of them broken on purpose, to see that it notices."""

from collections.abc import Callable
from pathlib import Path
import sys

import pytest

from . import doors, rules
from .house import CORES, HOUSE, OWN_FOLDERS, House, our_house, own_code

type Rule = Callable[[House], list[str]]

PROGRAMS = [text for name, text in own_code().items() if not name.startswith("tests/")]
"""What uses the cores beside the integration."""


def long_files(house: House) -> list[str]:
    return rules.long_files(house.sources.items())


def quiet(house: House) -> list[str]:
    return rules.quiet(house.sources.items())


def unused(house: House) -> list[str]:
    return rules.unused(house, PROGRAMS)


RULES: tuple[Rule, ...] = (
    rules.climbing,
    rules.circles,
    rules.homely_cores,
    rules.around_the_faces,
    rules.thick_faces,
    rules.names_of_python,
    rules.names_that_mean_two_things,
    rules.names_that_say_nothing,
    rules.crowded_rooms,
    rules.many_parameters,
    long_files,
    quiet,
    unused,
    doors.touched_imports,
    doors.touched_disk,
    doors.missing_doors,
)


def test_every_file_is_looked_at() -> None:
    house = our_house()
    assert len(house.cores) > 100
    assert {"__init__.py", "classifiers/coordinator.py", "config_flow.py", "engines/engine.py"} <= {*house.shell}
    assert {name.split("/")[1] for name in house.cores} == set(CORES)
    assert {path.name for path in (HOUSE / "core").iterdir()} - {"__pycache__"} == set(CORES), "and nothing else"
    assert {name.split("/")[0] for name in own_code()} == set(OWN_FOLDERS)
    assert sum(map(len, house.edges.values())) > 500, "imports are resolved"
    for name in (
        *rules.LONG_FILES,
        *(place.split(":")[0] for place in (*rules.LONG_FUNCTIONS, *rules.MANY_PARAMETERS)),
    ):
        assert name in house.sources, f"{name} is excepted, and not there"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Rule) -> None:
    assert rule(our_house()) == []


def test_what_is_not_the_integration_is_as_short_and_as_honest() -> None:
    assert rules.long_files(own_code().items()) == []
    assert rules.quiet(own_code().items()) == []


def test_floors(capsys: pytest.CaptureFixture[str]) -> None:
    """Print the floors, which is where a newcomer may begin to read."""
    house = our_house()
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *rules.plan(house), ""]))
    rooms = [room for floor in rules.FLOORS for room in floor]
    assert len(rooms) == len(set(rooms))
    for room in rooms:
        assert any(name == f"{room}.py" or name.startswith(f"{room}/") for name in house.sources), room


STORE = "core/imprinting/examples/store.py"
TEACHING = "actions/teaching.py"
LONG = "def long() -> None:\n" + "    pass\n" * 50
WIDE = "def wide(self, a, b, c, d, e, *, f) -> None:\n    pass\ndef wider(a, b, c, d, e, f, g) -> None:\n    pass\n"
BROKEN: tuple[tuple[Rule, str, str], ...] = (
    (rules.climbing, "extractors/lens.py", "from ..classifiers.coordinator import ClassifierCoordinator"),
    (rules.climbing, "classifiers/teaching.py", "from ..engines.engine import Engine"),
    (rules.climbing, "core/embedding/embedder.py", "from ..imprinting import fit"),
    (rules.climbing, TEACHING, "from ..flows.forms import classifier_schema"),
    (rules.climbing, "sensor.py", "from .switch import SWITCHES"),
    (rules.climbing, "const.py", "def late():\n    from .entity import ClassifierEntity"),
    (rules.climbing, "somewhere/new.py", "x = 1"),
    (rules.circles, "const.py", "from .settings import ClassifierSettings"),
    (rules.circles, "classifiers/learning/learned.py", "from .learner import Learner"),
    (rules.homely_cores, STORE, "from homeassistant.core import HomeAssistant"),
    (rules.homely_cores, STORE, "import embedding"),
    (rules.homely_cores, STORE, "from ....const import DOMAIN"),
    (rules.around_the_faces, "classifiers/archives.py", "from ..core.imprinting.examples.store import ExampleStore"),
    (rules.thick_faces, TEACHING, "def reach(classifier):\n    return classifier.learner.examples"),
    (rules.thick_faces, "sensor.py", "from .core.imprinting import ExampleStore"),
    (rules.names_of_python, "core/imprinting/select.py", ""),
    (rules.names_of_python, "core/embedding/http/client_side.py", ""),
    (rules.names_that_mean_two_things, STORE, "class ExampleStore:\n    pass"),
    (rules.names_that_mean_two_things, "sensor.py", "class _Head:\n    pass"),
    (rules.names_that_mean_two_things, "core/imprinting/heads/store.py", ""),
    (rules.names_that_say_nothing, "classifiers/utils.py", ""),
    (rules.many_parameters, "sensor.py", WIDE),
    (long_files, "sensor.py", LONG),
    (long_files, "sensor.py", "\n" * 400),
    (quiet, "sensor.py", "try:\n    pass\nexcept Exception:\n    pass"),
    (unused, "sensor.py", "def nobody_calls_this() -> None:\n    pass"),
    (doors.touched_imports, "sensor.py", "from homeassistant.components.camera import async_get_image"),
    (doors.touched_imports, "core/embedding/embedder.py", "from PIL import Image"),
    (doors.touched_imports, "core/embedding/runtimes/choice.py", "import ai_edge_litert"),
    (doors.touched_imports, "core/embedding/runtimes/litert.py", "import ai_edge_litert"),
    (doors.touched_imports, "core/embedding/export/columns.py", "import flatbuffers"),
    (doors.touched_imports, "core/embedding/remote/pool.py", "import aiohttp"),
    (doors.touched_disk, "sensor.py", "def read(path):\n    return path.read_bytes()"),
    (doors.touched_disk, "sensor.py", "def read(name):\n    return open(name)"),
)


@pytest.mark.parametrize(("rule", "name", "source"), BROKEN)
def test_a_broken_rule_is_noticed(rule: Rule, name: str, source: str) -> None:
    assert rule(our_house().but(name, source))


def test_a_crowded_room_is_noticed() -> None:
    house = our_house()
    for number in range(rules.FILES_A_ROOM):
        house = house.but(f"engines/part_{number}.py", "")
    assert rules.crowded_rooms(house) == [f"engines has {rules.FILES_A_ROOM + 2} files"]


def test_a_door_that_was_moved_is_noticed() -> None:
    sources = {name: text for name, text in our_house().sources.items() if name not in doors.CAMERA_DOOR}
    assert doors.missing_doors(House(sources)) == sorted(doors.CAMERA_DOOR)


def test_every_rule_was_broken() -> None:
    elsewhere = {rules.crowded_rooms, doors.missing_doors}
    assert {rule for rule, _, _ in BROKEN} | elsewhere == set(RULES)


def test_paths_are_those_of_this_checkout() -> None:
    assert (HOUSE / "manifest.json").is_file()
    assert Path(__file__).is_relative_to(HOUSE.parents[1])
