"""A Supervisor on this machine that takes announcements, and refuses as many as it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "supervisor-token-of-the-app"


class FakeSupervisor:
    """What was announced."""

    def __init__(self, service: str) -> None:
        """Take the service that the app's config lists."""
        self.service = service
        self.refuse = 0
        """So many of the next requests are refused."""
        self.messages: list[dict[str, Any]] = []
        self.refused: list[int] = []
        self.url = ""

    async def discovery(self, request: web.Request) -> web.Response:
        """Answer as ``supervisor/api/discovery.py`` does."""
        if self.refuse:
            self.refuse -= 1
            return self._no(502, "busy")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._no(401, "who are you?")
        body = await request.json()
        if set(body) != {"service", "config"} or not isinstance(body["config"], dict):
            return self._no(400, "not the message's form")
        if body["service"] != self.service:
            return self._no(403, "Apps must list services they provide via discovery in their config!")
        self.messages.append(body)
        return web.json_response({"result": "ok", "data": {"uuid": f"{len(self.messages):032x}"}})

    def _no(self, status: int, why: str) -> web.Response:
        self.refused.append(status)
        return web.json_response({"result": "error", "message": why}, status=status)


@asynccontextmanager
async def fake_supervisor(service: str = "coral_imprint") -> AsyncIterator[FakeSupervisor]:
    """Run one."""
    fake = FakeSupervisor(service)
    application = web.Application()
    application.router.add_post("/discovery", fake.discovery)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
