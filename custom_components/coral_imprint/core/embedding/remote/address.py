"""Where an inference server is: what a person pastes, taken apart."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ..errors import InvalidAddress

_SCHEMES: Final = ("http", "https", "unix")
_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, and perhaps of a model on it."""

    base: str
    """``http://host:port/path`` without a slash at its end: the protocol's own paths (``/v2/…``) follow it."""
    socket: str | None = None
    """Path of a Unix socket to connect to instead of the host in ``base``."""
    model: str | None = None
    """The model that the address names, as in ``…/v2/models/NAME``."""

    @property
    def text(self) -> str:
        """What to call it in messages and settings: as it was given, without what names a model."""
        return f"unix://{quote(self.socket)}" if self.socket else self.base

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``host:port``, ``http(s)://host:port/path``, an address below ``/v2``, or ``unix:///path``.

        Raises InvalidAddress; also where it holds a password, which would end up in logs: that is what tokens are for.
        """
        text = text.strip()
        if not 0 < len(text) <= _LONGEST or any(ord(sign) <= 32 or ord(sign) == 127 for sign in text):
            raise _invalid(text, "it is empty, too long, or has blanks in it")
        if "://" not in text:
            text = f"http://{text}"
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise _invalid(text, str(error)) from error
        if parts.scheme not in _SCHEMES or parts.query or parts.fragment or parts.username or parts.password:
            raise _invalid("", "it must be http, https or unix, without name, password, “?” and “#”")
        if parts.scheme == "unix":
            if host or len(parts.path) < 2:
                raise _invalid(text, "a Unix socket's is unix:///path/of/the/socket")
            return cls("http://localhost", unquote(parts.path))
        if not host:
            raise _invalid(text, "it names no host")
        path, model = _below(parts.path)
        return cls(f"{parts.scheme}://{parts.netloc}{path}", None, model)


def _below(path: str) -> tuple[str, str | None]:
    """Cut a path off where the protocol's own begins; return what is before, and the model that the rest names."""
    steps = path.rstrip("/").split("/")
    if "v2" not in steps:
        return "/".join(steps), None
    at = len(steps) - 1 - steps[::-1].index("v2")
    match steps[at + 1 :]:
        case ["models", name, *_]:
            return "/".join(steps[:at]), unquote(name)
    return "/".join(steps[:at]), None


def _invalid(text: str, why: str) -> InvalidAddress:
    return InvalidAddress(f"This is no address of an inference server: {why}", address=text)
