"""Holding NumPy's BLAS to a number of threads while a frame is computed.

A BLAS that uses every core makes a frame slower as soon as anything else wants one, and its setting is global to the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
import logging
import threading
from typing import Any

_LOGGER = logging.getLogger(__name__)
_LOCK = threading.Lock()
_held: list[int] = []
"""The libraries' own settings while at least one frame is computed; empty otherwise."""
_holders = 0


@cache
def _libraries() -> tuple[Any, ...]:
    """Return the controllers of the BLAS libraries that this process has loaded; finding them takes milliseconds."""
    try:
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415
    except ImportError:
        _LOGGER.warning("threadpoolctl is not installed: NumPy may use every core")
        return ()
    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


def prepare() -> None:
    """Find the libraries now rather than at the first frame."""
    _libraries()


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Hold BLAS to ``threads`` threads.

    Where frames overlap, the first one's limit counts for all, and the last one to end restores what was set before.
    """
    global _holders  # noqa: PLW0603 - the setting is the process's
    libraries = _libraries()
    with _LOCK:
        if not _holders:
            _held[:] = [library.num_threads for library in libraries]
            for library in libraries:
                library.set_num_threads(threads)
        _holders += 1
    try:
        yield
    finally:
        with _LOCK:
            _holders -= 1
            if not _holders:
                for library, number in zip(libraries, _held, strict=True):
                    library.set_num_threads(number)
