"""The bearer token that whoever asks the server must bring: made at the first start, kept as long as the app is installed."""

import os
from pathlib import Path
import secrets
from typing import Final

from .options import TOKEN

_BYTES: Final = 32
"""Of randomness in a token."""


def ensure_token(path: Path, wanted: str | None) -> str:
    """Return the token that holds, and see to it that it is what the file holds, which only its owner may read.

    Args:
        path: the file; need not be there.
        wanted: the user's own token; None for the file's, or a new one where the file holds none.

    Raises OSError where the file can't be written. Blocking.

    """
    there = _read(path)
    token = wanted or there or secrets.token_urlsafe(_BYTES)
    if token != there:
        _write(path, token)
    return token


def _read(path: Path) -> str | None:
    """Return the file's token; None where there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if TOKEN.fullmatch(text) else None


def _write(path: Path, token: str) -> None:
    """Write the token under another name first: a crash leaves the old file or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"{token}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
