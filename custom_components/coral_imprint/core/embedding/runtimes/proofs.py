"""Notes on disk that a runtime agreed with another one, so that they need not be compared again."""

from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
import platform

from ..notes import read_note, write_note
from ..pictures import test_pictures


@dataclass(frozen=True, slots=True)
class Proof:
    """All that an agreement depends on."""

    model_sha256: str
    runtime: str
    """Package and version of the runtime that was compared with the portable one."""
    machine: str
    pictures: int
    """Version of the test pictures."""

    @classmethod
    def here(cls, model_sha256: str, runtime: str) -> "Proof":
        """Return what a comparison on this machine would prove."""
        return cls(model_sha256, runtime, f"{platform.machine()} {platform.node()}", test_pictures.VERSION)

    @property
    def _text(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def _path(self, folder: Path) -> Path:
        return folder / f"{hashlib.sha256(self._text.encode()).hexdigest()[:32]}.proof.json"

    def noted(self, folder: Path) -> bool:
        """Whether the note is there. What can't be read is no proof. Blocking."""
        return read_note(self._path(folder)) == self._text.encode()

    def note(self, folder: Path) -> None:
        """Write the note. Where that fails, the runtimes are compared again at the next start. Blocking."""
        write_note(self._path(folder), self._text.encode())
