"""The classes that a classifier network tells apart already, by name: its last layer together with its list of labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from ..errors import UnknownNetworkClass, WrongLabels
from .columns import LARGEST_LABELS, Columns, class_columns, proxy, read_labels

_MOST_PACKED: Final = 16
"""Files in a model's metadata that are looked into, at most."""


@dataclass(frozen=True, eq=False)
class NetworkClasses:
    """A classifier network's own classes."""

    labels: tuple[str, ...]
    """In the order of its columns. A label may hold several names, with commas between them."""
    columns: Columns

    def search(self, text: str = "") -> list[tuple[int, str]]:
        """Return number and label of the classes whose label has every word of ``text`` in it, whatever the case."""
        words = text.casefold().split()
        found = enumerate(self.labels)
        return [(number, label) for number, label in found if all(word in label.casefold() for word in words)]

    def as_dict(self, text: str = "") -> dict[str, Any]:
        """Return what people are told of it: how many classes there are, and those that `search` finds."""
        found = [{"number": number, "name": label} for number, label in self.search(text)]
        return {"count": len(self.labels), "classes": found}

    def numbers(self, names: Sequence[str]) -> list[int]:
        """Return the numbers of several classes, as `number` does."""
        return [self.number(name) for name in names]

    def number(self, name: str) -> int:
        """Return the number of the class of this label, of one of the names in its label, or of this number.

        The whole label goes before a name in one. Raises UnknownNetworkClass where there is none, or more than one.
        """
        wanted = name.strip().casefold()
        whole = [number for number, label in enumerate(self.labels) if label.casefold() == wanted]
        found = whole or [number for number, label in enumerate(self.labels) if wanted in _names(label)]
        if not found and wanted.isdecimal() and int(wanted) < len(self.labels):
            found = [int(wanted)]
        if not found:
            raise UnknownNetworkClass(f"no class is called “{name}”", name=name)
        if len(found) > 1:
            several = ", ".join(f"{number} ({self.labels[number]})" for number in found)
            raise UnknownNetworkClass(f"“{name}” may be any of the numbers {several}", name=name)
        return found[0]

    def direction(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Return what stands for a class, or for several taken together: shape (d,), length 1, as `columns.proxy` does.

        Raises IndexError for a class that isn't there, UnsupportedModel for one that has no direction of its own.
        """
        return proxy(self.columns, numbers)

    @property
    def imprinted(self) -> bool:
        """Whether directions are imprinted weights, as in exported files; else they are columns of a plain last layer."""
        return self.columns.normalised


def network_classes(data: bytes, texts: Sequence[str] = ()) -> NetworkClasses:
    """Return the classes of a TFLite classifier: labelled by the first text that fits, else by a file in its metadata.

    Raises what `class_columns` raises where it has no classes, and WrongLabels where no list of labels fits.
    """
    columns = class_columns(data)
    count = len(columns.vectors)
    refused = WrongLabels("There is no list of labels", expected=str(count))
    for text in (*texts, *_packed(data)):
        try:
            return NetworkClasses(read_labels(text, count), columns)
        except WrongLabels as error:
            refused = error
    raise refused


def _names(label: str) -> set[str]:
    return {name.strip().casefold() for name in label.split(",")}


def _packed(data: bytes) -> Iterator[str]:
    """Yield the texts that are packed behind a TFLite file: its metadata's associated files are a ZIP archive there."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            for entry in archive.infolist()[:_MOST_PACKED]:
                if entry.filename.endswith(".txt") and entry.file_size <= LARGEST_LABELS:
                    with archive.open(entry) as file:
                        # The entry may be larger than it says.
                        yield file.read(LARGEST_LABELS).decode("utf-8", "replace")
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError):
        # No archive, or one that is damaged, encrypted or packed in a way of its own: as good as none.
        return
