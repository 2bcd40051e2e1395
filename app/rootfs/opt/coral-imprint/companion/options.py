"""The app's options, as the Supervisor leaves them in ``/data/options.json``."""

from collections.abc import Iterable
from dataclasses import dataclass
import json
from pathlib import Path
import re
from typing import Any, Final

from embedding.devices import Survey

DEVICES: Final = ("auto", "usb", "pci", "cpu")
"""``auto``: every Edge TPU that there is; ``usb`` and ``pci``: those of one kind. The CPU serves beside them, or alone."""
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
CPU: Final = "cpu"

TOKEN: Final = re.compile(r"[!-~]{16,1024}")
"""What the server takes for a token: one word of printable ASCII."""
SHARED: Final = Path("/share")
"""The only folder of the user's that the app sees."""


class OptionError(Exception):
    """An option has a value that can't be used."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user chose."""

    device: str = "auto"
    """One of `DEVICES`."""
    models: Path = SHARED / "coral_imprint" / "models"
    """A folder of TFLite files, served beside those of the image; need not be there."""
    threads: int = 1
    """What a picture may use of the CPU."""
    queue: int = 128
    """Pictures that may wait for a device."""
    token: str | None = None
    """The user's own; None for one that the app makes."""
    log_level: str = "info"
    """One of `LOG_LEVELS`."""

    def devices(self, survey: Survey) -> tuple[str, ...]:
        """Return what the server is to use of a machine's devices, by the server's names; the CPU is always among them."""
        wanted = {"auto": ("usb", "pci"), CPU: ()}.get(self.device, (self.device,))
        return (*(found.device for found in survey.usable if found.bus in wanted), CPU)


def read_options(path: Path) -> Options:
    """Read the options. Options that are not there have their defaults, others than these are left alone.

    Raises OptionError for a file that can't be read and for values that can't be used. Blocking.
    """
    try:
        data: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise OptionError(f"The options can't be read: {error}") from error
    if not isinstance(data, dict):
        raise OptionError("The options are no JSON object")
    chosen: dict[str, Any] = {key: value for key, value in data.items() if value not in (None, "")}
    return Options(
        device=_one_of(chosen, "device", DEVICES),
        models=_folder(chosen),
        threads=_number(chosen, "threads", 1, 64),
        queue=_number(chosen, "queue", 1, 65_536),
        token=_token(chosen),
        log_level=_one_of(chosen, "log_level", LOG_LEVELS),
    )


def _one_of(chosen: dict[str, Any], key: str, values: Iterable[str]) -> str:
    value = chosen.get(key, getattr(Options, key))
    if value not in values:
        raise OptionError(f"The option {key} is one of {', '.join(values)}")
    return str(value)


def _number(chosen: dict[str, Any], key: str, least: int, most: int) -> int:
    value = chosen.get(key, getattr(Options, key))
    if type(value) is not int or not least <= value <= most:
        raise OptionError(f"The option {key} is a whole number from {least} to {most}")
    return value


def _folder(chosen: dict[str, Any]) -> Path:
    value = chosen.get("models", str(Options.models))
    if not isinstance(value, str) or not (path := Path(value)).is_absolute():
        raise OptionError("The option models is the path of a folder")
    if ".." in path.parts or not path.is_relative_to(SHARED):
        raise OptionError(f"The option models is a folder below {SHARED}: the app sees no other")
    return path


def _token(chosen: dict[str, Any]) -> str | None:
    value = chosen.get("token")
    if value is None:
        return None
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise OptionError("The option token is one word of 16 to 1024 characters, without accents")
    return value
