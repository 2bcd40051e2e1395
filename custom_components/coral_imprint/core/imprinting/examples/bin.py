"""The bin: what was deleted, kept for a while under the moment of its deletion."""

from datetime import datetime, timedelta
from pathlib import Path

from . import atomic, names

BIN_KEPT = timedelta(days=7)


def free_place(bin_folder: Path, place: str, now: datetime) -> str:
    """Return where in the bin something may go: ``<moment>/<place>``, under a moment that nothing else has."""
    moments = names.numbered_ids(names.stamp(now))
    return f"{next(moment for moment in moments if not (bin_folder / moment).exists())}/{place}"


def discard(bin_folder: Path, path: Path, place: str, now: datetime) -> Path:
    """Move a file or folder to ``<bin_folder>/<moment>/<place>`` and return where exactly it is.

    Durable on return. Raises StoreFailed.
    """
    return put(path, bin_folder / free_place(bin_folder, place, now))


def put(path: Path, target: Path) -> Path:
    """Move a file or folder to a place in the bin, or out of it, and return that. Durable on return. Raises StoreFailed."""
    atomic.make_folder(target.parent)
    atomic.move(path, target)
    return target


def purge(bin_folder: Path, now: datetime) -> int:
    """Remove for good what has been in the bin for longer than BIN_KEPT; return how many deletions that were.

    What is in the bin under another name than a moment is not touched. Raises StoreFailed.
    """
    if not bin_folder.is_dir():
        return 0
    removed = 0
    for folder in atomic.folders(bin_folder):
        deleted = names.moment(folder.name)
        if deleted is not None and now - deleted > BIN_KEPT:
            atomic.remove_tree(folder)
            removed += 1
    return removed


def bin_whole(root: Path, bin_root: Path, now: datetime) -> Path | None:
    """Move a whole classifier to the bin and return where it is; None where there was nothing. Raises StoreFailed."""
    if not root.is_dir():
        return None
    return discard(bin_root, root, root.name, now)
