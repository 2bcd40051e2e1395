"""What a server's refusal means, whichever client carries it. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
import math
from typing import Final

from ..errors import NoSuchModel, ServerBusy, ServerDenied, ServerError, ServerRefused
from .answers import read_error

ERROR_LIMIT: Final = 16 * 1024
"""Bytes of a refusal that are read."""
BUSY_WAIT: Final = 1.0
"""Seconds to leave a busy server alone that does not say for how long."""
LONGEST_WAIT: Final = 300.0
"""Seconds that a server may ask for."""

_BUSY: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
_DENIED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def says_more(status: int) -> bool:
    """Whether what a refusal says in its body matters."""
    return status not in (*_BUSY, *_DENIED) and not _is_redirect(status)


def _is_redirect(status: int) -> bool:
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST


def refusal(name: str, status: int, reason: str | None, retry_after: str | None, body: bytes) -> ServerError:
    """Return the error that a status other than 200 stands for.

    Args:
        name: the server's.
        status: of its answer.
        reason: the words behind the status.
        retry_after: the header, where there is one.
        body: of the answer, where `says_more`; what is beyond `ERROR_LIMIT` makes it illegible.

    """
    if status in _BUSY:
        return ServerBusy(f"{name} is busy", wait=read_wait(retry_after, datetime.now(UTC)), server=name)
    if status in _DENIED:
        return ServerDenied(f"{name} wants another token", server=name)
    if _is_redirect(status):
        return ServerRefused(f"{name} points elsewhere ({status})", server=name)
    said = read_error(body) if len(body) <= ERROR_LIMIT else ""
    if status == HTTPStatus.NOT_FOUND:
        return NoSuchModel(f"{name} has no such model ({said or status})", server=name)
    return ServerRefused(f"{name} refused with {status}: {said or reason}", server=name)


def read_wait(header: str | None, now: datetime) -> float:
    """Return the seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3), 0 to LONGEST_WAIT; BUSY_WAIT without one."""
    if header is None:
        return BUSY_WAIT
    try:
        wait = float(header)
    except ValueError:
        try:
            until = parsedate_to_datetime(header)
        except ValueError:
            return BUSY_WAIT
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return min(max(wait, 0.0), LONGEST_WAIT) if math.isfinite(wait) else BUSY_WAIT
