"""Files of models and of their labels that a user names, or that lie beside a model. The only door to them. Blocking."""

from pathlib import Path
from typing import Final

from homeassistant.util.file import write_utf8_file_atomic

from ..core.embedding import LARGEST_LABELS, LARGEST_MODEL

MODEL_SUFFIX: Final = ".tflite"
LABELS_SUFFIX: Final = "_labels.txt"


def labels_name(path: Path) -> str:
    """Return the name of the list of labels that belongs to a model's file."""
    return f"{path.stem}{LABELS_SUFFIX}"


class FileTooLarge(Exception):
    """A file that is no model, or no list of labels: it is too large."""


def read_model(path: Path) -> bytes:
    """Return a model's bytes. Raises OSError, FileTooLarge."""
    return _read(path, LARGEST_MODEL)


def read_label_lists(path: Path) -> list[str]:
    """Return the lists of labels beside a model's file, the one that belongs to it most surely first; unreadable ones are left out."""
    names = (labels_name(path), f"{path.stem}.txt", "labels.txt")
    return [text for name in names if (text := read_text(path.with_name(name))) is not None]


def read_text(path: Path) -> str | None:
    """Return a list of labels; None where there is none that can be read."""
    try:
        return _read(path, LARGEST_LABELS).decode("utf-8", "replace")
    except OSError, FileTooLarge:
        return None


def write_export(folder: Path, files: dict[str, bytes]) -> None:
    """Put files into a folder by name, each whole or not at all, replacing earlier ones. Raises OSError, HomeAssistantError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_utf8_file_atomic(str(folder / name), content, mode="wb")


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise FileTooLarge(path.name)
    return content
