"""The rules of the house. Each takes a house and returns what breaks it, in words; none is broken where the list is empty."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
import sys
from typing import Final

from .house import CORES, House, absolute, functions, top

# --- floors: who may import whom ---------------------------------------------------------------------------------------

FLOORS: Final = (
    ("core/embedding", "core/imprinting"),
    ("const", "settings", "errors", "error_counts", "entity_refs", "issues"),
    ("extractors",),
    ("classifiers",),
    ("engines",),
    ("entity", "actions", "flows"),
    (
        *("binary_sensor", "button", "event", "image", "number", "select", "sensor", "switch"),
        *("config_flow", "repairs", "diagnostics", "system_health"),
    ),
    ("__init__",),
)
"""From the ground up. A room is a folder or a file of the integration's own folder; imports go down, or stay in a room."""
SHARED: Final = 1
"""The floor whose files may import each other, as long as there is no circle: it has no rooms."""

CORE_FACES: Final = {
    "core/embedding/__init__.py",
    "core/embedding/devices.py",
    "core/embedding/edgetpu/__init__.py",
    "core/embedding/errors.py",
    "core/embedding/remote/__init__.py",
    "core/imprinting/__init__.py",
}
"""What the shell may know of the cores: their faces, and those of the parts that only some engines load."""
HOME_ASSISTANT: Final = {"homeassistant", "probatio", "voluptuous", "custom_components"}

THIN: Final = range(5, len(FLOORS))
"""Floors of faces: they read what a person said, call one method, and answer."""
BEHIND_THE_FACE: Final = {"learner", "camera_monitor", "pool"}
"""Parts of a classifier and of an engine that faces don't reach through."""


def floor_of(name: str) -> tuple[int, str] | None:
    """Return a file's floor and room; None where it has none."""
    for number, rooms in enumerate(FLOORS):
        for room in rooms:
            if name == f"{room}.py" or name.startswith(f"{room}/"):
                return number, room
    return None


def plan(house: House) -> list[str]:
    """Return the floors from the top down: their rooms, files, and how many imports go to each floor below."""
    lines = []
    for number in reversed(range(len(FLOORS))):
        files = [name for name in house.sources if (floor_of(name) or (-1,))[0] == number]
        targets = [floor_of(target) for name in files for target in house.edges[name]]
        below = Counter(target[0] for target in targets if target and target[0] != number)
        arrows = ", ".join(f"{count} to {floor}" for floor, count in sorted(below.items(), reverse=True)) or "none"
        lines.append(f"floor {number}: {', '.join(FLOORS[number])} ({len(files)} files) imports: {arrows}")
    return lines


def climbing(house: House) -> list[str]:
    """Every file has a floor; imports go down, or stay in the room."""
    wrong = []
    for name, targets in house.edges.items():
        if (own := floor_of(name)) is None:
            wrong.append(f"{name} has no floor")
            continue
        for target in targets:
            other = floor_of(target)
            if other and other[0] > own[0]:
                wrong.append(f"{name} (floor {own[0]}) climbs to {target} (floor {other[0]})")
            elif other and other[0] == own[0] != SHARED and other[1] != own[1]:
                wrong.append(f"{name} knows {target}, a room of the same floor")
    return wrong


def circles(house: House) -> list[str]:
    """No file imports itself by way of others."""
    done: set[str] = set()
    found = []
    for start in house.edges:
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(house.edges[start])))]
        trail = [start]
        if start in done:
            continue
        while stack:
            name, targets = stack[-1]
            if (target := next(targets, None)) is None:
                stack.pop()
                trail.pop()
                done.add(name)
            elif target in trail:
                found.append(" → ".join([*trail[trail.index(target) :], target]))
            elif target not in done:
                trail.append(target)
                stack.append((target, iter(sorted(house.edges[target]))))
    return found


def homely_cores(house: House) -> list[str]:
    """Cores know neither Home Assistant nor, by a whole name, themselves: they run under two names."""
    wrong = []
    for name in house.cores:
        known = top(absolute(house.tree(name))) & (HOME_ASSISTANT | set(CORES))
        wrong += [f"{name} imports {module}" for module in sorted(known)]
        parts = len(PurePosixPath(name).parts) - 1
        wrong += [
            f"{name}:{node.lineno} leaves the core"
            for node in ast.walk(house.tree(name))
            if isinstance(node, ast.ImportFrom) and node.level >= parts
        ]
    return wrong


def around_the_faces(house: House) -> list[str]:
    """The shell uses the cores through their faces."""
    return [
        f"{name} reaches into {target}"
        for name in house.shell
        for target in house.edges[name]
        if target.startswith("core/") and target not in CORE_FACES
    ]


def thick_faces(house: House) -> list[str]:
    """Faces don't reach through a classifier into its parts, nor touch the store of examples."""
    wrong = []
    for name in house.shell:
        if (own := floor_of(name)) is None or own[0] not in THIN:
            continue
        for node in ast.walk(house.tree(name)):
            if isinstance(node, ast.Attribute) and node.attr in BEHIND_THE_FACE:
                wrong.append(f"{name}:{node.lineno} reaches through {ast.unparse(node)}")
            elif isinstance(node, ast.ImportFrom) and "ExampleStore" in {alias.name for alias in node.names}:
                wrong.append(f"{name}:{node.lineno} touches the store of examples")
    return wrong


# --- names -------------------------------------------------------------------------------------------------------------

VAGUE: Final = {
    *("kept", "filed", "away", "parts", "wording", "shared", "known", "found", "prepared", "former", "durable"),
    *("util", "utils", "helper", "helpers", "misc", "common", "base_classes", "tools"),
}
"""Participles, adverbs and empty words that no file is called."""


def names_of_python(house: House) -> list[str]:
    """The cores' folder may come first on Python's path: no file or folder in it is called as a module of Python's."""
    parts = {part.removesuffix(".py") for name in house.cores for part in PurePosixPath(name).parts[1:]}
    return sorted(parts & sys.stdlib_module_names)


def names_that_mean_two_things(house: House) -> list[str]:
    """No two classes of the integration share a name, and no two modules of a core."""
    classes: dict[str, list[str]] = defaultdict(list)
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in house.sources:
        path = PurePosixPath(name)
        if name in house.cores and path.stem != "__init__":
            modules[path.parts[1], path.stem].append(name)
        for node in ast.walk(house.tree(name)):
            if isinstance(node, ast.ClassDef):
                classes[node.name.lstrip("_")].append(f"{name}:{node.lineno}")
    wrong = [f"class {name}: {', '.join(places)}" for name, places in classes.items() if len(places) > 1]
    return wrong + [f"module {name}: {', '.join(files)}" for (_, name), files in modules.items() if len(files) > 1]


def names_that_say_nothing(house: House) -> list[str]:
    """Files are called after the main thing in them."""
    return [name for name in house.sources if PurePosixPath(name).stem in VAGUE]


# --- sizes -------------------------------------------------------------------------------------------------------------

FILES_A_ROOM: Final = 16
LINES_A_FILE: Final = 400
LINES_A_FUNCTION: Final = 50
PARAMETERS: Final = 6

CROWDED: Final = {
    "": "Home Assistant looks for platforms, flows, repairs and the like in the integration's own folder",
}
"""Rooms of more files, each with its reason."""
LONG_FILES: Final[dict[str, str]] = {}
"""Files of more lines, likewise."""
LONG_FUNCTIONS: Final[dict[str, str]] = {}
"""Functions of more lines, likewise."""
MANY_PARAMETERS: Final = {
    "core/embedding/remote/remote_embedder.py:open_remote_embedder": "a face: all that may be said of servers, by name",
    "core/imprinting/report/report.py:evaluate": "a face: everything that an evaluation can be told, by name",
    "core/imprinting/examples/importing.py:__init__": "made by the store alone, of whose parts it is a second half",
    "classifiers/learning/expectations.py:evaluate_head": "passes on to `evaluate` what it is told, by name",
}
"""Functions of more parameters, likewise."""


def crowded_rooms(house: House) -> list[str]:
    """A room has no more files than a person can look over."""
    rooms = Counter(str(PurePosixPath(name).parent) for name in house.sources if not name.endswith("__init__.py"))
    return [
        f"{room} has {count} files"
        for room, count in rooms.items()
        if count > FILES_A_ROOM and room.replace(".", "") not in CROWDED
    ]


def long_files(sources: Iterable[tuple[str, str]]) -> list[str]:
    """No file and no function is longer than a person reads in one go."""
    wrong = []
    for name, text in sources:
        if (lines := len(text.splitlines())) > LINES_A_FILE and name not in LONG_FILES:
            wrong.append(f"{name} has {lines} lines")
        for node in functions(ast.parse(text)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LINES_A_FUNCTION and f"{name}:{node.name}" not in LONG_FUNCTIONS:
                wrong.append(f"{name}:{node.lineno} {node.name} has {length} lines")
    return wrong


def many_parameters(house: House) -> list[str]:
    """No function takes more than can be held in mind; ``self`` and ``cls`` don't count."""
    wrong = []
    for name in house.sources:
        for node in functions(house.tree(name)):
            own = node.args
            taken = [*own.posonlyargs, *own.args, *own.kwonlyargs, *(one for one in (own.vararg, own.kwarg) if one)]
            count = len([one for one in taken if one.arg not in {"self", "cls"}])
            if count > PARAMETERS and f"{name}:{node.name}" not in MANY_PARAMETERS:
                wrong.append(f"{name}:{node.lineno} {node.name} takes {count} parameters")
    return wrong


# --- errors and leftovers ----------------------------------------------------------------------------------------------


def quiet(sources: Iterable[tuple[str, str]]) -> list[str]:
    """Nothing is caught to be quiet."""
    wrong = []
    for name, text in sources:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                if caught in {"Exception", "BaseException", "everything"}:
                    wrong.append(f"{name}:{node.lineno} catches {caught}")
    return wrong


CALLED_BY_OTHERS: Final = {
    *("async_setup", "async_setup_entry", "async_unload_entry", "async_remove_entry", "async_migrate_entry"),
    *("async_remove_config_entry_device", "async_get_config_entry_diagnostics", "async_get_device_diagnostics"),
    *("async_register", "async_create_fix_flow", "EngineFlow"),
}
"""Names that Home Assistant looks for."""


def unused(house: House, users: Iterable[str]) -> list[str]:
    """What only tests use is not in the product: every function and class is named somewhere beside its definition.

    ``users`` are sources of programs that use the cores.
    """
    said: Counter[str] = Counter()
    for name in house.sources:
        said.update(_mentioned(house.tree(name), exported=name.endswith("__init__.py")))
    for text in users:
        said.update(_mentioned(ast.parse(text), exported=False))
    defined = [
        (f"{name}:{node.lineno}", node.name)
        for name in house.sources
        for node in house.tree(name).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    used = said.keys() | CALLED_BY_OTHERS
    return [f"{place} {what} is used by no one" for place, what in defined if what not in used]


def _mentioned(tree: ast.Module, *, exported: bool) -> Iterator[str]:
    """Yield the names that a file speaks of; ``exported``: handing a name on is no use of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and not exported:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not exported:
            yield node.value
