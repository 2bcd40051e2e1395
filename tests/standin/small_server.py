"""A server that is as good or bad as its arguments say; nothing but Python's own library, so that it starts at once.

small_server.py MODULE [late=S] [die=S] [exit=N] [silent=S] [deaf] [noise=N] --unix PATH
"""

import asyncio
import contextlib
import os
from pathlib import Path
import signal
import sys


def options(words: list[str]) -> dict[str, float]:
    """Read ``name=number`` and ``name``."""
    pairs = (word.partition("=") for word in words)
    return {name: float(number or 1) for name, _, number in pairs}


async def serve(path: str, asked: dict[str, float]) -> None:
    """Answer until the end."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            if loop.time() - began < asked.get("silent", float("inf")):
                ready = loop.time() - began >= asked.get("late", 0)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if ready else b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            else:
                await asyncio.sleep(3600)
            writer.close()

    if "deaf" in asked:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
    server = await asyncio.start_unix_server(answer, path)
    async with server:
        await asyncio.sleep(asked.get("die", 3600))
    os.abort()


def main() -> None:
    """Read the command line."""
    *words, flag, path = sys.argv[2:]
    assert flag == "--unix"
    asked = options(words)
    for number in range(int(asked.get("noise", 0))):
        sys.stderr.write(f"line {number}\n")
    sys.stderr.write(f"environment: {' '.join(sorted(os.environ))}\n")
    if "exit" in asked:
        sys.exit(int(asked["exit"]))
    assert not Path(path).exists(), "the socket of the one before is still there"
    asyncio.run(serve(path, asked))


if __name__ == "__main__":
    main()
