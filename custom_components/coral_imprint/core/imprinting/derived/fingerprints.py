"""The embeddings of one classifier under several fingerprints: which are in use, which are kept so that one can go back."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
import json
from pathlib import Path
from typing import Any, Final

from ..errors import StoreFailed
from ..examples import atomic
from .embeddings import SUFFIX, EmbeddingCache, forget_in_folder

CACHE_KEPT: Final = timedelta(days=7)
"""How long embeddings that are no longer used are kept: going back is instant until then."""
RECORD: Final = "in_use.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class InUse:
    """What the head was last imprinted from."""

    fingerprint: str
    note: Mapping[str, Any]
    """What the caller needs to make embeddings of this fingerprint again; JSON."""


class EmbeddingFingerprints:
    """A folder of embedding caches. For one owner: not thread-safe."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        """Read which embeddings are in use. ``clock`` returns now, in UTC. A record that can't be read counts as none."""
        self._folder = folder
        self._clock = clock
        self.in_use: InUse | None = None
        self._stem: str | None = None
        self._left: dict[str, datetime] = {}
        """When each cache that is not in use was last used, or first found, by the stem of its file."""
        self._load()

    def open(self, fingerprint: str, length: int) -> EmbeddingCache:
        """Open, or begin, the cache of a fingerprint. Raises StoreFailed."""
        return EmbeddingCache(self._folder, fingerprint, length)

    def use(self, cache: EmbeddingCache, fingerprint: str, note: Mapping[str, Any]) -> None:
        """Note durably that a cache is in use from now on; the one before it is kept for CACHE_KEPT. Raises StoreFailed."""
        before = self._stem
        self._left.pop(cache.path.stem, None)
        if before and before != cache.path.stem:
            self._left[before] = self._clock()
        self._stem = cache.path.stem
        self.in_use = InUse(fingerprint, dict(note))
        self._save()

    def purge(self) -> int:
        """Remove the caches that have not been used for CACHE_KEPT; return how many. Raises StoreFailed."""
        if not self._folder.is_dir():
            return 0
        now = self._clock()
        known = {path.stem: path for path, _ in atomic.files(self._folder) if path.suffix == SUFFIX}
        left = {stem: self._left.get(stem, now) for stem in known if stem != self._stem}
        gone = [stem for stem, since in left.items() if now - since > CACHE_KEPT]
        for stem in gone:
            atomic.remove(known[stem])
            del left[stem]
        if left != self._left:
            self._left = left
            self._save()
        return len(gone)

    def forget(self, *, all_but: Collection[bytes], opened: Collection[EmbeddingCache]) -> None:
        """Leave no embeddings but those of these keys in any cache; ``opened`` are all those that are open.

        Raises StoreFailed; doing it again finishes it.
        """
        for cache in opened:
            cache.forget(all_but=all_but)
        forget_in_folder(self._folder, all_but=all_but, in_use=[cache.path for cache in opened])

    def _load(self) -> None:
        try:
            content: Any = json.loads(atomic.read(self._folder / RECORD))
            left = {str(stem): datetime.fromisoformat(since) for stem, since in content["left"].items()}
            if any(since.tzinfo is None for since in left.values()):
                return
            self._stem, self._left = str(content["cache"]), left
            self.in_use = InUse(str(content["fingerprint"]), dict(content["note"]))
        except (StoreFailed, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # Derived from what the embedder says at the next start; caches are then found as if they were new.
            self._stem, self._left, self.in_use = None, {}, None

    def _save(self) -> None:
        if not self.in_use:
            return
        content = {
            "version": _VERSION,
            "cache": self._stem,
            "fingerprint": self.in_use.fingerprint,
            "note": self.in_use.note,
            "left": {stem: since.isoformat() for stem, since in self._left.items()},
        }
        atomic.make_folder(self._folder)
        atomic.write(self._folder / RECORD, json.dumps(content, indent=1).encode())
