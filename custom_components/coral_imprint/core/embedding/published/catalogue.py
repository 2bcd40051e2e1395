"""The catalogue of published extractors: what there is, where it lies, and how each file is told from any other.

The entries are data, in ``catalogue.json``. Their files are those of Google's Coral project, fetched from a commit of its
repository that is named there: what lies at such an address can't change. A file is used only after `PublishedFile.verify`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import hashlib
import json
import logging
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ..errors import ModelError, WrongContent

_LOGGER = logging.getLogger(__name__)

_CHUNK: Final = 1 << 18
"""Bytes read at a time."""

LARGEST_MODEL: Final = 64 * 1024 * 1024
"""Bytes that a file of an extractor may have."""


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file at an address, and what identifies its content."""

    name: str
    """The file's name, without any folder."""
    url: str
    size: int | None
    """Bytes; None where that is not known before the file is there."""
    sha256: str | None
    """SHA-256 of the content, in hexadecimal; None where only the blob id is known."""
    blob: str
    """The content's id in a git repository, in hexadecimal: the SHA-1 of ``blob <size>``, a zero byte and the content."""

    def verify(self, path: Path) -> None:
        """Make sure that a file on disk is this one, to the last byte.

        Its size and SHA-256 are compared where they are known, its blob id always. Raises WrongContent where one differs,
        ModelError where the file can't be read. Blocking; reads in small pieces.
        """
        sha256 = hashlib.sha256()
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if self.size is not None and size != self.size:
                    raise self._wrong(f"it has {size} bytes instead of {self.size}")
                blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
                while piece := file.read(_CHUNK):
                    sha256.update(piece)
                    blob.update(piece)
        except OSError as err:
            raise ModelError(f"{self.name}: {err.strerror or type(err).__name__}", file=self.name) from err
        if self.sha256 is not None and sha256.hexdigest() != self.sha256:
            raise self._wrong("its SHA-256 is another one")
        if blob.hexdigest() != self.blob:
            raise self._wrong("its git blob id is another one")

    def _wrong(self, why: str) -> WrongContent:
        return WrongContent(f"{self.name} is not the published file: {why}", file=self.name)


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A published network that turns pictures into embeddings."""

    key: str
    """Names the entry in settings: never changed once released."""
    title: str
    """What a person reads; the same in every language."""
    licence: str
    """SPDX identifier."""
    file: PublishedFile
    """What a CPU runs: an embedding extractor, or a classifier that is cut at its pool when it is read."""
    edgetpu: PublishedFile | None
    """The same network compiled for the Edge TPU. None where only the classifier was compiled: that can't be cut."""
    input_size: tuple[int, int] | None
    """Width and height of the picture it takes, in pixels; None where unknown."""
    length: int | None
    """Numbers in its embedding; None where unknown."""
    ms: Mapping[str, float] = field(hash=False)
    """Milliseconds a frame takes by runtime family (``docs/measurements.md``); lacks what was not measured."""
    fixed_camera: str | None
    """How well it tells states of a place apart: ``good``, or ``better`` from a mean of 90 % on the three sets of places in
    docs/measurements.md (parking-spot, amos-day-night, traffic-light), five examples a class; None where not measured."""
    kinds: str | None
    """How well it tells kinds of things apart: ``fair``, ``good`` from a mean of 83 %, ``best`` from 86 % on the two other sets
    there (grocery, sign-digits), likewise; None where not measured."""
    labels: PublishedFile | None = None
    """Names of the classes that the network was trained on, one per line in the order of its last layer; None for files that have
    no such layer."""


def find(file: PublishedFile, folders: Sequence[Path]) -> Path | None:
    """Return where a published file lies under its own name: in the first of the folders that has it, verified.

    Files of that name that are something else, or can't be read, are passed over with a warning. Blocking.
    """
    for folder in folders:
        path = folder / file.name
        try:
            if path.is_file():
                file.verify(path)
                return path
        except (WrongContent, ModelError, OSError) as err:
            _LOGGER.warning("A file in %s is not used: %s", folder, err)
    return None


def by_content(sha256: str) -> Extractor | None:
    """Return the extractor that has a file of this SHA-256 (hexadecimal), for the CPU or the Edge TPU."""
    return _BY_CONTENT.get(sha256.lower())


def _load() -> tuple[str, dict[str, Extractor]]:
    """Read ``catalogue.json``: the default's key, and the entries by key in the file's order."""
    data: Any = json.loads(Path(__file__).with_suffix(".json").read_bytes())
    base = "https://raw.githubusercontent.com/{repository}/{commit}/".format(**data["source"])

    def published(row: Any) -> PublishedFile:
        return PublishedFile(url=base + row["name"], **row)

    labels = {name: published(row) for name, row in data["labels"].items()}
    entries = {
        key: Extractor(
            **row
            | {
                "key": key,
                "file": published(row["file"]),
                "edgetpu": published(row["edgetpu"]) if row["edgetpu"] else None,
                "input_size": tuple(row["input_size"]) if row["input_size"] else None,
                "ms": MappingProxyType(row["ms"]),
                "labels": labels[row["labels"]] if "labels" in row else None,
            }
        )
        for key, row in data["extractors"].items()
    }
    return data["default"], entries


_CONTENT: Final = _load()

DEFAULT: Final[str] = _CONTENT[0]
"""Key of the extractor that is offered first."""
CATALOGUE: Final[Mapping[str, Extractor]] = MappingProxyType(_CONTENT[1])
"""The published extractors by key."""

_BY_CONTENT: Final[Mapping[str, Extractor]] = {
    file.sha256: entry
    for entry in CATALOGUE.values()
    for file in (entry.file, entry.edgetpu)
    if file is not None and file.sha256 is not None
}
