"""What an archive may ask of the machine that reads it."""

from dataclasses import dataclass
from typing import Final

LARGEST_PICTURE_FILE: Final = 32 * 1024 * 1024
"""Bytes of a picture that comes from a file, in an archive or by itself."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """Bounds that hold whatever an archive's headers say: what is read is counted while it is read."""

    directory: int = 8 * 1024 * 1024
    """Bytes of the zip's table of contents, which is held in memory (as about ten times as much)."""
    entries: int = 20_000
    """Files and folders in the zip."""
    classes: int = 100
    """Classes that the pictures are filed under."""
    manifest: int = 16 * 1024 * 1024
    """Bytes of the manifest."""
    picture: int = LARGEST_PICTURE_FILE
    """Bytes of a picture, of which one is in memory at a time."""
    ratio: int = 100
    """How many times larger than in the zip a picture may become; pictures hardly shrink when they are zipped."""
    free: int = 1024 * 1024
    """Bytes below which the ratio doesn't matter."""
    total: int = 16 * 1024 * 1024 * 1024
    """Bytes of everything that is read."""
