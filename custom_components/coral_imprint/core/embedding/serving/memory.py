"""Giving memory back to the system: requests of all sizes leave holes that the C library would keep."""

import asyncio
import ctypes
from typing import Final, NoReturn

EVERY_SECONDS: Final = 60.0


def trim() -> bool:
    """Give back what is free; whether there was any. Blocking, milliseconds. Does nothing where the C library is not glibc."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        # Another C library, or a system that has no library of the process itself.
        return False


async def keep_trimming() -> NoReturn:
    """Give back what is free, every now and then."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(trim)
