"""Notes on disk that a runtime agreed with another one, so that they need not be compared again."""

from contextlib import suppress
from dataclasses import asdict, dataclass
import hashlib
import json
import logging
import os
from pathlib import Path
import platform
import tempfile

from ..pictures import test_pictures

_LOGGER = logging.getLogger(__name__)


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
        """Whether the note is there. What can't be read is no proof."""
        try:
            return self._path(folder).read_text(encoding="utf-8") == self._text
        except (OSError, UnicodeDecodeError):
            return False

    def note(self, folder: Path) -> None:
        """Write the note. Where that fails, the runtimes are compared again at the next start."""
        path = self._path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=path.name)
        except OSError as error:
            _LOGGER.debug("%s could not be written: %s", path, error)
            return
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self._text)
            temporary.replace(path)
        except OSError as error:
            _LOGGER.debug("%s could not be written: %s", path, error)
            with suppress(OSError):
                temporary.unlink()
