"""The house as its rules read it: every file's syntax tree by its name, and which file imports which.

Files are held in memory, so that a test may break a rule on purpose without touching the disk.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "custom_components" / "coral_imprint"
CORES = ("embedding", "imprinting")
OWN_FOLDERS = ("app", "bench", "docs", "scripts", "tests")


@cache
def parsed(text: str) -> ast.Module:
    """Return a syntax tree. Not to be changed."""
    return ast.parse(text)


@dataclass(frozen=True)
class House:
    """Sources by file name, relative to the integration's folder."""

    sources: Mapping[str, str]
    edges: Mapping[str, set[str]] = field(init=False)
    """Which files each file imports, `TYPE_CHECKING` included."""

    def __post_init__(self) -> None:
        """Resolve the imports."""
        object.__setattr__(self, "edges", {name: set(self._imported(name)) for name in self.sources})

    def tree(self, name: str) -> ast.Module:
        """Return a file's syntax tree."""
        return parsed(self.sources[name])

    @cached_property
    def cores(self) -> list[str]:
        """The cores' files."""
        return [name for name in self.sources if name.startswith("core/")]

    @cached_property
    def shell(self) -> list[str]:
        """All others."""
        return [name for name in self.sources if not name.startswith("core/")]

    def but(self, name: str, source: str) -> House:
        """Return the same house with one file changed or added: what ``source`` says is put behind what it says now."""
        return House({**self.sources, name: self.sources.get(name, "") + "\n" + source})

    def _imported(self, name: str) -> Iterator[str]:
        folder = PurePosixPath(name).parent
        for node in ast.walk(self.tree(name)):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = folder
            for _ in range(node.level - 1):
                base = base.parent
            module = base.joinpath(*node.module.split(".")) if node.module else base
            for alias in node.names:
                found = self._file(module / alias.name) or self._file(module)
                if found and found != name:
                    yield found

    def _file(self, module: PurePosixPath) -> str | None:
        for candidate in (f"{module}.py", str(module / "__init__.py")):
            if candidate in self.sources:
                return candidate
        return None


@cache
def our_house() -> House:
    """Return the integration as it is."""
    return House({path.relative_to(HOUSE).as_posix(): path.read_text() for path in sorted(HOUSE.rglob("*.py"))})


@cache
def own_code() -> Mapping[str, str]:
    """Return the sources of everything that is not the integration, by name from the repository's folder."""
    found = sorted(path for folder in OWN_FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in found}


def absolute(tree: ast.AST) -> set[str]:
    """Return the modules that are imported by their whole names."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
    return found


def top(modules: set[str]) -> set[str]:
    """Return the packages that modules belong to."""
    return {module.partition(".")[0] for module in modules}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
