"""What classes, their folders and their examples may be called."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
import hashlib
import re
import unicodedata

from ..errors import ClassExists, InvalidLabel

LABEL_LENGTH = 64
"""Characters a class's label may have."""

FOLDER_BYTES = 80
"""Bytes of UTF-8 a class folder's name may have."""

STEM_BYTES = 120
"""Bytes of UTF-8 that are kept of the name the user gave a picture."""

RESERVED = frozenset({"unknown", "unavailable", "none"})
"""Labels that would be mistaken for the state of a sensor that has none."""

MARKER = ".class.json"
SUFFIX = ".jpg"
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

_FORBIDDEN = frozenset('/\\:*?"<>|')
_STAMP = re.compile(r"(\d{8}T\d{6})(\d{3})Z")
_EXAMPLE_ID = re.compile(rf"{_STAMP.pattern}-[0-9a-f]{{6}}(-\d+)?")


def fold(name: str) -> str:
    """Return what two names have in common that people, or a file system, take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_visible(name: str) -> bool:
    """Whether a file or folder is the user's, and not set apart by a leading dot or underscore."""
    return not name.startswith((".", "_"))


def check_label(label: str) -> str:
    """Return the label as it is kept: composed (NFC), without spaces around it.

    Raises InvalidLabel where it is empty, longer than LABEL_LENGTH, reserved, or holds control characters.
    """
    kept = unicodedata.normalize("NFC", label).strip()
    if not kept:
        raise InvalidLabel("a class needs a name")
    if len(kept) > LABEL_LENGTH:
        raise InvalidLabel(f"a class's name has at most {LABEL_LENGTH} characters")
    if any(_is_control(character) for character in kept):
        raise InvalidLabel("a class's name has no control characters")
    if fold(kept) in RESERVED:
        raise InvalidLabel(f"{kept!r} can't be a class's name")
    return kept


def check_labels(labels: Iterable[str]) -> list[str]:
    """Return labels that are to stand side by side as they are kept. Raises InvalidLabel, ClassExists."""
    kept: list[str] = []
    for label in map(check_label, labels):
        if fold(label) in map(fold, kept):
            raise ClassExists(f"{label!r} is named twice", name=label)
        kept.append(label)
    return kept


def label_from_folder(folder: str, taken: Callable[[str], bool]) -> str:
    """Return a valid label, none of those taken, for a folder that the user made."""
    # A name that is no valid text on disk comes with lone surrogates.
    text = unicodedata.normalize("NFC", folder.encode("utf-8", "replace").decode())
    text = "".join(character for character in text if not _is_control(character)).strip()
    text = text if text.strip(" .") else "class"
    for number in _numbers():
        label = _shortened(text, LABEL_LENGTH, "" if number == 1 else f" {number}", len)
        if fold(label) not in RESERVED and not taken(label):
            return label
    raise AssertionError("numbers never end")


def folder_name(label: str, number: int = 1) -> str:
    """Return the form of a label that every common file system takes; a number tells equal ones apart."""
    suffix = "" if number == 1 else f" ({number})"
    return _shortened(_safe(unicodedata.normalize("NFC", label)), FOLDER_BYTES, suffix, _bytes) or f"class{suffix}"


def free_folder_name(label: str, taken: Callable[[str], bool]) -> str:
    """Return the first folder name for a label that isn't taken."""
    return next(name for number in _numbers() if not taken(name := folder_name(label, number)))


def folder_fits(folder: str, label: str) -> bool:
    """Whether a folder has one of the names that a label may give it."""
    numbered = re.search(r" \((\d{1,6})\)$", folder)
    return folder == folder_name(label) or (numbered is not None and folder == folder_name(label, int(numbered[1])))


def stamp(when: datetime) -> str:
    """Return a moment, in UTC to the millisecond, as it stands in names."""
    utc = when.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S}{utc.microsecond // 1000:03}Z"


def moment(text: str) -> datetime | None:
    """Return the moment that a text begins with the stamp of, or None."""
    found = _STAMP.match(text)
    if found is None:
        return None
    try:
        whole = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return whole + timedelta(milliseconds=int(found[2]))


def example_ids(when: datetime, content: bytes) -> Iterator[str]:
    """Yield the id of a new example, then others to fall back on where it is taken."""
    return numbered_ids(f"{stamp(when)}-{hashlib.sha256(content).hexdigest()[:6]}")


def is_example_id(text: str) -> bool:
    """Whether an example got this id from ``example_ids``."""
    return _EXAMPLE_ID.fullmatch(text) is not None


def adopted_ids(stem: str) -> Iterator[str]:
    """Yield an id for a picture that the user named, the nearest to its name first."""
    return numbered_ids(_shortened(_safe(stem), STEM_BYTES, "", _bytes) or "picture")


def numbered_ids(base: str) -> Iterator[str]:
    """Yield ``base``, ``base-2``, ``base-3`` and so on."""
    return (base if number == 1 else f"{base}-{number}" for number in _numbers())


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def _safe(text: str) -> str:
    """Return what of a text every common file system takes as the beginning of a visible name."""
    kept = "".join(character for character in text if character not in _FORBIDDEN and not _is_control(character))
    return re.sub(r"^[\s._]+", "", kept)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _shortened(text: str, limit: int, suffix: str, size: Callable[[str], int]) -> str:
    """Return the text and the suffix, the text cut so that both keep the limit."""
    while text and size(text + suffix) > limit:
        text = text[:-1]
    text = re.sub(r"[\s.]+$", "", text)
    return text + suffix if text else ""
