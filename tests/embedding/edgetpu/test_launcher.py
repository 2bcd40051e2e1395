"""What runs a module in the child."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from embedding.edgetpu import launcher

MODULE = """
import resource, select, sys
from .part import NAME
print(__name__, NAME, sys.argv[1:], resource.getrlimit(resource.RLIMIT_CORE), sys.stdin.read())
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package like this one, beside a file that would be taken for one of Python's own modules."""
    folder = tmp_path / "house" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "part.py").write_text("NAME = __name__\n")
    (folder / "program.py").write_text(MODULE)
    (folder / "room").mkdir()
    (folder / "room" / "launcher.py").write_text(Path(launcher.__file__).read_text())
    for place in (folder, folder.parent):
        (place / "select.py").write_text("raise ImportError('not the one that was meant')\n")
    return folder


def start(package: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Return the process, and the end of its standard input that the parent holds."""
    stdin, leash = os.pipe()
    line = [sys.executable, "-P", str(package / "room" / "launcher.py"), *arguments]
    process = subprocess.Popen(line, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(stdin)
    return process, leash


def test_runs_a_module(package: Path) -> None:
    """As the main program, with its arguments, its package, no core dumps, and Python's own modules."""
    (package / "program.py").write_text(MODULE.replace("sys.stdin.read()", "''"))
    process, leash = start(package, "program", "--unix", "/x")
    with process:
        out, said = process.communicate(timeout=30)
    os.close(leash)
    assert out.strip() == "__main__ embedding.part ['--unix', '/x'] (0, 0)", said


def test_ends_with_its_parent(package: Path) -> None:
    """It waits for nothing but the end of the pipe, and does not live to see it."""
    process, leash = start(package, "program")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    os.close(leash)
    with process:
        assert process.wait(10) != 0
        assert process.stdout is not None
        assert "__main__" not in process.stdout.read()


def test_parent_that_is_gone_already(package: Path) -> None:
    """The pipe may have been closed before the child looks."""
    stdin, leash = os.pipe()
    os.close(leash)
    line = [sys.executable, "-P", str(package / "room" / "launcher.py"), "program"]
    done = subprocess.run(line, stdin=stdin, capture_output=True, text=True, timeout=30, check=False)
    os.close(stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The parent is gone" in done.stderr


def test_no_such_module(package: Path) -> None:
    """A module that is not there is an error of Python's own."""
    process, leash = start(package, "nothing")
    with process:
        _, said = process.communicate(timeout=30)
    os.close(leash)
    assert process.returncode == 1
    assert "embedding.nothing" in said


def test_takes_nothing_of_the_parents(package: Path, tmp_path: Path) -> None:
    """A descriptor that the parent left open to its children is closed, and its folder is not kept."""
    (package / "program.py").write_text("import os; print(os.getcwd(), os.path.exists('/proc/self/fd/77'))")
    with (tmp_path / "open").open("w") as file:
        os.dup2(file.fileno(), 77)
    line = [sys.executable, "-P", str(package / "room" / "launcher.py"), "program"]
    stdin, leash = os.pipe()
    try:
        out = subprocess.run(line, stdin=stdin, capture_output=True, text=True, check=False, pass_fds=(77,), timeout=30)
    finally:
        for descriptor in (77, stdin, leash):
            os.close(descriptor)
    assert out.stdout.split() == ["/", "False"], out.stderr
