"""What can go wrong between vectors and classes, by name.

Every error carries what a caller needs to translate it: ``key`` names the message, ``details`` fill its placeholders.
"""

from typing import ClassVar


class ImprintingError(Exception):
    """Something about classes or examples is not as it has to be."""

    key: ClassVar[str] = "imprinting_failed"

    def __init__(self, message: str, **details: str) -> None:
        """Take the English message and the placeholders of its translation."""
        super().__init__(message)
        self.details: dict[str, str] = {"reason": message, **details}


class UnknownClass(ImprintingError):
    """No class of this name or id."""

    key = "unknown_class"


class ClassExists(ImprintingError):
    """A class of this name is there already."""

    key = "class_exists"


class InvalidLabel(ImprintingError):
    """A class's name is empty, too long, or reserved."""

    key = "invalid_label"


class UnreadablePicture(ImprintingError):
    """The bytes can't become an example."""

    key = "unreadable_picture"


class StoreFailed(ImprintingError):
    """The disk refused: full, read-only, or gone."""

    key = "store_failed"


class UnknownExample(ImprintingError):
    """No example of this id."""

    key = "unknown_example"


class UnusableHead(ImprintingError):
    """The bytes are no head, are damaged, or belong to other embeddings."""

    key = "unusable_head"


class NothingToUndo(ImprintingError):
    """No change that could be undone."""

    key = "nothing_to_undo"


class NothingToRedo(ImprintingError):
    """No change that was undone and could be made again."""

    key = "nothing_to_redo"


class UndoImpossible(ImprintingError):
    """What a change left, or what it would bring back, is not as it was: changed by hand or gone from the bin."""

    key = "undo_impossible"


class UnknownVersion(ImprintingError):
    """No version of the head of this number."""

    key = "unknown_version"


class UnusableArchive(ImprintingError):
    """A file is no zip that can be read, or asks for more than may be spent on it."""

    key = "unusable_archive"
