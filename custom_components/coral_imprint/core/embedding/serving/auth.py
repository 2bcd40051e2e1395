"""Who may ask: a bearer token, which only loopback addresses and Unix sockets can do without."""

import hashlib
import hmac
import ipaddress
from pathlib import Path
from typing import Final

SHORTEST_TOKEN: Final = 16
LONGEST_TOKEN: Final = 1024


class TokenError(Exception):
    """A token that can't be used, or none where one is needed."""


def read_token(path: Path) -> str:
    """Read a token from the only line of a file. Raises TokenError. Blocking."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"The token can't be read: {error}") from error
    if not SHORTEST_TOKEN <= len(text) <= LONGEST_TOKEN or not text.isprintable() or " " in text:
        raise TokenError(f"A token is one word of {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters")
    return text


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone. Names are not looked up: only ``localhost`` is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Compares what requests bring with the token."""

    def __init__(self, token: str | None) -> None:
        """Take the token; None lets everybody in."""
        self._wanted = _digest(f"Bearer {token}") if token is not None else None

    def lets_in(self, authorization: str | None) -> bool:
        """Whether a request with this ``Authorization`` header is let in. Takes as long for any wrong token."""
        if self._wanted is None:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        return hmac.compare_digest(_digest(f"{scheme.capitalize()} {token.strip()}"), self._wanted)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
