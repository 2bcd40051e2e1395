"""Examples as one file to take along: a zip of class folders and a manifest; and reading any such zip, whoever made it."""

from .layouts import Skipped
from .limits import LARGEST_PICTURE_FILE, ArchiveLimits
from .reading import Archive, Picture
from .writing import Written, write_archive

__all__ = ["LARGEST_PICTURE_FILE", "Archive", "ArchiveLimits", "Picture", "Skipped", "Written", "write_archive"]
