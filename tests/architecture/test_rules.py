"""The rules of the house: who may know whom. Checked on the syntax tree, TYPE_CHECKING imports included."""

import ast
from collections.abc import Iterator
from pathlib import Path
import sys

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "custom_components" / "coral_imprint"
CORES = ("embedding", "imprinting")
FACES = {*CORES, "embedding.devices", "embedding.edgetpu", "embedding.errors", "embedding.remote"}
"""What the shell may know of the cores: their faces, and those of the parts that only some engines load."""

ALL = sorted(HOUSE.rglob("*.py"))
CORE_FILES = [path for path in ALL if path.relative_to(HOUSE).parts[0] == "core"]
SHELL_FILES = [path for path in ALL if path not in CORE_FILES]
PLATFORMS = {"binary_sensor", "button", "event", "image", "number", "select", "sensor", "switch"}
OWN_FOLDERS = ("app", "bench", "docs", "scripts", "tests")
OWN_CODE = sorted(path for folder in OWN_FOLDERS for path in (ROOT / folder).rglob("*.py"))

HOME_ASSISTANT = {"homeassistant", "probatio", "voluptuous", "custom_components"}
TFLITE_RUNTIMES = {"ai_edge_litert", "tflite_runtime", "tensorflow", "pycoral"}

# Doors: what only these files may touch.
CAMERA_DOOR = {"classifiers/looking/frames.py"}
PIL_DOOR = {"core/embedding/pictures/decoding.py"}
RUNTIME_DOORS = {"core/embedding/runtimes/litert.py", "core/embedding/serving/delegate.py"}
SCHEMA_DOOR = {f"core/embedding/{name}.py" for name in ("export/append", "network/writer", "network/graph")}
# HTTP is no dependency of the core: only the server's program needs it, and the client where an engine is on one.
HTTP_DOORS = {
    "core/embedding/remote/http_transport.py",
    "core/embedding/server.py",
    *(f"core/embedding/serving/{name}.py" for name in ("application", "connections")),
}
DISK_DOORS = {
    "core/imprinting/examples/atomic.py",  # every write and read of examples and what is derived from them
    "core/imprinting/examples/archive/reading.py",  # reads the archive that the user names
    "core/embedding/published/catalogue.py",  # reads its entries, and published files to verify them
    "core/embedding/published/download.py",  # writes published files
    "core/embedding/embedder.py",  # reads the extractor's file
    "core/embedding/edgetpu/process_pipes.py",  # opens the pipe to the server's process
    "core/embedding/devices.py",  # looks for Edge TPUs in sysfs
    "core/embedding/edgetpu/private_folder.py",  # makes the folder of the server's socket
    "core/embedding/serving/auth.py",  # reads the token
    "core/embedding/serving/listening.py",  # makes and removes the socket
    "core/embedding/serving/models.py",  # reads extractors
    "core/embedding/notes.py",  # notes that spare a comparison at the next start
    "core/embedding/runtimes/selftest.py",  # reads its references
    "extractors/model_files.py",  # models and labels that the user names
    "actions/pictures.py",  # reads the picture that the user names
}
DISK_CALLS = {
    "open", "fdopen", "read_bytes", "read_text", "write_bytes", "write_text", "unlink", "rename", "replace", "rmdir",
    "mkdir", "makedirs", "remove", "rmtree", "copy", "move", "fsync", "touch",
}  # fmt: skip

LONG_FILES: dict[str, str] = {}
"""Files over 400 lines, each with its reason."""
LONG_FUNCTIONS: dict[str, str] = {}
"""Functions over 50 lines, each with its reason."""


def name_of(path: Path) -> str:
    return path.relative_to(HOUSE if HOUSE in path.parents else ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (level, module) of each import; ``from . import x`` yields x too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.level, node.module
            if node.level and not node.module:
                yield from ((node.level, alias.name) for alias in node.names)


def roots(path: Path) -> set[str]:
    return {module.partition(".")[0] for level, module in imports(tree_of(path)) if level == 0}


def test_every_file_is_looked_at() -> None:
    assert len(CORE_FILES) > 15
    assert {"__init__.py", "classifiers/coordinator.py", "config_flow.py", "engines/engine.py"} <= {
        name_of(path) for path in SHELL_FILES
    }
    assert {path.relative_to(HOUSE).parts[1] for path in CORE_FILES} == set(CORES)
    assert {path.relative_to(ROOT).parts[0] for path in OWN_CODE} == set(OWN_FOLDERS)
    # Doors are files that exist: a renamed one would leave its rule without effect.
    for door in CAMERA_DOOR | PIL_DOOR | RUNTIME_DOORS | SCHEMA_DOOR | HTTP_DOORS | DISK_DOORS | set(LONG_FILES):
        assert (HOUSE / door).is_file() or (ROOT / door).is_file(), door


@pytest.mark.parametrize("path", CORE_FILES, ids=name_of)
def test_core_knows_no_home_assistant_and_no_other_core(path: Path) -> None:
    parts = path.relative_to(HOUSE / "core").parts
    assert not roots(path) & (HOME_ASSISTANT | set(CORES))
    for level, module in imports(tree_of(path)):
        # A relative import may climb to its core's own folder, not beyond.
        assert level < len(parts), f"{module} leaves the core"


@pytest.mark.parametrize("path", SHELL_FILES, ids=name_of)
def test_shell_uses_the_cores_through_their_faces(path: Path) -> None:
    for level, module in imports(tree_of(path)):
        if level and module.startswith("core."):
            assert module.removeprefix("core.") in FACES, f"reaches into {module}"


def test_no_file_of_the_cores_has_the_name_of_one_of_pythons() -> None:
    """Their folder may come first on Python's path."""
    core = HOUSE / "core"
    assert {path.name for path in core.iterdir() if path.name != "__pycache__"} == set(CORES)
    assert not {path.stem for path in core.iterdir()} & sys.stdlib_module_names


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_doors(path: Path) -> None:
    name, tree = name_of(path), tree_of(path)
    modules = {module for level, module in imports(tree) if level == 0}
    own = {module.partition(".")[0] for module in modules}
    assert name in CAMERA_DOOR or not any(module.startswith("homeassistant.components.camera") for module in modules)
    assert name in PIL_DOOR or "PIL" not in own
    assert name in RUNTIME_DOORS or not own & TFLITE_RUNTIMES
    assert name in SCHEMA_DOOR or not own & {"tflite", "flatbuffers"}
    assert name in HTTP_DOORS or path in SHELL_FILES or "aiohttp" not in own - names_for_types(tree)
    at_top = {module.partition(".")[0] for node in tree.body for _, module in imports(node) if not defines(node)}
    assert not at_top & TFLITE_RUNTIMES, "native runtimes are imported where they are used, never with the module"


def names_for_types(tree: ast.Module) -> set[str]:
    """Return what is imported for annotations alone."""
    checks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {module.partition(".")[0] for node in checks for _, module in imports(node)}


def defines(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_only_the_disk_doors_touch_the_disk(path: Path) -> None:
    if name_of(path) in DISK_DOORS:
        return
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name):
            assert function.id != "open", f"line {node.lineno}"
        elif isinstance(function, ast.Attribute) and function.attr in DISK_CALLS:
            owner = ast.unparse(function.value)
            by_os = owner in {"os", "shutil", "io", "tempfile"}
            by_path = "path" in owner.lower() or "folder" in owner.lower() or owner.startswith("Path(")
            assert not (by_os or by_path), f"line {node.lineno}: {owner}.{function.attr}"


@pytest.mark.parametrize("path", [path for path in SHELL_FILES if path.stem in PLATFORMS], ids=name_of)
def test_platforms_do_not_know_each_other(path: Path) -> None:
    assert not {module for level, module in imports(tree_of(path)) if level} & PLATFORMS


@pytest.mark.parametrize("path", ALL + OWN_CODE, ids=name_of)
def test_sizes(path: Path) -> None:
    name = name_of(path)
    assert name in LONG_FILES or len(path.read_text().splitlines()) <= 400
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert f"{name}:{node.name}" in LONG_FUNCTIONS or length <= 50, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", ALL + OWN_CODE, ids=name_of)
def test_nothing_is_caught_to_be_quiet(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in {"Exception", "BaseException", "everything"}, f"line {node.lineno}"


def test_imports_have_no_circles() -> None:
    known = {path.relative_to(HOUSE).with_suffix("").parts: path for path in ALL}
    edges: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for parts, path in known.items():
        package = parts[:-1]
        for level, module in imports(tree_of(path)):
            if level:
                target = (*package[: len(package) - (level - 1)], *module.split("."))
                found = target if target in known else (*target, "__init__")
                if found in known:
                    edges.setdefault(parts, set()).add(found)
    done: set[tuple[str, ...]] = set()

    def visit(node: tuple[str, ...], trail: tuple[tuple[str, ...], ...]) -> None:
        assert node not in trail, " → ".join("/".join(step) for step in (*trail, node))
        if node not in done:
            for target in edges.get(node, ()):
                visit(target, (*trail, node))
            done.add(node)

    assert len(edges) > 15
    for start in edges:
        visit(start, ())
