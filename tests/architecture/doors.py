"""Doors of the house: what only some files may touch. Each rule returns what breaks it, in words."""

import ast
from typing import Final

from .house import House, absolute, top

TFLITE_RUNTIMES: Final = {"ai_edge_litert", "tflite_runtime", "tensorflow", "pycoral"}

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


def touched_imports(house: House) -> list[str]:
    """Cameras, Pillow, runtimes, TFLite's schema and HTTP are imported where their doors are, and nowhere else."""
    wrong = []
    for name in house.sources:
        tree = house.tree(name)
        modules = absolute(tree)
        own = top(modules)
        in_core = name in house.cores
        rules = (
            ("the camera", CAMERA_DOOR, any(one.startswith("homeassistant.components.camera") for one in modules)),
            ("Pillow", PIL_DOOR, "PIL" in own),
            ("a TFLite runtime", RUNTIME_DOORS, bool(own & TFLITE_RUNTIMES)),
            ("TFLite's schema", SCHEMA_DOOR, bool(own & {"tflite", "flatbuffers"})),
            ("HTTP", HTTP_DOORS, in_core and "aiohttp" in own - _for_types(tree)),
        )
        wrong += [f"{name} imports {what}" for what, door, touched in rules if touched and name not in door]
        at_top = {module for node in tree.body if not _defines(node) for module in top(absolute(node))}
        if at_top & TFLITE_RUNTIMES:
            wrong.append(f"{name} imports a native runtime with the module, not where it is used")
    return wrong


def _for_types(tree: ast.Module) -> set[str]:
    """Return what is imported for annotations alone."""
    checks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {module for node in checks for module in top(absolute(node))}


def _defines(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def touched_disk(house: House) -> list[str]:
    """The disk is read and written where its doors are."""
    wrong = []
    for name in house.sources:
        if name in DISK_DOORS:
            continue
        wrong += [
            f"{name}:{node.lineno} calls {ast.unparse(node.func)}"
            for node in ast.walk(house.tree(name))
            if isinstance(node, ast.Call) and _touches_disk(node.func)
        ]
    return wrong


def _touches_disk(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id == "open"
    if not isinstance(function, ast.Attribute) or function.attr not in DISK_CALLS:
        return False
    owner = ast.unparse(function.value)
    by_path = "path" in owner.lower() or "folder" in owner.lower() or owner.startswith("Path(")
    return owner in {"os", "shutil", "io", "tempfile"} or by_path


def missing_doors(house: House) -> list[str]:
    """Doors are files that there are: a renamed one would leave its rule without effect."""
    doors = CAMERA_DOOR | PIL_DOOR | RUNTIME_DOORS | SCHEMA_DOOR | HTTP_DOORS | DISK_DOORS
    return sorted(doors - house.sources.keys())
