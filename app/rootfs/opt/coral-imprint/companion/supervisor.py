"""The Supervisor's API, as far as the app uses it: Home Assistant hears from it that the server is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

SERVICE: Final = "coral_imprint"
"""The integration's domain: Home Assistant hands the announcement to its config flow."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


class SupervisorError(Exception):
    """The Supervisor did not take the announcement."""


@dataclass(frozen=True)
class Announcement:
    """Where the server is, and what it serves."""

    host: str
    """The app's name in the Supervisor's network."""
    port: int
    token: str
    models: Sequence[str]

    def message(self) -> dict[str, Any]:
        """Return the body of the request (Supervisor API, ``POST /discovery``)."""
        return {
            "service": SERVICE,
            "config": {"host": self.host, "port": self.port, "token": self.token, "models": list(self.models)},
        }


async def announce(session: aiohttp.ClientSession, announcement: Announcement, token: str, url: str) -> str:
    """Announce the server; saying the same again changes nothing. Returns the announcement's id.

    Args:
        session: what to ask with.
        announcement: what to say.
        token: ``SUPERVISOR_TOKEN``, which the Supervisor puts into an app's environment.
        url: where the Supervisor is.

    Raises SupervisorError.

    """
    try:
        async with session.post(
            f"{url}/discovery",
            json=announcement.message(),
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
        ) as response:
            answer: Any = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise SupervisorError(f"The Supervisor does not answer: {error or type(error).__name__}") from error
    if status != 200 or not isinstance(answer, dict) or answer.get("result") != "ok":
        reason = answer.get("message") if isinstance(answer, dict) else None
        raise SupervisorError(f"The Supervisor refuses the announcement ({status}): {reason or 'no reason given'}")
    data = answer.get("data")
    return str(data.get("uuid", "")) if isinstance(data, dict) else ""
