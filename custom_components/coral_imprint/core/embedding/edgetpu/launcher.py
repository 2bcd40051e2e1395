"""Runs a module of this package in a child that can't outlive its parent: ``python launcher.py MODULE [ARGUMENT…]``.

Started by its path, it needs no search path that leads to the package (whose neighbours might be taken for Python's own modules),
and the parent is watched before anything large is imported.

The parent holds the other end of a pipe on the standard input and never writes to it. When the parent ends, however it does, the
kernel sends SIGIO, whose default is to end the process. Watching the pipe in Python is not enough: libedgetpu may hang while
Python's interpreter lock is held, and nothing of Python runs then.
"""

import fcntl
import importlib.util
import os
from pathlib import Path
import resource
import runpy
import selectors
import signal
import sys
from typing import Final

PACKAGE: Final = "embedding"
"""What the package is called in the child."""


def end_with_parent(pipe: int = 0) -> None:
    """Let the kernel end this process when the other end of ``pipe`` is closed; end it now where that has happened."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    with selectors.PollSelector() as watched:
        watched.register(pipe, selectors.EVENT_READ)
        if watched.select(0):
            sys.exit("The parent is gone")


def leave_parents_place() -> None:
    """Close what the parent had open besides the standard streams, and keep no folder of its busy."""
    os.closerange(3, 1 + max(map(int, os.listdir("/proc/self/fd"))))  # noqa: PTH208 - numbers, not paths
    os.chdir("/")


def leave_no_core() -> None:
    """Let an abort leave no copy of the memory behind: a device that fails every minute would fill the disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def import_package(folder: Path) -> None:
    """Import the package in ``folder`` as ``PACKAGE``."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def main() -> None:
    """Run the module that the command line names, as ``python -m`` would."""
    end_with_parent()
    leave_parents_place()
    leave_no_core()
    module, *arguments = sys.argv[1:]
    import_package(Path(__file__).resolve().parents[1])
    sys.argv = [module, *arguments]
    runpy.run_module(f"{PACKAGE}.{module}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
